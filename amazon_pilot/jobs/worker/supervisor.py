"""One worker: a process with ten slots that takes jobs by weight, commits what became of them, and leaves cleanly.

It runs no task, asks no database and waits for nothing but its selector, so it always knows what its slots do. At each
moment a job that it has taken is in rq's started registry and in exactly one of: a slot's hands (`Place.assignment`),
the outcomes that Redis has not heard of yet, or the chores that a free slot will do (both in `Worker.exchange`).
"""

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
from rq.utils import utcformat

from ..core import registry
from ..core.limits import LEASE
from ..core.scripts import script
from ..core.taken_job import MOMENT, Assignment
from ..history import run_event
from ..history.writer import Historian
from . import forwarder, outcomes, recoverer
from .broker import Exchange
from .connection import AwayError, Command, Link
from .heartbeat import Presence
from .pool import Crew, Place, fork

logger = logging.getLogger(__name__)

WATCHDOG = 90  # seconds without a turn after which the kernel ends the worker, and with it the slots
HISTORIAN_SECONDS = 5  # for the last rows; the history itself is safe in Redis

ALL_ENDED, GAVE_BACK_LATE, GAVE_BACK_AT_ONCE = 0, 3, 4  # exit codes


class Worker:
    """The supervising process. `burst` makes it leave when nothing waits any more."""

    def __init__(self, names: Sequence[str], *, name: str = "", size: int | None = None, burst: bool = False) -> None:
        self.names = list(names)
        self.name = name or f"{socket.gethostname().partition('.')[0]}-{os.getpid()}-{uuid4().hex[:6]}"
        self.burst = burst
        self.selector = selectors.DefaultSelector()
        self.link = Link(self.name, self.names, self.selector)
        self.crew = Crew(self.name, size or settings.WORKER_CONCURRENCY, self.drop_inherited)
        self.exchange = Exchange(self.name, self.names, self.link, self.crew)
        self.presence = Presence(self.name, self.names, self.exchange.weights)
        self.historian_pid = 0
        self.signals: deque[int] = deque()
        self.a_child_died = False
        self.wakeup, self.wakeup_in = socket.socketpair()
        self.leaving_since: float | None = None
        self.is_quiet = False
        self.exit_when_empty = ALL_ENDED
        self.exit_code: int | None = None
        self.next_moment = self.next_second = self.next_beat = 0.0

    def work(self) -> int:
        """Work until told to leave; answers the exit code."""
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
        self.exchange.do_chores()
        self.exchange.turn(self.may_take)
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
        logger.info("Worker %s: %s slots on %s.", self.name, len(self.crew.places), ", ".join(self.names))

    def hire(self) -> None:
        """Fork what is missing: slots, and the historian."""
        for place in self.crew.fill():
            assert place.wire is not None
            self.selector.register(place.wire, selectors.EVENT_READ, place)
        if not self.historian_pid and self.leaving_since is None:
            try:
                self.historian_pid = fork(Historian(self.name, self.names).live, self.drop_inherited_and_wires)
            except OSError as error:
                logger.warning("The historian could not be forked, trying again soon: %s", error)

    def drop_inherited(self) -> None:
        """In a new child: let go of what belongs to the worker alone."""
        self.selector.close()
        self.link.close()
        self.wakeup.close()
        self.wakeup_in.close()

    def drop_inherited_and_wires(self) -> None:
        for place in self.crew:
            place.close_lines()
        self.drop_inherited()

    # Waiting and hearing

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.signals.append(number)

    def wait(self) -> list[Place]:
        """Sleep until a slot, a bell, a message, a signal or the clock has something to say; answers those slots."""
        self.exchange.arm_bells(self.may_take)
        spoke: list[Place] = []
        for key, _ in self.selector.select(self.patience()):
            said_by = key.data
            if isinstance(said_by, Place):
                spoke.append(said_by)
            elif said_by is self.wakeup:
                self.drain_wakeup()
            elif said_by is self.link.messages:
                self.heed_messages()
            elif isinstance(said_by, AbstractConnection):
                self.link.hear_bell(said_by)
                self.exchange.heed_bell()
        return spoke

    def patience(self) -> float:
        """Answer how long the worker may sleep."""
        now = time.monotonic()
        if self.exchange.is_due(self.may_take):
            return 0
        if not self.link.is_up:
            return min(MOMENT, max(0, self.link.next_try - now))
        ends = [self.next_moment]
        if not any(place.hands for place in self.crew):
            ends = [max(self.next_moment, self.next_second)]  # a second begins with the first moment in it
        if self.exchange.bell_rest_until > now:
            ends.append(self.exchange.bell_rest_until)
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
        self.exchange.settle()
        self.leaving_since = time.monotonic()
        self.link.silence_bells()
        self.recall_all()

    def leave_now(self, code: int) -> None:
        """Kill what runs, so that it can be given back; the next turns do the rest."""
        self.leaving_since = self.leaving_since or time.monotonic()
        self.exit_when_empty = code
        for place in self.crew:
            if place.hands:
                place.kill("leaving")

    def heed_messages(self) -> None:
        """Do what rq's commands and the monitor ask of this worker."""
        for message in self.link.read_messages():
            try:
                self.heed(message)
            except (TypeError, ValueError):
                logger.warning("This is no command for a worker: %s", message)

    def heed(self, message: dict[str, Any]) -> None:
        """Do what one message asks for. Raises TypeError or ValueError where it asks for nothing that can be."""
        command = message.get("command", "look")
        job_id, execution_id = str(message.get("job_id", "")), str(message.get("execution_id", ""))
        if command == "look":
            self.exchange.is_hungry = True
            self.recall_all()  # a pause may have begun: what has not started goes back, and is looked at again
        elif command in ("stop-job", "stop-execution"):
            self.cancel(job_id, execution_id, float(message.get("grace", 1)), str(message.get("by") or "rq"))
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
        self.exchange.is_hungry = True
        if is_quiet:
            self.link.silence_bells()
            self.exchange.settle()
            self.recall_all()

    def cancel(self, job_id: str, execution_id: str, grace: float, by: str) -> None:
        """Ask a running job to end, and have it killed after `grace` seconds."""
        self.exchange.settle()  # else a packet under way would put a job behind it
        place = self.crew.holder(job_id, execution_id)
        if place is None:
            logger.warning("Job %s does not run here, so it was not cancelled.", job_id)
            return
        self.recall(place, cancelled=job_id)
        if len(place.hands) != 1 or place.assignment is None or place.assignment.job_id != job_id:
            return  # it had not begun, or it has ended and the slot does the next one already
        place.assignment.cancelled_by = by
        place.assignment.kill_at = time.monotonic() + grace
        os.kill(place.pid, signal.SIGUSR1)

    def kill_slots(self, number: int) -> None:
        """Kill the slot of that number, or with 0 all that run a job."""
        for place in self.crew:
            if place.assignment is not None and number in (0, place.number):
                place.kill("killed on request")

    # Slots

    def hear_slots(self, spoke: list[Place]) -> None:
        """Collect what the slots say about their jobs."""
        for place in spoke:
            if place.wire is not None:
                for message in place.wire.arrived():
                    self.hear(place, message)

    def hear(self, place: Place, message: tuple[Any, ...]) -> None:
        """Note one outcome; the slot is free from now on, but the job stays ours until Redis has heard it."""
        assignment = place.done()
        ending = outcomes.from_message(message, assignment, self.name)
        if ending is not None:
            self.exchange.outcomes.append(ending)
            self.exchange.pace.note(ending)
        if assignment is not None and assignment.was_interrupted:
            place.kill("interrupted")  # with all that its task had started and did not come back to end
        else:
            self.crew.retire(place)

    def recall(self, place: Place, cancelled: str = "") -> None:
        """Give what lies in a slot's mailbox back to the queues; the job `cancelled` is ended as stopped instead."""
        if len(place.hands) < 2:
            return
        for assignment in self.take_back(place):
            if assignment.job_id == cancelled:
                self.exchange.outcomes.append(outcomes.cancelled_unstarted(assignment, self.name, place.number))
            else:
                self.exchange.outcomes.append(outcomes.GivenBack(assignment, self.name))

    def take_back(self, place: Place) -> list[Assignment]:
        """Take from a slot what it has not begun; answers the jobs, while a chore goes to the next free slot."""
        assignments, chores = place.take_back()
        self.exchange.chores.extendleft(chores)
        return assignments

    def recall_all(self) -> None:
        for place in self.crew:
            self.recall(place)

    def bury_the_dead(self) -> None:
        """Find slots that have died, decide what becomes of their jobs, and fork new ones."""
        is_complete = all(place.pid for place in self.crew) and (self.historian_pid or self.leaving_since is not None)
        if is_complete and not self.a_child_died:
            return
        self.a_child_died = False
        for place, status in self.crew.dead():
            if place.wire is not None:
                self.selector.unregister(place.wire)
                for message in place.wire.arrived() if place.hands else ():  # it may have spoken before it died
                    self.hear(place, message)
            unopened = self.take_back(place)
            if place.assignment is not None:
                self.settle_for_the_dead(place, status)
            self.exchange.outcomes.extend(outcomes.GivenBack(assignment, self.name) for assignment in unopened)
            self.crew.bury(place)
        self.bury_historian()
        self.hire()

    def settle_for_the_dead(self, place: Place, status: int) -> None:
        assert place.assignment is not None
        because = place.cause_of_death(status)
        logger.warning("Slot %s died under job %s: %s.", place.number, place.assignment.job_id, because)
        ending = outcomes.of_the_dead(place.assignment, self.name, place.number, place.cell, because)
        if isinstance(ending, outcomes.Failed) and ending.assignment.is_rare:
            ending.is_again = place.chore is not None
            self.exchange.chores.extend(ending.chores(outcomes.HAS_DEPENDENTS))  # callbacks and the like are rq's own
        else:
            self.exchange.outcomes.append(ending)
        if place.cell.has_committed:
            self.exchange.ask_slot(*outcomes.ended_message(place.assignment))
        elif isinstance(ending, outcomes.Failed) and because in outcomes.KILLED:
            self.exchange.ask_slot(*outcomes.killed_message(ending, because))

    def bury_historian(self) -> None:
        if self.historian_pid and os.waitpid(self.historian_pid, os.WNOHANG)[0]:
            self.historian_pid = 0

    # Redis

    def keep_in_touch(self) -> None:
        """Connect where needed, and after an outage first settle what Redis believes we hold."""
        if not self.link.is_up:
            self.exchange.settle()  # what was under way belongs to the line that broke
        if not self.link.come_up():
            return
        known = [held.entry for held in self.held()]
        arguments = (self.exchange.mark, len(self.names), *self.names, *known)
        try:
            self.link.ask([self.presence.birth(), script("strays").command(*arguments)])
        except AwayError:
            return  # the link has noted it and tries again
        self.exchange.is_hungry = True
        self.next_beat = 0

    def held(self) -> list[Assignment]:
        """Answer every job that is ours at this moment."""
        return [*self.crew.assignments(), *self.exchange.held()]

    # The clock

    def tick(self) -> None:
        """What happens by the clock: each moment, each second, each five seconds."""
        now = time.monotonic()
        if now < self.next_moment:
            return
        self.next_moment = now + MOMENT
        signal.alarm(WATCHDOG)
        for place, because in self.crew.overdue():
            place.kill(because)
        for place in self.crew:
            front = place.assignment
            if place.chore is not None or (front is not None and front.is_long):
                self.recall(place)  # what is in front is longer than was hoped
        if not self.link.is_up:
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
        self.exchange.settle()
        try:
            replies = self.link.ask(commands)
        except AwayError:
            return
        for reader, reply in zip(readers, replies, strict=True):
            reader(reply)

    def each_moment(self, commands: list[Command], readers: list[Callable[[Any], None]]) -> None:
        """Show jobs that have run longer than a moment to rq's tools and to the history."""
        limit = time.monotonic() - MOMENT
        words: list[Any] = []
        for place in self.crew:
            held = place.assignment
            if held is None or held.is_recorded or held.taken_at > limit:
                continue
            held.is_recorded = True
            line = run_event.line(held, self.name, place.number, "started", held.taken_on)
            words += [
                *held.place,
                utcformat(datetime.fromtimestamp(held.taken_on, UTC)),
                held.taken_on,
                line,
                held.data,
            ]
        if words:
            commands.append(script("record").command(self.name, *words))
            readers.append(ignore)

    def each_second(self, commands: list[Command], readers: list[Callable[[Any], None]]) -> None:
        """Forward due jobs, bring back what others have lost, look even if no bell rings, show what the slots do."""
        self.exchange.is_hungry = True
        for name in self.names:
            commands += [forwarder.command(name), recoverer.command(name)]
            readers += [self.forward_limited, partial(self.mourn, name)]
        state = "leaving" if self.leaving_since is not None else "quiet" if self.is_quiet else "working"
        commands.append(self.presence.snapshot(self.crew, self.exchange, state))
        readers.append(ignore)

    def each_beat(self, commands: list[Command], readers: list[Callable[[Any], None]]) -> None:
        """Renew the leases, and show that the worker lives."""
        held = self.held()
        words = [word for each in held for word in (*each.place, int(each.is_recorded))]
        commands.append(script("renew").command(self.name, utcformat(datetime.now(UTC)), *words))
        readers.append(lambda gone: self.give_up([held[n - 1] for n in gone]))
        commands.append(self.presence.beat("busy" if held else "idle"))
        readers.append(ignore)

    def give_up(self, gone: list[Assignment]) -> None:
        """Kill the slots whose jobs were given to somebody else."""
        for assignment in gone:
            if (place := self.crew.holder(*assignment.place[1:])) is None:
                continue
            if place.assignment is not assignment:
                self.recall(place)
            elif not place.cell.has_committed:  # else it is its own end that took the lease
                self.hear_slots([place])  # it may have ended, and the next job have cleared the cell
                if place.assignment is assignment:
                    place.kill("lease lost")

    def mourn(self, queue: str, words: list[bytes]) -> None:
        """Have the exception handlers told about each job that was brought back."""
        for job_id, verdict in recoverer.verdicts(words):
            logger.warning("Job %s was lost by its worker and is %s now.", job_id, verdict)
            if verdict == "gone":
                continue  # deleted meanwhile: there is nothing to tell of
            self.exchange.ask_slot("lost", queue.encode(), job_id.encode(), b"worker_lost", verdict.encode())

    def forward_limited(self, reply: Any) -> None:
        """Have a slot move what has a rate limit; it is told of each second until it is done, and asked for once."""
        for job_id in reply[1]:
            if (("forward", job_id), None) not in self.exchange.chores:
                self.exchange.ask_slot("forward", job_id)

    # Leaving

    def consider_leaving(self) -> None:
        """Go when nothing is left to do, and give back what has not ended in time."""
        if self.burst and self.leaving_since is None:
            self.leave_when_done()
        if self.leaving_since is None:
            return
        if self.is_at_rest and not self.exchange.packets:
            self.exit_code = self.exit_when_empty
        elif self.exit_when_empty == ALL_ENDED:
            if time.monotonic() - self.leaving_since > settings.WORKER_GRACE_SECONDS:
                self.leave_now(GAVE_BACK_LATE)
        elif time.monotonic() - self.leaving_since > settings.WORKER_GRACE_SECONDS + LEASE:
            self.exit_code = self.exit_when_empty or GAVE_BACK_LATE  # the recoverers of others will find the rest

    def leave_when_done(self) -> None:
        if self.link.is_up and not self.exchange.is_hungry and self.is_at_rest:
            self.leave()

    @property
    def is_at_rest(self) -> bool:
        """Tell whether no job is ours any more, and no slot has anything to do or yet to do."""
        return not self.held() and not self.exchange.chores and not any(place.hands for place in self.crew)

    def stop(self) -> None:
        """Say goodbye to Redis and to the slots."""
        signal.alarm(0)
        try:
            if self.link.is_up:
                self.link.ask([self.presence.snapshot(self.crew, self.exchange, "gone"), self.presence.death()])
        except AwayError:
            logger.warning("Worker %s left without saying so: Redis is away.", self.name)
        self.link.close()
        for place in self.crew:
            place.kill("the worker leaves")
        self.dismiss_historian()
        for place in self.crew:
            if place.pid:
                os.waitpid(place.pid, 0)
        logger.info("Worker %s has left.", self.name)

    def dismiss_historian(self) -> None:
        """Let the historian write what has come, but not for ever; what it leaves is another's, in the stream.

        It may not hear: a signal that comes between its fork and its own handler is lost. And where Redis or the
        database is away it waits for them, longer than those who stop this process wait for us.
        """
        if not self.historian_pid:
            return
        os.kill(self.historian_pid, signal.SIGTERM)
        end = time.monotonic() + HISTORIAN_SECONDS
        while not os.waitpid(self.historian_pid, os.WNOHANG)[0]:
            if time.monotonic() > end:
                logger.warning("The historian did not leave within %s seconds and was killed.", HISTORIAN_SECONDS)
                os.kill(self.historian_pid, signal.SIGKILL)
                os.waitpid(self.historian_pid, 0)
                break
            time.sleep(0.01)
        self.historian_pid = 0


def ignore(reply: Any) -> None:
    """Nothing follows from this reply."""


def work(names: Sequence[str], **options: Any) -> int:
    """Run one worker in this process until it is told to leave; answers its exit code."""
    registry.discover()
    return Worker(names, **options).work()
