"""Whom we tell, and each telling, written before it is sent."""

import secrets
import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction
from django.db.models import F, Q
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _now
from django.utils.translation import gettext_lazy as _

from analysis.models import Report
from products.models import Change, Severity
from products.words import sentence

from .addresses import validate_public_address

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MAX_ATTEMPTS = 5
# A telling that was begun and never ended: its worker is long gone.
STALE = timedelta(minutes=10)
FAILURES_THAT_DISABLE = 5


class ChannelKind(models.TextChoices):
    APP = "app", _("on these pages")
    EMAIL = "email", _("e-mail")
    WEBHOOK = "webhook", _("webhook")


def new_secret() -> str:
    """Answer a random secret with which a webhook's receiver checks who wrote."""
    return secrets.token_urlsafe(32)


class ChannelQuerySet(models.QuerySet["Channel"]):
    def active(self) -> "ChannelQuerySet":
        """Keep channels that may be written to."""
        return self.filter(paused=False, disabled_reason="")


class Channel(models.Model):
    """One way to reach one user."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="channels", verbose_name=_("user"))
    kind = models.CharField(_("kind"), max_length=10, choices=ChannelKind)
    address = models.CharField(_("address"), max_length=500, blank=True)
    secret = models.CharField(max_length=64, default=new_secret, editable=False)
    least_severity = models.CharField(_("tell from"), max_length=10, choices=Severity, default=Severity.INFO)
    paused = models.BooleanField(_("paused"), default=False)
    failures = models.PositiveSmallIntegerField(_("refusals in a row"), default=0, editable=False)
    disabled_reason = models.CharField(_("disabled because"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("added at"), auto_now_add=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        verbose_name = _("channel")
        verbose_name_plural = _("channels")
        constraints = [
            models.UniqueConstraint(fields=["user", "kind", "address"], name="channel_once_per_address"),
            models.CheckConstraint(condition=Q(kind="app") | ~Q(address=""), name="channel_has_an_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.address}".strip()

    def clean(self) -> None:
        """Refuse an address that cannot be written to, or that would lead into our own network."""
        if self.kind == ChannelKind.EMAIL:
            validate_email(self.address)
        elif self.kind == ChannelKind.WEBHOOK:
            validate_public_address(self.address)
        elif self.address:
            raise ValidationError({"address": _("Notifications on these pages need no address.")})

    def note_refusal(self, reason: object) -> None:
        """Count a permanent refusal; the fifth in a row disables the channel."""
        Channel.objects.filter(pk=self.pk).update(failures=F("failures") + 1)
        Channel.objects.filter(pk=self.pk, failures__gte=FAILURES_THAT_DISABLE).update(
            disabled_reason=str(reason)[:300]
        )


class State(models.TextChoices):
    PENDING = "pending", _("waiting")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")


class NotificationQuerySet(models.QuerySet["Notification"]):
    def of(self, user: "User | Any") -> "NotificationQuerySet":
        """Keep what was written for this user on these pages."""
        return self.filter(channel__user=user, channel__kind=ChannelKind.APP)

    def unread(self) -> "NotificationQuerySet":
        """Keep what nobody has acknowledged."""
        return self.filter(read_at=None)

    def due(self) -> "NotificationQuerySet":
        """Keep what still has to be sent: waiting for a minute or more, or begun by a worker that is long gone."""
        waiting = Q(state=State.PENDING, next_at__lte=now() - timedelta(minutes=1))
        return self.filter(waiting | Q(state=State.SENDING, next_at__lte=now() - STALE))

    def draft_changes(self, changes: Iterable[Change]) -> "list[Notification]":
        """Write one row per change and channel of its user, unsent; answer those that need a transport."""
        changes = list(changes)
        users = {change.tracking.user_id for change in changes}
        self.ensure_app_channels(users)
        channels: dict[int, list[Channel]] = {}
        for channel in Channel.objects.active().filter(user__in=users):
            channels.setdefault(channel.user_id, []).append(channel)
        rows = [
            Notification(
                channel=channel,
                change=change,
                subject=sentence(change)[:200],
                path=change.tracking.product.get_absolute_url(),
            )
            for change in changes
            for channel in channels.get(change.tracking.user_id, [])
            if change.severity >= channel.least_severity
        ]
        return self.write(rows)

    def draft_report(self, report: Report) -> "list[Notification]":
        """Write one row per channel of the report's user, unsent; answer those that need a transport."""
        self.ensure_app_channels({report.user_id})
        channels = Channel.objects.active().filter(user=report.user_id)
        subject = str(report.headline)[:200]
        return self.write(
            [
                Notification(channel=channel, report=report, subject=subject, path=report.get_absolute_url())
                for channel in channels
            ]
        )

    def tell_operators(self, text: str) -> "list[Notification]":
        """Write a notice to every operator (superuser), on these pages only."""
        operators = set(get_user_model().objects.filter(is_superuser=True, is_active=True).values_list("pk", flat=True))
        self.ensure_app_channels(operators)
        channels = Channel.objects.filter(user__in=operators, kind=ChannelKind.APP)
        path = reverse("admin:index")
        return self.write(
            [Notification(channel=channel, subject=text[:200], body=text, path=path) for channel in channels]
        )

    def ensure_app_channels(self, users: set[int]) -> None:
        """Give each user the channel that needs no address."""
        Channel.objects.bulk_create(
            [Channel(user_id=user, kind=ChannelKind.APP) for user in users], ignore_conflicts=True
        )

    @transaction.atomic
    def write(self, rows: "list[Notification]") -> "list[Notification]":
        """Store rows that are new; those on these pages count as sent, the others are answered."""
        for row in rows:
            if row.channel.kind == ChannelKind.APP:
                row.state, row.sent_at = State.SENT, now()
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
        keys = [row.key for row in rows if row.state == State.PENDING]
        return list(self.filter(key__in=keys, state=State.PENDING))

    def prune(self, *, older_than: timedelta) -> int:
        """Delete old rows; answer how many."""
        return self.filter(created_at__lt=now() - older_than).delete()[0]


class Notification(models.Model):
    """One telling, through one channel. Its key travels with it: a second sending is visible as the same one."""

    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    channel = models.ForeignKey(Channel, models.CASCADE, related_name="notifications", verbose_name=_("channel"))
    change = models.ForeignKey(
        Change, models.CASCADE, null=True, blank=True, related_name="notifications", verbose_name=_("change")
    )
    report = models.ForeignKey(
        Report, models.CASCADE, null=True, blank=True, related_name="notifications", verbose_name=_("report")
    )
    subject = models.CharField(_("subject"), max_length=200)
    body = models.TextField(_("text"), blank=True)
    path = models.CharField(_("page"), max_length=200)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error = models.CharField(_("error"), max_length=300, blank=True)
    created_at = models.DateTimeField(_("written at"), auto_now_add=True)
    next_at = models.DateTimeField(_("next attempt at"), default=now)
    sent_at = models.DateTimeField(_("sent at"), null=True, blank=True)
    read_at = models.DateTimeField(_("read at"), null=True, blank=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["change", "channel"], name="notification_once_per_change_and_channel"),
            models.UniqueConstraint(fields=["report", "channel"], name="notification_once_per_report_and_channel"),
        ]
        indexes = [
            models.Index(fields=["state", "next_at"], name="notification_due"),
            models.Index(fields=["channel", "read_at", "-created_at"], name="notification_unread"),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def link(self) -> str:
        """The whole address of the page that the notification speaks of."""
        return f"{settings.SITE_URL}{self.path}"

    def claim(self) -> bool:
        """Begin to send and commit; False means that another job was first, or that it has been sent."""
        rows = Notification.objects.filter(pk=self.pk)
        free = rows.filter(Q(state=State.PENDING) | Q(state=State.SENDING, next_at__lte=now() - STALE))
        return free.update(state=State.SENDING, next_at=now(), attempts=F("attempts") + 1) == 1

    def mark_sent(self) -> None:
        """Note that the transport took it."""
        Notification.objects.filter(pk=self.pk).update(state=State.SENT, sent_at=now(), error="")
        Channel.objects.filter(pk=self.channel_id).exclude(failures=0).update(failures=0)

    def mark_failed(self, reason: object) -> None:
        """End it unsent, with the reason."""
        Notification.objects.filter(pk=self.pk).update(state=State.FAILED, error=str(reason)[:300])

    def put_back(self, reason: object) -> bool:
        """Wait for another attempt; False when there have been enough and it failed for good."""
        self.refresh_from_db(fields=["attempts"])
        if self.attempts >= MAX_ATTEMPTS:
            self.mark_failed(
                _now("Given up after %(count)s attempts: %(reason)s") % {"count": self.attempts, "reason": reason}
            )
            return False
        Notification.objects.filter(pk=self.pk).update(state=State.PENDING, next_at=now(), error=str(reason)[:300])
        return True
