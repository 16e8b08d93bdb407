"""The window of time that a chart shows: how long, until when, and in which steps."""

import re
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


# A length of one's own: a number and its unit, as in 90m, 36h or 10d.
UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
LENGTH = re.compile(rf"([0-9]{{1,6}})\s*([{''.join(UNITS)}])")
SHORTEST, LONGEST = timedelta(minutes=10), timedelta(days=90)
STEPS = (60, 300, 600, 1200, 1800, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR)
MOST_STEPS = 90


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

    Where minutes are no longer kept for all of it, it is told in hours. Raises ValidationError as `range_of` does.
    """
    chosen = range_of(name)
    if end is None or end >= now:
        stop = int(now.timestamp()) // chosen.step * chosen.step + chosen.step  # the last step has only begun
        count = -(-int(chosen.back.total_seconds()) // chosen.step)
        return Window(range(stop - count * chosen.step, stop, chosen.step), chosen.span, now)
    is_coarse = chosen.span == "minute" and end - chosen.back < now - KEPT["minute"]
    step, span = (HOUR, "hour") if is_coarse else (chosen.step, chosen.span)
    start = int((end - chosen.back).timestamp()) // step * step
    stop = -(-int(end.timestamp()) // step) * step
    return Window(range(start, stop, step), span, now, is_coarse)


def range_of(name: str) -> Range:
    """Answer one of RANGES, or a range of a person's own length, such as 90m, 36h or 10d.

    Its steps are the shortest that make at most MOST_STEPS. Raises ValidationError for what is no such length.
    """
    if name in RANGES:
        return RANGES[name]
    found = LENGTH.fullmatch(name.strip().lower())
    if found is None:
        raise ValidationError(_("That is no length: write a number and m, h or d, such as 90m, 36h or 10d."))
    back = int(found[1]) * UNITS[found[2]]
    if not SHORTEST <= back <= LONGEST:
        raise ValidationError(_("A length is between 10 minutes (10m) and 90 days (90d)."))
    seconds = int(back.total_seconds())
    span = "minute" if back <= RANGES["24h"].back else "hour"
    least = HOUR if span == "hour" else 0
    step = next(step for step in STEPS if step >= least and -(-seconds // step) <= MOST_STEPS)
    return Range(back, step, span, name)


def window_of(name: str, end: str, now: datetime) -> Window:
    """Answer the window that an address names: a range, and an end in ISO 8601 with its zone.

    An end that is "" or yet to come is now. Raises ValidationError for what is no range, for what is not such a time,
    and for a time of which nothing is kept.
    """
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
