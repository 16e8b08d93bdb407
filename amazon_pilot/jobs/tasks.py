"""The engine's own housekeeping."""

from datetime import UTC, datetime

from django.db.models import F

from . import bulk, queues, retention
from .models import AuditEntry, KeptJob, Tally
from .monitor import sample
from .registry import TASKS, Backoff, job, progress

CLEANUP_SECONDS = 240  # then another job goes on, well before this one is out of time
DRAINED_AT_ONCE = 1000  # Redis stands still for a few milliseconds meanwhile


@job("low", timeout=300)
def cleanup() -> str:
    """Prune the engine's own rows, and enqueue every app's task of this name, which prunes its own.

    What is left when it has taken long is left to a further job; running it twice deletes nothing more.
    """
    others = [task for name, task in sorted(TASKS.items()) if name.endswith(".cleanup") and task is not cleanup]
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
    until = datetime.fromtimestamp(sample.current().written_until, UTC)
    return f"{Tally.objects.fold(until)} runs"


@job("critical", timeout=3600, retry=Backoff(attempts=3))
def drain_queue(queue: str, until: str, audit: int) -> str:
    """Delete the jobs of a queue that were enqueued before `until`, some at a time, and count them on a line of audit.

    Running it twice deletes nothing more: what came later stays.
    """
    deleted, newer, waiting = 0, 0, max(1, queues.size(queue))
    while True:
        gone, newer, is_over = queues.drain(queue, datetime.fromisoformat(until), DRAINED_AT_ONCE + newer)
        deleted += gone
        AuditEntry.objects.filter(pk=audit).update(count=F("count") + gone)
        progress(min(99, deleted * 100 / waiting), f"{deleted} deleted")
        if is_over:
            return f"{deleted} deleted, {newer} newer ones kept"


@job("critical", timeout=6 * 3600, retry=Backoff(attempts=4, first=5, cap=60), unique=True)
def run_bulk_action(pk: int) -> str:
    """Carry out what an operator asked to be done to many jobs; run again, it goes on with what is left."""
    return bulk.run(pk)
