"""The overview: the admin's front page, on which one sees at a glance whether all is well."""

from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.module_loading import import_string

from ..core.values import Context
from ..inspect import days, snapshot
from ..inspect.window import RANGES
from ..models import JobRun, Pause, ScheduleEntry
from .pages import fragment, page, widget

FAILURES_SHOWN = 8
RUNNING_SHOWN = 12
CAUSES_SHOWN, FAILURES_COUNTED = 5, 20_000


@page()
def overview(request: HttpRequest) -> HttpResponse:
    """Return the live part of the front page."""
    return fragment(request, "_overview", **parts())


def parts() -> Context:
    """Return all widgets, each on its own feet."""
    return {
        "sample": widget(snapshot.current),
        "pauses": widget(pauses),
        "days": widget(days.by_queue),
        "compared": widget(days.against_last_week),
        "failures": widget(lambda: list(recent_failures())),
        "causes": widget(causes),
        "fires": widget(lambda: next_fires(8)),
        "tiles": widget(tiles),
        "ranges": RANGES,
        "running_shown": RUNNING_SHOWN,
    }


def pauses() -> dict[str, Pause]:
    """Return the active pauses by name, each with who, why and until when."""
    return {pause.name: pause for pause in Pause.objects.active().select_related("by")}


def recent_failures() -> QuerySet[JobRun]:
    """Return the newest runs that failed for good or were lost."""
    columns = ("id", "job_id", "task", "args", "queue", "exception", "message", "started_at", "outcome", "cause")
    bad = JobRun.objects.filter(outcome__in=("failed", "lost"), started_at__gte=timezone.now() - timedelta(days=7))
    return bad.newest().only(*columns)[:FAILURES_SHOWN]


def causes() -> Context:
    """Return the most frequent causes of a day's failures, and since when they are counted; None for the whole day."""
    day_ago = timezone.now() - timedelta(hours=24)
    since = JobRun.objects.newest_failures(FAILURES_COUNTED, day_ago)
    return {
        "groups": list(JobRun.objects.failure_groups(since)[:CAUSES_SHOWN]),
        "since": since if since > day_ago else None,
    }


def next_fires(count: int) -> list[ScheduleEntry]:
    """Return the entries that fire next, the soonest first."""
    return list(ScheduleEntry.objects.filter(next_at__isnull=False).order_by("next_at")[:count])


def tiles() -> list[Context]:
    """Return what the product counts of itself: settings.MONITOR_TILES names the function that knows."""
    count: Callable[[], list[Context]] = import_string(settings.MONITOR_TILES)
    return count()
