"""The window of time that a chart shows: how long, until when, and in which steps."""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.timezone import get_current_timezone, is_naive, localdate
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..core.values import Text
from ..models.tally import KEPT

HOUR = 3600


@dataclass(frozen=True)
class Range:
    """One choice of the chart: how far back, in steps of how many seconds, from tallies of which span."""

    back: timedelta
    step: int
    span: str
    label: Text


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
    """The steps of a chart, from rows of one span, as seen at `now`.

    `edges` are the seconds in which the steps begin, and last the one in which the last step ends. `step` is how many
    seconds one lasts by the clock: a day may have 23 or 25 hours. `is_coarse` says that the steps are longer than the
    range's own, since shorter ones are not kept that long.
    """

    edges: tuple[int, ...]
    step: int
    span: str
    now: datetime
    is_coarse: bool = False

    @property
    def steps(self) -> tuple[int, ...]:
        """The seconds in which the steps begin."""
        return self.edges[:-1]

    @property
    def start(self) -> datetime:
        """When the first step begins."""
        return datetime.fromtimestamp(self.edges[0], tz=self.now.tzinfo)

    @property
    def end(self) -> datetime:
        """When the last step ends; now, where it has only begun."""
        return min(self.now, datetime.fromtimestamp(self.edges[-1], tz=self.now.tzinfo))

    def step_of(self, moment: datetime) -> int:
        """Return the second in which the step begins that a moment belongs to."""
        return self.edges[bisect_right(self.edges, moment.timestamp()) - 1]


def window(name: str, now: datetime, end: datetime | None = None) -> Window:
    """Return the window of a range that ends at `end`, or now; every step that it touches is shown whole.

    Where minutes are no longer kept for all of it, it is told in hours. Raises ValidationError as `range_of` does.
    """
    chosen = range_of(name)
    if end is None or end >= now:  # the last step has only begun
        count = -(-int(chosen.back.total_seconds()) // chosen.step)
        edges = _edges(now - chosen.back - timedelta(days=1), int(now.timestamp()) + 1, chosen.step)
        return Window(edges[-count - 1 :], chosen.step, chosen.span, now)
    is_coarse = chosen.span == "minute" and end - chosen.back < now - KEPT["minute"]
    step, span = (HOUR, "hour") if is_coarse else (chosen.step, chosen.span)
    return Window(_edges(end - chosen.back, end.timestamp(), step), step, span, now, is_coarse)


def _edges(first: datetime, stop: float, step: int) -> tuple[int, ...]:
    """Return the borders of all steps from the one in which `first` lies to the one that reaches the second `stop`.

    Steps of more than an hour begin at midnight in the viewer's zone, so that a day there is a day here.
    """
    if step <= HOUR:
        return tuple(range(int(first.timestamp()) // step * step, -(-int(stop) // step) * step + 1, step))
    zone, day = get_current_timezone(), localdate(first)
    edges: list[int] = []
    while not edges or edges[-1] < stop:
        for hour in range(0, 24, step // HOUR):
            edge = int(datetime.combine(day, time(hour), zone).timestamp())
            if edge <= first.timestamp():
                edges = [edge]
            elif edge > edges[-1] and edges[-1] < stop:
                edges.append(edge)
        day += timedelta(days=1)
    return tuple(edges)


def range_of(name: str) -> Range:
    """Return one of RANGES, or a range of a person's own length, such as 90m, 36h or 10d.

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
    """Return the window that an address names: a range, and an end in ISO 8601 with its zone.

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
