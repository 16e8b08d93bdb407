"""How a notification leaves the house: send(notification), or TransportError that says whether trying again helps."""

import hashlib
import hmac
import json
import logging
import smtplib
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from .addresses import resolve_public, validate_public_address
from .models import ChannelKind, Notification

logger = logging.getLogger(__name__)

WEBHOOK_TIMEOUT = httpx.Timeout(10, connect=5)


class TransportError(Exception):
    """The notification was not taken. `permanent` means that sending it again will not help."""

    def __init__(self, reason: object, *, permanent: bool) -> None:
        super().__init__(str(reason))
        self.permanent = permanent


class Email:
    """One message with a plain text and an escaped HTML part.

    The Message-ID is made from the notification's key: a second sending is the same message to a mail reader.
    """

    def send(self, notification: Notification) -> None:
        context = {"notification": notification, "change": notification.change, "report": notification.report}
        host = urlsplit(settings.SITE_URL).hostname
        message = EmailMultiAlternatives(
            subject=notification.subject,
            body=render_to_string("emails/notification.txt", context),
            to=[notification.channel.address],
            headers={"Message-ID": f"<{notification.key}@{host}>"},
        )
        message.attach_alternative(render_to_string("emails/notification.html", context), "text/html")
        try:
            message.send()
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            raise TransportError(
                _("The mail server refused the address."), permanent=all(code >= 500 for code in codes)
            ) from error
        except smtplib.SMTPResponseException as error:
            raise TransportError(
                _("The mail server answered %s.") % error.smtp_code, permanent=error.smtp_code >= 500
            ) from error
        except (smtplib.SMTPException, OSError) as error:
            raise TransportError(
                _("The mail server could not be reached: %s.") % type(error).__name__, permanent=False
            ) from error


class Webhook:
    """One POST of JSON, signed with the channel's secret, to a public address, without following redirects."""

    def send(self, notification: Notification) -> None:
        body = json.dumps(self.payload(notification)).encode()
        url, host = self._pinned(notification.channel.address)
        signature = hmac.new(notification.channel.secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Host": host,
            "Content-Type": "application/json",
            "X-Pilot-Signature": f"sha256={signature}",
            "X-Pilot-Notification": str(notification.key),
        }
        hostname = host.rsplit(":", 1)[0]
        try:
            with httpx.Client(timeout=WEBHOOK_TIMEOUT, follow_redirects=False, trust_env=False) as client:
                answer = client.post(url, content=body, headers=headers, extensions={"sni_hostname": hostname})
        except httpx.HTTPError as error:
            raise TransportError(
                _("The receiver could not be reached: %s.") % type(error).__name__, permanent=False
            ) from error
        if not answer.is_success:
            permanent = 300 <= answer.status_code < 500 and answer.status_code not in (408, 429)
            raise TransportError(_("The receiver answered %s.") % answer.status_code, permanent=permanent)

    def payload(self, notification: Notification) -> dict[str, Any]:
        """Answer what the receiver gets: words and numbers as text, times in ISO 8601 UTC."""
        change = notification.change
        return {
            "id": str(notification.key),
            "subject": notification.subject,
            "link": notification.link,
            "written_at": notification.created_at.isoformat(),
            "change": change
            and {
                "kind": change.kind,
                "marketplace": change.tracking.product.marketplace,
                "asin": change.tracking.product.asin,
                "before": change.before,
                "after": change.after,
                "percent": change.percent if change.percent is None else str(change.percent),
                "severity": change.severity.split("_", 1)[1],
                "seen_at": change.seen_at.isoformat(),
            },
        }

    def _pinned(self, url: str) -> tuple[str, str]:
        """Answer the address with its name resolved, and the name: what was checked is what is connected to."""
        parts = urlsplit(url)
        try:
            validate_public_address(url)
            address = resolve_public(str(parts.hostname), parts.port or 443)
        except ValidationError as error:
            raise TransportError(error.messages[0], permanent=True) from error
        except OSError as error:
            raise TransportError(_("The receiver's name is unknown."), permanent=False) from error
        bracketed = f"[{address}]" if ":" in address else address
        netloc = f"{bracketed}:{parts.port}" if parts.port else bracketed
        return urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, "")), parts.netloc


TRANSPORTS: dict[str, Email | Webhook] = {ChannelKind.EMAIL: Email(), ChannelKind.WEBHOOK: Webhook()}


def send(notification: Notification) -> None:
    """Send through the notification's own channel; raises TransportError."""
    TRANSPORTS[notification.channel.kind].send(notification)
    logger.info("notification %s sent by %s", notification.pk, notification.channel.kind)
