"""The tasks: what each promises (queue, timeout, retries) and what the history says of how long it waits and runs."""

from collections import defaultdict
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import JobRun, Tally
from ..registry import TASKS
from . import pages
from .overview import pauses
from .queue_pages import acts_on
from .window import RANGES

DAY = timedelta(hours=24)
NEWEST = 500  # runs of a task from which percentiles are told on the list; one task's own page looks at more
NEWEST_OF_ONE = 10_000
REMEMBERED_SECONDS = 60
BAD = ("failed", "lost")


@pages.page()
def task_list(request: HttpRequest) -> HttpResponse:
    """Show every registered task with its day, and every tag."""
    day = pages.widget(lambda: day_of_all())
    rows = [
        {"task": task, "day": (day.get("value") or {}).get(name), "figures": figures(name), "pause": f"task:{name}"}
        for name, task in sorted(TASKS.items())
    ]
    tags = sorted({tag for task in TASKS.values() for tag in task.tags})
    return pages.show(
        request, "tasks", _("Tasks"), rows=rows, tags=[(tag, f"tag:{tag}") for tag in tags], day=day,
        pauses=pages.widget(pauses), newest=NEWEST,
    )  # fmt: skip


@pages.page()
def task(request: HttpRequest, name: str) -> HttpResponse:
    """Show one task; one that is no longer registered is shown by its history."""
    registered = TASKS.get(name)
    if registered is None and not JobRun.objects.filter(task=name).exists():
        raise Http404
    return pages.show(
        request, "task", name, name=name, task=registered, pause_name=f"task:{name}",
        purpose=registered.__doc__ if registered else "", pauses=pages.widget(pauses),
        figures=pages.widget(lambda: figures(name, NEWEST_OF_ONE)), newest=NEWEST_OF_ONE,
        day=pages.widget(lambda: day_of_all().get(name)), audit=pages.widget(lambda: acts_on(f"task:{name}")),
        failures=pages.widget(lambda: list(failures(name))), ranges=RANGES, chart_queue="", chart_task=name,
    )  # fmt: skip


def figures(name: str, newest: int = NEWEST) -> dict[str, dict[int, float]]:
    """Answer p50, p95 and p99 in seconds of a task's wait and run, by its newest runs; remembered for a minute."""
    key = f"monitor:figures:{name}:{newest}"
    known: dict[str, dict[int, float]] | None = cache.get(key)
    if known is None:
        ended = JobRun.objects.filter(task=name, ended_at__isnull=False).newest()[:newest]
        pairs = list(ended.values_list("wait", "duration"))
        known = {"wait": percentiles(pair[0] for pair in pairs), "duration": percentiles(pair[1] for pair in pairs)}
        cache.set(key, known, REMEMBERED_SECONDS)
    return known


def percentiles(spans: Any) -> dict[int, float]:
    """Answer the 50th, 95th and 99th percentile, {} of nothing."""
    values = sorted(span for span in spans if span is not None)
    return {n: values[min(len(values) - 1, len(values) * n // 100)] for n in (50, 95, 99)} if values else {}


def day_of_all() -> dict[str, dict[str, Any]]:
    """Answer runs and share of failures of the last 24 hours by task, from the tallies."""
    now = timezone.now()
    rows = Tally.objects.between("hour", now - DAY, now).order_by().values("task", "outcome").annotate(n=Sum("count"))
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for row in rows:
        counts[row["task"]][row["outcome"]] = row["n"]
    return {name: _day(outcomes) for name, outcomes in counts.items()}


def _day(outcomes: dict[str, int]) -> dict[str, Any]:
    total, bad = sum(outcomes.values()), sum(outcomes.get(word, 0) for word in BAD)
    return {"count": total, "failed": bad, "share": bad / total if total else None}


def failures(name: str) -> Any:
    """Answer why a task failed within a day, by cause, the most frequent first."""
    return JobRun.objects.filter(task=name).failure_groups(timezone.now() - DAY)[:10]
