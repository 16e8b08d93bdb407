"""The login: nobody guesses passwords at leisure (django-axes), and no database is locked while one is hashed.

An administrator opens a door again before its time with `manage.py axes_reset_username NAME`.
"""

from typing import Any

from axes.signals import user_locked_out
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.db import transaction
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from accounts.entrance import sign_in

from .jobs.models import AuditEntry
from .jobs.web import pages

LOCK_OUT = gettext_noop("lock out")


class Login(views.LoginView):
    """Asks for name and password, and then for a second factor where the user has one."""

    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in, or lead to what is still asked for."""
        return sign_in(self.request, form.get_user(), self.get_success_url())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page shows."""
        return super().get_context_data(**kwargs) | {"may_sign_up": settings.SIGN_UP == "open"}


# Hashing takes a tenth of a second and more, and on SQLite a transaction holds the write lock all the while.
login = transaction.non_atomic_requests(Login.as_view())


@transaction.non_atomic_requests
def admin_login(request: HttpRequest) -> HttpResponseBase:
    """Answer the admin's own login, which asks for the second factor as well."""
    index = reverse("admin:index")
    if request.method == "GET" and admin.site.has_permission(request):
        return redirect(index)
    frame = admin.site.each_context(request) | {
        "title": _("Log in"),
        "subtitle": None,
        "app_path": request.get_full_path(),
        "username": request.user.get_username(),
        "next": request.GET.get("next", index),
    }
    return Login.as_view(
        template_name="admin/login.html",
        authentication_form=AdminAuthenticationForm,
        redirect_authenticated_user=False,
        next_page=index,
        extra_context=frame,
    )(request)


def address_of(request: HttpRequest) -> str:
    """Return the address that failed logins are counted for; one without an address came through a socket."""
    return pages.address_of(request) or "127.0.0.1"


def locked_out(request: HttpRequest, response: HttpResponse | None, credentials: dict[str, Any]) -> HttpResponse:
    """Answer 429 with the sentence, for the product's login and the admin's alike."""
    text = _("Too many wrong passwords. Wait a quarter of an hour, then try again, or ask an administrator.")
    answer = render(request, "error.html", {"heading": _("Not now"), "reason": text}, status=429)
    answer["Retry-After"] = "900"
    return answer


@receiver(user_locked_out)
def tell(request: HttpRequest, username: str, **kwargs: Any) -> None:
    """Write the lock-out into the audit, once: axes sends the signal at each further try as well."""
    if getattr(request, "axes_failures_since_start", None):  # counted only where the door was open until now
        AuditEntry.objects.record(None, LOCK_OUT, f"user {username}")
