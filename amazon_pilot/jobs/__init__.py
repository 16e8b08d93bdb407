"""Background work as such; it knows no product. Who writes tasks needs no more than the names below."""

from .core.registry import Backoff, CallError, PayloadError
from .core.shared_memory import progress
from .core.task import Task, job

__all__ = ["Backoff", "CallError", "PayloadError", "Task", "job", "progress"]
