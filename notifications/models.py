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
from django.db.models import F, OuterRef, Q, Subquery
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from analysis.models import Report
from analysis.texts import one_line, storable
from products.keyset import NowAsKey
from products.models import Change, Severity
from products.words import sentence

from .addresses import validate_public_address

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from accounts.models import Team

MAX_ATTEMPTS = 5
# A telling that was begun and never ended: its worker is long gone.
STALE = timedelta(minutes=10)
LONGEST_WAIT = timedelta(days=1)
FAILURES_THAT_DISABLE = 5


class ChannelKind(models.TextChoices):
    APP = "app", _("on these pages")
    EMAIL = "email", _("e-mail")
    WEBHOOK = "webhook", _("webhook")


def new_secret() -> str:
    """Return a random secret with which a webhook's receiver checks who wrote."""
    return secrets.token_urlsafe(32)


class ChannelQuerySet(models.QuerySet["Channel"]):
    def active(self) -> "ChannelQuerySet":
        """Keep channels that may be written to."""
        return self.filter(paused=False, disabled_reason="")

    def on_pages(self, team: "Team | Any", user: "User | Any" = None) -> "ChannelQuerySet":
        """Keep what a member reads on these pages: his team's, and his own where he is an operator."""
        is_operator = user is not None and (user.is_staff or user.is_superuser)
        mine = Q(team=team) | Q(team=None, user=user) if is_operator else Q(team=team)
        return self.filter(mine, kind=ChannelKind.APP)

    def with_last_trouble(self) -> "ChannelQuerySet":
        """Add `last_trouble`: why the newest of the notifications that did not arrive, or perhaps not, did not."""
        missed = Notification.objects.filter(channel=OuterRef("pk"), state__in=(State.FAILED, State.UNKNOWN))
        return self.annotate(last_trouble=Subquery(missed.order_by("-created_at").values("error")[:1]))


class Channel(models.Model):
    """One way to reach a team, or, without a team, one operator on these pages about the installation."""

    team = models.ForeignKey(
        "accounts.Team", models.CASCADE, null=True, blank=True, related_name="channels", verbose_name=_("team")
    )
    # Who added it: it falls silent when he leaves the team, and hears what operators hear where he is one.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="channels",
        verbose_name=_("added by"),
    )
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
            models.UniqueConstraint(fields=["team", "kind", "address"], name="channel_once_per_address"),
            models.UniqueConstraint(fields=["user"], condition=Q(team=None), name="channel_once_per_operator"),
            models.CheckConstraint(condition=Q(kind="app") | ~Q(address=""), name="channel_has_an_address"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.address}".strip()

    def clean(self) -> None:
        """Refuse an address that cannot be written to, or that would lead into our own network."""
        if self.kind != ChannelKind.APP and not self.address:
            raise ValidationError(_("Write an e-mail address, or the https address of a webhook."))
        if self.kind == ChannelKind.EMAIL:
            validate_email(self.address)
        elif self.kind == ChannelKind.WEBHOOK:
            validate_public_address(self.address)
        elif self.address:
            raise ValidationError({"address": _("Notifications on these pages need no address.")})

    @property
    def is_silent(self) -> bool:
        """Nothing is sent: its owner paused it, or it refused for good."""
        return self.paused or bool(self.disabled_reason)

    def note_refusal(self, reason: object, *, for_good: bool = False) -> bool:
        """Count a permanent refusal; the fifth in a row, or one for good, disables the channel.

        True means that it was disabled by this one.
        """
        mine = Channel.objects.filter(pk=self.pk)
        mine.update(failures=F("failures") + 1)
        spent = mine.filter(disabled_reason="")
        spent = spent if for_good else spent.filter(failures__gte=FAILURES_THAT_DISABLE)
        return spent.update(disabled_reason=one_line(reason, 300)) == 1


class State(models.TextChoices):
    PENDING = "pending", _("waiting")
    SENDING = "sending", _("being sent")
    SENT = "sent", _("sent")
    FAILED = "failed", _("failed")
    UNKNOWN = "unknown", _("unknown")


class NotificationQuerySet(models.QuerySet["Notification"]):
    def of(self, team: "Team | Any", user: "User | Any" = None) -> "NotificationQuerySet":
        """Keep what was written for this team on these pages, and for an operator what he alone reads."""
        return self.filter(channel__in=Channel.objects.on_pages(team, user).values("pk"))

    def unread(self) -> "NotificationQuerySet":
        """Keep what nobody has acknowledged."""
        return self.filter(read_at=None)

    def due(self) -> "NotificationQuerySet":
        """Keep what still has to be sent and has waited for a minute or more, the longest first."""
        return self.filter(state=State.PENDING, next_at__lte=Now() - timedelta(minutes=1)).order_by("next_at")

    def lost(self) -> "NotificationQuerySet":
        """Keep what was begun by a worker that is long gone; both sides are the database's clock."""
        return self.filter(state=State.SENDING, next_at__lte=Now() - STALE)

    def give_up_lost(self) -> int:
        """End what was begun and never ended: sending it again would tell some twice. Return how many."""
        reason = gettext("The worker was lost while it sent this: whether it arrived is not known.")
        return self.lost().update(state=State.UNKNOWN, error=reason)

    def draft_changes(self, changes: Iterable[Change]) -> "list[Notification]":
        """Write one row per change and channel of its team, unsent; return those that need a transport."""
        changes = list(changes)
        teams = {change.tracking.team_id for change in changes}
        self.ensure_app_channels(teams)
        channels: dict[int | None, list[Channel]] = {}
        for channel in Channel.objects.active().filter(team__in=teams):
            channels.setdefault(channel.team_id, []).append(channel)
        rows = [
            Notification(
                channel=channel,
                change=change,
                subject=one_line(sentence(change), 200),
                path=change.tracking.product.get_absolute_url(),
            )
            for change in changes
            for channel in channels.get(change.tracking.team_id, [])
            if change.severity >= channel.least_severity
        ]
        return self.write(rows)

    def draft_report(self, report: Report) -> "list[Notification]":
        """Write one row per channel of the report's team, unsent; return those that need a transport."""
        self.ensure_app_channels({report.team_id})
        channels = Channel.objects.active().filter(team=report.team_id)
        subject = one_line(report.headline, 200)
        return self.write(
            [
                Notification(channel=channel, report=report, subject=subject, path=report.get_absolute_url())
                for channel in channels
            ]
        )

    def tell_operators(self, text: str, path: str = "") -> "list[Notification]":
        """Write a notice to every operator (superuser), on these pages only; the same text once a day at most.

        `path` is the page that it leads to, the monitor where none is named.
        """
        operators = set(get_user_model().objects.filter(is_superuser=True, is_active=True).values_list("pk", flat=True))
        self.ensure_operators_channels(operators)
        channels = Channel.objects.filter(user__in=operators, kind=ChannelKind.APP)
        if self.filter(channel__in=channels, body=storable(text), created_at__gte=Now() - timedelta(days=1)).exists():
            return []
        path = path or reverse("admin:index")
        return self.write(
            [
                Notification(channel=channel, subject=one_line(text, 200), body=storable(text), path=path)
                for channel in channels
            ]
        )

    def tell_teams(self, teams: Iterable[int], text: str, path: str) -> "list[Notification]":
        """Write a notice to each of these teams on its pages; the same text once a day at most."""
        teams = set(teams)
        self.ensure_app_channels(teams)
        told = self.filter(body=storable(text), created_at__gte=Now() - timedelta(days=1))
        channels = Channel.objects.filter(team__in=teams, kind=ChannelKind.APP).exclude(pk__in=told.values("channel"))
        return self.write(
            [
                Notification(channel=channel, subject=one_line(text, 200), body=storable(text), path=path)
                for channel in channels
            ]
        )

    def tell_disabled(self, channel: Channel, reason: object) -> "list[Notification]":
        """Write to a channel's team, through all its others, that it was disabled; return those to be sent."""
        self.ensure_app_channels({channel.team_id} if channel.team_id else set())
        others = Channel.objects.active().filter(team=channel.team_id).exclude(pk=channel.pk)
        words = {"channel": channel, "reason": reason}
        text = gettext("Your %(channel)s refuses what we send and was paused: %(reason)s") % words
        path = reverse("notifications:channels")
        rows = [
            Notification(channel=other, subject=one_line(text, 200), body=storable(text), path=path) for other in others
        ]
        return self.write(rows)

    def ensure_app_channels(self, teams: set[int]) -> None:
        """Give each team the channel that needs no address."""
        Channel.objects.bulk_create(
            [Channel(team_id=team, kind=ChannelKind.APP) for team in teams], ignore_conflicts=True
        )

    def ensure_operators_channels(self, users: set[int]) -> None:
        """Give each operator a channel on these pages that only he reads."""
        Channel.objects.bulk_create(
            [Channel(user_id=user, kind=ChannelKind.APP) for user in users], ignore_conflicts=True
        )

    @transaction.atomic
    def write(self, rows: "list[Notification]") -> "list[Notification]":
        """Store rows that are new; those on these pages count as sent, the others are answered."""
        for row in rows:
            if row.channel.kind == ChannelKind.APP:
                row.state, row.sent_at = State.SENT, Now()
        Notification.objects.bulk_create(rows, ignore_conflicts=True)
        keys = [row.key for row in rows if row.state == State.PENDING]
        return list(self.filter(key__in=keys, state=State.PENDING))

    def prune(self, *, older_than: timedelta) -> int:
        """Delete old rows; answer how many."""
        return self.filter(created_at__lt=Now() - older_than).delete()[0]


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
    # The database's clock, as with all that is compared here: a worker's may be minutes ahead.
    created_at = models.DateTimeField(_("written at"), db_default=NowAsKey(), editable=False)
    next_at = models.DateTimeField(_("next attempt at"), db_default=Now())
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
            models.Index(fields=["channel", "-created_at", "-id"], name="notification_newest_first"),
        ]

    def __str__(self) -> str:
        return self.subject

    @property
    def link(self) -> str:
        """The whole address of the page that the notification speaks of."""
        return f"{settings.SITE_URL}{self.path}"

    def claim(self) -> bool:
        """Begin to send and commit; False means that another job was first, that it has to wait, or that it has ended.

        One that was begun often enough, however that ended, fails here.
        """
        free = Notification.objects.filter(pk=self.pk, state=State.PENDING, next_at__lte=Now())
        fresh = free.filter(attempts__lt=MAX_ATTEMPTS)
        begun = fresh.update(state=State.SENDING, next_at=Now(), attempts=F("attempts") + 1)
        if not begun:
            reason = gettext("Given up after %(count)s attempts: %(reason)s")
            free.update(state=State.FAILED, error=(reason % {"count": self.attempts, "reason": self.error})[:300])
        self.refresh_from_db(fields=["state", "attempts", "error"])
        return bool(begun)

    def mark_sent(self) -> None:
        """Note that the transport took it."""
        self._end(State.SENT, "", sent_at=Now())
        Channel.objects.filter(pk=self.channel_id).exclude(failures=0).update(failures=0)

    def mark_failed(self, reason: object) -> None:
        """End it unsent, with the reason."""
        self._end(State.FAILED, reason)

    def mark_unknown(self, reason: object) -> None:
        """End it with the reason why nobody knows whether it arrived."""
        self._end(State.UNKNOWN, reason)

    def put_back(self, reason: object, wait: timedelta = timedelta(0)) -> bool:
        """Wait for another attempt; False when there have been enough and it failed for good."""
        if self.attempts >= MAX_ATTEMPTS:
            self.mark_failed(
                gettext("Given up after %(count)s attempts: %(reason)s") % {"count": self.attempts, "reason": reason}
            )
            return False
        self._end(State.PENDING, reason, next_at=Now() + min(wait, LONGEST_WAIT))
        return True

    def _end(self, state: State, reason: object, **more: Any) -> None:
        self.state, self.error = state, one_line(reason, 300)
        Notification.objects.filter(pk=self.pk).update(state=state, error=self.error, **more)
