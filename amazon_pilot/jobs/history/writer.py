"""The writer of the history: a worker's child that turns the lines on `pilot:runs` into JobRun rows.

Redis writes a line in the same step in which a job starts or ends; a line is acknowledged when its row is committed, so
no crash loses history, and a worker never waits for the database. Several writers of the history share the streams:
`pilot:runs`, and `pilot:failures` for what did not succeed.
"""

import logging
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from django.db import Error as DatabaseError
from django.db import close_old_connections, transaction
from redis.exceptions import RedisError, ResponseError
from rq import Queue
from rq.defaults import RQ_KEY_PREFIX
from rq.group import Group
from rq.rate_limit import RateLimitRegistry
from rq.registry import DeferredJobRegistry, FailedJobRegistry, FinishedJobRegistry, ReadyJobRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import clean_worker_registry

from ..core import faults, keys
from ..core.queues import connection
from ..core.registry import JSONJob
from ..core.scripts import together
from ..models.job_run import JobRun, Outcome
from ..models.pause import Pause
from . import rows, run_event

logger = logging.getLogger(__name__)

STREAM, FAILURES, GROUP = keys.RUNS, keys.FAILURES, keys.RUNS_GROUP
LEAST, MOST = 10, 1000  # entries of each stream that are written in one step; one holds up to 20 lines
STEP = 0.4  # seconds that a step should take, however busy the machine: for so long a failure waits for the one before
ABANDONED_MS = 30_000  # lines that another writer of the history took so long ago and never wrote
HOUSEKEEPING_SECONDS = 60
PERIOD = 0.5  # seconds: what ends within it is written together, where there is time
UNHEARD = "Nobody told the end of this run: its job was deleted or Redis was emptied, and the worker is gone."

Line = tuple[bytes, dict[bytes, bytes]]
Batch = dict[bytes, list[Line]]  # by stream


class HistoryWriter:
    """One reader of the stream. `write_some` is one step; a test calls it by hand."""

    def __init__(self, name: str, queues: Sequence[str]) -> None:
        self.name = name
        self.queues = list(queues)
        self.batch = 100  # entries
        self.next_housekeeping = 0.0
        self.is_leaving = False
        self.unheld: set[int] = set()

    def live(self) -> None:
        """Write until told to leave, and through every outage. What has come by then is left to `leave`."""
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

    def write_in_step(self) -> None:
        """Write one batch; rest only where that was all there was.

        What ends within a PERIOD is written together: a transaction for each job would cost more than the job.
        """
        wanted = self.batch
        written = self.write_some(block_ms=500)
        self.rest(PERIOD if 0 < written < wanted else 0)

    def rest(self, seconds: float) -> None:
        """Sleep, or not at all where it is time to leave.

        The number is looked at: a process that was stopped and goes on is answered without any signal (signal(7)).
        """
        heard = signal.sigtimedwait({signal.SIGTERM}, seconds)
        self.is_leaving |= heard is not None and heard.si_signo == signal.SIGTERM  # after an error it rests again

    def leave(self) -> None:
        """Write what has already come, then go; what fails now is taken over by another history writer."""
        try:
            while self.write_some(block_ms=0):
                pass
        except (RedisError, DatabaseError, OSError) as error:
            logger.warning("The history stays in Redis for the next history writer: %s", error)

    def join(self) -> None:
        """Make sure that the streams have their group of readers, and write what this one took before and did not."""
        for stream in (FAILURES, STREAM):
            try:
                together(connection(), ("XGROUP", "CREATE", stream, GROUP, "0", "MKSTREAM"))
            except ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
        while self.write(self.read(b"0")):
            pass

    def write_some(self, block_ms: int = 0) -> int:
        """Write one batch of lines; returns how many entries."""
        return self.write(self.unfinished() or self.read(b">", block_ms))

    def write(self, batch: Batch) -> int:
        """Write lines and acknowledge them; returns how many entries.

        Lines whose rows the database refuses are written row by row.
        """
        if not batch:
            return 0
        began = time.monotonic()
        found = [row for lines in batch.values() for line in lines for row in rows_of(line)]
        faults.point("before history is written")
        try:
            rows.write(found)
        except Exception:  # also what no database was asked: text that is none, a number that is too large
            close_old_connections()
            write_one_by_one(found)
        faults.point("before history is acknowledged")
        for stream, lines in batch.items():
            ids = [id for id, _ in lines]
            together(connection(), ("XACK", stream, GROUP, *ids), ("XDEL", stream, *ids))
        number = sum(len(lines) for lines in batch.values())
        self.adjust(number, time.monotonic() - began)
        return number

    def adjust(self, number: int, seconds: float) -> None:
        """Take fewer entries in the next step where this one took long, and more where it was full and quick."""
        if seconds > STEP:
            self.batch = max(LEAST, self.batch // 2)
        elif number >= self.batch and seconds < STEP / 2:
            self.batch = min(MOST, self.batch * 2)

    def read(self, after: bytes, block_ms: int = 0) -> Batch:
        """Return lines that nobody has read yet (`>`), or those that this reader took and did not write (`0`).

        Failures have a stream of their own: they never wait behind a flood of successes.
        """
        answer: Any = connection().xreadgroup(
            GROUP, self.name, {FAILURES: after, STREAM: after}, count=self.batch, block=block_ms if block_ms else None
        )
        streams = answer.items() if isinstance(answer, dict) else answer or []
        return {stream: found for stream, lines in streams if (found := flat(lines))}

    def unfinished(self) -> Batch:
        """Return lines that a writer of the history took and did not write: it died, or the database was away."""
        found: Batch = {}
        for stream in (keys.FAILURES.encode(), keys.RUNS.encode()):
            answer: Any = connection().xautoclaim(stream, GROUP, self.name, ABANDONED_MS, count=self.batch)
            if lines := [(id, fields) for id, fields in answer[1] if fields]:
                found[stream] = lines
        return found

    def keep_house(self) -> None:
        """Each minute: what rq's maintenance does, without its locks, and the pauses as their rows say."""
        if time.monotonic() < self.next_housekeeping:
            return
        self.next_housekeeping = time.monotonic() + HOUSEKEEPING_SECONDS
        now = redis_time()
        Pause.objects.sync()
        for queue in self.queues:
            for registry in (FinishedJobRegistry, FailedJobRegistry, DeferredJobRegistry, ReadyJobRegistry):
                registry(queue, connection=connection(), job_class=JSONJob, serializer=JSONSerializer).cleanup(now)
            clean_worker_registry(Queue(queue, connection=connection()))  # the names of workers that were killed
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
        moment = datetime.fromtimestamp(redis_time(), UTC)
        begun = JobRun.objects.filter(outcome=Outcome.STARTED, started_at__lt=moment - timedelta(minutes=2))
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
                    outcome=Outcome.LOST, ended_at=moment, cause="unheard", exception="lost",
                    message=UNHEARD, fingerprint=run_event.fingerprint("lost", run.task, None),
                )  # fmt: skip
        self.unheld = {run.pk for run in unheld}
        return closed

    def forget_dead_readers(self) -> None:
        """Drop readers that have left: workers have a new name at each start."""
        for stream in (FAILURES, STREAM):
            for reader in connection().xinfo_consumers(stream, GROUP):
                if reader["pending"] == 0 and reader["idle"] > 3_600_000:
                    connection().xgroup_delconsumer(stream, GROUP, reader["name"])


def redis_time() -> float:
    """Return the time by Redis's clock, which all expiry there goes by: this machine's may be days ahead."""
    seconds, micros = connection().time()
    return float(seconds) + micros / 1_000_000


def flat(lines: Iterable[list[Line] | Line]) -> list[Line]:
    """Return lines from either of redis-py's two shapes; without those that are deleted already."""
    return [line for part in lines for line in (part if isinstance(part, list) else [part]) if line[1]]


def rows_of(entry: Line) -> Iterator[rows.Row]:
    """Yield the rows that the lines of one entry stand for; one that cannot be read is logged and passed over."""
    words = entry[1]
    for n in count():
        if (text := words.get(b"e%d" % n)) is None:
            return
        try:
            yield rows.row_of(text, words.get(b"d%d" % n, b""))
        except Exception:
            logger.exception("A line of history cannot be read: %r", text)


def write_one_by_one(found: Sequence[rows.Row]) -> None:
    """Write rows singly, so that one which the database refuses keeps no other back; raises where it is away.

    Of a row that is refused, what the engine itself says is written.
    """
    for row in found:
        try:
            rows.write([row])
        except Exception:
            with transaction.atomic():
                JobRun.objects.exists()  # raises again where the database is away: then nothing is acknowledged
            logger.exception("A line of history was refused by the database: job %s", row["job_id"])
            write_bare(row)


def write_bare(row: rows.Row) -> None:
    """Write what the engine itself says of a run; where even that is refused, it is logged and passed over."""
    try:
        rows.write([rows.bare(row)])
    except Exception:
        with transaction.atomic():
            JobRun.objects.exists()
        logger.exception("Nothing of this run could be written: job %s", row["job_id"])
