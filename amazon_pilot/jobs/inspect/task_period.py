"""One task over a span of time: its slowest runs, and how it did beside the same hours of a week before."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict, cast

from django.core.cache import cache
from django.db.models import Case, Max, Q, Sum, Value, When
from django.utils.translation import gettext_lazy as _

from ..core.values import Text
from ..models import JobRun, Tally
from ..models.tally import HOUR, heights, heights_of
from .percentile import percentile
from .tasks import BAD, NEWEST_OF_ONE, REMEMBERED_SECONDS
from .window import Window

WEEK = timedelta(days=7)
SLOWEST = 10

Numbers = dict[str, float | None]


class Half(TypedDict):
    """What ended in one way in one of two spans, beside the heights of its buckets."""

    is_now: int
    outcome: str
    n: int
    wait_longest: float
    duration_longest: float


@dataclass(frozen=True)
class Row:
    """One figure now and then. `kind` says how it is written: count, share or span (seconds)."""

    label: Text
    kind: str
    now: float | None
    then: float | None

    @property
    def change(self) -> float | None:
        """By which share it rose or fell, of a share by how much; None where one is not known or nothing was then."""
        if self.now is None or self.then is None:
            return None
        if self.kind == "share":
            return self.now - self.then
        return self.now / self.then - 1 if self.then else None


@dataclass(frozen=True)
class Comparison:
    """The whole hours of a span of time beside the same ones some weeks before, one wherever they do not overlap."""

    start: datetime
    end: datetime
    weeks: int
    rows: list[Row]


ROWS: tuple[tuple[str, Text, str], ...] = (
    ("count", _("Runs"), "count"),
    ("failed", _("Failed"), "share"),
    ("wait_50", _("Wait p50"), "span"),
    ("wait_95", _("Wait p95"), "span"),
    ("duration_50", _("Run p50"), "span"),
    ("duration_95", _("Run p95"), "span"),
)


def slowest(task: str, window: Window) -> list[JobRun]:
    """Return the runs of a task that took longest, of the newest 10,000 that began within a window."""
    began = JobRun.objects.filter(task=task, started_at__gte=window.start, started_at__lt=window.end)
    looked_at = began.newest().values("pk")[:NEWEST_OF_ONE]
    ended = JobRun.objects.filter(pk__in=looked_at, duration__isnull=False).order_by("-duration", "-pk")
    return list(ended.only("job_id", "duration", "wait", "outcome", "started_at", "worker", "attempt")[:SLOWEST])


def compare(task: str, back: timedelta, until: datetime) -> Comparison:
    """Return the last whole hours until a moment beside the same ones a week before; remembered for a minute.

    As many hours as `back` has, begun ones too. More than a week is compared with the same weekdays so many weeks
    before that the two do not overlap. All come from the tallies.
    """
    end = until.replace(minute=0, second=0, microsecond=0)
    start = end - HOUR * -(-back // HOUR)
    weeks = max(1, -(-(end - start) // WEEK))
    now, then = _figures(task, start, end, WEEK * weeks)
    return Comparison(start, end, weeks, [Row(label, kind, now[name], then[name]) for name, label, kind in ROWS])


def _figures(task: str, start: datetime, end: datetime, back: timedelta) -> tuple[Numbers, Numbers]:
    """Return what `_told` says of the hours of a span, and of those as far back, in one query."""
    key = f"monitor:compared:{task}:{start.timestamp():.0f}:{end.timestamp():.0f}"
    known: tuple[Numbers, Numbers] | None = cache.get(key)
    if known is None:
        times = Q(at__gte=start, at__lt=end) | Q(at__gte=start - back, at__lt=end - back)
        hours = Tally.objects.filter(times, span="hour", task=task).order_by()
        halves = hours.annotate(is_now=Case(When(at__gte=start, then=Value(1)), default=Value(0)))
        sums = halves.values("is_now", "outcome").annotate(
            n=Sum("count"), wait_longest=Max("wait_max"), duration_longest=Max("duration_max"),
            **heights("wait"), **heights("duration"),
        )  # fmt: skip
        rows = cast(list[Half], list(sums))
        known = _told([row for row in rows if row["is_now"]]), _told([row for row in rows if not row["is_now"]])
        cache.set(key, known, REMEMBERED_SECONDS)
    return known


def _told(rows: list[Half]) -> Numbers:
    """Return how many runs there were, what share failed, and percentiles of wait and run in seconds, about."""
    count, bad = sum(row["n"] for row in rows), sum(row["n"] for row in rows if row["outcome"] in BAD)
    told: Numbers = {"count": count, "failed": bad / count if count else None}
    longests = {
        "wait": max((row["wait_longest"] for row in rows), default=0.0),
        "duration": max((row["duration_longest"] for row in rows), default=0.0),
    }
    for column, longest in longests.items():
        sums = [sum(parts) for parts in zip(*(heights_of(row, column) for row in rows), strict=True)]
        for n in (50, 95):
            told[f"{column}_{n}"] = percentile(sums, n / 100, longest)
    return told
