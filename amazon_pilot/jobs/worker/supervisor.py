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
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any
from uuid import uuid4

from django.conf import settings
from redis.connection import AbstractConnection
from redis.exceptions import ResponseError
from rq.utils import utcformat

from ..core import registry
from ..core.limits import LEASE, LONGEST
from ..core.scripts import script
from ..core.taken_job import MOMENT, TakenJob
from ..history import run_event
from ..history.writer import HistoryWriter
from . import forwarder, outcomes, recent_outcomes, recoverer
from .broker import Broker
from .connection import AwayError, Command, Connection
from .heartbeat import Heartbeat
from .messages import GarbageError, opened
from .pool import Pool, SlotHandle, await_end, fork, reaped
from .slot import LEFT_WORDS

logger = logging.getLogger(__name__)

WATCHDOG = 90  # seconds without a turn after which the kernel ends the worker, and with it the slots
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
        self.heartbeat = Heartbeat(self.name, self.names, self.broker.weights)
        self.writer_pid = 0
        self.signals: deque[int] = deque()
        self.a_child_died = False
        self.wakeup, self.wakeup_in = socket.socketpair()
        self.leaving_since: float | None = None
        self.is_quiet = False
        self.exit_when_empty = ALL_ENDED
        self.exit_code: int | None = None
        self.next_moment = self.next_second = self.next_beat = self.next_complaint = 0.0

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
        self.hear_slots(self.wait())
        self.heed_signals()
        self.bury_the_dead()
        self.keep_in_touch()
        self.broker.do_follow_ups()
        self.broker.turn(self.may_take)
        self.tick()
        self.consider_leaving()

    def start(self) -> None:
        """Listen for signals, connect, fork the slots."""
        self.wakeup.setblocking(False)
        self.wakeup_in.setblocking(False)
        signal.set_wakeup_fd(self.wakeup_in.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGCHLD):
            signal.signal(number, self.on_signal)
        self.selector.register(self.wakeup, selectors.EVENT_READ, self.wakeup)
        self.hire()
        logger.info("Worker %s: %s slots on %s.", self.name, len(self.pool.handles), ", ".join(self.names))

    def hire(self) -> None:
        """Fork what is missing: slots, and the writer of the history."""
        for handle in self.pool.fill():
            assert handle.message_socket is not None
            self.selector.register(handle.message_socket, selectors.EVENT_READ, handle)
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
        ends = [self.next_moment]
        if not any(handle.hands for handle in self.pool):
            ends = [max(self.next_moment, self.next_second)]  # a second begins with the first moment in it
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
        self.recall_all()

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

    def heed(self, message: dict[str, Any]) -> None:
        """Do what one message asks for. Raises TypeError or ValueError where it asks for nothing that can be."""
        command = message.get("command", "look")
        job_id, execution_id = str(message.get("job_id", "")), str(message.get("execution_id", ""))
        if command == "look":
            self.broker.is_hungry = True
            self.recall_all()  # a pause may have begun: what has not started goes back, and is looked at again
        elif command in ("stop-job", "stop-execution"):
            grace = min(max(float(message.get("grace", 1)), 0), LONGEST)  # and 0 for NaN
            self.cancel(job_id, execution_id, grace, str(message.get("by") or "rq"))
        elif command == "kill-horse":
            self.kill_slots(int(message.get("slot", 0)))
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
            self.recall_all()

    def cancel(self, job_id: str, execution_id: str, grace: float, by: str) -> None:
        """Ask a running job to end, and have it killed after `grace` seconds."""
        self.broker.settle()  # else a packet under way would put a job behind it
        handle = self.pool.holder(job_id, execution_id)
        if handle is None:
            logger.warning("Job %a does not run here, so it was not cancelled.", job_id)
            return
        self.recall(handle, cancelled=job_id)
        if len(handle.hands) != 1 or handle.taken_job is None or handle.taken_job.job_id != job_id:
            return  # it had not begun, or it has ended and the slot does the next one already
        handle.taken_job.cancelled_by = by
        handle.taken_job.kill_at = time.monotonic() + grace
        with contextlib.suppress(ProcessLookupError):
            os.kill(handle.pid, signal.SIGUSR1)

    def kill_slots(self, number: int) -> None:
        """Kill the slot of that number, or with 0 all that run a job."""
        for handle in self.pool:
            if handle.taken_job is not None and number in (0, handle.number):
                handle.kill("killed on request")

    # Slots

    def hear_slots(self, spoke: list[SlotHandle]) -> None:
        """Collect what the slots say about their jobs."""
        for handle in spoke:
            self.hear_slot(handle)

    def hear_slot(self, handle: SlotHandle) -> None:
        """Hear one slot; one that says what cannot be understood is ended, and its job with it."""
        if handle.message_socket is None:
            return
        try:
            for message in handle.message_socket.arrived():
                self.hear(handle, message)
        except Exception as error:
            logger.warning(
                "Slot %s is replaced: %s", handle.number, error, exc_info=not isinstance(error, GarbageError)
            )
            handle.kill("garbage")
        if handle.message_socket.has_ended:  # else the selector would tell of that end again and again
            self.unregister(handle)

    def unregister(self, handle: SlotHandle) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(handle.message_socket)  # type: ignore[arg-type]

    def hear(self, handle: SlotHandle, message: tuple[Any, ...]) -> None:
        """Note one outcome; the slot is free from now on, but the job stays ours until Redis has heard it."""
        outcome = outcomes.from_message(message, handle.taken_job, self.name)
        taken_job = handle.done()
        if outcome is not None:
            self.broker.outcomes.append(outcome)
            self.broker.prefetch.note(outcome)
        if taken_job is not None and taken_job.was_interrupted:
            handle.kill("interrupted")  # with all that its task had started and did not come back to end
        else:
            self.pool.retire(handle)

    def recall(self, handle: SlotHandle, cancelled: str = "") -> None:
        """Give what lies in a slot's slot queue back to the queues; the job `cancelled` is ended as stopped instead."""
        if len(handle.hands) < 2:
            return
        for taken_job in self.take_back(handle):
            if taken_job.job_id == cancelled:
                self.broker.outcomes.append(outcomes.cancelled_unstarted(taken_job, self.name, handle.number))
            else:
                self.broker.outcomes.append(outcomes.unbegun(taken_job, self.name, handle.number))

    def take_back(self, handle: SlotHandle) -> list[TakenJob]:
        """Take from a slot what it has not begun; returns the jobs, while a follow-up goes to the next free slot."""
        taken_jobs, follow_ups = handle.take_back()
        self.broker.follow_ups.extendleft(follow_ups)
        return taken_jobs

    def recall_all(self) -> None:
        for handle in self.pool:
            self.recall(handle)

    def bury_the_dead(self) -> None:
        """Find slots that have died, decide what becomes of their jobs, and fork new ones."""
        is_complete = all(handle.pid for handle in self.pool) and (self.writer_pid or self.leaving_since is not None)
        if is_complete and not self.a_child_died:
            return
        self.a_child_died = False
        for handle, status in self.pool.dead():
            if handle.hands:
                self.hear_slot(handle)  # it may have spoken before it died
            self.unregister(handle)
            unopened = self.take_back(handle)
            try:
                self.settle_for_the_dead(handle, status)
            except Exception as error:
                logger.exception("What became of the job of slot %s cannot be told.", handle.number)
                if handle.taken_job is not None:
                    self.broker.outcomes.append(
                        outcomes.untold(
                            handle.taken_job, self.name, handle.number, f"its slot died, and then {error!r}"
                        )
                    )
            self.broker.outcomes.extend(outcomes.unbegun(each, self.name, handle.number) for each in unopened)
            self.pool.bury(handle)
        self.bury_writer()
        self.hire()

    def settle_for_the_dead(self, handle: SlotHandle, status: int) -> None:
        """Decide what becomes of the job that a dead slot had begun."""
        if status == LEFT_WORDS << 8 and (message := handle.shared.last_words):
            self.hear(handle, opened(message))
        if handle.taken_job is None:
            return
        because = handle.cause_of_death(status)
        logger.warning("Slot %s died under job %s: %s.", handle.number, handle.taken_job.job_id, because)
        outcome = outcomes.of_the_dead(handle.taken_job, self.name, handle.number, handle.shared, because)
        if isinstance(outcome, outcomes.Failed) and outcome.taken_job.is_rare:
            outcome.is_again = handle.follow_up is not None
            self.broker.follow_ups.extend(
                outcome.follow_ups(outcomes.HAS_DEPENDENTS)
            )  # callbacks and the like are rq's own
        else:
            self.broker.outcomes.append(outcome)
        if handle.shared.has_committed:
            self.broker.ask_slot(*outcomes.ended_message(handle.taken_job))
        elif isinstance(outcome, outcomes.Failed) and because in outcomes.KILLED:
            self.broker.ask_slot(*outcomes.killed_message(outcome, because))

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
        known = [held.entry for held in self.held()]
        arguments = (self.broker.mark, len(self.names), *self.names, *known)
        try:
            self.connection.ask([self.heartbeat.birth(), script("strays").command(*arguments)])
        except AwayError:
            return  # the connection has noted it and tries again
        self.broker.is_hungry = True
        self.next_beat = 0

    def held(self) -> list[TakenJob]:
        """Return every job that is ours at this moment."""
        return [*self.pool.taken_jobs(), *self.broker.held()]

    # The clock

    def tick(self) -> None:
        """What happens by the clock: each moment, each second, each five seconds."""
        now = time.monotonic()
        if now < self.next_moment:
            return
        self.next_moment = now + MOMENT
        signal.alarm(WATCHDOG)
        for handle, because in self.pool.overdue():
            handle.kill(because)
        for handle in self.pool:
            front = handle.taken_job
            if handle.follow_up is not None or (front is not None and front.is_long):
                self.recall(handle)  # what is in front is longer than was hoped
        if not self.connection.is_up:
            return
        commands: list[Command] = []
        readers: list[Callable[[Any], None]] = []
        self.each_moment(commands, readers)
        if now >= self.next_beat:
            self.next_beat = now + 5
            self.each_beat(commands, readers)
        if now >= self.next_second:
            self.next_second = now + 1
            self.each_second(commands, readers)
        if not commands:
            return
        self.broker.settle()
        try:
            replies = self.connection.ask(commands)
        except AwayError:
            return
        for reader, reply in zip(readers, replies, strict=True):
            if isinstance(reply, ResponseError):
                self.tell_refusal(reply, now)
            else:
                reader(reply)

    def tell_refusal(self, error: ResponseError, now: float) -> None:
        """Log that Redis refuses what a worker does by the clock, once a minute."""
        if now >= self.next_complaint:
            self.next_complaint = now + 60
            logger.error("Redis refuses what this worker does each second: %s", error)

    def each_moment(self, commands: list[Command], readers: list[Callable[[Any], None]]) -> None:
        """Show jobs that have run longer than a moment to rq's tools and to the history."""
        limit = time.monotonic() - MOMENT
        words: list[Any] = []
        for handle in self.pool:
            held = handle.taken_job
            if held is None or held.is_recorded or held.taken_at > limit:
                continue
            held.is_recorded = True
            line = run_event.line(held, self.name, handle.number, "started", held.taken_on)
            words += [
                *held.run_id,
                utcformat(datetime.fromtimestamp(held.taken_on, UTC)),
                held.taken_on,
                line,
                held.data,
            ]
        if words:
            commands.append(script("record").command(self.name, *words))
            readers.append(ignore)

    def each_second(self, commands: list[Command], readers: list[Callable[[Any], None]]) -> None:
        """Forward due jobs, bring back what others have lost, look even if no wake-up rings, show what the slots do."""
        self.broker.is_hungry = True
        for name in self.names:
            commands += [forwarder.command(name), recoverer.command(name)]
            readers += [self.forward_limited, partial(self.mourn, name)]
        state = "leaving" if self.leaving_since is not None else "quiet" if self.is_quiet else "working"
        commands.append(self.heartbeat.snapshot(self.pool, self.broker, state))
        readers.append(ignore)

    def each_beat(self, commands: list[Command], readers: list[Callable[[Any], None]]) -> None:
        """Renew the leases, and show that the worker lives."""
        held = self.held()
        words = [word for each in held for word in (*each.run_id, int(each.is_recorded))]
        commands.append(script("renew").command(self.name, utcformat(datetime.now(UTC)), *words))
        readers.append(lambda gone: self.give_up([held[n - 1] for n in gone]))
        commands.append(self.heartbeat.beat("busy" if held else "idle"))
        readers.append(ignore)

    def give_up(self, gone: list[TakenJob]) -> None:
        """Kill the slots whose jobs were given to somebody else."""
        for taken_job in gone:
            if (handle := self.pool.holder(taken_job.job_id, taken_job.execution_id)) is None:
                continue
            if handle.taken_job is not taken_job:
                self.recall(handle)
            elif not handle.shared.has_committed:  # else it is its own end that took the lease
                self.hear_slot(handle)  # it may have ended, and the next job have cleared the shared memory
                if handle.taken_job is taken_job:
                    handle.kill("lease lost")

    def mourn(self, queue: str, words: list[bytes]) -> None:
        """Have the exception handlers told about each job that was brought back."""
        for job_id, verdict in recoverer.verdicts(words):
            logger.warning("Job %s was lost by its worker and is %s now.", job_id, verdict)
            if verdict in ("gone", "unopened"):
                continue  # deleted meanwhile, or not begun: there is nothing to tell of
            self.broker.ask_slot("lost", queue.encode(), job_id.encode(), b"worker_lost", verdict.encode())

    def forward_limited(self, reply: Any) -> None:
        """Have a slot move what has a rate limit; it is told of each second until it is done, and asked for once."""
        for job_id in reply[1]:
            if (("forward", job_id), None) not in self.broker.follow_ups:
                self.broker.ask_slot("forward", job_id)

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
        return not self.held() and not self.broker.follow_ups and not any(handle.hands for handle in self.pool)

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


def ignore(reply: Any) -> None:
    """Nothing follows from this reply."""


def work(names: Sequence[str], **options: Any) -> int:
    """Run one worker in this process until it is told to leave; returns its exit code."""
    registry.discover()
    return Supervisor(names, **options).work()
