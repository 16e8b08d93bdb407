"""Throughput, failures and wait over an hour to 90 days, drawn from tallies; the history itself is never scanned."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import Tally
from ..models.tally import counts
from .pages import page

MOST_TAIL = timedelta(minutes=15)  # what was not yet folded is counted on the spot, so much of it at most
GOOD, BAD = {"succeeded"}, {"failed", "lost"}


@dataclass(frozen=True)
class Range:
    """One choice of the chart: how far back, in steps of how many seconds, from tallies of which span."""

    back: timedelta
    step: int
    span: str
    label: Any


RANGES = {
    "1h": Range(timedelta(hours=1), 60, "minute", _("1 hour")),
    "6h": Range(timedelta(hours=6), 300, "minute", _("6 hours")),
    "24h": Range(timedelta(hours=24), 1200, "minute", _("24 hours")),
    "7d": Range(timedelta(days=7), 3 * 3600, "hour", _("7 days")),
    "30d": Range(timedelta(days=30), 12 * 3600, "hour", _("30 days")),
    "90d": Range(timedelta(days=90), 86_400, "hour", _("90 days")),
}


def series(name: str, *, queue: str = "", task: str = "", now: datetime | None = None) -> dict[str, Any]:
    """Answer the points of one range: times in seconds, runs per step by what became of them, average wait in seconds.

    Steps without a run are 0, and their wait is None: nothing waited.
    """
    chosen = RANGES[name]
    now = now or timezone.now()
    last = int(now.timestamp()) // chosen.step * chosen.step
    first = last - int(chosen.back.total_seconds()) + chosen.step
    start = datetime.fromtimestamp(first, tz=now.tzinfo)
    totals: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0, 0.0])
    for row in [*_folded(chosen, start, now, queue, task), *_tail(now, queue, task)]:
        slot = totals[int(row["at"].timestamp()) // chosen.step * chosen.step]
        column = 0 if row["outcome"] in GOOD else 1 if row["outcome"] in BAD else 2
        slot[column] += row["count"]
        slot[3] += row["wait_sum"]
        slot[4] = max(slot[4], row["wait_max"])
    at = list(range(first, last + 1, chosen.step))
    points = [totals.get(moment, [0, 0, 0, 0.0, 0.0]) for moment in at]
    runs = [point[0] + point[1] + point[2] for point in points]
    return {
        "at": at,
        "step": chosen.step,
        "succeeded": [point[0] for point in points],
        "failed": [point[1] for point in points],
        "other": [point[2] for point in points],
        "wait": [round(point[3] / n, 3) if n else None for point, n in zip(points, runs, strict=True)],
        "longest_wait": [round(point[4], 3) if n else None for point, n in zip(points, runs, strict=True)],
    }


def _narrowed(queue: str, task: str) -> dict[str, str]:
    return {name: value for name, value in (("queue", queue), ("task", task)) if value}


def _folded(chosen: Range, start: datetime, now: datetime, queue: str, task: str) -> Any:
    tallies = Tally.objects.between(chosen.span, start, now).filter(**_narrowed(queue, task))
    return tallies.values("at", "outcome", "count", "wait_sum", "wait_max")


def _tail(now: datetime, queue: str, task: str) -> Any:
    """Count what ended after the last tallied minute."""
    known = Tally.objects.counted_until()
    start = max(known + timedelta(minutes=1) if known else now - MOST_TAIL, now - MOST_TAIL)
    wanted = _narrowed(queue, task)
    return [row for row in counts(start, now) if all(row[name] == value for name, value in wanted.items())]


@page()
def chart(request: HttpRequest) -> HttpResponse:
    """Answer one range as JSON: /admin/monitor/chart?range=24h, narrowed by queue and task."""
    name = request.GET.get("range", "1h")
    if name not in RANGES:
        return JsonResponse({"error": "unknown range"}, status=400)
    return JsonResponse(series(name, queue=request.GET.get("queue", ""), task=request.GET.get("task", "")))
