"""A task as its author has it: declared with `@job`, called here and now, or enqueued for a worker."""

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, ParamSpec, TypeVar

from django.utils import timezone

from .enqueue import enqueue
from .registry import Backoff, PayloadError, Registered, register

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(eq=False, repr=False)
class Task(Registered, Generic[P, R]):
    """A registered function: call it to run it here and now, enqueue it to have a worker run it."""

    do_not_call_in_templates = True  # a page that shows a task must not run it

    function: Callable[P, R]

    def __post_init__(self) -> None:
        self.__doc__ = self.function.__doc__
        self.__name__ = self.function.__name__
        self.__module__ = self.function.__module__
        self.__qualname__ = self.function.__qualname__

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def options(
        self, *, queue: str = "", timeout: int | None = None, at_front: bool = False, about: Iterable[str] = ()
    ) -> "Task[P, R]":
        """Return this task with other wishes for the calls that are enqueued through the answer.

        `queue` and `timeout` (seconds) stand in for the task's own; `at_front` puts its jobs at the head of the queue;
        `about` names what they are about, such as ["product:17"], beside what the task itself says of a call.
        """
        asked = copy(self)
        asked.queue = queue or self.queue
        asked.timeout = self.timeout if timeout is None else timeout
        asked.at_front = at_front
        asked.subjects = tuple(about)
        return asked

    def enqueue(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Have a worker run this task as soon as the current transaction commits, and return the job's id.

        A unique task that already waits or runs with these arguments is joined: outside of a transaction the answer is
        then that job's id, inside one it is an id that no job will carry.

        Raises CallError if the function does not take these arguments, and PayloadError if they are not JSON or too
        large: then nothing is enqueued.
        """
        return enqueue(self, [(args, kwargs)])[0]

    def enqueue_in(self, delay: timedelta | float, *args: P.args, **kwargs: P.kwargs) -> str:
        """Have a worker run this task once `delay` (a span, or seconds) has passed since the commit.

        Returns and raises like `enqueue`; raises PayloadError for a time beyond the year 9999.
        """
        try:
            span = delay if isinstance(delay, timedelta) else timedelta(seconds=delay)
        except (ValueError, OverflowError) as error:
            raise PayloadError(f"No job can wait for {delay!r} seconds.") from error
        return enqueue(self, [(args, kwargs)], delay=span)[0]

    def enqueue_at(self, when: datetime, *args: P.args, **kwargs: P.kwargs) -> str:
        """Have a worker run this task at a time, or at once if it has passed; returns and raises like `enqueue`.

        Raises ValueError for a time without a zone.
        """
        if timezone.is_naive(when):
            raise ValueError("Say in which zone this time is meant: enqueue_at takes an aware datetime.")
        return enqueue(self, [(args, kwargs)], delay=when - timezone.now())[0]

    def enqueue_many(self, calls: Iterable[tuple[object, ...]]) -> list[str]:
        """Enqueue this task once for each tuple of arguments, a thousand to a round trip, when the transaction commits.

        Returns the ids, and raises like `enqueue`; raises TypeError if a call is no tuple or list.
        """
        listed = list(calls)
        if wrong := next((call for call in listed if not isinstance(call, tuple | list)), None):
            raise TypeError(f"enqueue_many takes a tuple of arguments for each call, such as ({wrong!r},).")
        return enqueue(self, [(tuple(call), {}) for call in listed])


def job(
    queue: str,
    *,
    name: str = "",
    timeout: int = 180,
    retry: Backoff | None = None,
    unique: bool = False,
    tags: tuple[str, ...] = (),
    isolated: bool = False,
    about: Callable[..., Iterable[str]] | None = None,
    secrets: tuple[str, ...] = (),
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Register a function as a task of `queue`; `timeout` in seconds.

    With `unique`, one job with the same arguments waits or runs at a time, and a further enqueue joins it. All tasks
    with a tag can be paused together. A `name` keeps jobs that wait going when the function moves; without one it is
    the function's own, with its module. With `isolated` each job runs in a fork of its slot and leaves nothing behind,
    for some milliseconds: for code that is not trusted. `about` takes the arguments of a call and returns what its job
    is about, such as ["product:17"]: the monitor finds jobs by it, and leads from one to the other. `secrets` names the
    parameters that are secrets though they are not called so: they are shown nowhere, nor in what the task logs.

    Raises TypeError for `@job` without a queue, and TaskNameError if another function has the name.
    """
    if not isinstance(queue, str):
        raise TypeError('Name the queue: @job("default").')

    def declare(function: Callable[P, R]) -> Task[P, R]:
        called = name or f"{function.__module__}.{function.__qualname__}"
        task = Task(
            function, called, queue, timeout=timeout, retry=retry, unique=unique, tags=tags, isolated=isolated,
            about=about, secrets=secrets,
        )  # fmt: skip
        register(task)
        return task

    return declare
