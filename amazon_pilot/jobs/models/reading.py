"""What each queue held, minute by minute: drawn beside the tallies, which know what ended but not what waited."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from .expiring import ExpiringQuerySet

# A longer span keeps the mean of a size, and the worst age.
MEANS = ("waiting", "running", "scheduled", "retries", "held", "failed", "canceled", "memory")
HOUR = timedelta(hours=1)


class ReadingQuerySet(ExpiringQuerySet["Reading"]):
    def between(self, span: str, start: datetime, end: datetime) -> "ReadingQuerySet":
        """Return the readings of one span, `minute` or `hour`, that begin from `start` up to and without `end`."""
        return self.filter(span=span, at__gte=start, at__lt=end)

    def keep(self, readings: "list[Reading]") -> None:
        """Write one minute's readings, and work out their hour anew; a minute that is there already stays as it is."""
        if not readings:
            return
        Reading.objects.bulk_create(readings, ignore_conflicts=True)
        hour = readings[0].at.replace(minute=0, second=0, microsecond=0)
        minutes = self.between("minute", hour, hour + HOUR).order_by().values("queue")
        means = {f"mean_{name}": models.Avg(name) for name in MEANS}
        hours = [
            Reading(span="hour", at=hour, queue=row["queue"], oldest=row["worst"], **_means(dict(row)))
            for row in minutes.annotate(worst=models.Max("oldest"), **means)
        ]
        Reading.objects.bulk_create(
            hours, update_conflicts=True, unique_fields=["span", "at", "queue"], update_fields=["oldest", *MEANS]
        )


def _means(row: Mapping[str, Any]) -> dict[str, int | None]:
    found = {name: row[f"mean_{name}"] for name in MEANS}
    return {name: None if value is None else round(value) for name, value in found.items()}


class Reading(models.Model):
    """How many jobs of one queue were in each state in one minute, or on average in one hour, and the worst age."""

    span = models.CharField(_("span"), max_length=6)
    at = models.DateTimeField(_("begins"))
    queue = models.CharField(_("queue"), max_length=100)
    waiting = models.PositiveIntegerField(_("waiting"))
    running = models.PositiveIntegerField(_("running"))
    scheduled = models.PositiveIntegerField(_("scheduled"), help_text=_("Retries are among them."))
    retries = models.PositiveIntegerField(_("retries"), null=True, help_text=_("About; of the scheduled ones."))
    held = models.PositiveIntegerField(_("held"))
    failed = models.PositiveIntegerField(_("failed"))
    canceled = models.PositiveIntegerField(_("canceled"))
    oldest = models.FloatField(_("oldest"), help_text=_("Seconds that the oldest waiting job has waited."))
    memory = models.PositiveBigIntegerField(_("memory"), null=True, help_text=_("Bytes in Redis, about."))

    objects = ReadingQuerySet.as_manager()

    class Meta:
        verbose_name = _("reading")
        verbose_name_plural = _("readings")
        constraints = [
            # Also the index of every chart: one span, a range of times.
            models.UniqueConstraint(fields=["span", "at", "queue"], name="one_reading_per_queue")
        ]

    def __str__(self) -> str:
        return f"{self.span} {self.at:%Y-%m-%d %H:%M} {self.queue}"
