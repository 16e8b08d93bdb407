"""From the right password to a session: a second factor is asked for where its owner has one."""

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import EmailAddress, Login
from allauth.account.signals import password_reset
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse


def sign_in(request: HttpRequest, user: Any, target: str) -> HttpResponse:
    """Sign a user in whose password was right, or lead to what is still asked of him; then to `target`.

    Who signed up by himself confirms his address before he gets in for the first time.
    """
    addresses = EmailAddress.objects.filter(user=user) if user.last_login is None else EmailAddress.objects.none()
    is_unconfirmed = addresses.exists() and not addresses.filter(verified=True).exists()
    verification: Any = "mandatory" if is_unconfirmed else "none"
    login = Login(user=user, email_verification=verification, redirect_url=target)
    answer: HttpResponse = perform_password_login(request, {"username": user.get_username()}, login)
    return answer


@receiver(password_reset)
def confirm(user: Any, **kwargs: Any) -> None:
    """Take an address as confirmed whose owner has followed the link of a mail to it."""
    EmailAddress.objects.filter(user=user, email__iexact=user.email).update(verified=True)
