"""The pages of an account: choices, tokens, invitations, one's own data and the end. django-allauth has the others."""

from typing import Any

from allauth.account.adapter import get_adapter
from allauth.account.views import SignupView
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.decorators import method_decorator
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.jobs.models import AuditEntry

from . import choices, export, leaving, teams
from .forms import LeavingForm, PreferencesForm, TokenForm
from .invitations import InvitationForm
from .models import ApiToken, Invitation, Preferences
from .tasks import remove_account, send_invitation
from .team_views import go_into


@login_required
def account(request: AuthenticatedRequest) -> HttpResponse:
    """Show one's account and what leads on from it, and keep zone and language."""
    chosen = Preferences.objects.filter(user=request.user).first() or Preferences(user=request.user)
    form = PreferencesForm(request.POST or None, instance=chosen)
    if request.method == "POST" and form.is_valid():
        choices.keep(request, form.save())
        messages.success(request, _("Saved."))
        return redirect("account")
    context = {
        "form": form,
        "has_second_factor": Authenticator.objects.filter(user=request.user).exists(),
        "may_invite": settings.SIGN_UP != "closed" and request.user.has_perm("accounts.add_invitation"),
    }
    return render(request, "account/account.html", context, status=422 if request.method == "POST" else 200)


@require_safe
@login_required
def data(request: AuthenticatedRequest) -> HttpResponseBase:
    """Give out all that is kept about the user, and for his team."""
    return FileResponse(export.all_of(request.membership), as_attachment=True, filename="amazon-pilot.zip")


@sensitive_post_parameters()
@transaction.non_atomic_requests
@login_required
def delete(request: AuthenticatedRequest) -> HttpResponse:
    """Close one's account for good, with the password; the rows go in the background."""
    form = LeavingForm(request.POST or None, user=request.user)
    is_last = leaving.is_last_operator(request.user)
    if request.method == "POST" and not is_last and form.is_valid():
        user = request.user
        with transaction.atomic():
            leaving.close(user)
            AuditEntry.objects.record(user, "close", f"account {user.get_username()}")
            remove_account.enqueue(user.pk)
        logout(request)
        messages.success(request, _("Your account is closed, and what belonged to it is being deleted."))
        return redirect("login")
    context = {"form": form, "is_last": is_last}
    return render(request, "account/delete.html", context, status=422 if request.method == "POST" else 200)


@never_cache
@login_required
def tokens(request: AuthenticatedRequest) -> HttpResponse:
    """List the team's tokens, and make one; its text is shown this once."""
    form, text = TokenForm(request.POST or None), ""
    if request.method == "POST":
        teams.ensure_may_write(request)
    if request.method == "POST" and form.is_valid():
        try:
            row, text = ApiToken.objects.issue(
                request.membership, form.cleaned_data["name"], form.cleaned_data["scope"]
            )
        except ValidationError as error:
            form.add_error(None, error)
        else:
            AuditEntry.objects.record(request.user, "create", f"token {row}")
            form = TokenForm()
    context = {
        "form": form,
        "text": text,
        "tokens": ApiToken.objects.filter(membership__team=request.team).select_related("membership__user"),
        "site": settings.SITE_URL,
    }
    return render(request, "account/tokens.html", context, status=422 if form.is_bound else 200)


@require_POST
@login_required
def revoke(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Make a token worthless at once: one's own, or for the team's owner any."""
    row = get_object_or_404(ApiToken.objects.select_related("membership"), pk=pk, membership__team=request.team)
    if row.membership_id != request.membership.pk:
        teams.ensure_owner(request)
    AuditEntry.objects.record(request.user, "revoke", f"token {row}")
    row.delete()
    messages.success(request, _("The token is revoked."))
    return redirect("tokens")


@login_required
@permission_required("accounts.add_invitation", raise_exception=True)
def invitations(request: AuthenticatedRequest) -> HttpResponse:
    """List open invitations, and invite somebody by mail."""
    form = InvitationForm(request.POST or None)
    if request.method == "POST" and settings.SIGN_UP != "closed" and form.is_valid():
        email, language = form.cleaned_data["email"], get_language() or ""
        row = Invitation.objects.create(email=email, invited_by=request.user, language=language)
        AuditEntry.objects.record(request.user, "invite", f"account {email}")
        send_invitation.enqueue(row.pk)
        messages.success(request, _("An invitation to %s is on its way.") % email)
        return redirect("invitations")
    context = {
        "form": form,
        "is_closed": settings.SIGN_UP == "closed",
        "invitations": Invitation.objects.open().filter(team=None)[:200],
    }
    return render(request, "account/invitations.html", context, status=422 if request.method == "POST" else 200)


@require_POST
@login_required
@permission_required("accounts.add_invitation", raise_exception=True)
def withdraw(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Make an invitation's link worthless."""
    row = get_object_or_404(Invitation.objects.open(), pk=pk, team=None)
    AuditEntry.objects.record(request.user, "withdraw", f"invitation {row.email}")
    row.delete()
    messages.success(request, _("The invitation is withdrawn."))
    return redirect("invitations")


class Invited(SignupView):
    """Signs up who was invited, with the address that the invitation went to; its link works once.

    Who has an account, and is signed in, joins the team that the invitation names.
    """

    invitation: Invitation | None = None

    @method_decorator(never_cache)
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refuse a link that is used up, too old, withdrawn or made up."""
        row = Invitation.objects.named_by(kwargs["secret"])
        if row is None or (row.team is None and settings.SIGN_UP == "closed"):
            return _over(request)
        self.invitation = row
        if row.team and request.user.is_authenticated:
            return _join(request, row)
        if settings.SIGN_UP == "closed":
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

    def is_open(self) -> bool:
        """Return True: who gets here was invited."""
        return True

    def get_form_kwargs(self) -> dict[str, Any]:
        """Return what the form begins with: its address is that of the invitation, whatever was sent."""
        words: dict[str, Any] = super().get_form_kwargs()
        email = self.invitation.email if self.invitation else ""
        if "data" in words:
            words["data"] = words["data"].copy()
            words["data"]["email"] = email
        return words | {"initial": {"email": email}}

    def form_valid(self, form: Any) -> HttpResponse:
        """Make the user, unless somebody else used the invitation up meanwhile."""
        if self.invitation is None or not self.invitation.accept():
            return _over(self.request)
        get_adapter().stash_verified_email(self.request, self.invitation.email)
        answer: HttpResponse = super().form_valid(form)
        if membership := self.invitation.let_in(self.user):
            go_into(self.request, membership)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Return what the page shows."""
        return super().get_context_data(**kwargs) | {"invitation": self.invitation}


def _join(request: HttpRequest, invitation: Invitation) -> HttpResponse:
    """Ask whether to join the team, and have a member who says so in."""
    if request.method != "POST":
        return render(request, "account/join.html", {"invitation": invitation})
    if not invitation.accept():
        return _over(request)
    membership = invitation.let_in(request.user)
    assert membership is not None
    AuditEntry.objects.record(request.user, "join", f"team {membership.team}")
    go_into(request, membership)
    messages.success(request, _("You are in %s now.") % membership.team)
    return redirect("products:home")


def _over(request: HttpRequest) -> HttpResponse:
    return render(request, "account/invitation_over.html", status=410)
