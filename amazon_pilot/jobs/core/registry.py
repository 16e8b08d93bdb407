"""The tasks that may run: only a function under `@job` runs, whatever is written into Redis."""

import asyncio
import inspect
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from types import CoroutineType
from typing import Any, TypeVar

from asgiref.sync import ThreadSensitiveContext
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.utils.module_loading import autodiscover_modules
from rq.job import Job
from rq.serializers import JSONSerializer

from .limits import LONGEST

T = TypeVar("T")
MOST_ATTEMPTS = 1000  # that a task may ask for: each has its place in every job


class UnknownTaskError(Exception):
    """A job names a function that is not registered as a task, so it was not run."""


class TaskNameError(ImproperlyConfigured):
    """Two functions are registered under one name: a job could run the wrong one."""


class PayloadError(ValueError):
    """The arguments cannot be carried to a worker: they are not JSON, or too large."""


class CallError(PayloadError):
    """The arguments do not fit the task's signature."""


class JSONJob(Job):
    """rq's job with a payload in JSON on every path: a stranger's bytes in Redis stay data."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        super().__init__(*args, **kwargs)

    def to_dict(self, include_meta: bool = True, include_result: bool = True) -> dict[str, object]:
        """Return rq's fields and two of ours: the task and its tags, which a pause looks at."""
        fields: dict[str, object] = super().to_dict(include_meta, include_result)
        fields["task"] = self.func_name
        task = TASKS.get(str(self.func_name))
        if task and task.tags:
            fields["tags"] = ",".join(task.tags)
        return fields

    def _execute(self) -> object:
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

    def __post_init__(self) -> None:
        """Raise ValueError for a policy by which no time could be told."""
        if isinstance(self.attempts, bool) or not 1 <= self.attempts <= MOST_ATTEMPTS:
            raise ValueError(f"A Backoff makes 1 to {MOST_ATTEMPTS} attempts, not {self.attempts!r}.")
        if not all(0 <= seconds <= LONGEST for seconds in (self.first, self.cap)):
            raise ValueError(f"A Backoff waits from 0 to {LONGEST} seconds, not {self.first!r} to {self.cap!r}.")

    def intervals(self) -> list[int]:
        """Return the wait before each further attempt, in seconds, without jitter."""
        return [int(min(self.cap, self.first * 2**n)) for n in range(self.attempts - 1)]

    def wait(self, retry: int, error: BaseException | None) -> float:
        """Return how many seconds to wait before the retry numbered `retry` (the first is 0).

        An error's own `retry_after` is kept to, and so is the cap of a day on it. Else the wait is drawn from the
        upper half of the interval, so that jobs that failed together do not come back together.
        """
        try:
            asked = getattr(error, "retry_after", None)
        except Exception:
            asked = None  # an error's own code has failed: it asks for nothing
        if isinstance(asked, int | float) and not isinstance(asked, bool) and asked == asked:
            return float(min(max(asked, 0), 86_400))
        return min(self.cap, self.first * 2**retry) * random.uniform(0.5, 1)


@dataclass
class Registered:
    """What the engine knows of a task: the name that a job carries, and what the task asks for."""

    function: Callable[..., object]
    name: str
    queue: str
    timeout: int = 180
    retry: Backoff | None = None
    unique: bool = False
    tags: tuple[str, ...] = ()
    at_front: bool = False
    about: Callable[..., Iterable[str]] | None = None  # names the subjects of a call: see core/subjects.py
    subjects: tuple[str, ...] = ()  # given for the calls at hand, beside those
    isolated: bool = False  # runs in a fork of its slot, as in rq's own worker
    secrets: tuple[str, ...] = ()  # parameters that are secrets, whatever they are called

    @cached_property
    def signature(self) -> inspect.Signature:
        return inspect.signature(self.function)

    def bound(self, args: Sequence[object], kwargs: Mapping[str, object]) -> inspect.BoundArguments:
        """Return a call's arguments by parameter; raises CallError if the function does not take them."""
        try:
            return self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise CallError(f"{self.name}{self.signature} cannot be called so: {error}.") from error


TASKS: dict[str, Registered] = {}


def register(task: Registered) -> None:
    """Note a task by its name; raises TaskNameError if another function has it, TypeError for one that yields.

    Only a function that its own module defines again, at the same line, may take its name again: it was reloaded. One
    that the module's code has made twice, as in a loop, has the very same code, which a reload compiles anew.
    """
    if inspect.isgeneratorfunction(task.function) or inspect.isasyncgenfunction(task.function):
        raise TypeError(f"{task.name} yields, so a call of it would run none of it. Have it return what it has done.")
    known = TASKS.get(task.name)
    if known is not None and not is_reloaded(known.function, task.function):
        raise TaskNameError(
            f"Two tasks are called {task.name}. Give one of them another name: @job(…, name=…). A decorator between "
            "@job and the function needs functools.wraps."
        )
    TASKS[task.name] = task


def is_reloaded(known: Callable[..., object], function: Callable[..., object]) -> bool:
    """Tell whether a function is the same one, defined again by its module."""
    places = [getattr(inspect.unwrap(each), "__code__", None) for each in (known, function)]
    is_plain = "<" not in getattr(function, "__qualname__", "<")  # made in no function, and no lambda
    return known is function or (
        is_plain
        and all(places)
        and places[0] is not places[1]
        and places[0].co_filename == places[1].co_filename  # type: ignore[union-attr]
        and places[0].co_firstlineno == places[1].co_firstlineno  # type: ignore[union-attr]
    )


def discover() -> None:
    """Import the tasks.py of every installed app, so that all tasks are known before a worker forks."""
    autodiscover_modules("tasks")


def run(name: str, instance: object, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
    """Run the task called `name` with a payload that came out of Redis.

    Raises UnknownTaskError where no such task is registered, whatever the payload asks for.
    """
    task = TASKS.get(name)
    if task is None or instance is not None:
        raise UnknownTaskError(f"{name} is not a registered task, so it was not run.")
    result = task.function(*args, **kwargs)
    # By its type: what a result says of its class is the task's own code.
    return run_async(result) if issubclass(type(result), CoroutineType) else result  # type: ignore[arg-type]


def run_async(work: Awaitable[T]) -> T:
    """Run an async task whose queries run in a thread of this call alone, and close that thread's connections with it.

    asgiref's usual thread lives as long as the process, and nobody looks after its connections.
    """
    begun: list[bool] = []
    with ThreadPoolExecutor(1, initializer=begun.append, initargs=(True,)) as thread:

        async def in_thread() -> T:
            async with ThreadSensitiveContext(executor=thread):
                return await work

        try:
            return asyncio.run(in_thread())
        finally:
            if begun:
                thread.submit(connections.close_all).result()
