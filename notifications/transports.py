"""How a notification leaves the house: send(notification), or TransportError that says what became of it."""

import contextlib
import functools
import hashlib
import hmac
import json
import logging
import smtplib
import ssl
import time
from collections.abc import Iterable
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import httpcore2
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMultiAlternatives, get_connection
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from amazon_pilot import outside
from amazon_pilot.deadlines import wait_asked_by
from analysis.texts import one_line

from . import addresses
from .models import ChannelKind, Notification

logger = logging.getLogger(__name__)

WEBHOOK_SECONDS = 10
# What an answer's head may hold is bounded by httpcore; of its body nothing is read.
BUSY = (408, 425, 429)


class Outcome(Enum):
    """What became of a notification that was not taken."""

    NOT_SENT = "it did not arrive, and may later"
    REFUSED = "it will not be taken"
    CLOSED = "nothing will be taken here any more"
    UNKNOWN = "it may have arrived"


class TransportError(Exception):
    """The notification was not taken, or nobody knows. `retry_after` is the wait that was asked for, in seconds."""

    def __init__(self, reason: object, outcome: Outcome, retry_after: float | None = None) -> None:
        super().__init__(str(reason))
        self.outcome = outcome
        self.retry_after = retry_after


class Email:
    """One message with a plain text and an escaped HTML part.

    The Message-ID is made from the notification's key: a second sending is the same message to a mail reader.
    """

    def send(self, notification: Notification) -> None:
        message = self.message(notification)
        connection = get_connection()
        try:
            connection.open()  # our own server, our own password: no fault of the channel
        except (smtplib.SMTPException, OSError) as error:
            reason = _("The mail server could not be reached: %s.") % type(error).__name__
            raise TransportError(reason, Outcome.NOT_SENT) from error
        try:
            connection.send_messages([message])
        except Exception as error:
            raise self.refusal(error) from error
        finally:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                connection.close()  # what was taken stays taken, whether or not the server says goodbye

    def message(self, notification: Notification) -> EmailMultiAlternatives:
        """Return the message, written out once here: what cannot be written is found before anything is sent."""
        change, notification.subject = notification.change, one_line(notification.subject, 200)
        name = one_line(change.tracking, 200) if change else ""
        context = {"notification": notification, "change": change, "name": name}
        message = EmailMultiAlternatives(
            subject=notification.subject,
            body=render_to_string("emails/notification.txt", context),
            to=[notification.channel.address],
            headers={"Message-ID": f"<{notification.key}@{urlsplit(settings.SITE_URL).hostname}>"},
        )
        message.attach_alternative(render_to_string("emails/notification.html", context), "text/html")
        message.message().as_bytes()
        return message

    def refusal(self, error: Exception) -> TransportError:
        """Return what an error of the mail server means; without an answer, it may have taken the message."""
        if isinstance(error, smtplib.SMTPRecipientsRefused):
            codes = [code for code, _text in error.recipients.values()]
            is_final = all(code >= 500 for code in codes)
            reason = _("The mail server refused the address.")
            return TransportError(reason, Outcome.REFUSED if is_final else Outcome.NOT_SENT)
        if isinstance(error, smtplib.SMTPSenderRefused):
            return TransportError(_("The mail server answered %s.") % error.smtp_code, Outcome.NOT_SENT)
        if isinstance(error, smtplib.SMTPResponseException):
            outcome = Outcome.REFUSED if error.smtp_code >= 500 else Outcome.NOT_SENT
            return TransportError(_("The mail server answered %s.") % error.smtp_code, outcome)
        if isinstance(error, smtplib.SMTPNotSupportedError):
            return TransportError(_("The mail server cannot write to this address."), Outcome.REFUSED)
        reason = _("The mail server was lost while it took the message (%s): whether it arrived is not known.")
        return TransportError(reason % type(error).__name__, Outcome.UNKNOWN)


class Webhook:
    """One POST of JSON, signed with the channel's secret, to a public address, without following redirects.

    The name is resolved once, and what was checked is what is connected to; the certificate is held to the name. Of the
    answer only the head is read, within ten seconds in all.
    """

    def send(self, notification: Notification) -> None:
        body = json.dumps(self.payload(notification)).encode()
        target, address = self.resolved(notification.channel.address)
        signature = hmac.new(notification.channel.secret.encode(), body, hashlib.sha256).hexdigest()
        url = httpcore2.URL(
            scheme="https" if target.is_secure else "http", host=target.host, port=target.port, target=target.path
        )
        bracketed = f"[{target.host}]" if ":" in target.host else target.host
        headers: dict[bytes | str, bytes | str] = {
            "Host": bracketed if target.port in (80, 443) else f"{bracketed}:{target.port}",
            "Content-Type": "application/json",
            "User-Agent": "Amazon-Pilot",
            "X-Pilot-Signature": f"sha256={signature}",
            "X-Pilot-Notification": str(notification.key),
        }
        status, asked = _post(url, headers, body, Pinned(address, time.monotonic() + WEBHOOK_SECONDS))
        if not 200 <= status < 300:
            raise self.refusal(status, asked)

    def refusal(self, status: int, retry_after: float | None) -> TransportError:
        """Return what a receiver's answer means: 410 closes the channel, others of 3xx and 4xx refuse this message."""
        if status == 410:
            outcome = Outcome.CLOSED
        else:
            outcome = Outcome.REFUSED if 300 <= status < 500 and status not in BUSY else Outcome.NOT_SENT
        return TransportError(_("The receiver answered %s.") % status, outcome, retry_after)

    def payload(self, notification: Notification) -> dict[str, Any]:
        """Return what the receiver gets: words and numbers as text, times in ISO 8601 UTC."""
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

    def resolved(self, url: str) -> tuple[addresses.Target, str]:
        """Return the address taken apart and the IP address to connect to; raises TransportError."""
        try:
            target = addresses.parse(url)
            return target, addresses.resolve(target.host, target.port)
        except ValidationError as error:
            raise TransportError(error.messages[0], Outcome.REFUSED) from error
        except (OSError, ValueError) as error:
            raise TransportError(_("The receiver's name is unknown."), Outcome.NOT_SENT) from error


def _post(
    url: httpcore2.URL, headers: dict[bytes | str, bytes | str], body: bytes, backend: httpcore2.NetworkBackend
) -> tuple[int, float | None]:
    """Return the status of the answer and the wait that it asks for, in seconds."""
    try:
        with (
            httpcore2.ConnectionPool(ssl_context=trusted(), network_backend=backend) as pool,
            pool.stream("POST", url, headers=headers, content=body) as answer,
        ):
            names = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
            return answer.status, wait_asked_by(names)
    except (httpcore2.ConnectError, httpcore2.ConnectTimeout, httpcore2.WriteError, httpcore2.WriteTimeout) as error:
        reason = _("The receiver could not be reached: %s.") % type(error).__name__
        raise TransportError(reason, Outcome.NOT_SENT) from error
    except Exception as error:
        reason = _("The receiver did not answer (%s): whether it arrived is not known.") % type(error).__name__
        raise TransportError(reason, Outcome.UNKNOWN) from error


@functools.cache
def trusted() -> ssl.SSLContext:
    """Return whose certificates we trust, read once a process: that takes 60 ms of processor time."""
    return ssl.create_default_context()


class Pinned(httpcore2.NetworkBackend):
    """Connect to one checked IP address whatever the name says now, and stop at one time however slowly bytes come."""

    def __init__(self, address: str, ends_at: float) -> None:
        self.address = address
        self.ends_at = ends_at
        self.inner = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        stream = self.inner.connect_tcp(
            self.address, port, _left(self.ends_at, httpcore2.ConnectTimeout), local_address, socket_options
        )
        return Timed(stream, self.ends_at)


class Timed(httpcore2.NetworkStream):
    """A connection whose every step has only the time that is left."""

    def __init__(self, stream: httpcore2.NetworkStream, ends_at: float) -> None:
        self.stream = stream
        self.ends_at = ends_at

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.stream.read(max_bytes, _left(self.ends_at))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.stream.write(buffer, _left(self.ends_at, httpcore2.WriteTimeout))

    def close(self) -> None:
        self.stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        left = _left(self.ends_at, httpcore2.ConnectTimeout)
        return Timed(self.stream.start_tls(ssl_context, server_hostname, left), self.ends_at)

    def get_extra_info(self, info: str) -> Any:
        return self.stream.get_extra_info(info)


def _left(ends_at: float, error: type[Exception] = httpcore2.ReadTimeout) -> float:
    seconds = ends_at - time.monotonic()
    if seconds <= 0:
        raise error("the time for the whole conversation is over")
    return seconds


TRANSPORTS: dict[str, Email | Webhook] = {ChannelKind.EMAIL: Email(), ChannelKind.WEBHOOK: Webhook()}


def send(notification: Notification) -> None:
    """Send through the notification's own channel; raises TransportError."""
    kind = notification.channel.kind
    with outside.calling("mail" if kind == ChannelKind.EMAIL else kind):
        TRANSPORTS[kind].send(notification)
    logger.info("notification %s sent by %s", notification.pk, notification.channel.kind)
