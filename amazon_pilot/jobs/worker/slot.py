"""A slot: one long-lived child of a worker that runs one job at a time and says what became of it.

It never touches the queues: the worker takes jobs and commits outcomes. It has its own database connection, can be
killed at any moment, and ends with its worker.
"""

import contextlib
import contextvars
import json
import logging
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from types import FrameType
from typing import Any, NoReturn, TextIO

from django.conf import settings
from django.db import close_old_connections, connections, reset_queries
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq.job import _current_job
from rq.timeouts import JobTimeoutException

from ...embedded import end_with_parent
from ..core import faults, secrets
from ..core import shared_memory as shared_memory
from ..core.payload import parsed
from ..core.queues import connection
from ..core.registry import TASKS, JSONJob, run
from ..core.taken_job import TakenJob
from . import forwarder, leftovers, rq_finish, sessions
from .messages import Message, MessageSocket, SlotQueue, packed
from .recent_outcomes import RecentOutcomes
from .teller import JobCancelled, Teller, UnreadablePayloadError

logger = logging.getLogger(__name__)

NICE = 5  # a slot gives way to those that feed it, worker and Redis: where it did not, slots ran dry while these waited
AWAY = (RedisConnectionError, RedisTimeoutError, OutOfMemoryError, ReadOnlyError)  # it will be back
REFUSALS = 3  # of a step, by a Redis that answers, before it is given up
REDIS_AGAIN = 1.0  # seconds, beside what a connection waits by itself
LEFT_WORDS = 77  # the exit code of a slot that has left what it had to say in its shared memory
read_call = json.JSONDecoder().decode  # `json.loads` would guess at the encoding first
MESSAGE_FOLLOWS = ("follows",)  # in the slot queue: the message itself is too large for it and comes by message socket


class Tee:
    """Standard output in a slot: to the console as ever, and into the running job's log."""

    def __init__(self, stream: TextIO, shared: shared_memory.SharedMemory) -> None:
        self.stream = stream
        self.shared = shared

    def write(self, words: str) -> int:
        self.shared.write(words)
        self.stream.write(secrets.scrub(words))
        return len(words)

    @property
    def closed(self) -> bool:
        """Tell whether a job has closed the stream: each job is asked for."""
        return self.stream.closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class LogHandler(logging.Handler):
    """Copies what a task logs into its shared memory."""

    def __init__(self, shared: shared_memory.SharedMemory) -> None:
        super().__init__()
        self.shared = shared
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, log_record: logging.LogRecord) -> None:
        try:
            self.shared.write(self.format(log_record) + "\n")
        except Exception:
            self.handleError(log_record)


class Discreet(logging.Formatter):
    """Writes a line as another formatter does, without secrets: the worker's own output is read by people, too."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self.inner = inner or logging.Formatter()

    def format(self, log_record: logging.LogRecord) -> str:
        return secrets.scrub(self.inner.format(log_record))


class RunningJob(JSONJob):
    """rq's view of the job that a slot runs, filled in when somebody first looks.

    Most tasks never do, and rq's constructor takes longer than a short task.
    """

    _assignment: TakenJob

    @classmethod
    def of(cls, taken_job: TakenJob, worker: str, started: float) -> "RunningJob":
        """Return the job of a taken job, of which nothing is read yet."""
        job = cls.__new__(cls)
        job.__dict__["_assignment"] = taken_job
        job.__dict__["_run_by"] = worker, started
        return job

    def note_run(self) -> None:
        """Show who runs the job, and since when."""
        self.worker_name, started = self.__dict__["_run_by"]
        self.started_at = datetime.fromtimestamp(started, UTC)

    def __getattr__(self, name: str) -> Any:
        if "_id" in self.__dict__:  # filled in already, so it has no such attribute
            raise AttributeError(name)
        noted = dict(self.__dict__)
        taken = self._assignment
        super().__init__(taken.job_id, connection=connection())
        self.data = taken.payload
        self.origin = taken.queue
        self.description = taken.text("description")
        self.meta = taken.meta
        self.timeout = taken.timeout or -1
        self.result_ttl = taken.number("result_ttl")
        self.failure_ttl = taken.number("failure_ttl")
        self.retries_left = taken.number("retries_left")
        if intervals := taken.retry_intervals:
            self.retry_intervals = intervals
        self.note_run()
        self.__dict__.update(noted)
        return getattr(self, name)


class Slot:
    """The child's side. `number` is its claimed in the worker, from 1."""

    def __init__(
        self,
        number: int,
        worker: str,
        slot_queue: SlotQueue,
        message_socket: MessageSocket,
        shared: shared_memory.SharedMemory,
        recent: RecentOutcomes,
    ) -> None:
        self.number = number
        self.worker = worker
        self.slot_queue = slot_queue
        self.message_socket = message_socket
        self.shared = shared
        self.recent = recent
        self.teller = Teller(worker, number, shared, self.patiently)
        self.pid = os.getpid()
        self.alarm = self.on_alarm
        self.is_running_a_task = False
        self.next_look = 0.0
        self.must_go = False  # a job has left in this process what cannot be undone: another slot takes its place
        self.isolated_pid = 0

    def live(self) -> None:
        """Do what lies in the slot queue until the worker closes it."""
        self.be_born()
        while (message := self.slot_queue.next()) is not None:
            if message == MESSAGE_FOLLOWS and (message := self.message_socket.receive()) is None:
                return
            answer = self.answer(message)
            if message[0] == "job":
                self.recent.keep(message, answer)
            self.say(answer)
            if self.must_go:
                leftovers.kill_children()
                return

    def say(self, message: Message) -> None:
        """Tell the worker what became of a job, through memory if a task has closed the line; then this slot ends."""
        try:
            self.message_socket.send(message)
        except OSError:
            self.shared.leave(packed(message))
            os._exit(LEFT_WORDS)

    def be_born(self) -> None:
        """Set up what a fork does not: signals, output, limits, priority, random numbers."""
        for number in leftovers.QUIET:
            signal.signal(number, leftovers.let_be)
        signal.signal(signal.SIGUSR1, self.on_cancel)
        self.shared.show_stack_on_signal()
        leftovers.give_children_default_signals()
        leftovers.adopt_orphans()
        sessions.watch()
        random.seed()
        os.nice(NICE)
        shared_memory.use(self.shared)
        secrets.of_environment()
        for handler in logging.getLogger().handlers:
            handler.setFormatter(Discreet(handler.formatter))
        logging.getLogger().addHandler(LogHandler(self.shared))
        sys.stdout = Tee(sys.stdout, self.shared)
        sys.stderr = Tee(sys.stderr, self.shared)
        limit = settings.WORKER_SLOT_MEMORY_MB * 1024**2
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        self.leftovers = leftovers.Leftovers()

    def answer(self, message: Message) -> Message:
        """Do what the worker asks and answer what became of it."""
        try:
            if message[0] == "job":
                return self.run_job(TakenJob.from_reply(list(message[1:])))
            return self.patiently(partial(self.do_follow_up, message))
        except Exception:
            logger.exception("Slot %s could not do what rq asks for after a job; its maintenance will.", self.number)
        return ("idle",)

    def do_follow_up(self, message: Message) -> Message:
        """Do through rq's code what scripts cannot, and answer what became of it; doing it twice does no harm."""
        if message[0] == "finish":
            answer = rq_finish.finish_later(message, self.worker, self.shared)
            faults.point("slot after settling")
            return answer
        if message[0] == "forward":
            forwarder.forward_limited(message[1].decode())
        elif message[0] == "ended":
            rq_finish.after_end(message, self.worker, self.shared)
        else:
            rq_finish.after_loss(message, self.worker, self.shared)
        return ("idle",)

    def patiently(self, step: Callable[[], Message]) -> Message:
        """Do a step again until Redis answers, however long it is away: what has ended is not run again for that.

        Raises NotStoredError if Redis does answer, and the step fails again and again.
        """
        refused = 0
        while True:
            self.shared.close_within(settings.REDIS_PATIENCE_SECONDS + rq_finish.MARGIN)
            try:
                return step()
            except AWAY as error:
                refused += isinstance(error, rq_finish.NotStoredError)
                if refused > REFUSALS:
                    raise
                logger.warning("Slot %s waits for Redis: %s", self.number, error)
                time.sleep(REDIS_AGAIN)

    def run_job(self, taken_job: TakenJob) -> Message:
        """Run one job and answer its outcome."""
        self.shared.clear()
        secrets.of_job(taken_job)
        if (task := TASKS.get(name_of(taken_job))) is not None and task.isolated:
            return self.run_isolated(taken_job)
        self.look_after_connections()
        return self.run_here(taken_job)

    def run_isolated(self, taken_job: TakenJob) -> Message:
        """Run one job in a fork of this slot, which ends with it; a fork that dies takes this slot along."""
        connections.close_all()
        ours, theirs = MessageSocket.pair()
        self.isolated_pid = os.fork()
        if not self.isolated_pid:
            self.live_isolated(taken_job, theirs)
        self.shared.note_fork(self.isolated_pid)
        theirs.close()
        message = ours.receive()
        ours.close()
        _, status = os.waitpid(self.isolated_pid, 0)
        self.shared.note_fork(0)
        self.isolated_pid = 0
        if message is None:
            die_as(status)
        self.clear_up(taken_job, leftovers.LONG_SECONDS)  # processes that the task has started are this slot's now
        return message

    def live_isolated(self, taken_job: TakenJob, line: MessageSocket) -> NoReturn:
        """Run one job as the fork of a slot, say what became of it, and end."""
        try:
            end_with_parent(signal.SIGKILL)
            self.pid = os.getpid()
            for number in leftovers.QUIET:
                signal.signal(number, leftovers.let_be)
            signal.signal(signal.SIGUSR1, self.on_cancel)
            random.seed()
            self.leftovers = leftovers.Leftovers()
            line.send(self.run_here(taken_job))
        finally:
            os._exit(0)

    def run_here(self, taken_job: TakenJob) -> Message:
        """Run one job in this process and answer its outcome."""
        faults.point("slot before task")
        started = time.time()
        job, value, error = RunningJob.of(taken_job, self.worker, started), None, None
        token = _current_job.set(job)
        try:
            if taken_job.is_rare:
                self.refresh(job)
            value = self.call(taken_job, job)
        except BaseException as caught:
            error = caught
            self.next_look = 0
        finally:
            _current_job.reset(token)
        if os.getpid() != self.pid:
            os._exit(0)  # the task forked and its child came back here: only the slot itself may answer
        faults.point("slot after task")
        self.clear_up(taken_job, time.time() - started)
        self.shared.note_error(error is not None and not taken_job.is_rare)
        outcome = self.teller.told(taken_job, job, value, error, started)
        self.shared.note_error(False)
        if error is not None or taken_job.is_rare:  # handlers, callbacks or the error's own code have run since
            self.clear_up(taken_job, 0)
        faults.point("slot before answer")
        return outcome

    def clear_up(self, taken_job: TakenJob, seconds: float) -> None:
        """Undo what a job of so many seconds has left behind, or note that this slot must go; its log says so."""
        found, must_go = self.leftovers.clear(seconds)
        found += sessions.clear()
        if not found:
            return
        self.must_go |= must_go
        what = "the slot is replaced" if must_go else "it was undone"
        self.shared.write(f"This job left behind: {', '.join(found)}; {what}.\n")

    def look_after_connections(self) -> None:
        """Close database connections that have grown old or broken: each second, and after an attempt that failed."""
        if time.monotonic() >= self.next_look:
            close_old_connections()
            reset_queries()  # what Django keeps of them under DEBUG
            self.next_look = time.monotonic() + 1

    def refresh(self, job: RunningJob) -> None:
        """Have rq's get_current_job show a job that rq's own code will end as it stands in Redis."""
        self.patiently(lambda: (job.refresh(),))
        self.shared.clear()
        job.note_run()

    def call(self, taken_job: TakenJob, job: JSONJob) -> Any:
        """Call the task under its timeout, in a context of its own.

        So what it sets there, such as the active language and time zone, ends with it.
        """
        try:
            name, instance, args, kwargs = read_call(taken_job.payload.decode(errors="surrogatepass"))
        except (ValueError, TypeError) as error:
            raise UnreadablePayloadError(
                "The payload of this job is not a call in JSON, so nothing was run."
            ) from error
        # The alarm rings again each second: a task that swallows the first exception meets the next one.
        self.is_running_a_task = True
        if leftovers.handler_of(signal.SIGALRM) is not self.alarm:  # the limits of rq's callbacks leave none behind
            signal.signal(signal.SIGALRM, self.alarm)
        signal.setitimer(signal.ITIMER_REAL, taken_job.timeout or 0, 1)
        try:
            return contextvars.copy_context().run(run, name, instance, args, kwargs)
        finally:
            self.is_running_a_task = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def on_alarm(self, number: int, frame: FrameType | None) -> None:
        job = _current_job.get()
        if self.is_running_a_task and job is not None:
            raise JobTimeoutException(f"The task exceeded its timeout of {job.timeout} seconds.")

    def on_cancel(self, number: int, frame: FrameType | None) -> None:
        if self.isolated_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.isolated_pid, signal.SIGUSR1)
        elif self.is_running_a_task:
            raise JobCancelled("The job was cancelled while it ran, and ended when it was asked to.")


def name_of(taken_job: TakenJob) -> str:
    """Return the name of the task that a job calls, from its payload if its producer knows nothing of our field."""
    if name := taken_job.text("task"):
        return name
    call = parsed(taken_job.payload)
    return str(call[0]) if isinstance(call, list) and call else ""


def die_as(status: int) -> NoReturn:
    """End this slot as its fork has ended, so that the worker tells of it as of any slot that died."""
    if os.WIFSIGNALED(status):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {os.WTERMSIG(status)})
        with contextlib.suppress(OSError):
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) or 1)
