"""The writer of the history: a worker's child that turns the lines on `pilot:runs` into JobRun rows.

Redis writes a line in the same step in which a job starts or ends; a line is acknowledged when its row is committed, so
no crash loses history, and a worker never waits for the database. Several writers of the history share the stream.
"""

import logging
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.db import Error as DatabaseError
from django.db import close_old_connections, transaction
from redis.exceptions import RedisError, ResponseError
from rq.defaults import RQ_KEY_PREFIX
from rq.group import Group
from rq.rate_limit import RateLimitRegistry
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, ReadyJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import utcparse

from ..core import faults, keys, payload
from ..core.queues import connection
from ..core.registry import JSONJob
from ..core.scripts import together
from ..models.job_run import JobRun, Outcome, searchable
from ..models.pause import Pause
from ..models.total import Total
from . import run_event

logger = logging.getLogger(__name__)

STREAM, GROUP = keys.RUNS, keys.RUNS_GROUP
BATCH = 100  # entries; one holds up to 20 lines
ABANDONED_MS = 30_000  # lines that another writer of the history took so long ago and never wrote
HOUSEKEEPING_SECONDS = 60
PERIOD, REST, BACKLOG = 1.0, 1, 10_000  # see HistoryWriter.write_in_step
UNHEARD = "Nobody told the end of this run: its job was deleted or Redis was emptied, and the worker is gone."

Line = tuple[bytes, dict[bytes, bytes]]
KEY = ("job_id", "execution_id")
CHANGING = [
    field.name for field in JobRun._meta.concrete_fields if not field.primary_key and field.name not in KEY
]  # fmt: skip


class HistoryWriter:
    """One reader of the stream. `write_some` is one step; a test calls it by hand."""

    def __init__(self, name: str, queues: Sequence[str]) -> None:
        self.name = name
        self.queues = list(queues)
        self.next_housekeeping = 0.0
        self.is_leaving = False
        self.unheld: set[int] = set()

    def live(self) -> None:
        """Write until told to leave, and through every outage."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # kept until `rest` asks for it
        while not self.is_leaving:
            try:
                close_old_connections()
                self.join()
                while not self.is_leaving:
                    self.write_in_step()
                    self.keep_house()
            except (RedisError, DatabaseError, OSError) as error:
                logger.warning("The history waits: %s", error)
                self.rest(1)
        self.leave()

    def write_in_step(self) -> None:
        """Write one batch, and rest after it.

        What ends within a PERIOD is written together: a transaction for each job would cost more than the job, and the
        next one would wait for a processor. While jobs end faster than they are written the rest is longer, so that a
        flood of short jobs has the processors to itself; its history is written when the flood ebbs, or when BACKLOG
        entries wait.
        """
        began, waiting = time.monotonic(), lag()
        written = self.write_some(block_ms=500)
        if 0 < written < BATCH:
            self.rest(PERIOD)
        elif written and waiting - written < lag() < BACKLOG:
            self.rest(REST * (time.monotonic() - began))
        else:
            self.rest(0)

    def rest(self, seconds: float) -> None:
        """Sleep, or not at all where it is time to leave."""
        told = signal.sigtimedwait({signal.SIGTERM}, seconds)
        self.is_leaving = told is not None and told.si_signo == signal.SIGTERM  # else it was stopped and continued

    def leave(self) -> None:
        """Write what has already come, then go; what fails now is taken over by another history writer."""
        try:
            while self.write_some(block_ms=0):
                pass
        except (RedisError, DatabaseError, OSError) as error:
            logger.warning("The history stays in Redis for the next history writer: %s", error)

    def join(self) -> None:
        """Make sure that the stream has its group of readers."""
        try:
            together(connection(), ("XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"))
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def write_some(self, block_ms: int = 0) -> int:
        """Write one batch of lines; returns how many. A batch whose rows the database refuses is written row by row."""
        lines = self.unfinished() or self.fresh(block_ms)
        if not lines:
            return 0
        runs = [run for line in lines for run in read(line)]
        faults.point("before history is written")
        try:
            write(runs)
        except Exception:  # also what no database was asked: text that is none, a number that is too large
            close_old_connections()
            write_one_by_one(runs)
        faults.point("before history is acknowledged")
        ids = [id for id, _ in lines]
        together(connection(), ("XACK", STREAM, GROUP, *ids), ("XDEL", STREAM, *ids))
        return len(lines)

    def fresh(self, block_ms: int) -> list[Line]:
        """Return lines that nobody has read yet."""
        answer: Any = connection().xreadgroup(
            GROUP, self.name, {STREAM: ">"}, count=BATCH, block=block_ms if block_ms else None
        )
        streams = answer.items() if isinstance(answer, dict) else answer or []
        return [line for _, lines in streams for line in flat(lines)]

    def unfinished(self) -> list[Line]:
        """Return lines that a writer of the history took and did not write: it died, or the database was away."""
        answer: Any = connection().xautoclaim(STREAM, GROUP, self.name, ABANDONED_MS, count=BATCH)
        return [(id, fields) for id, fields in answer[1] if fields]

    def keep_house(self) -> None:
        """Each minute: what rq's maintenance does, without its locks, and the pauses as their rows say."""
        if time.monotonic() < self.next_housekeeping:
            return
        self.next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
        Pause.objects.sync()
        now = connection().time()[0]  # Redis's own: a worker whose clock is ahead would empty the registries
        for queue in self.queues:
            for registry in (FinishedJobRegistry, FailedJobRegistry, DeferredJobRegistry, ReadyJobRegistry):
                registry(queue, connection=connection(), job_class=JSONJob, serializer=JSONSerializer).cleanup(now)
        for limit in RateLimitRegistry.all(connection()):
            limit.cleanup()  # a permit whose job has ended, where a kill fell before its release
        Group.clean_registries(connection())
        self.close_unheard()
        self.forget_dead_readers()

    def close_unheard(self) -> int:
        """End the rows of runs that nobody holds and whose end nobody told; returns how many.

        So it is where a job was deleted and then its worker died, or where Redis was emptied. A row is closed when it
        is found so at two housekeepings in turn, since the line of an end may still be on its way.
        """
        begun = JobRun.objects.filter(outcome=Outcome.STARTED, started_at__lt=datetime.now(UTC) - timedelta(minutes=2))
        runs = list(begun.only("task", "queue", "job_id", "execution_id"))
        with connection().pipeline(transaction=False) as pipeline:
            for run in runs:
                pipeline.zscore(f"{RQ_KEY_PREFIX}:wip:{run.queue}", f"{run.job_id}:{run.execution_id}")
            leases = pipeline.execute()
        unheld = [run for run, lease in zip(runs, leases, strict=True) if lease is None]
        closed = 0
        for run in unheld:
            if run.pk in self.unheld:
                closed += JobRun.objects.filter(pk=run.pk, outcome=Outcome.STARTED).update(
                    outcome=Outcome.LOST, ended_at=datetime.now(UTC), cause="unheard", exception="lost",
                    message=UNHEARD, fingerprint=run_event.fingerprint("lost", run.task, None),
                )  # fmt: skip
        self.unheld = {run.pk for run in unheld}
        return closed

    def forget_dead_readers(self) -> None:
        """Drop readers that have left: workers have a new name at each start."""
        for reader in connection().xinfo_consumers(STREAM, GROUP):
            if reader["pending"] == 0 and reader["idle"] > 3_600_000:
                connection().xgroup_delconsumer(STREAM, GROUP, reader["name"])


def lag() -> int:
    """Return how many entries of the stream wait to be written as rows; one holds up to 20 lines."""
    return int(connection().xlen(STREAM))


def flat(lines: Any) -> list[Line]:
    """Return lines from either of redis-py's two shapes."""
    return [line for part in lines for line in (part if isinstance(part, list) else [part]) if line[1]]


def read(entry: Line) -> Iterator[JobRun]:
    """Yield the rows that the lines of one entry stand for; one that cannot be read is logged and passed over."""
    words = entry[1]
    for n in count():
        if (text := words.get(b"e%d" % n)) is None:
            return
        try:
            event = payload.storable(run_event.event_of(text))
            event["payload"] = payload.unpacked(words.get(b"d%d" % n, b"")).decode(errors="replace")
            yield run_of(event)
        except Exception:
            logger.exception("A line of history cannot be read: %r", text)


def run_of(event: dict[str, Any]) -> JobRun:
    """Return the unsaved row of one event; `record.line` and common.lua write them."""
    name, args, kwargs = payload.shown_call_of(event)
    meta = payload.loaded(event.get("meta"), {})
    ended_at = moment(event.get("ended"))
    started_at = moment(event.get("started")) or date(event.get("started_at")) or ended_at or datetime.now(UTC)
    enqueued_at = date(event.get("enqueued_at"))
    is_loss = event["outcome"] == Outcome.LOST
    cause = event.get("cause", "")
    exception = event.get("exception", "") or ("lost" if is_loss else "")
    return JobRun(
        job_id=event["id"],
        execution_id=event["execution"],
        task=(event.get("task") or name)[:200],
        queue=event["queue"],
        args=args,
        kwargs=kwargs,
        tags=event.get("tags", "")[:200],
        attempt=max(1, event.get("attempt", 1)),
        enqueued_at=enqueued_at,
        started_at=started_at,
        ended_at=ended_at,
        wait=max(0.0, (started_at - enqueued_at).total_seconds()) if enqueued_at else None,
        duration=max(0.0, (ended_at - started_at).total_seconds()) if ended_at else None,
        worker=event.get("worker", "")[:200],
        slot=event.get("slot"),
        outcome=event["outcome"],
        cause=cause[:200],
        is_poison=bool(event.get("poison")),
        retry_at=ended_at + timedelta(seconds=event["retry_in"]) if ended_at and event.get("retry_in") else None,
        exception=exception[:200],
        message=event.get("message", ""),
        traceback=event.get("traceback", ""),
        fingerprint=event.get("fingerprint")
        or (run_event.fingerprint(exception, name, None) if exception and event["outcome"] != "stopped" else ""),
        result=payload.loaded(event.get("result"), None),
        progress=event.get("percent"),
        progress_text=event.get("progress", "")[:200],
        log=event.get("log", ""),
        log_is_cut=bool(event.get("log_cut")),
        schedule_entry=str(meta.get("entry", ""))[:100],
        fire=str(meta.get("fire", ""))[:100],
        meta=meta,
        search=searchable([args, kwargs, event.get("message", ""), exception, exception.rpartition(".")[2]]),
    )


def moment(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


def date(text: str | None) -> datetime | None:
    return utcparse(text) if text else None


def write(runs: Sequence[JobRun]) -> None:
    """Write rows in one transaction. An end overwrites a start, never the other way round, in whatever order they come.

    Of several lines about one execution, the end counts; a start that comes late finds the row there and is dropped.
    """
    ends = {(run.job_id, run.execution_id): run for run in runs if run.outcome != Outcome.STARTED}
    starts = {(run.job_id, run.execution_id): run for run in runs if run.outcome == Outcome.STARTED}
    with transaction.atomic():
        losses = new_losses(list(ends.values()))
        JobRun.objects.bulk_create([run for key, run in starts.items() if key not in ends], ignore_conflicts=True)
        JobRun.objects.bulk_create(
            ends.values(), update_conflicts=True, unique_fields=list(KEY), update_fields=CHANGING
        )
        if losses:
            count_losses(losses)


def new_losses(ends: Sequence[JobRun]) -> list[JobRun]:
    """Return the runs that were lost and are not written as lost yet: a line may come twice, and counts once."""
    lost = [run for run in ends if run.outcome == Outcome.LOST]
    if not lost:
        return []
    rows = JobRun.objects.filter(outcome=Outcome.LOST, job_id__in=[run.job_id for run in lost])
    known = set(rows.values_list(*KEY))
    return [run for run in lost if (run.job_id, run.execution_id) not in known]


def count_losses(losses: Sequence[JobRun]) -> None:
    """Count jobs that were put aside, by queue and task, and the other lost runs, by queue and cause."""
    poisoned = Counter((run.queue, run.task) for run in losses if run.is_poison)
    recovered = Counter((run.queue, run.cause.partition(":")[0]) for run in losses if not run.is_poison)
    Total.objects.raise_by(Total.Name.RECOVERED, recovered)
    Total.objects.raise_by(Total.Name.POISONED, poisoned)


def write_one_by_one(runs: Sequence[JobRun]) -> None:
    """Write rows singly, so that one which the database refuses keeps no other back; raises where it is away."""
    for run in runs:
        try:
            write([run])
        except Exception:
            with transaction.atomic():
                JobRun.objects.exists()  # raises again where the database is away: then nothing is acknowledged
            logger.exception("A line of history was refused by the database: job %s", run.job_id)
