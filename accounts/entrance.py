"""From the right password to a session: a second factor is asked for where its owner has one."""

from typing import Any

from allauth.account.internal.flows.login import perform_password_login
from allauth.account.models import EmailAddress, Login
from django.http import HttpRequest, HttpResponse


def sign_in(request: HttpRequest, user: Any, target: str) -> HttpResponse:
    """Sign a user in whose password was right, or lead to what is still asked of him; then to `target`.

    Who signed up by himself has to confirm his address; a user whom an operator made has none to confirm.
    """
    own = dict(EmailAddress.objects.filter(user=user).values_list("verified", "pk"))
    verification: Any = "mandatory" if own and True not in own else "none"
    login = Login(user=user, email_verification=verification, redirect_url=target)
    answer: HttpResponse = perform_password_login(request, {"username": user.get_username()}, login)
    return answer
