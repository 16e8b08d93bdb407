"""Work that does not go on: leases that nobody renews, jobs beyond their timeout, poison, unwritten history."""

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import TypedDict

from django.utils import timezone
from redis.exceptions import ResponseError
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text

from ..core import keys, queues
from ..core.limits import GRACE, LEASE
from ..core.picture import Running
from ..core.registry import TASKS
from ..core.taken_job import MARK
from ..models import JobRun
from ..models.job_run import Outcome
from . import snapshot, store

RENEWED_SECONDS = 5  # a worker renews its leases so often


EXAMINED = 100  # leases of each queue, the oldest first


SHOWN = 20


LATE_SECONDS = 10  # beyond its timeout a job should have been killed by then


BEHIND_LINES = 1000


def losses() -> dict[str, list[JobRun]]:
    """Return what dead workers held and the history says was lost: the runs by worker."""
    dead = [worker["worker"] for worker in snapshot.current().dead]
    found: dict[str, list[JobRun]] = {name: [] for name in dead}
    if dead:
        since = timezone.now() - timedelta(hours=2)
        lost = JobRun.objects.filter(outcome=Outcome.LOST, started_at__gte=since, worker__in=dead).newest()
        for run in lost.only("id", "job_id", "task", "worker", "is_poison", "started_at")[:200]:
            found[run.worker].append(run)
    return found


@dataclass
class Lease:
    """A job whose worker has not renewed its right to it lately; `remaining` seconds until it counts as lost."""

    job_id: str
    execution_id: str
    queue: str
    remaining: float
    worker: str = ""
    task: str = ""

    @property
    def is_lost(self) -> bool:
        return self.remaining <= 0

    @property
    def renewed(self) -> float:
        """When it was last renewed, in seconds since 1970."""
        return time.time() + self.remaining - LEASE


def old_leases() -> list[Lease]:
    """Return the leases that should have been renewed by now, the oldest first; three commands to Redis."""
    pipeline = store.connect().pipeline(transaction=False)
    for name in queues.names():
        pipeline.zrange(f"{RQ_KEY_PREFIX}:wip:{name}", 0, EXAMINED - 1, withscores=True)
    now, held = time.time(), held_by()
    found = []
    for name, entries in zip(queues.names(), pipeline.execute(), strict=True):
        for entry, score in entries:
            job_id, _separator, execution = as_text(entry).rpartition(":")
            remaining = score - GRACE - now
            # A healthy lease has at least LEASE - RENEWED_SECONDS left; one missed renewal is not yet a worry.
            if execution.startswith(MARK) and remaining < LEASE - 2 * RENEWED_SECONDS:
                worker, task = held.get(execution, ("", ""))
                found.append(Lease(job_id, execution, name, remaining, worker, task))
    return sorted(found, key=lambda lease: lease.remaining)


def held_by() -> dict[str, tuple[str, str]]:
    """Return by execution which worker last showed it, and its task."""
    slots = [(worker["worker"], slot) for worker in snapshot.current().workers for slot in worker["slots"]]
    return {slot["execution"]: (name, slot["task"]) for name, slot in slots if slot.get("execution")}


class Late(Running):
    """A busy slot whose job runs beyond its task's timeout, by how many seconds."""

    over: float


class Unwritten(TypedDict):
    """How far the history is behind."""

    lines: int
    taken: int
    age: float
    is_behind: bool


def late() -> list[Late]:
    """Return what runs beyond its task's timeout: the worker kills it, unless it is itself in trouble."""
    now = time.time()
    running = [slot for slot in snapshot.current().running if slot["task"] in TASKS]
    return [
        {**slot, "over": over}
        for slot in running
        if TASKS[slot["task"]].timeout > 0
        and (over := now - slot["since"] - TASKS[slot["task"]].timeout) > LATE_SECONDS
    ]


def poison() -> list[JobRun]:
    """Return the jobs that were put aside within a week because whoever ran them died each time."""
    week = timezone.now() - timedelta(days=7)
    lost = JobRun.objects.filter(outcome=Outcome.LOST, started_at__gte=week, is_poison=True).newest()
    return list(lost.only("id", "job_id", "task", "queue", "cause", "started_at")[:SHOWN])


def unwritten() -> Unwritten:
    """Return how far the history is behind: lines in the stream, those a reader took, and the age of the oldest."""
    seen = snapshot.current()
    taken = sum(_taken(stream) for stream in (keys.RUNS, keys.FAILURES)) if seen.unwritten else 0
    age = max(0.0, seen.taken_at - seen.written_until) if seen.unwritten else 0.0
    return {
        "lines": seen.unwritten,
        "taken": taken,
        "age": age,
        "is_behind": seen.unwritten > BEHIND_LINES or age > 60,
    }


def _taken(stream: str) -> int:
    """Return how many lines of a stream a writer of the history took and has not written yet."""
    try:
        found = store.connect().xpending(stream, keys.RUNS_GROUP)
    except ResponseError:  # no writer has ever read it
        return 0
    return int(found["pending"])
