"""The history: one row per execution of a job, kept when Redis has long forgotten it."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from ..core.values import Json
from .expiring import ExpiringQuerySet


class Outcome(models.TextChoices):
    STARTED = "started", _("Started")
    SUCCEEDED = "succeeded", _("Succeeded")
    RETRYING = "retrying", _("Retrying")
    FAILED = "failed", _("Failed")
    STOPPED = "stopped", _("Stopped")
    LOST = "lost", _("Lost")


class JobRunQuerySet(ExpiringQuerySet["JobRun"]):
    clock = "started_at"

    def newest(self) -> "JobRunQuerySet":
        """Order by start, the newest first: the order of every list."""
        return self.order_by("-started_at", "-id")

    def older_than(self, started_at: datetime, pk: int) -> "JobRunQuerySet":
        """Return the page after the row with this start and key, in the order of `newest`."""
        same_moment = models.Q(started_at=started_at, pk__lt=pk)
        return self.filter(started_at__lte=started_at).filter(models.Q(started_at__lt=started_at) | same_moment)

    def newer_than(self, started_at: datetime, pk: int) -> "JobRunQuerySet":
        """Return what comes after the row with this start and key, where the oldest come first."""
        same_moment = models.Q(started_at=started_at, pk__gt=pk)
        return self.filter(started_at__gte=started_at).filter(models.Q(started_at__gt=started_at) | same_moment)

    def ended_badly(self) -> "JobRunQuerySet":
        """Return the runs that raised or were lost, whatever became of their job afterwards."""
        return self.exclude(fingerprint="")

    def newest_failures(self, most: int, since: datetime) -> datetime:
        """Return when the newest so many failures after a moment began; that moment where there are no more."""
        starts = self.ended_badly().filter(started_at__gte=since).order_by("-started_at")
        return next(iter(starts.values_list("started_at", flat=True)[most - 1 : most]), since)

    def failure_groups(self, since: datetime) -> models.QuerySet["JobRun", Any]:
        """Return failures by cause: fingerprint, task, exception, count, first and last; the most frequent first."""
        return (
            self.ended_badly()
            .filter(started_at__gte=since)
            .values("fingerprint", "task", "exception")
            .annotate(
                count=models.Count("id"),
                first=models.Min("started_at"),
                last=models.Max("started_at"),
                sample=models.Max("id"),
            )
            .order_by("-count")
        )

    def expired(self, before: datetime) -> Self:
        """Return the runs that ended before a moment and are counted for good: no total falls when they are deleted."""
        from .tally import Tally  # which counts job runs, and so imports this module

        counted = Tally.objects.settled_until()
        if counted is None:
            return self.none()
        until = min(before, counted)
        return self.older(until).filter(ended_at__lt=until)  # no index but that of the start and the outcome is needed


class JobRun(models.Model):
    """One execution of a job: what ran, where, for how long, and what became of it."""

    job_id = models.CharField(_("job"), max_length=100)
    execution_id = models.CharField(_("execution"), max_length=100)
    task = models.CharField(_("task"), max_length=200)
    queue = models.CharField(_("queue"), max_length=100)
    args = models.JSONField(_("arguments"), default=list, blank=True)
    kwargs = models.JSONField(_("keyword arguments"), default=dict, blank=True)
    tags = models.CharField(_("tags"), max_length=200, blank=True)
    attempt = models.PositiveIntegerField(_("attempt"), default=1)

    enqueued_at = models.DateTimeField(_("enqueued at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    wait = models.FloatField(_("wait"), null=True, blank=True, help_text=_("Seconds from enqueueing to the start."))
    duration = models.FloatField(_("duration"), null=True, blank=True, help_text=_("Seconds from start to end."))
    worker = models.CharField(_("worker"), max_length=200, blank=True)
    slot = models.PositiveSmallIntegerField(_("slot"), null=True, blank=True)

    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome, default=Outcome.STARTED)
    cause = models.CharField(
        _("cause"), max_length=200, blank=True, help_text=_("Why it was stopped or lost, such as slot_killed.")
    )
    is_poison = models.BooleanField(_("poison"), default=False, help_text=_("The loss after which it was put aside."))
    retry_at = models.DateTimeField(_("retry at"), null=True, blank=True)
    exception = models.CharField(_("exception"), max_length=200, blank=True)
    message = models.TextField(_("message"), blank=True)
    traceback = models.TextField(_("traceback"), blank=True)
    fingerprint = models.CharField(_("fingerprint"), max_length=16, blank=True)
    result = models.JSONField(_("result"), null=True, blank=True)
    progress = models.PositiveSmallIntegerField(_("progress"), null=True, blank=True, help_text=_("Percent."))
    progress_text = models.CharField(_("progress text"), max_length=200, blank=True)
    log = models.TextField(_("log"), blank=True)
    log_is_cut = models.BooleanField(_("log has lost its beginning"), default=False)

    schedule_entry = models.CharField(_("schedule entry"), max_length=100, blank=True)
    fire = models.CharField(_("fire"), max_length=100, blank=True)
    meta = models.JSONField(_("meta"), default=dict, blank=True)
    search = models.TextField(_("search text"), blank=True, help_text=_("The words of the arguments and the error."))

    objects = JobRunQuerySet.as_manager()

    class Meta:
        verbose_name = _("job run")
        verbose_name_plural = _("job runs")
        constraints = [
            # The writer of the history writes a run twice, at its start and at its end, and again after a crash.
            models.UniqueConstraint(fields=["job_id", "execution_id"], name="one_row_per_execution")
        ]
        indexes = [
            # The order of every list, and beside it all that the box compares (monitor/query.py, COVERED): a search
            # for what is rare runs through this index alone, a tenth of the table.
            models.Index(
                fields=["-started_at", "-id", "duration", "wait", "attempt", "worker", "outcome", "queue"],
                name="runs_newest_first_searched",
                # PostgreSQL looks up the beginning of a worker's name by varchar_pattern_ops alone.
                opclasses=[
                    "timestamptz_ops",
                    "int8_ops",
                    "float8_ops",
                    "float8_ops",
                    "int4_ops",
                    "varchar_pattern_ops",
                    "varchar_ops",
                    "varchar_ops",
                ],
            ),
            models.Index(fields=["outcome", "-started_at", "-id"], name="runs_of_an_outcome"),
            # Tally.objects.fold counts what ended since it last looked.
            models.Index(fields=["ended_at"], name="runs_by_their_end"),
            models.Index(fields=["task", "-started_at", "-id"], name="runs_of_a_task"),
            models.Index(fields=["queue", "-started_at", "-id"], name="runs_of_a_queue"),
            models.Index(
                fields=["fingerprint", "-started_at"], name="failures_by_cause", condition=~models.Q(fingerprint="")
            ),
            # The newest failures are counted by cause from this index alone; runs that went well are not in it.
            models.Index(
                fields=["-started_at", "fingerprint", "task", "exception", "id"],
                name="failures_newest_first",
                condition=~models.Q(fingerprint=""),
            ),
            models.Index(
                fields=["schedule_entry", "-started_at"],
                name="runs_of_a_schedule_entry",
                condition=~models.Q(schedule_entry=""),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task}: {self.get_outcome_display()}"


def searchable(values: Iterable[Json]) -> str:
    """Return the words and numbers inside nested arguments, at most 2,000 characters."""
    words: list[str] = []
    for value in values:
        if isinstance(value, dict):
            words.append(searchable(value.values()))
        elif isinstance(value, list | tuple):
            words.append(searchable(value))
        elif value is not None and not isinstance(value, bool):
            words.append(str(value))
    return " ".join(words)[:2000]
