"""The slots as their worker sees them: forked, handed jobs, watched, killed when they must be."""

import gc
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django.conf import settings
from django.db import connections

from ...embedded import end_with_parent
from ..core.shared_memory import Cell
from ..core.taken_job import Assignment
from .messages import Mailbox, Wire
from .outcomes import Chore
from .slot import LETTER_FOLLOWS, Slot

logger = logging.getLogger(__name__)

KILL_AFTER = 5.0  # seconds over its timeout, or without answering after its task ended
FORK_AGAIN = 1.0  # seconds, where the system refused a fork
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(eq=False)
class Place:
    """One slot: its process while it lives, and what it was handed, in the order in which it will be done.

    The first of `hands` is what the slot does now; anything behind it lies in its mailbox and can be taken back.
    Where that first is a chore it is in `chore` too, and a None among the hands where it belongs to no job of ours.
    """

    number: int
    cell: Cell = field(default_factory=Cell)
    pid: int = 0
    wire: Wire | None = None
    mailbox: Mailbox | None = None
    hands: deque[Assignment | None] = field(default_factory=deque)
    chore: Chore | None = None
    asked: int = 0  # jobs that packets under way ask for on its behalf
    has_parcel: bool = False  # its message was too large for the mailbox: nothing may lie behind it
    killed_because: str = ""
    killed_for: Assignment | None = None  # the job that the kill was meant for
    is_retiring: bool = False  # it does what lies in its mailbox, then leaves
    jobs_done: int = 0
    born_at: float = 0
    fork_at: float = 0
    stillbirths: int = 0

    @property
    def is_idle(self) -> bool:
        return self.pid != 0 and not self.hands and not self.asked and not self.killed_because and not self.is_retiring

    @property
    def takes_ahead(self) -> bool:
        """Tell whether a job may lie in the mailbox behind what the slot does: behind a short job that is let be."""
        if not self.pid or self.killed_because or self.is_retiring or self.has_parcel or self.chore is not None:
            return False
        front = self.assignment
        return front is None or not (front.cancelled_by or front.is_long)

    @property
    def assignment(self) -> Assignment | None:
        """The job that the slot runs now, if it runs one."""
        return self.hands[0] if self.hands else None

    def done(self) -> Assignment | None:
        """Note that the slot has done the first of what it holds, and answer that; the next begins now."""
        finished = self.hands.popleft() if self.hands else None
        self.chore = None
        self.jobs_done += 1
        self.has_parcel = False
        if following := self.assignment:
            following.begin()
        return finished

    def take_back(self) -> tuple[list[Assignment], list[Chore]]:
        """Take from the slot what it has not begun; answers these jobs, the last first, and a chore beside them."""
        letters = self.mailbox.take_back() if self.mailbox is not None and self.hands else 0
        taken = [self.hands.pop() for _ in range(letters)]
        chores = [self.chore] if self.chore is not None and not self.hands else []
        if chores:
            taken.pop()
            self.chore = None
        return [assignment for assignment in taken if assignment is not None], chores

    def close_lines(self) -> None:
        """Close this process's ends of both lines."""
        if self.wire is not None and self.mailbox is not None:
            self.wire.close()
            self.mailbox.close()

    def kill(self, because: str) -> None:
        """End the process and everything it started, at once."""
        if self.pid and not self.killed_because:
            self.killed_because, self.killed_for = because, self.assignment
            kill_group(self.pid)

    def cause_of_death(self, status: int) -> str:
        """Answer in words why the slot died, as it concerns the job that it has now.

        The job that a kill was meant for may have ended in the same moment: the next one was interrupted, no more.
        """
        if self.killed_because and self.killed_for is not self.assignment:
            return "interrupted"
        return self.killed_because or death_cause(status)

    def memory(self) -> int:
        """Answer the resident memory of the slot in bytes, 0 where it cannot be told."""
        try:
            with open(f"/proc/{self.pid}/statm") as file:
                return int(file.read().split()[1]) * PAGE
        except (OSError, IndexError):
            return 0


def kill_group(pid: int) -> None:
    """Kill a child and its process group; a child that has just been born may not lead its group yet."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def fork(life: Callable[[], None], close: Callable[[], None]) -> int:
    """Fork a child that runs `life` and ends; answers its pid. `close` drops what the child must not keep open.

    The child ends with its parent even when that is killed: an orphan has no lease and must not work on.
    """
    connections.close_all()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    _live(life, close, parent)


def _live(life: Callable[[], None], close: Callable[[], None], parent: int) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        end_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        close()
        life()
        code = 0
    except BaseException:
        logger.exception("A child of the worker ended.")
    finally:
        os._exit(code)


class Crew:
    """All slots of one worker."""

    def __init__(self, worker: str, size: int, close: Callable[[], None]) -> None:
        self.worker = worker
        self.places = [Place(number) for number in range(1, size + 1)]
        self.close = close
        gc.collect()
        gc.freeze()  # what is loaded now is never looked at by the collector, so it stays shared after the fork

    def __iter__(self) -> Iterator[Place]:
        return iter(self.places)

    def fill(self) -> list[Place]:
        """Fork the slots that are missing and whose time has come; answers them."""
        now = time.monotonic()
        missing = [place for place in self.places if not place.pid and place.fork_at <= now]
        for place in missing:
            try:
                self._fork(place)
            except OSError as error:
                logger.warning("Slot %s could not be forked, trying again soon: %s", place.number, error)
                place.fork_at = now + FORK_AGAIN
        return [place for place in missing if place.pid]

    def _fork(self, place: Place) -> None:
        ours, theirs = Wire.pair()
        mailbox = Mailbox()
        place.cell.clear()

        def close() -> None:
            ours.close()
            mailbox.inlet.close()
            for other in self.places:
                other.close_lines()
            self.close()

        place.pid = fork(lambda: Slot(place.number, self.worker, mailbox, theirs, place.cell).live(), close)
        theirs.close()
        place.wire, place.mailbox, place.born_at, place.jobs_done = ours, mailbox, time.monotonic(), 0
        place.killed_because, place.killed_for, place.has_parcel, place.is_retiring = "", None, False, False

    def idle(self) -> list[Place]:
        return [place for place in self.places if place.is_idle]

    def with_room(self, depth: int) -> list[Place]:
        """Answer a place for each job that the slots can be given now: the idle ones first, then up to `depth` more
        for each slot, to lie in its mailbox behind a short job."""
        room = self.idle()
        ahead = [place for place in self.places if place.takes_ahead] if depth else []
        for level in range(1, depth + 1):
            room += [place for place in ahead if len(place.hands) + place.asked <= level]
        return room

    def assignments(self) -> list[Assignment]:
        return [assignment for place in self.places for assignment in place.hands if assignment is not None]

    def holder(self, job_id: str, execution_id: str = "") -> Place | None:
        """Answer the slot that runs a job or has it in its mailbox, of that execution only where one is named."""
        for place in self.places:
            for held in place.hands:
                if held and held.job_id == job_id and execution_id in ("", held.execution_id):
                    return place
        return None

    def tell(self, place: Place, messages: Sequence[tuple[Any, ...]]) -> int:
        """Give a slot things to do, the last of those in its hands; answers how many it gets.

        A dead slot gets none, and what is too large for a letter only one that has nothing else to do.
        """
        if place.mailbox is None or place.wire is None or place.killed_because or place.is_retiring:
            return 0
        told = 0
        try:
            for message in messages:
                if place.has_parcel or not place.mailbox.put(message):
                    if len(place.hands) > 1:
                        break
                    place.has_parcel = True
                    place.mailbox.put(LETTER_FOLLOWS)
                    place.mailbox.post()
                    place.wire.send(message)
                told += 1
            place.mailbox.post()
        except OSError:
            place.kill("does not read")
        return told

    def overdue(self) -> Iterator[tuple[Place, str]]:
        """Answer the slots that must be killed, and why."""
        now = time.monotonic()
        limit = settings.WORKER_SLOT_MEMORY_MB * 1024**2
        for place in self.places:
            held = place.assignment
            if not place.hands:
                continue
            if held is not None and now - held.taken_at > 1 and place.memory() > limit:
                yield place, "memory"
            elif now < (closes_by := place.cell.closes_by):
                continue  # rq's code that ends a job has a limit of its own
            elif held is None or closes_by > held.taken_at:  # a chore, or the end of a job, beyond that limit
                yield place, "timeout"
            elif held.kill_at is not None and now > held.kill_at:
                yield place, "cancelled"
            elif held.timeout is not None and now > held.taken_at + held.timeout + KILL_AFTER:
                yield place, "timeout"

    def retire(self, place: Place) -> None:
        """Let a slot that has done its share go, between two jobs; a fresh one takes its place."""
        too_big = place.jobs_done % 100 == 0 and place.memory() > settings.WORKER_SLOT_MEMORY_MB * 1024**2 / 2
        if (place.jobs_done >= settings.WORKER_SLOT_JOBS or too_big) and not place.is_retiring:
            place.is_retiring = True
            if place.mailbox is not None:
                place.mailbox.close_inlet()

    def dead(self) -> list[tuple[Place, int]]:
        """Collect the slots whose process has ended, with their wait status."""
        ended = []
        for place in self.places:
            if not place.pid:
                continue
            pid, status = os.waitpid(place.pid, os.WNOHANG)
            if pid:
                ended.append((place, status))
        return ended

    def bury(self, place: Place) -> None:
        """Free the place of a dead slot; one that dies at birth again and again is forked again ever later."""
        stillborn = time.monotonic() - place.born_at < 1 and not place.jobs_done and not place.killed_because
        place.stillbirths = place.stillbirths + 1 if stillborn else 0
        delay = min(10.0, 0.1 * 2**place.stillbirths) if stillborn else 0.0
        place.fork_at = time.monotonic() + delay
        place.close_lines()
        place.hands.clear()
        place.chore = None
        place.pid, place.wire, place.mailbox = 0, None, None


def death_cause(status: int) -> str:
    """Answer in words how a slot ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"slot_killed: signal {number} ({signal.Signals(number).name})"
    return f"slot_killed: it left with code {os.waitstatus_to_exitcode(status)}"
