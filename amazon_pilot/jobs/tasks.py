"""The engine's own housekeeping."""

import time
from datetime import UTC, datetime

from . import Backoff, Task, job
from .core.registry import TASKS
from .history import retention
from .inspect import snapshot
from .models import KeptJob, Tally
from .operate import bulk, failed_kept, tokens  # noqa: F401  # a task is known by being imported

CLEANUP_SECONDS = 240  # then another job goes on, well before this one is out of time
DRAINED_AT_ONCE = 1000  # Redis stands still for a few milliseconds meanwhile


@job("low", timeout=300, retry=Backoff(attempts=6, first=20, cap=1800))
def cleanup() -> str:
    """Prune the engine's own rows, and enqueue every app's task of this name, which prunes its own.

    What is left when it has taken long is left to a further job; running it twice deletes nothing more.
    """
    found = [task for name, task in sorted(TASKS.items()) if name.endswith(".cleanup")]
    others = [task for task in found if isinstance(task, Task) and task is not cleanup]
    for task in others:
        task.enqueue()
    KeptJob.objects.prune()
    begun = time.monotonic()
    deleted, is_done = retention.clean_up(seconds=CLEANUP_SECONDS)
    trimmed, is_trimmed = failed_kept.trim(seconds=CLEANUP_SECONDS - (time.monotonic() - begun))
    if not (is_done and is_trimmed):
        cleanup.enqueue()
    return f"{deleted.total()} rows, {trimmed} failed jobs, {len(others)} apps"


@job("critical", timeout=120, unique=True)
def tally() -> str:
    """Count the runs that ended since the last time, by minute and hour, for the charts and for Prometheus.

    And tell of failed jobs that are too many, so that a day passes before the clean-up deletes them.
    """
    failed_kept.look()
    until = datetime.fromtimestamp(snapshot.current().written_until, UTC)
    return f"{Tally.objects.fold(until)} runs"


@job("critical", timeout=60, unique=True)
def resume_bulk_actions() -> str:
    """Pick up bulk actions that a crash or an emptied Redis left behind; the rows know."""
    return f"{bulk.resume()} actions"
