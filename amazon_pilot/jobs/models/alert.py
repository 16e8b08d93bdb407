"""Alerts: what is not well, since when, and who was told; and how each rule was changed by an operator."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import IntegrityError, models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from .expiring import ExpiringQuerySet

CALM = timedelta(seconds=60)  # for which a rule has to be well again before its alert is over: a flap is one alert


class Severity(models.TextChoices):
    CRITICAL = "critical", _("critical")
    WARNING = "warning", _("warning")


class AlertQuerySet(ExpiringQuerySet["Alert"]):
    clock = "since"

    def open(self) -> Self:
        """Return what is not over: pending, firing, or well again for less than CALM."""
        return self.filter(resolved_at=None)

    def firing(self) -> Self:
        """Return what fires now, the gravest and oldest first."""
        return self.open().filter(fired_at__isnull=False).order_by("severity", "fired_at")

    def note(self, rule: str, severity: str, found: Mapping[str, str], hold: timedelta, now: datetime) -> None:
        """Bring the alerts of one rule into line with what is true now, by subject: begin, fire, calm down, end.

        Each step is one conditional statement, so that of any number of watchers one makes it. A subject that was true
        for `hold` fires once; it ends once, when it was well for CALM.
        """
        of_rule = self.open().filter(rule=rule)
        if not found and not of_rule.exists():
            return  # the usual case writes nothing
        for subject, text in found.items():
            if not of_rule.filter(subject=subject).update(text=text, calm_since=None):
                self._begin(rule, subject, severity, text, now)
        of_rule.filter(subject__in=list(found), fired_at=None, since__lte=now - hold).update(fired_at=now)
        gone = of_rule.exclude(subject__in=list(found))
        gone.filter(fired_at=None).delete()
        gone.filter(calm_since=None).update(calm_since=now)
        gone.filter(calm_since__lte=now - CALM).update(resolved_at=now)

    def _begin(self, rule: str, subject: str, severity: str, text: str, now: datetime) -> None:
        try:
            with transaction.atomic():
                self.create(rule=rule, subject=subject, severity=severity, text=text, since=now)
        except IntegrityError:
            pass  # another watcher was first

    def untold(self) -> list["Alert"]:
        """Return the alerts of which nobody was told yet that they fire, or, once that was told, that they are over."""
        fired = Q(fired_at__isnull=False, told_at=None)
        ended = Q(resolved_at__isnull=False, told_at__isnull=False, end_told_at=None)
        return list(self.filter(fired | ended).order_by("since")[:50])

    def expired(self, before: datetime) -> Self:
        """Return the alerts from before a moment that are over."""
        return self.older(before).filter(resolved_at__isnull=False)


class Alert(models.Model):
    """One time that a rule was broken, from the first moment to the last."""

    rule = models.CharField(_("rule"), max_length=40)
    subject = models.CharField(_("of what"), max_length=120, blank=True)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity)
    text = models.TextField(_("text"))
    since = models.DateTimeField(_("since"))
    fired_at = models.DateTimeField(_("fires since"), null=True)
    calm_since = models.DateTimeField(_("well again since"), null=True)
    resolved_at = models.DateTimeField(_("over since"), null=True)
    told_at = models.DateTimeField(_("told at"), null=True)
    end_told_at = models.DateTimeField(_("end told at"), null=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        verbose_name = _("alert")
        verbose_name_plural = _("alerts")
        ordering = ["-since"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=Q(resolved_at=None), name="one_open_alert_per_subject"
            )
        ]
        indexes = [
            models.Index(fields=["-since"], name="alerts_newest_first"),
            models.Index(
                fields=["since"],
                name="alerts_to_tell",
                condition=Q(told_at=None) | Q(end_told_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} {self.subject}".strip()

    @property
    def is_over(self) -> bool:
        return self.resolved_at is not None

    @property
    def tells_the_end(self) -> bool:
        """Whether what is to be told is that it is over: that it fires was told before."""
        return self.told_at is not None

    def claim(self, now: datetime, *, silently: bool = False) -> bool:
        """Take it upon oneself to tell of it: False means that another watcher does.

        Call it in the transaction that writes what is told, so that a crash between the two tells it later. What fires
        `silently` also ends so.
        """
        mine = Alert.objects.filter(pk=self.pk)
        if self.tells_the_end:
            return mine.filter(end_told_at=None).update(end_told_at=now) == 1
        return mine.filter(told_at=None).update(told_at=now, end_told_at=now if silently else None) == 1


class RuleChange(models.Model):
    """What an operator changed about one rule; what is empty stays as the rule's own default."""

    rule = models.CharField(_("rule"), max_length=40, unique=True)
    is_on = models.BooleanField(_("on"), default=True)
    limit = models.FloatField(_("limit"), null=True)
    hold_seconds = models.PositiveIntegerField(_("for, seconds"), null=True)
    silent_until = models.DateTimeField(_("silent until"), null=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("by"))
    reason = models.TextField(_("reason"), blank=True)

    objects = models.Manager["RuleChange"]()

    class Meta:
        verbose_name = _("change of an alert rule")
        verbose_name_plural = _("changes of alert rules")

    def __str__(self) -> str:
        return self.rule
