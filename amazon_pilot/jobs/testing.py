"""Tasks run at once, for tests of code that enqueues: no worker, no Redis, no waiting."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from .core import enqueue, registry
from .core.payload import unpacked
from .core.values import Word

Job = tuple[str, str, list[Word]]


@contextmanager
def at_once(*, also_delayed: bool = False) -> Iterator[list[str]]:
    """Run each task when it would be enqueued, at the commit of its transaction, and yield the names of what ran.

    Arguments pass through JSON as they do on their way to a worker, and an error of a task is raised to its caller.
    What is enqueued for later is left out unless `also_delayed`. Inside a test's transaction nothing commits: use
    pytest-django's django_capture_on_commit_callbacks(execute=True) around it.
    """
    ran: list[str] = []

    def run(queue: str, jobs: Sequence[Job], *, wait: float = 0, at_front: bool = False) -> list[str]:
        for _id, _key, fields in jobs if also_delayed or not wait else ():
            name, instance, args, kwargs = json.loads(unpacked(cast(bytes, fields[fields.index("data") + 1])))
            ran.append(name)
            registry.run(name, instance, args, kwargs)
        return [id for id, _key, _fields in jobs]

    sends, enqueue.send = enqueue.send, run
    try:
        yield ran
    finally:
        enqueue.send = sends
