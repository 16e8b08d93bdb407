"""What a worker does by the clock: each moment, each second, each five seconds, in one round trip."""

import logging
import signal
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from redis.exceptions import ResponseError
from rq.utils import utcformat

from ..core.scripts import script
from ..core.taken_job import MOMENT
from ..core.values import Command, Word
from ..history import run_event
from . import forwarder, recoverer
from .connection import AwayError, Connection, Reader
from .crew import Crew
from .heartbeat import Heartbeat

logger = logging.getLogger(__name__)

WATCHDOG = 90  # seconds without a turn after which the kernel ends the worker, and with it the slots
BEAT_SECONDS = 5
COMPLAINT_SECONDS = 60


class Clock:
    """The times at which something is due, and what is due then."""

    def __init__(
        self, worker: str, names: Sequence[str], connection: Connection, crew: Crew, heartbeat: Heartbeat
    ) -> None:
        self.worker = worker
        self.names = list(names)
        self.connection = connection
        self.crew = crew
        self.pool = crew.pool
        self.broker = crew.broker
        self.heartbeat = heartbeat
        self.next_moment = self.next_second = self.next_beat = self.next_complaint = 0.0

    @property
    def next(self) -> float:
        """When something is due next, by the monotonic clock: a second begins with the first moment in it."""
        return self.next_moment if self.crew.is_busy else max(self.next_moment, self.next_second)

    def tick(self, state: str) -> None:
        """Do what is due; `state` is what the worker is shown as: working, quiet or leaving."""
        now = time.monotonic()
        if now < self.next_moment:
            return
        self.next_moment = now + MOMENT
        signal.alarm(WATCHDOG)
        self.crew.watch()
        if not self.connection.is_up:
            return
        commands: list[Command] = []
        readers: list[Reader] = []
        self.each_moment(commands, readers)
        if now >= self.next_beat:
            self.next_beat = now + BEAT_SECONDS
            self.each_beat(commands, readers)
        if now >= self.next_second:
            self.next_second = now + 1
            self.each_second(commands, readers, state)
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
            self.next_complaint = now + COMPLAINT_SECONDS
            logger.error("Redis refuses what this worker does each second: %s", error)

    def each_moment(self, commands: list[Command], readers: list[Reader]) -> None:
        """Show jobs that have run longer than a moment to rq's tools and to the history."""
        limit = time.monotonic() - MOMENT
        words: list[Word] = []
        for handle in self.pool:
            held = handle.taken_job
            if held is None or held.is_recorded or held.taken_at > limit:
                continue
            held.is_recorded = True
            line = run_event.line(held, self.worker, handle.number, "started", held.taken_on)
            words += [
                *held.run_id,
                utcformat(datetime.fromtimestamp(held.taken_on, UTC)),
                held.taken_on,
                line,
                held.data,
            ]
        if words:
            commands.append(script("record").command(self.worker, *words))
            readers.append(ignore)

    def each_second(self, commands: list[Command], readers: list[Reader], state: str) -> None:
        """Forward due jobs, bring back what others have lost, look even if no wake-up rings, show what the slots do."""
        self.broker.is_hungry = True
        for name in self.names:
            commands += [forwarder.command(name), recoverer.command(name)]
            readers += [self.forward_limited, partial(self.mourn, name)]
        shown = [*self.heartbeat.stacks(self.pool), self.heartbeat.snapshot(self.pool, self.broker, state)]
        commands += shown
        readers += [ignore] * len(shown)

    def each_beat(self, commands: list[Command], readers: list[Reader]) -> None:
        """Renew the leases, and show that the worker lives."""
        held = self.crew.held()
        words = [word for each in held for word in (*each.run_id, int(each.is_recorded))]
        commands.append(script("renew").command(self.worker, utcformat(datetime.now(UTC)), *words))
        readers.append(lambda gone: self.crew.give_up([held[n - 1] for n in gone]))
        commands.append(self.heartbeat.beat("busy" if held else "idle"))
        readers.append(ignore)

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


def ignore(reply: Any) -> None:
    """Nothing follows from this reply."""
