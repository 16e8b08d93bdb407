"""How a job's run ends, as the worker tells Redis: one class per ending, and the packet that commits them.

Every ending is one script that begins by taking the run's entry out of the started registry; where that entry is gone,
the run has lost its right to decide and nothing is written. So each may be sent twice.
"""

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from rq.timeouts import JobTimeoutException

from ..core.registry import TASKS
from ..core.scripts import script
from ..core.shared_memory import Cell
from ..core.taken_job import Assignment
from ..history import run_event
from . import recoverer
from .connection import Command

Chore = tuple[tuple[Any, ...], Assignment | None]
Reader = Callable[[Any], list[Chore]]

HAS_DEPENDENTS = 2
GIVEN_BACK = {
    "leaving": "The worker left; the job was given back.",
    "interrupted": "The slot was ended for the sake of the job before; this one was given back.",
}
KILLED = ("timeout", "memory", "killed on request")  # a failure that is the job's own
# What the task would have raised had it listened: a policy may call it permanent.
STANDS_FOR: dict[str, type[BaseException]] = {"timeout": JobTimeoutException, "memory": MemoryError}


@dataclass(slots=True)
class Ending(ABC):
    """What became of one run; `counts_as` is the number of its worker that grows by it."""

    assignment: Assignment
    worker: str

    counts_as = "succeeded"

    @abstractmethod
    def command(self) -> Command | None:
        """Answer the command that tells Redis, None where this ending needs none of its own."""

    def chores(self, reply: Any) -> list[Chore]:
        """Answer what a slot has to do through rq's code now that Redis has answered."""
        return []


@dataclass(slots=True)
class Succeeded(Ending):
    """The task returned; committed with all others of its kind in one script."""

    words: tuple[Any, ...]  # ttl, started and ended as text, both in seconds, result, line

    def command(self) -> None:
        return None  # see `commit`

    def chores(self, reply: Any) -> list[Chore]:
        if reply != HAS_DEPENDENTS:
            return []
        started, value, line = self.words[3], self.words[5], self.words[6]
        return [(finish_message(self.assignment, "done", started, value, "", line), self.assignment)]


@dataclass(slots=True)
class Failed(Ending):
    """The attempt raised, was cancelled, or its slot had to be killed."""

    words: tuple[Any, ...]  # as scripts/fail.lua wants them, from the verdict on
    is_again: bool = (
        False  # the slot that ended it through rq's code had to be killed: its callback is not called again
    )

    counts_as = "failed"

    def command(self) -> Command:
        return script("fail").command(self.worker, *self.assignment.place, *self.words, self.assignment.data)

    def chores(self, reply: Any) -> list[Chore]:
        if reply != HAS_DEPENDENTS:
            return []
        verdict, started, line = self.words[0], self.words[8], self.words[11]
        verdict = "cut" if verdict == "stopped" and self.is_again else verdict
        return [(finish_message(self.assignment, verdict, started, "", self.words[10], line), self.assignment)]


@dataclass(slots=True)
class Settled(Ending):
    """rq's own code has ended the job and told the history; only our own counters are left."""

    outcome: str

    def command(self) -> None:
        return None

    @property
    def counts_as(self) -> str:  # type: ignore[override]
        return "succeeded" if self.outcome == "succeeded" else "failed"


@dataclass(slots=True)
class Lost(Ending):
    """The slot died, and not by our hand."""

    cause: str
    line: str

    counts_as = "lost"

    def command(self) -> Command:
        poison = run_event.encode_trace(recoverer.POISON)
        return script("lose").command(*self.assignment.place, self.cause, poison, self.line, self.assignment.data)

    def chores(self, reply: Any) -> list[Chore]:
        if reply not in (b"queued", b"poison"):
            return []
        message = ("lost", self.assignment.queue.encode(), self.assignment.job_id.encode(), self.cause.encode(), reply)
        return [(message, None)]


@dataclass(slots=True)
class GivenBack(Ending):
    """The worker leaves before the job has ended, or its slot died before it began."""

    line: str = ""

    counts_as = "given back"

    def command(self) -> Command:
        return script("give_back").command(*self.assignment.place, self.worker, self.line, self.assignment.data)


def from_message(message: tuple[Any, ...], assignment: Assignment | None, worker: str) -> Ending | None:
    """Answer the ending that a slot tells of, or None where nothing is to be written."""
    kind, *words = message
    if assignment is None or kind in ("refused", "idle"):
        return None
    if kind == "settled":
        return Settled(assignment, worker, words[0])
    return Succeeded(assignment, worker, tuple(words)) if kind == "done" else Failed(assignment, worker, tuple(words))


def of_the_dead(assignment: Assignment, worker: str, slot: int, cell: Cell, because: str) -> Ending:
    """Answer what becomes of the job of a dead slot, by the reason of its death."""
    started, now = assignment.taken_on, time.time()

    def line(outcome: str, **more: Any) -> str:
        return run_event.line(
            assignment, worker, slot, outcome, started, ended=now, cause=because, **run_event.traces(cell), **more
        )

    if because == "cancelled" or assignment.cancelled_by:
        text = "The job was cancelled, did not end when it was asked to, and was killed."
        return Failed(assignment, worker, killed_words(assignment, "stopped", text, line("stopped", message=text)))
    if because in GIVEN_BACK:
        return GivenBack(assignment, worker, line("stopped", message=GIVEN_BACK[because]))
    if because == "lease lost":  # refused where another worker has the job, and written where it was deleted
        text = "The job was deleted or cancelled while it ran, so it was ended."
        return Failed(assignment, worker, killed_words(assignment, "stopped", text, line("stopped", message=text)))
    text = killed_text(assignment, because)
    if not text:
        return Lost(assignment, worker, because, line("lost"))
    left, wait = retry_after_kill(assignment, because)
    verdict = "failed" if not left else "scheduled" if wait else "queued"
    outcome = "retrying" if left else "failed"
    history = line(outcome, message=text, exception=because, retry_in=wait or None)
    return Failed(assignment, worker, killed_words(assignment, verdict, text, history, left, wait))


def retry_after_kill(assignment: Assignment, because: str) -> tuple[int, int]:
    """Answer the retries left to a job whose slot we killed, this one included, and the seconds until it.

    The task's own policy decides, as for an error that it raised; without one, what the job was enqueued with.
    """
    task = TASKS.get(assignment.task)
    policy = task.retry if task else None
    left = assignment.number("retries_left")
    if left is None:
        left = policy.attempts - 1 if policy else 0
    if left <= 0 or (policy and because in STANDS_FOR and issubclass(STANDS_FOR[because], policy.permanent)):
        return 0, 0
    if policy:
        return left, math.ceil(policy.wait(max(0, policy.attempts - 1 - left), None))
    intervals = json.loads(assignment.text("retry_intervals") or "[]")
    return left, int(intervals[max(0, len(intervals) - left)]) if intervals else 0


def cancelled_unstarted(assignment: Assignment, worker: str, slot: int) -> Ending:
    """Answer the ending of a job that was cancelled while it lay in a slot's mailbox."""
    text = "The job was cancelled before it began."
    line = run_event.line(assignment, worker, slot, "stopped", time.time(), ended=time.time(), message=text)
    return Failed(assignment, worker, killed_words(assignment, "stopped", text, line))


def killed_text(assignment: Assignment, because: str) -> str:
    """Answer why we killed a slot, for a reader; '' where it died by itself."""
    return {
        "timeout": f"The task did not listen to its timeout of {assignment.timeout} seconds and was killed.",
        "memory": f"The task used more than {settings.WORKER_SLOT_MEMORY_MB} MB of memory and was killed.",
        "killed on request": "The slot was killed on request while it ran this job.",
    }.get(because, "")


def killed_words(
    assignment: Assignment, verdict: str, text: str, line: str, left: int = 0, wait: int = 0
) -> tuple[Any, ...]:
    """Answer the words of fail.lua for a job whose slot we killed."""
    started, now = assignment.taken_on, time.time()
    at_front = int(assignment.text("enqueue_at_front_on_retry") == "1")
    return (
        verdict, wait, at_front, run_event.failure_ttl(assignment), left - 1 if left else "", "",
        *run_event.dates(started, now), started, now, run_event.encode_trace(text), line,
    )  # fmt: skip


def killed_message(ending: Failed, because: str) -> tuple[Any, ...]:
    """Answer the message that has a slot tell the exception handlers of a job whose slot we killed."""
    words = (ending.assignment.queue, ending.assignment.job_id, because, ending.words[0])
    return ("killed", *(word.encode() for word in words))


def ended_message(assignment: Assignment) -> tuple[Any, ...]:
    """Answer the message that has a slot do what follows a job's end, where the slot that ended it died over that."""
    return ("ended", assignment.queue.encode(), assignment.job_id.encode())


def finish_message(
    assignment: Assignment, kind: str, started: float, value: str, trace: str, line: str
) -> tuple[Any, ...]:
    """Answer the message that has a slot end a job through rq's code."""
    return ("finish", *assignment.message[1:], kind, started, value, trace, line)


def commit(ended: Sequence[Ending], worker: str) -> tuple[list[Command], list[Reader]]:
    """Answer the commands that tell Redis of these endings, and what to do with each reply."""
    commands: list[Command] = []
    readers: list[Reader] = []
    succeeded = [ending for ending in ended if isinstance(ending, Succeeded)]
    if succeeded:
        words: list[Any] = []
        for success in succeeded:
            taken = success.assignment
            words += [*taken.place, int(taken.is_recorded), *success.words, taken.data]
        commands.append(script("commit").command(worker, *words))
        readers.append(
            lambda replies: [
                chore for ending, reply in zip(succeeded, replies, strict=True) for chore in ending.chores(reply)
            ]
        )
    for ending in ended:
        if (command := ending.command()) is not None:
            commands.append(command)
            readers.append(ending.chores)
    return commands, readers
