"""The window of time that a chart shows: how long, until when, and in which steps."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..models.tally import KEPT

HOUR = 3600


@dataclass(frozen=True)
class Range:
    """One choice of the chart: how far back, in steps of how many seconds, from tallies of which span."""

    back: timedelta
    step: int
    span: str
    label: Any


RANGES = {
    "1h": Range(timedelta(hours=1), 60, "minute", gettext_lazy("1 hour")),
    "6h": Range(timedelta(hours=6), 300, "minute", gettext_lazy("6 hours")),
    "24h": Range(timedelta(hours=24), 1200, "minute", gettext_lazy("24 hours")),
    "7d": Range(timedelta(days=7), 3 * HOUR, "hour", gettext_lazy("7 days")),
    "30d": Range(timedelta(days=30), 12 * HOUR, "hour", gettext_lazy("30 days")),
    "90d": Range(timedelta(days=90), 24 * HOUR, "hour", gettext_lazy("90 days")),
}


@dataclass(frozen=True)
class Window:
    """The steps of a chart, by the second in which each begins, from rows of one span, as seen at `now`.

    `is_coarse` says that the steps are longer than the range's own, since shorter ones are not kept that long.
    """

    steps: range
    span: str
    now: datetime
    is_coarse: bool = False

    @property
    def step(self) -> int:
        """How many seconds a step lasts."""
        return self.steps.step

    @property
    def start(self) -> datetime:
        """When the first step begins."""
        return datetime.fromtimestamp(self.steps.start, tz=self.now.tzinfo)

    @property
    def end(self) -> datetime:
        """When the last step ends; now, where it has only begun."""
        return min(self.now, datetime.fromtimestamp(self.steps.stop, tz=self.now.tzinfo))

    def step_of(self, moment: datetime) -> int:
        """Answer the second in which the step begins that a moment belongs to."""
        return int(moment.timestamp()) // self.step * self.step


def window(name: str, now: datetime, end: datetime | None = None) -> Window:
    """Answer the window of a range that ends at `end`, or now; every step that it touches is shown whole.

    Where minutes are no longer kept for all of it, it is told in hours.
    """
    chosen = RANGES[name]
    if end is None or end >= now:
        stop = int(now.timestamp()) // chosen.step * chosen.step + chosen.step  # the last step has only begun
        return Window(range(stop - int(chosen.back.total_seconds()), stop, chosen.step), chosen.span, now)
    is_coarse = chosen.span == "minute" and end - chosen.back < now - KEPT["minute"]
    step, span = (HOUR, "hour") if is_coarse else (chosen.step, chosen.span)
    start = int((end - chosen.back).timestamp()) // step * step
    stop = -(-int(end.timestamp()) // step) * step
    return Window(range(start, stop, step), span, now, is_coarse)


def window_of(name: str, end: str, now: datetime) -> Window:
    """Answer the window that an address names: a range, and an end in ISO 8601 with its zone.

    An end that is "" or yet to come is now. Raises ValidationError for an unknown range, for what is not such a time,
    and for a time of which nothing is kept.
    """
    if name not in RANGES:
        raise ValidationError(_("There is no such range."))
    return window(name, now, _moment(end, now) if end else None)


def _moment(text: str, now: datetime) -> datetime:
    try:
        moment = parse_datetime(text)
    except ValueError:  # shaped like a time, and no day has it
        moment = None
    if moment is None or is_naive(moment):
        raise ValidationError(_("The end is not a time with its zone."))
    if moment <= now - KEPT["hour"]:
        raise ValidationError(_("Nothing is kept of that time any more."))
    return moment
