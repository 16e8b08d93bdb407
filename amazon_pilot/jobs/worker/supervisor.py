"""One worker: a process with ten slots that takes jobs by weight, commits what became of them, and leaves cleanly.

It runs no task, asks no database and waits for nothing but its selector, so it always knows what its slots do. At each
moment a job that it has taken is in rq's started registry and in exactly one of: a slot's hands (`SlotHandle`),
the outcomes that Redis has not heard of yet, or the follow-ups that a free slot will do (both in `broker`).
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any
from uuid import uuid4

from django.conf import settings
from redis.connection import AbstractConnection

from ..core import registry
from ..core.limits import LEASE, LONGEST
from ..core.scripts import script
from ..core.taken_job import MOMENT
from ..core.values import Command
from ..history.writer import HistoryWriter
from . import recent_outcomes
from .broker import Broker
from .clock import Clock
from .connection import AwayError, Connection, Heard
from .crew import Crew
from .heartbeat import Heartbeat
from .pool import Pool, SlotHandle, await_end, fork, reaped

logger = logging.getLogger(__name__)

WRITER_SECONDS = 5  # for the last rows; the history itself is safe in Redis

ALL_ENDED, GAVE_BACK_LATE, GAVE_BACK_AT_ONCE = 0, 3, 4  # exit codes


class Supervisor:
    """The supervising process. `burst` makes it leave when nothing waits any more."""

    def __init__(self, names: Sequence[str], *, name: str = "", size: int | None = None, burst: bool = False) -> None:
        self.names = list(names)
        self.name = name or f"{socket.gethostname().partition('.')[0]}-{os.getpid()}-{uuid4().hex[:6]}"
        self.burst = burst
        self.selector = selectors.DefaultSelector()
        self.connection = Connection(self.name, self.names, self.selector)
        self.pool = Pool(self.name, size or settings.WORKER_CONCURRENCY, self.drop_inherited)
        self.broker = Broker(self.name, self.names, self.connection, self.pool)
        self.crew = Crew(self.name, self.selector, self.pool, self.broker)
        self.heartbeat = Heartbeat(self.name, self.names, self.broker.weights)
        self.clock = Clock(self.name, self.names, self.connection, self.crew, self.heartbeat)
        self.writer_pid = 0
        self.signals: deque[int] = deque()
        self.a_child_died = False
        self.wakeup, self.wakeup_in = socket.socketpair()
        self.leaving_since: float | None = None
        self.is_quiet = False
        self.exit_when_empty = ALL_ENDED
        self.exit_code: int | None = None

    def work(self) -> int:
        """Work until told to leave; returns the exit code."""
        self.start()
        try:
            while self.exit_code is None:
                self.turn()
        finally:
            self.stop()
        return self.exit_code

    def turn(self) -> None:
        """Once around, in the order in which a job passes."""
        self.crew.hear_slots(self.wait())
        self.heed_signals()
        self.bury_the_dead()
        self.keep_in_touch()
        self.broker.do_follow_ups()
        self.broker.turn(self.may_take)
        self.clock.tick(self.state)
        self.consider_leaving()

    def start(self) -> None:
        """Listen for signals, connect, fork the slots."""
        self.wakeup.setblocking(False)
        self.wakeup_in.setblocking(False)
        signal.set_wakeup_fd(self.wakeup_in.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, self.on_signal)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # until a slot shows its stack at it, it must do no harm there
        self.selector.register(self.wakeup, selectors.EVENT_READ, self.wakeup)
        self.hire()
        logger.info("Worker %s: %s slots on %s.", self.name, len(self.pool.handles), ", ".join(self.names))

    def hire(self) -> None:
        """Fork what is missing: slots, and the writer of the history."""
        self.crew.register(self.pool.fill())
        if not self.writer_pid and self.leaving_since is None:
            try:
                life = partial(self.write_history, os.getpid())
                self.writer_pid = fork(life, self.drop_inherited_and_wires, signal.SIGTERM)
            except OSError as error:
                logger.warning("The writer of the history could not be forked, trying again soon: %s", error)

    def write_history(self, worker_pid: int) -> None:
        """Live as the writer of the history; where the worker was killed, first commit what its slots had ended."""
        writer = HistoryWriter(self.name, self.names)
        writer.live()
        if os.getppid() != worker_pid:
            signal.alarm(WRITER_SECONDS)  # nobody is left who would end this process
            recent_outcomes.commit_for(self.name, [handle.recent for handle in self.pool])
        writer.leave()

    def drop_inherited(self) -> None:
        """In a new child: let go of what belongs to the worker alone."""
        self.selector.close()
        self.connection.close()
        self.wakeup.close()
        self.wakeup_in.close()

    def drop_inherited_and_wires(self) -> None:
        for handle in self.pool:
            handle.close_lines()
        self.drop_inherited()

    # Waiting and hearing

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)

    def wait(self) -> list[SlotHandle]:
        """Sleep until a slot, a wake-up, a message, a signal or the clock has something to say; returns those slots."""
        self.broker.arm_wake_ups(self.may_take)
        if (seconds := self.broker.rest) > 0:
            time.sleep(seconds)
        spoke: list[SlotHandle] = []
        for key, _ in self.selector.select(self.patience()):
            said_by = key.data
            if isinstance(said_by, SlotHandle):
                spoke.append(said_by)
            elif said_by is self.wakeup:
                self.drain_wakeup()
            elif said_by is self.connection.messages:
                self.heed_messages()
            elif isinstance(said_by, AbstractConnection):
                self.connection.hear_wake_up(said_by)
                self.broker.heed_wake_up()
        return spoke

    def patience(self) -> float:
        """Return how long the worker may sleep."""
        now = time.monotonic()
        if self.broker.is_due(self.may_take):
            return 0
        if not self.connection.is_up:
            return min(MOMENT, max(0, self.connection.next_try - now))
        ends = [self.clock.next]
        if self.broker.wake_up_rest_until > now:
            ends.append(self.broker.wake_up_rest_until)
        return max(0, min(ends) - now)

    def drain_wakeup(self) -> None:
        try:
            while self.wakeup.recv(4096):
                pass
        except BlockingIOError:
            pass  # read to its end

    @property
    def state(self) -> str:
        """What this worker is shown as."""
        return "leaving" if self.leaving_since is not None else "quiet" if self.is_quiet else "working"

    @property
    def may_take(self) -> bool:
        return self.leaving_since is None and not self.is_quiet

    # Signals and messages

    def heed_signals(self) -> None:
        """SIGTERM and SIGINT: leave, and the second time at once. SIGQUIT: leave at once."""
        while self.signals:
            number = self.signals.popleft()
            if number == signal.SIGCHLD:
                self.a_child_died = True
            elif number == signal.SIGQUIT or self.leaving_since is not None:
                self.leave_now(GAVE_BACK_AT_ONCE)
            else:
                self.leave()

    def leave(self) -> None:
        """Take no more jobs, and go when those that run have ended."""
        logger.info("Worker %s takes no more jobs and leaves when those that run have ended.", self.name)
        self.broker.settle()
        self.leaving_since = time.monotonic()
        self.connection.silence_wake_ups()
        self.crew.recall_all()

    def leave_now(self, code: int) -> None:
        """Kill what runs, so that it can be given back; the next turns do the rest."""
        self.leaving_since = self.leaving_since or time.monotonic()
        self.exit_when_empty = code
        for handle in self.pool:
            if handle.hands:
                handle.kill("leaving")

    def heed_messages(self) -> None:
        """Do what rq's commands and the monitor ask of this worker; whatever they hold, the worker goes on."""
        for message in self.connection.read_messages():
            try:
                self.heed(message)
            except Exception as error:
                logger.warning("This is no command for a worker (%s): %.300r", error, message)

    def heed(self, message: Heard) -> None:
        """Do what one message asks for. Raises TypeError or ValueError where it asks for nothing that can be."""
        command = message.get("command", "look")
        job_id, execution_id = str(message.get("job_id", "")), str(message.get("execution_id", ""))
        if command == "look":
            self.broker.is_hungry = True
            self.crew.recall_all()  # a pause may have begun: what has not started goes back, and is looked at again
        elif command in ("stop-job", "stop-execution"):
            grace = min(max(float(message.get("grace", 1)), 0), LONGEST)  # and 0 for NaN
            self.crew.cancel(job_id, execution_id, grace, str(message.get("by") or "rq"))
        elif command == "kill-horse":
            self.crew.kill_slots(int(message.get("slot", 0)))
        elif command == "stack":
            self.crew.ask_stack(job_id)
        elif command == "shutdown":
            self.signals.append(signal.SIGINT)
        elif command in ("quiet", "wake"):
            self.be_quiet(command == "quiet")

    def be_quiet(self, is_quiet: bool) -> None:
        """Take no more jobs, or take them again; unlike a pause this is for one worker, and it ends with it."""
        logger.info("Worker %s takes %s.", self.name, "no more jobs" if is_quiet else "jobs again")
        self.is_quiet = is_quiet
        self.broker.is_hungry = True
        if is_quiet:
            self.connection.silence_wake_ups()
            self.broker.settle()
            self.crew.recall_all()

    def bury_the_dead(self) -> None:
        """Settle for slots that have died, and fork new ones."""
        is_complete = all(handle.pid for handle in self.pool) and (self.writer_pid or self.leaving_since is not None)
        if is_complete and not self.a_child_died:
            return
        self.a_child_died = False
        self.crew.bury_the_dead()
        self.bury_writer()
        self.hire()

    def bury_writer(self) -> None:
        if self.writer_pid and reaped(self.writer_pid) is not None:
            self.writer_pid = 0

    # Redis

    def keep_in_touch(self) -> None:
        """Connect where needed, and after an outage first settle what Redis believes we hold."""
        if not self.connection.is_up:
            self.broker.settle()  # what was under way belongs to the line that broke
        if not self.connection.come_up():
            return
        known = [held.entry for held in self.crew.held()]
        arguments: Command = (self.broker.mark, len(self.names), *self.names, *known)
        try:
            self.connection.ask([self.heartbeat.birth(), script("strays").command(*arguments)])
        except AwayError:
            return  # the connection has noted it and tries again
        self.broker.is_hungry = True
        self.clock.next_beat = 0

    # Leaving

    def consider_leaving(self) -> None:
        """Go when nothing is left to do, and give back what has not ended in time."""
        if self.burst and self.leaving_since is None:
            self.leave_when_done()
        if self.leaving_since is None:
            return
        if self.is_at_rest and not self.broker.packets:
            self.exit_code = self.exit_when_empty
        elif self.exit_when_empty == ALL_ENDED:
            if time.monotonic() - self.leaving_since > settings.WORKER_GRACE_SECONDS:
                self.leave_now(GAVE_BACK_LATE)
        elif time.monotonic() - self.leaving_since > settings.WORKER_GRACE_SECONDS + LEASE:
            self.exit_code = self.exit_when_empty or GAVE_BACK_LATE  # the recoverers of others will find the rest

    def leave_when_done(self) -> None:
        if self.connection.is_up and not self.broker.is_hungry and self.is_at_rest:
            self.leave()

    @property
    def is_at_rest(self) -> bool:
        """Tell whether no job is ours any more, and no slot has anything to do or yet to do."""
        return not self.crew.held() and not self.broker.follow_ups and not self.crew.is_busy

    def stop(self) -> None:
        """Say goodbye to Redis and to the slots."""
        signal.alarm(0)
        try:
            if self.connection.is_up:
                self.connection.ask([self.heartbeat.death()])
        except AwayError:
            logger.warning("Worker %s left without saying so: Redis is away.", self.name)
        self.connection.close()
        for handle in self.pool:
            handle.kill("the worker leaves")
        self.dismiss_writer()
        for handle in self.pool:
            if handle.pid:
                await_end(handle.pid)
        logger.info("Worker %s has left.", self.name)

    def dismiss_writer(self) -> None:
        """Let the writer of the history write what has come, within a time; what it leaves is another's, in the stream.

        It may not hear: a signal that comes between its fork and its own handler is lost. And where Redis or the
        database is away it waits for them, longer than those who stop this process wait for us.
        """
        if not self.writer_pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.writer_pid, signal.SIGTERM)
        end = time.monotonic() + WRITER_SECONDS
        while reaped(self.writer_pid) is None:
            if time.monotonic() > end:
                logger.warning(
                    "The writer of the history did not leave within %s seconds and was killed.", WRITER_SECONDS
                )
                os.kill(self.writer_pid, signal.SIGKILL)
                await_end(self.writer_pid)
                break
            time.sleep(0.01)
        self.writer_pid = 0


def work(names: Sequence[str], **options: Any) -> int:
    """Run one worker in this process until it is told to leave; returns its exit code."""
    registry.discover()
    return Supervisor(names, **options).work()
