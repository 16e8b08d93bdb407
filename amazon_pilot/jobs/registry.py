"""The tasks that may run, and how each of them is enqueued and retried.

A task is a function under `@job`; only such a function runs, whatever is written into Redis.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec

import django_rq
from django.db import transaction
from rq.job import Job
from rq.job import Retry as RQRetry
from rq.serializers import JSONSerializer

P = ParamSpec("P")


class JSONJob(Job):
    """rq's job with a payload in JSON on every path: a stranger's bytes in Redis stay data."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        super().__init__(*args, **kwargs)


@dataclass(frozen=True)
class Backoff:
    """When a failed job is tried again: `attempts` in all, the waits doubling from `first` up to `cap` seconds.

    An error named in `permanent` is never retried. An error with an attribute `retry_after` (seconds) waits that long.
    """

    attempts: int = 5
    first: float = 30
    cap: float = 3600
    permanent: tuple[type[BaseException], ...] = ()

    def intervals(self) -> list[int]:
        """Answer the wait before each further attempt, in seconds, without jitter."""
        return [int(min(self.cap, self.first * 2**n)) for n in range(self.attempts - 1)]


class Task(Generic[P]):
    """A registered function: call it to run it here and now, enqueue it to have a worker run it."""

    def __init__(
        self, function: Callable[P, Any], queue: str, timeout: int, retry: Backoff | None, unique: bool
    ) -> None:
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.queue = queue
        self.timeout = timeout
        self.retry = retry
        self.unique = unique
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(*args, **kwargs)

    def _options(self) -> dict[str, Any]:
        retry = RQRetry(max=self.retry.attempts - 1, interval=self.retry.intervals()) if self.retry else None
        return {"timeout": self.timeout, "retry": retry}

    def enqueue(self, *args: Any, at_front: bool = False) -> None:
        """Have a worker run this task as soon as the current transaction commits."""
        django_rq.get_queue(self.queue).enqueue_call(self.name, args=args, at_front=at_front, **self._options())

    def enqueue_in(self, delay: timedelta, *args: Any) -> None:
        """Have a worker run this task once `delay` has passed since the commit."""
        transaction.on_commit(
            lambda: django_rq.get_queue(self.queue).enqueue_in(delay, self.name, *args, job_timeout=self.timeout)
        )

    def enqueue_many(self, calls: Iterable[tuple[Any, ...]]) -> None:
        """Enqueue this task once for each tuple of arguments, in few round trips, when the transaction commits."""
        for args in list(calls):
            self.enqueue(*args)


TASKS: dict[str, Task[Any]] = {}


def job(
    queue: str, *, timeout: int = 180, retry: Backoff | None = None, unique: bool = False
) -> Callable[[Callable[P, Any]], Task[P]]:
    """Register a function as a task of `queue`; `timeout` in seconds.

    With `unique`, one job with the same arguments waits or runs at a time, and a further enqueue joins it.
    """

    def register(function: Callable[P, Any]) -> Task[P]:
        task = Task(function, queue, timeout, retry, unique)
        TASKS[task.name] = task
        return task

    return register
