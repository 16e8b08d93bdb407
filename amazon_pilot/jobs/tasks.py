"""The engine's own housekeeping."""

from datetime import UTC, datetime

from . import Task, job
from .core.registry import TASKS
from .history import retention
from .inspect import snapshot
from .models import KeptJob, Tally
from .operate import bulk, tokens  # noqa: F401  # a task is known by being imported

CLEANUP_SECONDS = 240  # then another job goes on, well before this one is out of time
DRAINED_AT_ONCE = 1000  # Redis stands still for a few milliseconds meanwhile


@job("low", timeout=300)
def cleanup() -> str:
    """Prune the engine's own rows, and enqueue every app's task of this name, which prunes its own.

    What is left when it has taken long is left to a further job; running it twice deletes nothing more.
    """
    found = [task for name, task in sorted(TASKS.items()) if name.endswith(".cleanup")]
    others = [task for task in found if isinstance(task, Task) and task is not cleanup]
    for task in others:
        task.enqueue()
    KeptJob.objects.prune()
    deleted, is_done = retention.clean_up(seconds=CLEANUP_SECONDS)
    if not is_done:
        cleanup.enqueue()
    return f"{deleted.total()} rows, {len(others)} apps"


@job("critical", timeout=120, unique=True)
def tally() -> str:
    """Count the runs that ended since the last time, by minute and hour, for the charts and for Prometheus."""
    until = datetime.fromtimestamp(snapshot.current().written_until, UTC)
    return f"{Tally.objects.fold(until)} runs"


@job("critical", timeout=60, unique=True)
def resume_bulk_actions() -> str:
    """Pick up bulk actions that a crash or an emptied Redis left behind; the rows know."""
    return f"{bulk.resume()} actions"
