"""Draining a queue: everything that waits in it now is deleted, in the background and some at a time."""

from datetime import datetime

from django.db.models import F

from ..core import queues
from ..core.registry import Backoff
from ..core.shared_memory import progress
from ..core.task import job
from ..models import AuditEntry

DRAINED_AT_ONCE = 1000  # Redis stands still for a few milliseconds meanwhile


@job("critical", name="amazon_pilot.jobs.tasks.drain_queue", timeout=3600, retry=Backoff(attempts=3))
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
