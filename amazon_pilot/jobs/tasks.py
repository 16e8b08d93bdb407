"""The engine's own housekeeping."""

from datetime import UTC, datetime

from .models import Tally
from .monitor import sample
from .registry import TASKS, job


@job("low", timeout=300)
def cleanup() -> str:
    """Enqueue every app's task of this name: each prunes its own rows."""
    others = [task for name, task in sorted(TASKS.items()) if name.endswith(".cleanup") and task is not cleanup]
    for task in others:
        task.enqueue()
    Tally.objects.prune()
    return f"{len(others)} apps"


@job("low", timeout=120, unique=True)
def tally() -> str:
    """Count the runs that ended since the last time, by minute and hour, for the charts and for Prometheus."""
    until = datetime.fromtimestamp(sample.current().written_until, UTC)
    return f"{Tally.objects.fold(until)} runs"
