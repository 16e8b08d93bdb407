"""The engine's own housekeeping."""

from datetime import UTC, datetime, timedelta

from django.utils.timezone import now

from .models import Fire, Tally
from .monitor import sample
from .registry import TASKS, job

FIRES_KEPT = timedelta(days=90)


@job("low", timeout=300)
def cleanup() -> str:
    """Prune the engine's own rows, and enqueue every app's task of this name, which prunes its own."""
    others = [task for name, task in sorted(TASKS.items()) if name.endswith(".cleanup") and task is not cleanup]
    for task in others:
        task.enqueue()
    Tally.objects.prune()
    Fire.objects.prune(now() - FIRES_KEPT)
    return f"{len(others)} apps"


@job("low", timeout=120, unique=True)
def tally() -> str:
    """Count the runs that ended since the last time, by minute and hour, for the charts and for Prometheus."""
    until = datetime.fromtimestamp(sample.current().written_until, UTC)
    return f"{Tally.objects.fold(until)} runs"
