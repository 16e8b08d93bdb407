"""What the history says of each task: how long it waits and runs, and how often it failed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TypedDict

from django.core.cache import cache
from django.db.models import Sum
from django.utils import timezone

from ..models import JobRun, Tally

DAY = timedelta(hours=24)


NEWEST = 500  # runs of a task from which percentiles are told on the list; one task's own page looks at more


NEWEST_OF_ONE = 10_000


REMEMBERED_SECONDS = 60


BAD = ("failed", "lost")


def figures(name: str, newest: int = NEWEST) -> dict[str, dict[int, float]]:
    """Return p50, p95 and p99 in seconds of a task's wait and run, by its newest runs; remembered for a minute."""
    key = f"monitor:figures:{name}:{newest}"
    known: dict[str, dict[int, float]] | None = cache.get(key)
    if known is None:
        ended = JobRun.objects.filter(task=name, ended_at__isnull=False).newest()[:newest]
        pairs = list(ended.values_list("wait", "duration"))
        known = {"wait": percentiles(pair[0] for pair in pairs), "duration": percentiles(pair[1] for pair in pairs)}
        cache.set(key, known, REMEMBERED_SECONDS)
    return known


def percentiles(spans: Iterable[float | None]) -> dict[int, float]:
    """Return the 50th, 95th and 99th percentile, {} of nothing."""
    values = sorted(span for span in spans if span is not None)
    return {n: values[min(len(values) - 1, len(values) * n // 100)] for n in (50, 95, 99)} if values else {}


class Day(TypedDict):
    """Runs of a day, and what share of them failed."""

    count: int
    failed: int
    share: float | None


def day_of_all() -> dict[str, Day]:
    """Return runs and share of failures of the last 24 hours by task, from the tallies."""
    now = timezone.now()
    rows = Tally.objects.between("hour", now - DAY, now).order_by().values("task", "outcome").annotate(n=Sum("count"))
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        counts[row["task"]][row["outcome"]] = row["n"]
    return {name: _day(outcomes) for name, outcomes in counts.items()}


def _day(outcomes: dict[str, int]) -> Day:
    total, bad = sum(outcomes.values()), sum(outcomes.get(word, 0) for word in BAD)
    return {"count": total, "failed": bad, "share": bad / total if total else None}


def failures(name: str) -> Iterable[Mapping[str, object]]:
    """Return why a task failed within a day, by cause, the most frequent first."""
    return JobRun.objects.filter(task=name).failure_groups(timezone.now() - DAY)[:10]
