"""How django-allauth works here: who may sign up, how mail leaves, what is told, and how second factors are kept."""

import base64
import hashlib
import logging
from smtplib import SMTPException
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from cryptography.fernet import Fernet
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from amazon_pilot.login import address_of

logger = logging.getLogger(__name__)

BACKEND = "django.contrib.auth.backends.ModelBackend"  # the one of all sessions there are
UNTOLD = ("account/messages/logged_in.txt", "account/messages/logged_out.txt")


class Adapter(DefaultAccountAdapter):
    """Accounts."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Tell whether everybody may sign up; who is invited comes through another door (views.invited)."""
        return bool(settings.SIGN_UP == "open")

    def login(self, request: HttpRequest, user: Any) -> None:
        """Sign in with the backend that knows users by their key."""
        user.backend = BACKEND
        super().login(request, user)

    def get_client_ip(self, request: HttpRequest) -> str:
        """Return the address that attempts are counted for."""
        return address_of(request)

    def add_message(
        self, request: HttpRequest, level: int, message_template: str | None = None, *more: Any, **named: Any
    ) -> None:
        """Tell what happened, but for what everybody sees anyway."""
        if message_template not in UNTOLD:
            super().add_message(request, level, message_template, *more, **named)

    def format_email_subject(self, subject: str) -> str:
        """Write a subject without the name of a host."""
        return f"Amazon Pilot: {' '.join(subject.split())}"

    def get_reset_password_from_key_url(self, key: str) -> str:
        """Return the link of a mail; what a request claims to be its host is not in it."""
        path = reverse("account_reset_password_from_key", kwargs={"uidb36": "UID", "key": "KEY"})
        return f"{settings.SITE_URL}{path}".replace("UID-KEY", key)

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        """Return the link of a mail, likewise."""
        return f"{settings.SITE_URL}{reverse('account_confirm_email', args=[emailconfirmation.key])}"

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Send a mail; a server that does not take it costs nobody what he did, and he is told."""
        try:
            super().send_mail(template_prefix, email, context | {"site_url": settings.SITE_URL})
        except (OSError, SMTPException) as error:
            logger.error("A mail about an account could not be sent: %s", type(error).__name__)
            if self.request is not None:
                messages.error(self.request, _("The mail could not be sent. Please try again later."))


class SecondFactor(DefaultMFAAdapter):
    """Second factors: their secrets are encrypted with a key that is made of SECRET_KEY, not kept in the clear."""

    def encrypt(self, text: str) -> str:
        """Return what is stored of a secret."""
        return _box().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """Return the secret."""
        return _box().decrypt(encrypted_text.encode()).decode()

    def get_totp_issuer(self) -> str:
        """Return the name that an authenticator shows."""
        return "Amazon Pilot"


def _box() -> Fernet:
    key = hashlib.sha256(b"second factors" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(key))
