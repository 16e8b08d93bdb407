"""The slots as their worker sees them: forked, handed jobs, watched, killed when they must be."""

import contextlib
import gc
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

from django.conf import settings
from django.db import connections

from ...embedded import end_with_parent
from ..core import secrets
from ..core.shared_memory import SharedMemory
from ..core.taken_job import TakenJob
from .messages import Message, MessageSocket, SlotQueue
from .outcomes import FollowUp
from .recent_outcomes import RecentOutcomes
from .slot import MESSAGE_FOLLOWS, Slot

logger = logging.getLogger(__name__)

KILL_AFTER = 5.0  # seconds over its timeout, or without answering after its task ended
FORK_AGAIN = 1.0  # seconds, where the system refused a fork
GONE = -1  # beside the wait statuses, which are never negative
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(eq=False)
class SlotHandle:
    """One slot: its process while it lives, and what it was handed, in the order in which it will be done.

    The first of `hands` is what the slot does now; anything behind it lies in its slot queue and can be taken back.
    If that first is a follow-up it is in `follow_up` too, and a None among the hands if it belongs to no job of ours.
    """

    number: int
    shared: SharedMemory = field(default_factory=SharedMemory)
    recent: RecentOutcomes = field(default_factory=RecentOutcomes)
    pid: int = 0
    message_socket: MessageSocket | None = None
    slot_queue: SlotQueue | None = None
    hands: deque[TakenJob | None] = field(default_factory=deque)
    follow_up: FollowUp | None = None
    asked: int = 0  # jobs that packets under way ask for on its behalf
    has_parcel: bool = False  # its message was too large for the slot queue: nothing may lie behind it
    killed_because: str = ""
    stack_of: str = ""  # the execution whose stack was asked for and is not shown yet
    killed_for: TakenJob | None = None  # the job that the kill was meant for
    is_retiring: bool = False  # it does what lies in its slot queue, then leaves
    jobs_done: int = 0
    born_at: float = 0
    fork_at: float = 0
    stillbirths: int = 0

    @property
    def is_idle(self) -> bool:
        return self.pid != 0 and not self.hands and not self.asked and not self.killed_because and not self.is_retiring

    @property
    def takes_ahead(self) -> bool:
        """Tell whether a job may lie in the slot queue behind what the slot does: behind a short job that is let be."""
        if not self.pid or self.killed_because or self.is_retiring or self.has_parcel or self.follow_up is not None:
            return False
        front = self.taken_job
        return front is None or not (front.cancelled_by or front.is_long)

    @property
    def taken_job(self) -> TakenJob | None:
        """The job that the slot runs now, if it runs one."""
        return self.hands[0] if self.hands else None

    def done(self) -> TakenJob | None:
        """Note that the slot has done the first of what it holds, and answer that; the next begins now."""
        finished = self.hands.popleft() if self.hands else None
        self.follow_up = None
        self.jobs_done += 1
        self.has_parcel = False
        if following := self.taken_job:
            following.begin()
        return finished

    def take_back(self) -> tuple[list[TakenJob], list[FollowUp]]:
        """Take from the slot what it has not begun; returns these jobs, the last first, and a follow-up beside them."""
        messages = self.slot_queue.take_back() if self.slot_queue is not None and self.hands else 0
        taken = [self.hands.pop() for _ in range(min(messages, len(self.hands)))]
        follow_ups = [self.follow_up] if self.follow_up is not None and not self.hands else []
        if follow_ups:
            taken.pop()
            self.follow_up = None
        return [taken_job for taken_job in taken if taken_job is not None], follow_ups

    def close_lines(self) -> None:
        """Close this process's ends of both lines."""
        if self.message_socket is not None and self.slot_queue is not None:
            self.message_socket.close()
            self.slot_queue.close()

    def kill(self, because: str) -> None:
        """End the process and everything it started, at once."""
        if self.pid and not self.killed_because:
            self.killed_because, self.killed_for = because, self.taken_job
            kill_group(self.pid)

    def ask_stack(self) -> None:
        """Ask the job that runs now where it is; the worker shows the answer with its next snapshot."""
        if self.pid and not self.killed_because and self.taken_job is not None:
            with contextlib.suppress(ProcessLookupError):
                self.shared.ask_stack(self.pid)
                self.stack_of = self.taken_job.execution_id

    def cause_of_death(self, status: int) -> str:
        """Return in words why the slot died, as it concerns the job that it has now.

        The job that a kill was meant for may have ended in the same moment: the next one was interrupted, no more.
        """
        if self.killed_because and self.killed_for is not self.taken_job:
            return "interrupted"
        return self.killed_because or death_cause(status)

    def memory(self) -> int:
        """Return the resident memory of the slot in bytes, 0 where it cannot be told."""
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


def fork(life: Callable[[], None], close: Callable[[], None], told_of_death_by: signal.Signals = signal.SIGKILL) -> int:
    """Fork a child that runs `life` and ends; returns its pid. `close` drops what the child must not keep open.

    A slot ends with its parent even when that is killed: an orphan has no lease and must not work on.
    """
    connections.close_all()
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    _live(life, close, parent, told_of_death_by)


def _live(
    life: Callable[[], None], close: Callable[[], None], parent: int, told_of_death_by: signal.Signals
) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        end_with_parent(told_of_death_by)
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


class Pool:
    """All slots of one worker."""

    def __init__(self, worker: str, size: int, close: Callable[[], None]) -> None:
        self.worker = worker
        self.handles = [SlotHandle(number) for number in range(1, size + 1)]
        self.close = close
        secrets.of_environment()  # what a slot found for itself would be a memory of its own: 1.7 MB
        gc.collect()
        gc.freeze()  # what is loaded now is never looked at by the collector, so it stays shared after the fork

    def __iter__(self) -> Iterator[SlotHandle]:
        return iter(self.handles)

    def fill(self) -> list[SlotHandle]:
        """Fork the slots that are missing and whose time has come; returns them."""
        now = time.monotonic()
        missing = [handle for handle in self.handles if not handle.pid and handle.fork_at <= now]
        for handle in missing:
            try:
                self._fork(handle)
            except OSError as error:
                logger.warning("Slot %s could not be forked, trying again soon: %s", handle.number, error)
                handle.fork_at = now + FORK_AGAIN
        return [handle for handle in missing if handle.pid]

    def _fork(self, handle: SlotHandle) -> None:
        ours, theirs = MessageSocket.pair()
        slot_queue = SlotQueue()
        handle.shared.clear()

        def close() -> None:
            ours.close()
            slot_queue.inlet.close()
            for other in self.handles:
                other.close_lines()
            self.close()

        def live() -> None:
            Slot(handle.number, self.worker, slot_queue, theirs, handle.shared, handle.recent).live()

        handle.pid = fork(live, close)
        theirs.close()
        handle.message_socket, handle.slot_queue, handle.born_at, handle.jobs_done = (
            ours,
            slot_queue,
            time.monotonic(),
            0,
        )
        handle.killed_because, handle.killed_for, handle.has_parcel, handle.is_retiring = "", None, False, False

    def idle(self) -> list[SlotHandle]:
        return [handle for handle in self.handles if handle.is_idle]

    def with_room(self, depth: int) -> list[SlotHandle]:
        """Return a handle for each job that the slots can be given now: the idle ones first, then up to `depth` more
        for each slot, to lie in its slot queue behind a short job."""
        room = self.idle()
        ahead = [handle for handle in self.handles if handle.takes_ahead] if depth else []
        for level in range(1, depth + 1):
            room += [handle for handle in ahead if len(handle.hands) + handle.asked <= level]
        return room

    def taken_jobs(self) -> list[TakenJob]:
        return [taken_job for handle in self.handles for taken_job in handle.hands if taken_job is not None]

    def holder(self, job_id: str, execution_id: str = "") -> SlotHandle | None:
        """Return the slot that runs a job or has it in its slot queue, of that execution only where one is named."""
        for handle in self.handles:
            for held in handle.hands:
                if held and held.job_id == job_id and execution_id in ("", held.execution_id):
                    return handle
        return None

    def tell(self, handle: SlotHandle, messages: Sequence[Message]) -> int:
        """Give a slot things to do, the last of those in its hands; returns how many it gets.

        A dead slot gets none, and what is too large for a message only one that has nothing else to do.
        """
        if handle.slot_queue is None or handle.message_socket is None or handle.killed_because or handle.is_retiring:
            return 0
        told = 0
        try:
            for message in messages:
                if handle.has_parcel or not handle.slot_queue.put(message):
                    if len(handle.hands) > 1:
                        break
                    handle.has_parcel = True
                    handle.slot_queue.put(MESSAGE_FOLLOWS)
                    handle.slot_queue.post()
                    handle.message_socket.send(message)
                told += 1
            handle.slot_queue.post()
        except OSError:
            handle.kill("does not read")
        return told

    def overdue(self) -> Iterator[tuple[SlotHandle, str]]:
        """Return the slots that must be killed, and why."""
        now = time.monotonic()
        limit = settings.WORKER_SLOT_MEMORY_MB * 1024**2
        for handle in self.handles:
            held = handle.taken_job
            if not handle.hands:
                continue
            if held is not None and now - held.taken_at > 1 and handle.memory() > limit:
                yield handle, "memory"
            elif now < (closes_by := handle.shared.closes_by):
                continue  # rq's code that ends a job has a limit of its own
            elif held is None or closes_by > held.taken_at:  # a follow-up, or the end of a job, beyond that limit
                yield handle, "timeout"
            elif held.kill_at is not None and now > held.kill_at:
                yield handle, "cancelled"
            elif held.timeout is not None and now > held.taken_at + held.timeout + KILL_AFTER:
                yield handle, "timeout"

    def retire(self, handle: SlotHandle) -> None:
        """Let a slot that has done its share go, between two jobs; a fresh one takes its handle."""
        too_big = handle.jobs_done % 100 == 0 and handle.memory() > settings.WORKER_SLOT_MEMORY_MB * 1024**2 / 2
        if (handle.jobs_done >= settings.WORKER_SLOT_JOBS or too_big) and not handle.is_retiring:
            handle.is_retiring = True
            if handle.slot_queue is not None:
                handle.slot_queue.close_inlet()

    def dead(self) -> list[tuple[SlotHandle, int]]:
        """Collect the slots whose process has ended, with their wait status."""
        ended = []
        for handle in self.handles:
            if not handle.pid:
                continue
            if (status := reaped(handle.pid)) is not None:
                ended.append((handle, status))
        return ended

    def bury(self, handle: SlotHandle) -> None:
        """Free the handle of a dead slot; one that dies at birth again and again is forked again ever later."""
        stillborn = time.monotonic() - handle.born_at < 1 and not handle.jobs_done and not handle.killed_because
        handle.stillbirths = handle.stillbirths + 1 if stillborn else 0
        delay = min(10.0, 0.1 * 2**handle.stillbirths) if stillborn else 0.0
        handle.fork_at = time.monotonic() + delay
        handle.close_lines()
        handle.hands.clear()
        handle.follow_up = None
        handle.pid, handle.message_socket, handle.slot_queue = 0, None, None


def reaped(pid: int) -> int | None:
    """Return the wait status of a child that has ended, None while it lives, GONE if somebody else has collected it."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return GONE
    return status if ended else None


def await_end(pid: int) -> None:
    """Wait for the end of a child that was killed."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def death_cause(status: int) -> str:
    """Return in words how a slot ended."""
    if status == GONE:
        return "slot_killed: it is gone, and how it ended was told to somebody else"
    if os.WIFSIGNALED(status):
        return f"slot_killed: signal {signal_name(os.WTERMSIG(status))}"
    return f"slot_killed: it left with code {os.waitstatus_to_exitcode(status)}"


def signal_name(number: int) -> str:
    """Return a signal's number and name; those for programs' own use are counted from the first of them."""
    try:
        return f"{number} ({signal.Signals(number).name})"
    except ValueError:
        return f"{number} (SIGRTMIN+{number - signal.SIGRTMIN})"
