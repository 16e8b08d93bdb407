"""The scheduler's process: one leads, any number stand by, and each looks at the clock every second.

The lock only saves work. That nothing fires twice follows from the row and the script of each fire (fires.py).
"""

import logging
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NoReturn
from uuid import uuid4

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.db.models import Min
from django_rq.queues import DjangoScheduler
from redis.exceptions import RedisError
from rq.job import Job

from ..core.registry import JSONJob
from ..inspect import gauges
from ..models import Fire, ScheduleEntry, Silence
from ..worker import recoverer
from . import entries as schedule
from . import fires, store

logger = logging.getLogger(__name__)

SHORTEST_WAIT = 0.02  # seconds, so that an entry which somebody else holds does not make us spin
ENOUGH_FOR_MORE = 0.2  # seconds without a planned fire, so that none is late for what else there is to do
RECOVER_SECONDS = 2.0  # with the lease and what is left to workers less than 30 seconds
STOPS = {signal.SIGTERM, signal.SIGINT}
JUMP_SECONDS = 30.0  # by which the clock and the time that has passed may differ from one tick to the next
JUMP_TOLD_SECONDS = 3600.0  # for which the report tells of a jump
AFTER_TROUBLE = 1.0  # seconds to wait when Redis or the database did not answer


class PilotScheduler(DjangoScheduler):
    """rq-scheduler's Scheduler with entries as rows and fires as single steps; django-rq loads it by SCHEDULER_CLASS.

    `enqueue_at` and `enqueue_in` keep their meaning. `clock` answers the time, Redis's own unless a test has another.
    """

    job_class = JSONJob

    def __init__(self, *args: Any, clock: fires.Clock | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("name", f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:4]}")
        super().__init__(*args, **kwargs)
        self.clock: fires.Clock = clock or partial(store.clock, self.connection)
        self.is_stopping = False
        self._leads = False
        self._synced_at: datetime | None = None
        self._read_at: datetime | None = None
        self._recover_at = 0.0
        self._seen: tuple[datetime, float] | None = None  # the clock and the steady time of the last tick
        self._jump = 0.0
        self._jumped_at = 0.0

    def tick(self) -> list[Fire]:
        """Do one turn: lead or stand by, bring Redis into line if it is time, fire what is due; answer the fires sent.

        Raises RedisError and django.db.Error; the turn can be done again.
        """
        now = self.clock()
        started = time.monotonic()
        jump = self._heed_clock(now, started)
        self._leads = self.acquire_lock()
        if not self._leads:
            self._synced_at = None
            store.report(self.connection, self.name, now, leads=False, numbers={})
            return []
        if not jump:
            note_silence(store.last_tick(self.connection), now)
        if self._synced_at is None or jump < 0:
            plan_again(now)
        if self._synced_at is None:
            schedule.load_settings()
        if self._sync_is_due(now):
            schedule.sync(self.connection, now)
            self._synced_at = now
        fires.send_pending(self.connection, self.clock(), self.name)
        sent = fires.fire_due(self.connection, self.clock, self.name)
        store.move_one_offs(self.connection, self.clock())
        self._report(sent, time.monotonic() - started)
        return sent

    def _heed_clock(self, now: datetime, steady: float) -> float:
        """Return by how many seconds the clock was set since the last tick, 0 if it was not; a jump is told."""
        before, self._seen = self._seen, (now, steady)
        jump = (now - before[0]).total_seconds() - (steady - before[1]) if before else 0.0
        if abs(jump) < JUMP_SECONDS:
            return 0.0
        logger.warning("The clock that the schedule follows, Redis's, was set by %+.0f seconds.", jump)
        self._jump, self._jumped_at = jump, steady
        return jump

    def _sync_is_due(self, now: datetime) -> bool:
        interval = timedelta(seconds=settings.SCHEDULER_SYNC_INTERVAL)
        if self._synced_at is None or now - self._synced_at >= interval:
            return True
        return not self.connection.exists(store.SYNCED)  # Redis was emptied

    def _report(self, sent: list[Fire], tick_seconds: float) -> None:
        numbers = {"tick_seconds": round(tick_seconds, 6)}
        has_jumped = self._jump and time.monotonic() - self._jumped_at < JUMP_TOLD_SECONDS
        numbers["clock_jump_seconds"] = round(self._jump) if has_jumped else 0
        lags = [fire.lag_seconds for fire in sent if fire.lag_seconds is not None]
        if lags:
            numbers["lag_seconds"] = round(max(lags), 3)
        store.report(self.connection, self.name, self.clock(), leads=True, numbers=numbers)

    def run(self, burst: bool = False) -> None:
        """Tick until SIGTERM or SIGINT; with `burst` once. Redis or the database away is waited out."""
        with self._signals():
            try:
                while not self.is_stopping:
                    close_old_connections()
                    wait = self._turn()
                    if burst:
                        break
                    told = signal.sigtimedwait(STOPS, wait)
                    # After this process was stopped and continued, something else than a signal of ours comes back.
                    self.is_stopping = told is not None and told.si_signo in STOPS
            finally:
                self._leave()

    def _turn(self) -> float:
        """Do one tick and answer how many seconds to wait for the next."""
        try:
            self.tick()
            wait = self.seconds_to_wait()
            if self._leads and wait > ENOUGH_FOR_MORE:
                self._read_the_queues()
                self._recover()
                return self.seconds_to_wait()
            return wait
        except (RedisError, DatabaseError) as error:
            logger.warning("Trying again in %.0f s: %s", AFTER_TROUBLE, error)
            return AFTER_TROUBLE

    def _read_the_queues(self) -> None:
        """Take the minute's reading for the charts; whatever goes wrong with it, the schedule goes on."""
        minute = self.clock().replace(second=0, microsecond=0)
        if minute == self._read_at:
            return
        self._read_at = minute
        try:
            gauges.take(self.connection, minute)
        except Exception:
            logger.exception("This minute's reading of the queues is missing")

    def _recover(self) -> None:
        """Bring back lost jobs where no worker is left to do it; whatever goes wrong with it, the schedule goes on."""
        if (now := time.monotonic()) < self._recover_at:
            return
        self._recover_at = now + RECOVER_SECONDS
        try:
            for job_id, verdict in recoverer.stand_in(self.connection):
                logger.warning("Job %s was lost by its worker and is %s now.", job_id, verdict)
        except Exception:
            logger.exception("Lost jobs could not be looked for")

    def seconds_to_wait(self) -> float:
        """Return the time until the next planned fire, at most SCHEDULER_INTERVAL; who stands by waits that long."""
        if not self._leads:
            return settings.SCHEDULER_INTERVAL
        next_at = ScheduleEntry.objects.filter(broken="").aggregate(next_at=Min("next_at"))["next_at"]
        if next_at is None:
            return settings.SCHEDULER_INTERVAL
        return min(max((next_at - self.clock()).total_seconds(), SHORTEST_WAIT), settings.SCHEDULER_INTERVAL)

    def _leave(self) -> None:
        try:
            self.remove_lock()
            store.withdraw(self.connection, self.name)
        except RedisError as error:
            logger.warning("The lock ends by itself in %s s: %s", settings.SCHEDULER_LEASE, error)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Keep the signals that stop us until `run` asks for them: never in the middle of a tick."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    # What follows replaces rq-scheduler's own steps, for callers that know it by these names.

    def acquire_lock(self) -> bool:
        """Lead, or go on leading; the lock holds our name, and only its owner renews or releases it."""
        return store.lead(self.connection, self.name, settings.SCHEDULER_LEASE)

    def remove_lock(self) -> None:
        store.leave(self.connection, self.name)

    def enqueue_jobs(self) -> list[Fire]:
        return self.tick()

    def enqueue_job(self, job: Job) -> None:
        """Run an entry now when `job` is its template, or move a one-off job onto its queue."""
        if job.id.startswith(store.TEMPLATE):
            name = job.id.removeprefix(store.TEMPLATE)
            schedule.run_now(ScheduleEntry.objects.get(name=name), by=None)
        else:
            super().enqueue_job(job)

    def cron(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse: an entry that is only in Redis is lost with it."""
        raise NotImplementedError("Add a schedule entry instead: amazon_pilot.jobs.schedule.entries.create().")

    def schedule(self, *args: object, **kwargs: object) -> NoReturn:
        """Refuse, as `cron` does."""
        raise NotImplementedError("Add a schedule entry instead: amazon_pilot.jobs.schedule.entries.create().")


def note_silence(last: datetime | None, now: datetime) -> None:
    """Keep that no scheduler has looked since `last`, where that is so long ago that fires were missed meanwhile."""
    if last is not None and now - last > settings.SCHEDULE_GRACE:
        Silence.objects.note(last, now)


def plan_again(now: datetime) -> None:
    """Plan entries whose next fire lies later than their line says: it was planned while the clock was ahead.

    What was noted as missed for a time that is still to come is forgotten, so that it can come. A time that has been
    fired stays so.
    """
    Fire.objects.filter(planned_at__gt=now, outcome=Fire.Outcome.MISSED).delete()
    for entry in ScheduleEntry.objects.filter(broken="", next_at__gt=now):
        try:
            next_at = entry.next_fire(now)
        except (ValueError, LookupError, OSError):
            continue  # a row written past `clean`, which the next fire will tell of
        if entry.next_at is not None and next_at < entry.next_at:
            ScheduleEntry.objects.filter(pk=entry.pk, next_at=entry.next_at).update(next_at=next_at)
