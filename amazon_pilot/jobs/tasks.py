"""The engine's own housekeeping."""

from .registry import TASKS, job


@job("low", timeout=300)
def cleanup() -> str:
    """Enqueue every app's task of this name: each prunes its own rows."""
    others = [task for name, task in sorted(TASKS.items()) if name.endswith(".cleanup") and task is not cleanup]
    for task in others:
        task.enqueue()
    return f"{len(others)} apps"
