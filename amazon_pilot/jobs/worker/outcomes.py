"""How a job's run ends, as the worker tells Redis: one class per outcome, and the packet that commits them.

Every outcome is one script that begins by taking the run's entry out of the started registry; where that entry is gone,
the run has lost its right to decide and nothing is written. So each may be sent twice.
"""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from rq.timeouts import JobTimeoutException

from ..core.registry import TASKS
from ..core.scripts import script
from ..core.shared_memory import SharedMemory
from ..core.taken_job import TakenJob
from ..core.values import Command, Json, Word
from ..history import run_event
from . import recoverer
from .messages import GarbageError, Message

FollowUp = tuple[Message, TakenJob | None]
Reader = Callable[[Any], list[FollowUp]]

HAS_DEPENDENTS = 2
WORDS: dict[str, tuple[type, ...]] = {  # what a slot says, and of what kind its words are
    "done": (int, str, str, float, float, str, str),
    "failed": (str, int, int, int, str, str, str, str, float, float, str, str),
    "settled": (str,),
    "refused": (),
    "idle": (),
}
GIVEN_BACK = {
    "leaving": "The worker left; the job was given back.",
    "interrupted": "The slot was ended for the sake of the job before; this one was given back.",
    "unbegun": "The slot ended before it began with this job, which was given back.",
}
KILLED = ("timeout", "memory", "killed on request", "garbage")  # a failure that is the job's own
# What the task would have raised had it listened: a policy may call it permanent.
STANDS_FOR: dict[str, type[BaseException]] = {"timeout": JobTimeoutException, "memory": MemoryError}


@dataclass(slots=True)
class Outcome(ABC):
    """What became of one run; `counts_as` is the number of its worker that grows by it."""

    taken_job: TakenJob
    worker: str
    is_suspect: bool = field(default=False, kw_only=True)  # Redis has refused a packet for it, so it goes alone

    counts_as = "succeeded"

    @property
    def seconds(self) -> float | None:
        """How long the task took by its slot's own account; None where the slot gave none."""
        return None

    @abstractmethod
    def command(self) -> Command | None:
        """Return the command that tells Redis, None where this outcome needs none of its own."""

    def follow_ups(self, reply: object) -> list[FollowUp]:
        """Return what a slot has to do through rq's code now that Redis has answered."""
        return []


@dataclass(slots=True)
class Succeeded(Outcome):
    """The task returned; committed with all others of its kind in one script."""

    words: Message  # ttl, started and ended as text, both in seconds, result, line

    @property
    def seconds(self) -> float:
        return float(self.words[4] - self.words[3])

    def command(self) -> None:
        return None  # see `commit`

    def follow_ups(self, reply: object) -> list[FollowUp]:
        if reply != HAS_DEPENDENTS:
            return []
        started, value, line = self.words[3], self.words[5], self.words[6]
        return [(finish_message(self.taken_job, "done", started, value, "", line), self.taken_job)]


@dataclass(slots=True)
class Failed(Outcome):
    """The attempt raised, was cancelled, or its slot had to be killed."""

    words: Message  # as scripts/fail.lua wants them, from the verdict on
    is_again: bool = (
        False  # the slot that ended it through rq's code had to be killed: its callback is not called again
    )

    counts_as = "failed"

    @property
    def seconds(self) -> float:
        return float(self.words[9] - self.words[8])

    def command(self) -> Command:
        return script("fail").command(self.worker, *self.taken_job.run_id, *self.words, self.taken_job.data)

    def follow_ups(self, reply: object) -> list[FollowUp]:
        if reply != HAS_DEPENDENTS:
            return []
        verdict, started, line = self.words[0], self.words[8], self.words[11]
        verdict = "cut" if verdict == "stopped" and self.is_again else verdict
        return [(finish_message(self.taken_job, verdict, started, "", self.words[10], line), self.taken_job)]


@dataclass(slots=True)
class Settled(Outcome):
    """rq's own code has ended the job and told the history; only our own counters are left."""

    outcome: str

    def command(self) -> None:
        return None

    @property
    def counts_as(self) -> str:  # type: ignore[override]
        return "succeeded" if self.outcome == "succeeded" else "failed"


@dataclass(slots=True)
class Lost(Outcome):
    """The slot died, and not by our hand."""

    cause: str
    line: str

    counts_as = "lost"

    def command(self) -> Command:
        poison = run_event.encode_trace(recoverer.POISON)
        return script("lose").command(*self.taken_job.run_id, self.cause, poison, self.line, self.taken_job.data)

    def follow_ups(self, reply: object) -> list[FollowUp]:
        if reply not in (b"queued", b"poison"):
            return []
        message = ("lost", self.taken_job.queue.encode(), self.taken_job.job_id.encode(), self.cause.encode(), reply)
        return [(message, None)]


@dataclass(slots=True)
class GivenBack(Outcome):
    """The worker leaves before the job has ended, or its slot died before it began."""

    line: str = ""

    counts_as = "given back"

    def command(self) -> Command:
        return script("give_back").command(*self.taken_job.run_id, self.worker, self.line, self.taken_job.data)


def from_message(message: Message, taken_job: TakenJob | None, worker: str) -> Outcome | None:
    """Return the outcome that a slot tells of, or None where nothing is to be written.

    Raises GarbageError for a message that tells of no outcome.
    """
    kind, words = message[0], message[1:]
    if not isinstance(kind, str) or WORDS.get(kind) != tuple(map(type, words)):
        raise GarbageError(f"A slot has said {str(message)[:200]}.")
    if taken_job is None or kind in ("refused", "idle"):
        return None
    if kind == "settled":
        return Settled(taken_job, worker, words[0])
    return Succeeded(taken_job, worker, words) if kind == "done" else Failed(taken_job, worker, words)


def untold(taken_job: TakenJob, worker: str, slot: int, reason: str) -> "Failed":
    """Return the outcome of a job of which nothing better can be told than that it ended, and why no more is known."""
    text = f"What became of this job could not be told: {reason}"
    line = run_event.line(
        taken_job, worker, slot, "failed", taken_job.taken_on, ended=time.time(), message=text, exception="untold"
    )
    return Failed(taken_job, worker, killed_words(taken_job, "failed", text, line), is_suspect=True)


def unbegun(taken_job: TakenJob, worker: str, slot: int) -> GivenBack:
    """Return the outcome of a job that goes back before it began, told if the history has it as started."""
    if not taken_job.is_recorded:
        return GivenBack(taken_job, worker)
    started, text = taken_job.taken_on, GIVEN_BACK["unbegun"]
    line = run_event.line(taken_job, worker, slot, "stopped", started, ended=time.time(), message=text, cause="unbegun")
    return GivenBack(taken_job, worker, line)


def of_the_dead(taken_job: TakenJob, worker: str, slot: int, shared: SharedMemory, because: str) -> Outcome:
    """Return what becomes of the job of a dead slot, by the reason of its death."""
    started, now = taken_job.taken_on, time.time()

    def line(outcome: str, **more: Json) -> str:
        return run_event.line(
            taken_job, worker, slot, outcome, started, ended=now, cause=because, **run_event.traces(shared), **more
        )

    if because == "cancelled" or taken_job.cancelled_by:
        text = "The job was cancelled, did not end when it was asked to, and was killed."
        return Failed(taken_job, worker, killed_words(taken_job, "stopped", text, line("stopped", message=text)))
    if because in GIVEN_BACK:
        return GivenBack(taken_job, worker, line("stopped", message=GIVEN_BACK[because]))
    if because == "lease lost":  # refused where another worker has the job, and written where it was deleted
        text = "The job was deleted or cancelled while it ran, so it was ended."
        return Failed(taken_job, worker, killed_words(taken_job, "stopped", text, line("stopped", message=text)))
    text = killed_text(taken_job, because)
    if not text and shared.has_failed:
        text = f"The task failed, and its slot died while it described the error ({because})."
    if not text:
        return Lost(taken_job, worker, because, line("lost"))
    left, wait = retry_after_kill(taken_job, because)
    verdict = "failed" if not left else "scheduled" if wait else "queued"
    outcome = "retrying" if left else "failed"
    history = line(outcome, message=text, exception=because, retry_in=wait or None)
    return Failed(taken_job, worker, killed_words(taken_job, verdict, text, history, left, wait))


def retry_after_kill(taken_job: TakenJob, because: str) -> tuple[int, int]:
    """Return the retries left to a job whose slot we killed, this one included, and the seconds until it.

    The task's own policy decides, as for an error that it raised; without one, what the job was enqueued with.
    """
    task = TASKS.get(taken_job.task)
    policy = task.retry if task else None
    left = taken_job.number("retries_left")
    if left is None:
        left = policy.attempts - 1 if policy else 0
    if left <= 0 or (policy and because in STANDS_FOR and issubclass(STANDS_FOR[because], policy.permanent)):
        return 0, 0
    if policy:
        return left, math.ceil(policy.wait(max(0, policy.attempts - 1 - left), None))
    intervals = taken_job.retry_intervals
    return left, intervals[max(0, len(intervals) - left)] if intervals else 0


def cancelled_unstarted(taken_job: TakenJob, worker: str, slot: int) -> Outcome:
    """Return the outcome of a job that was cancelled while it lay in a slot's slot_queue."""
    text = "The job was cancelled before it began."
    line = run_event.line(taken_job, worker, slot, "stopped", time.time(), ended=time.time(), message=text)
    return Failed(taken_job, worker, killed_words(taken_job, "stopped", text, line))


def killed_text(taken_job: TakenJob, because: str) -> str:
    """Return why we killed a slot, for a reader; '' where it died by itself."""
    return {
        "timeout": f"The task did not listen to its timeout of {taken_job.timeout} seconds and was killed.",
        "memory": f"The task used more than {settings.WORKER_SLOT_MEMORY_MB} MB of memory and was killed.",
        "killed on request": "The slot was killed on request while it ran this job.",
        "garbage": "The task wrote into the line between its slot and the worker, so what became of it was not heard.",
    }.get(because, "")


def killed_words(taken_job: TakenJob, verdict: str, text: str, line: str, left: int = 0, wait: int = 0) -> Message:
    """Return the words of fail.lua for a job whose slot we killed."""
    started, now = taken_job.taken_on, time.time()
    at_front = int(taken_job.text("enqueue_at_front_on_retry") == "1")
    return (
        verdict, wait, at_front, run_event.failure_ttl(taken_job), left - 1 if left else "", "",
        *run_event.dates(started, now), started, now, run_event.encode_trace(text), line,
    )  # fmt: skip


def killed_message(outcome: Failed, because: str) -> Message:
    """Return the message that has a slot tell the exception handlers of a job whose slot we killed."""
    words = (outcome.taken_job.queue, outcome.taken_job.job_id, because, outcome.words[0])
    return ("killed", *(word.encode() for word in words))


def ended_message(taken_job: TakenJob) -> Message:
    """Return the message that has a slot do what follows a job's end, where the slot that ended it died over that."""
    return ("ended", taken_job.queue.encode(), taken_job.job_id.encode())


def finish_message(taken_job: TakenJob, kind: str, started: float, value: str, trace: str, line: str) -> Message:
    """Return the message that has a slot end a job through rq's code."""
    return ("finish", *taken_job.message[1:], kind, started, value, trace, line)


@dataclass(slots=True)
class Part:
    """One command of a packet: the outcomes that it tells of, and what to do with its reply."""

    command: Command
    ended: Sequence[Outcome]
    read: Reader


def commit(ended: Sequence[Outcome], worker: str) -> list[Part]:
    """Return what tells Redis of these outcomes: those that succeeded in one command, each of the others in its own."""
    succeeded = [outcome for outcome in ended if isinstance(outcome, Succeeded)]
    together = [outcome for outcome in succeeded if not outcome.is_suspect]
    groups = [together] if together else []
    groups += [[outcome] for outcome in succeeded if outcome.is_suspect]
    parts = [success_part(group, worker) for group in groups]
    singly = [(outcome, outcome.command()) for outcome in ended]
    parts += [Part(command, [outcome], outcome.follow_ups) for outcome, command in singly if command is not None]
    return parts


def success_part(group: Sequence[Succeeded], worker: str) -> Part:
    words: list[Word] = []
    for success in group:
        taken = success.taken_job
        words += [*taken.run_id, int(taken.is_recorded), *success.words, taken.data]

    def read(replies: Sequence[object]) -> list[FollowUp]:
        pairs = zip(group, replies, strict=True)
        return [follow_up for outcome, reply in pairs for follow_up in outcome.follow_ups(reply)]

    return Part(script("commit").command(worker, *words), group, read)
