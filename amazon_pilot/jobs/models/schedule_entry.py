"""The schedule: what runs when (ScheduleEntry), and each time it came or should have come (Fire)."""

import zoneinfo
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..core import cron
from ..core.registry import TASKS, CallError
from ..core.values import Args, Kwargs, Text
from .expiring import ExpiringQuerySet
from .total import Total

NAME_TAKEN = _("An entry of this name exists: edit it, or choose another name.")


def default_zone() -> str:
    return settings.TIME_ZONE


def default_window() -> timedelta:
    return settings.SCHEDULE_MISSED_WINDOW


class ScheduleEntryQuerySet(models.QuerySet["ScheduleEntry"]):
    def take(self, entry: "ScheduleEntry", next_at: datetime, last_job_id: str | None) -> bool:
        """Move an entry on from the fire it was read with; False means that someone else did, or edited it."""
        changes = {} if last_job_id is None else {"last_job_id": last_job_id}
        return self.filter(pk=entry.pk, next_at=entry.next_at).update(next_at=next_at, **changes) == 1

    def pause_over(self, now: datetime) -> "ScheduleEntryQuerySet":
        """Return the entries whose pause had an end that has come."""
        return self.filter(paused_at__isnull=False, paused_until__lte=now)


def is_call(args: object) -> bool:
    """Tell whether a value is a list of arguments, or an object with `args`, a list, and `kwargs`, an object."""
    if isinstance(args, dict) and args.keys() <= {"args", "kwargs"}:
        return isinstance(args.get("args", []), list) and isinstance(args.get("kwargs", {}), dict)
    return isinstance(args, list)


class ScheduleEntry(models.Model):
    """One line of the schedule. This row is the truth; the template in rq-scheduler's set is its shadow."""

    class Missed(models.TextChoices):
        ONCE = "once", _("run once for all")
        ALL = "all", _("run each, oldest first")
        SKIP = "skip", _("leave out")

    class Overlap(models.TextChoices):
        SKIP = "skip", _("leave the new one out")
        QUEUE = "queue", _("queue the new one too")
        CANCEL = "cancel", _("cancel the old one")

    name = models.CharField(
        _("name"),
        max_length=80,
        unique=True,
        validators=[RegexValidator(r"\A[A-Za-z0-9][A-Za-z0-9_-]*\Z", _("Use letters, digits, - and _ only."))],
        help_text=_("Part of each job's id, so it stays as it is once the entry exists."),
    )
    cron = models.CharField(
        _("when"), max_length=120, help_text=_("A cron line, @hourly and the like, or a phrase such as daily at 09:00.")
    )
    zone = models.CharField(_("time zone"), max_length=60, default=default_zone)
    task = models.CharField(_("task"), max_length=200)
    args = models.JSONField(_("arguments"), default=list, blank=True)
    queue = models.CharField(_("queue"), max_length=60, default="default")
    missed = models.CharField(_("missed fires"), max_length=8, choices=Missed, default=Missed.ONCE)
    missed_limit = models.PositiveSmallIntegerField(
        _("missed fires, at most"), default=10, help_text=_("How many are run when each is; the newest count.")
    )
    missed_window = models.DurationField(
        _("missed fires, no older than"), default=default_window, help_text=_("Older ones are recorded, not run.")
    )
    overlap = models.CharField(
        _("while the last job has not ended"), max_length=8, choices=Overlap, default=Overlap.SKIP
    )
    next_at = models.DateTimeField(_("next fire"), null=True, editable=False)
    last_job_id = models.CharField(max_length=160, blank=True, editable=False)
    broken = models.TextField(_("broken because"), blank=True, editable=False)
    paused_at = models.DateTimeField(_("paused since"), null=True, editable=False)
    paused_until = models.DateTimeField(_("paused until"), null=True, editable=False)
    paused_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("paused by"),
    )
    paused_reason = models.TextField(_("reason of the pause"), blank=True, editable=False)
    from_settings = models.BooleanField(
        _("from the settings"), default=False, editable=False, help_text=_("Until an operator edits it.")
    )

    objects = ScheduleEntryQuerySet.as_manager()

    class Meta:
        verbose_name = _("schedule entry")
        verbose_name_plural = _("schedule entries")
        ordering = ["name"]
        permissions = [("operate_schedule", _("Can pause, resume and run schedule entries"))]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a cron line with its reason and position, an unknown zone or queue, and arguments that its task
        does not take."""
        errors: dict[str, Text] = {}
        try:
            cron.parse(self.cron)
        except cron.CronError as error:
            errors["cron"] = str(error)
        if self.zone not in zoneinfo.available_timezones():
            errors["zone"] = _("This time zone is not known: write one such as Europe/Berlin or UTC.")
        if self.queue not in settings.QUEUE_WEIGHTS:
            errors["queue"] = _("There is no such queue.")
        if not is_call(self.args):
            errors["args"] = _('Write a list such as ["daily"], or {"args": ["daily"], "kwargs": {"most": 10}}.')
        elif self.task in TASKS:
            try:
                TASKS[self.task].bound(*self.call)
            except CallError as error:
                errors["args"] = str(error)
        if errors:
            raise ValidationError(errors)

    @property
    def call(self) -> tuple[Args, Kwargs]:
        """The arguments of its jobs, by place and by name."""
        if isinstance(self.args, list):
            return self.args, {}
        return self.args.get("args", []), self.args.get("kwargs", {})

    def unique_error_message(self, model_class: type[models.Model], unique_check: Sequence[str]) -> ValidationError:
        """Say what to do about a name that is taken: nothing else of an entry is unique."""
        return ValidationError(NAME_TAKEN, code="unique")

    @property
    def is_paused(self) -> bool:
        return self.is_paused_at(timezone.now())

    def is_paused_at(self, moment: datetime) -> bool:
        """Tell whether the pause holds at `moment`; a pause without an end holds until someone resumes."""
        return self.paused_at is not None and (self.paused_until is None or moment < self.paused_until)

    def next_fire(self, after: datetime) -> datetime:
        """Return the first fire later than `after`, in UTC. Raises CronError for a line that cannot be read."""
        return cron.next_fire(cron.parse(self.cron), zoneinfo.ZoneInfo(self.zone), after)

    def next_fires(self, after: datetime, count: int = 5) -> list[datetime]:
        """Return the next `count` fires later than `after`, in UTC."""
        return cron.next_fires(cron.parse(self.cron), zoneinfo.ZoneInfo(self.zone), after, count)


class FireQuerySet(ExpiringQuerySet["Fire"]):
    clock = "planned_at"

    def pending(self) -> "FireQuerySet":
        """Return the fires that were decided and of which it is not known whether they reached Redis, oldest first."""
        return self.filter(outcome=Fire.Outcome.PENDING).order_by("planned_at")

    def decide(self, fires: "list[Fire]") -> None:
        """Write fires down, and count those of which nothing more will come; call it in a transaction."""
        self.bulk_create(fires)
        settled = Counter((str(fire.entry_id), fire.outcome) for fire in fires if fire.outcome != Fire.Outcome.PENDING)
        Total.objects.raise_by(Total.Name.FIRES, settled)

    def expired(self, before: datetime) -> Self:
        """Return the settled fires planned before a moment.

        None of them can come again: the entry's `next_at` has passed them.
        """
        return self.older(before).exclude(outcome=Fire.Outcome.PENDING)

    def settle(self, fires: Iterable["Fire"]) -> None:
        """Store and count the outcome of fires that were pending; one that another scheduler settled stays as it is."""
        alike: dict[tuple[str, str, datetime | None, int, str], list[int]] = defaultdict(list)
        for fire in fires:
            alike[fire.entry_id, fire.outcome, fire.enqueued_at, fire.suppressed, fire.note].append(fire.pk)
        settled: Counter[tuple[str, str]] = Counter()
        with transaction.atomic():
            for (entry, outcome, enqueued_at, suppressed, note), ids in alike.items():
                settled[entry, outcome] += self.filter(pk__in=ids, outcome=Fire.Outcome.PENDING).update(
                    outcome=outcome, enqueued_at=enqueued_at, suppressed=suppressed, note=note
                )
            Total.objects.raise_by(Total.Name.FIRES, settled)


class Fire(models.Model):
    """One planned time of an entry and what came of it; (entry, planned time) is unique for ever."""

    class Outcome(models.TextChoices):
        PENDING = "pending", _("being sent")
        ENQUEUED = "enqueued", _("enqueued")
        CAUGHT_UP = "caught_up", _("enqueued late, to catch up")
        MANUAL = "manual", _("run by hand")
        MISSED = "missed", _("missed")
        SKIPPED_PAUSED = "skipped_paused", _("left out: paused")
        SKIPPED_OVERLAP = "skipped_overlap", _("left out: the last job had not ended")
        ERROR = "error", _("failed")

    entry = models.ForeignKey(
        ScheduleEntry,
        models.DO_NOTHING,  # the history outlives the entry, and an entry of the same name goes on from it
        to_field="name",
        db_constraint=False,
        related_name="fires",
        verbose_name=_("entry"),
    )
    planned_at = models.DateTimeField(_("planned"))
    decided_at = models.DateTimeField(_("decided"))
    enqueued_at = models.DateTimeField(_("enqueued"), null=True)
    job_id = models.CharField(_("job"), max_length=160, blank=True)
    outcome = models.CharField(_("outcome"), max_length=16, choices=Outcome)
    becomes = models.CharField(max_length=16, choices=Outcome, blank=True, help_text=_("The outcome once it is sent."))
    suppressed = models.PositiveSmallIntegerField(
        _("duplicates suppressed"), default=0, help_text=_("How often it was sent again and found to be there.")
    )
    note = models.TextField(_("note"), blank=True)

    objects = FireQuerySet.as_manager()

    class Meta:
        verbose_name = _("fire")
        verbose_name_plural = _("fires")
        ordering = ["-planned_at"]
        constraints = [models.UniqueConstraint(fields=["entry", "planned_at"], name="one_fire_per_planned_time")]
        indexes = [
            # The scheduler asks each second what it has to send again; nearly always nothing.
            models.Index(fields=["planned_at"], name="fires_to_send", condition=models.Q(outcome="pending")),
            models.Index(fields=["-planned_at"], name="fires_newest_first"),
            models.Index(
                fields=["-planned_at"],
                name="fires_that_did_not_come",
                condition=models.Q(outcome__in=["missed", "skipped_paused", "skipped_overlap", "error"]),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.entry_id} {self.planned_at:%Y-%m-%d %H:%M:%S}"

    @property
    def lag_seconds(self) -> float | None:
        """How long after its planned time the job stood in its queue; None when it never did."""
        return (self.enqueued_at - self.planned_at).total_seconds() if self.enqueued_at else None
