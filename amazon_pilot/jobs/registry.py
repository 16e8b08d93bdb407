"""The tasks that may run, and how each of them is enqueued and retried.

A task is a function under `@job`; only such a function runs, whatever is written into Redis.
"""

import asyncio
import inspect
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Generic, ParamSpec

from django.utils.module_loading import autodiscover_modules
from rq.job import Job
from rq.serializers import JSONSerializer

from .cell import progress

__all__ = ["TASKS", "Backoff", "JSONJob", "Task", "UnknownTaskError", "discover", "job", "progress"]

P = ParamSpec("P")


class UnknownTaskError(Exception):
    """A job names a function that is not registered as a task, so it was not run."""


class JSONJob(Job):
    """rq's job with a payload in JSON on every path: a stranger's bytes in Redis stay data."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        super().__init__(*args, **kwargs)

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, Any]:
        """Answer rq's fields and two of ours: the task and its tags, which a pause looks at."""
        fields = super().to_dict(include_meta, include_result)
        fields["task"] = self.func_name
        task = TASKS.get(str(self.func_name))
        if task and task.tags:
            fields["tags"] = ",".join(task.tags)
        return fields

    def _execute(self) -> Any:
        """Run the registered task; rq itself would import whatever name the job carries."""
        return run(str(self.func_name), self.instance, self.args, self.kwargs)


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

    def wait(self, retry: int, error: BaseException | None) -> float:
        """Answer how many seconds to wait before the retry numbered `retry` (the first is 0).

        An error's own `retry_after` is kept to, and so is the cap of a day on it. Else the wait is drawn from the
        upper half of the interval, so that jobs that failed together do not come back together.
        """
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, int | float) and not isinstance(asked, bool):
            return min(max(float(asked), 0), 86_400)
        return min(self.cap, self.first * 2**retry) * random.uniform(0.5, 1)


class Task(Generic[P]):
    """A registered function: call it to run it here and now, enqueue it to have a worker run it."""

    do_not_call_in_templates = True  # a page that shows a task must not run it

    def __init__(
        self,
        function: Callable[P, Any],
        queue: str,
        timeout: int,
        retry: Backoff | None,
        unique: bool,
        tags: tuple[str, ...] = (),
    ) -> None:
        self.function = function
        self.name = f"{function.__module__}.{function.__qualname__}"
        self.queue = queue
        self.timeout = timeout
        self.retry = retry
        self.unique = unique
        self.tags = tags
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__
        self.__qualname__ = function.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    def enqueue(self, *args: Any, at_front: bool = False, **kwargs: Any) -> str:
        """Have a worker run this task as soon as the current transaction commits.

        Answers the job's id. A unique task that already waits or runs with these arguments is joined: outside of a
        transaction the answer is then that job's id, inside one it is an id that no job will carry.

        Raises PayloadError where the arguments are not JSON or too large.
        """
        from .enqueueing import enqueue

        return enqueue(self, [(args, kwargs)], at_front=at_front)[0]

    def enqueue_in(self, delay: timedelta, *args: Any, **kwargs: Any) -> str:
        """Have a worker run this task once `delay` has passed since the commit; answers and raises like `enqueue`."""
        from .enqueueing import enqueue

        return enqueue(self, [(args, kwargs)], delay=delay)[0]

    def enqueue_many(self, calls: Iterable[tuple[Any, ...]]) -> list[str]:
        """Enqueue this task once for each tuple of arguments, a thousand to a round trip, when the transaction commits.

        Answers and raises like `enqueue`.
        """
        from .enqueueing import enqueue

        return enqueue(self, [(tuple(args), {}) for args in calls])


TASKS: dict[str, Task[Any]] = {}


def job(
    queue: str,
    *,
    timeout: int = 180,
    retry: Backoff | None = None,
    unique: bool = False,
    tags: tuple[str, ...] = (),
) -> Callable[[Callable[P, Any]], Task[P]]:
    """Register a function as a task of `queue`; `timeout` in seconds.

    With `unique`, one job with the same arguments waits or runs at a time, and a further enqueue joins it. All tasks
    with a tag can be paused together.
    """

    def register(function: Callable[P, Any]) -> Task[P]:
        task = Task(function, queue, timeout, retry, unique, tags)
        TASKS[task.name] = task
        return task

    return register


def discover() -> None:
    """Import the tasks.py of every installed app, so that all tasks are known before a worker forks."""
    autodiscover_modules("tasks")


def run(name: str, instance: Any, args: Any, kwargs: Any) -> Any:
    """Run the task called `name` with a payload that came out of Redis.

    Raises UnknownTaskError where no such task is registered, whatever the payload asks for.
    """
    task = TASKS.get(name)
    if task is None or instance is not None:
        raise UnknownTaskError(f"{name} is not a registered task, so it was not run.")
    result = task.function(*args, **kwargs)
    return asyncio.run(result) if inspect.iscoroutine(result) else result
