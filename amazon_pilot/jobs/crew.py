"""The slots as their worker sees them: forked, handed jobs, watched, killed when they must be."""

import gc
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from django.conf import settings
from django.db import connections

from ..embedded import end_with_parent
from .assignment import Assignment
from .cell import Cell
from .slot import Slot
from .wire import Wire

logger = logging.getLogger(__name__)

KILL_AFTER = 5.0  # seconds over its timeout, or without answering after its task ended
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(eq=False)
class Place:
    """One slot: its process while it lives, and what it holds."""

    number: int
    cell: Cell = field(default_factory=Cell)
    pid: int = 0
    wire: Wire | None = None
    assignment: Assignment | None = None
    is_busy: bool = False
    killed_because: str = ""
    jobs_done: int = 0
    born_at: float = 0
    fork_at: float = 0
    stillbirths: int = 0

    @property
    def is_idle(self) -> bool:
        return self.pid != 0 and not self.is_busy and not self.killed_because

    def kill(self, because: str) -> None:
        """End the process and everything it started, at once."""
        if self.pid and not self.killed_because:
            self.killed_because = because
            kill_group(self.pid)

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
        born = [place for place in self.places if not place.pid and place.fork_at <= now]
        for place in born:
            self._fork(place)
        return born

    def _fork(self, place: Place) -> None:
        ours, theirs = Wire.pair()
        place.cell.clear()

        def close() -> None:
            ours.close()
            for other in self.places:
                if other.wire is not None:
                    other.wire.close()
            self.close()

        place.pid = fork(lambda: Slot(place.number, self.worker, theirs, place.cell).live(), close)
        theirs.close()
        place.wire, place.born_at, place.jobs_done = ours, time.monotonic(), 0
        place.killed_because, place.is_busy, place.assignment = "", False, None

    def idle(self) -> list[Place]:
        return [place for place in self.places if place.is_idle]

    def assignments(self) -> list[Assignment]:
        return [place.assignment for place in self.places if place.assignment is not None]

    def holder(self, job_id: str, execution_id: str = "") -> Place | None:
        """Answer the slot that runs a job, of that execution only where one is named."""
        for place in self.places:
            held = place.assignment
            if held and held.job_id == job_id and execution_id in ("", held.execution_id):
                return place
        return None

    def hand(self, place: Place, message: tuple[Any, ...], assignment: Assignment | None) -> bool:
        """Give a slot something to do; False where it is dead, and then it holds nothing."""
        assert place.wire is not None
        try:
            place.wire.send(message)
        except OSError:
            place.kill("does not read")
            return False
        place.assignment, place.is_busy = assignment, True
        return True

    def overdue(self) -> Iterator[tuple[Place, str]]:
        """Answer the slots that must be killed, and why."""
        now = time.monotonic()
        limit = settings.WORKER_SLOT_MEMORY_MB * 1024**2
        for place in self.places:
            held = place.assignment
            if held is None:
                continue
            if held.kill_at is not None and now > held.kill_at:
                yield place, "cancelled"
            elif held.timeout is not None and now > held.taken_at + held.timeout + KILL_AFTER:
                yield place, "timeout"
            elif now - held.taken_at > 1 and place.memory() > limit:
                yield place, "memory"

    def retire(self, place: Place) -> None:
        """Let a slot that has done its share go, between two jobs; a fresh one takes its place."""
        too_big = place.jobs_done % 100 == 0 and place.memory() > settings.WORKER_SLOT_MEMORY_MB * 1024**2 / 2
        if place.jobs_done >= settings.WORKER_SLOT_JOBS or too_big:
            place.killed_because = "recycled"
            if place.wire is not None:
                place.wire.say_no_more()  # the slot reads the end of its line and leaves

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
        if place.wire is not None:
            place.wire.close()
        place.pid, place.wire, place.assignment, place.is_busy = 0, None, None, False


def death_cause(status: int) -> str:
    """Answer in words how a slot ended."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return f"slot_killed: signal {number} ({signal.Signals(number).name})"
    return f"slot_killed: it left with code {os.waitstatus_to_exitcode(status)}"
