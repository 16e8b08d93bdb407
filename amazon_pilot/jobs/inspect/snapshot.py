"""The one sample that all viewers and Prometheus share: what Redis holds now, taken at most every few seconds.

Whoever looks when it has grown old takes the next one; nobody takes two at once. Fifty viewers cost Redis what one
does, but for one GET each.
"""

import json
import logging
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeAlias, TypedDict, cast

from django.conf import settings
from redis import Redis
from redis.exceptions import ResponseError
from rq.utils import as_text, utcparse

from ..core import queues
from ..core.picture import Picture, Running, Worker
from ..core.scripts import script, together
from . import store
from .words import sound

KEY, LOCK = "pilot:sample", "pilot:sample:lock"
logger = logging.getLogger(__name__)

# What no page can do without in a worker's record, and what may be missing from it, whichever version wrote it.
NEEDED = {"worker": str, "state": str, "queues": dict, "takes": dict}
OPTIONAL = {"pid": int, "host": str, "born": int | float, "clock": int | float, "ended": dict}
FRESH_SECONDS = 3.0
STALE_SECONDS = 3 * FRESH_SECONDS
KEPT_SECONDS = 900
SIZES_SECONDS = 300  # sizes are remembered so long, to tell how fast a queue grows
TAKES_MINUTES = 5
MOST_WORKERS = 200
SILENT_SECONDS = 10.0  # a worker shows itself each second

INFO = (
    "redis_version", "uptime_in_seconds", "used_memory", "used_memory_peak", "maxmemory", "maxmemory_policy",
    "mem_fragmentation_ratio", "connected_clients", "connected_slaves", "role", "aof_enabled",
    "aof_last_write_status", "rdb_last_bgsave_status", "rdb_last_save_time", "rdb_changes_since_last_save",
    "evicted_keys", "expired_keys", "instantaneous_ops_per_sec", "total_commands_processed", "used_cpu_sys",
    "used_cpu_user", "loading", "tcp_port", "rejected_connections",
)  # fmt: skip


Info: TypeAlias = dict[str, Any]  # numbers and words by the names that Redis gives them


class Going(TypedDict):
    """How many failed jobs of a queue will be deleted, up to which score; told when, due from when on (Unix time)."""

    number: int
    score: float
    told_at: float
    due: float


@dataclass
class QueueSample:
    """One queue at the moment of the sample; ages and spans in seconds, rates in jobs per minute."""

    name: str
    weight: int
    waiting: int
    running: int
    scheduled: int
    deferred: int
    failed: int
    finished: int
    canceled: int
    oldest: float
    next_due: float | None
    weight_ratio: float
    share_ratio: float | None
    out_per_minute: float | None
    in_per_minute: float | None
    paused: bool
    memory: int | None = None  # bytes, about, as of Sample.weighed_at
    retries: int | None = None  # of the scheduled, about, as of Sample.weighed_at

    @property
    def pause_name(self) -> str:
        return f"queue:{self.name}"

    @property
    def drain_seconds(self) -> float | None:
        """Seconds until it is empty at the pace of the last minutes; None where it grows or nobody knows."""
        if self.out_per_minute is None or self.in_per_minute is None or self.out_per_minute <= self.in_per_minute:
            return None
        return self.waiting / (self.out_per_minute - self.in_per_minute) * 60

    @property
    def grows_by(self) -> float | None:
        """Jobs per minute by which it grows; None where it does not, or nobody knows."""
        if self.out_per_minute is None or self.in_per_minute is None:
            return None
        return max(0.0, self.in_per_minute - self.out_per_minute) or None

    @property
    def starved(self) -> bool:
        """Whether jobs wait, the queue is not paused, and none was started for minutes while others were."""
        return self.waiting > 0 and not self.paused and self.share_ratio == 0 and self.oldest > 60 * TAKES_MINUTES


@dataclass
class Sample:
    """What Redis held at `taken_at` (Unix time by Redis's clock)."""

    taken_at: float
    queues: list[QueueSample]
    paused: dict[str, float]
    workers: list[Worker]
    unwritten: int
    written_until: float
    scheduler: dict[str, str]
    schedulers: dict[str, float]
    info: Info
    sizes: list[tuple[float, dict[str, int]]] = field(default_factory=list)
    going: dict[str, Going] = field(default_factory=dict)  # failed jobs beyond what a queue may keep, by queue
    weighed_at: float | None = None  # when the scheduler last took a reading; None where it lies long ago

    @property
    def weighed(self) -> datetime | None:
        return datetime.fromtimestamp(self.weighed_at, UTC) if self.weighed_at else None

    @property
    def age(self) -> float:
        """Seconds since it was taken."""
        return max(0.0, time.time() - self.taken_at)

    @property
    def is_stale(self) -> bool:
        return self.age > STALE_SECONDS

    @property
    def taken(self) -> datetime:
        return datetime.fromtimestamp(self.taken_at, UTC)

    @property
    def tick_age(self) -> float | None:
        """Seconds since the scheduler's last tick at the moment of the sample; None where none ever reported."""
        at = self.scheduler.get("tick_at")
        return max(0.0, self.taken_at - float(at)) if at else None

    @property
    def alive(self) -> list[Worker]:
        """The workers that showed themselves within the last seconds."""
        return [worker for worker in self.workers if worker["is_alive"]]

    @property
    def dead(self) -> list[Worker]:
        """The workers that fell silent without saying goodbye, within the last hour."""
        return [worker for worker in self.workers if not worker["is_alive"]]

    @property
    def running(self) -> list[Running]:
        """What runs now: the busy slots of living workers with their worker's name, the longest first."""
        return running_in(self.alive)

    @property
    def started(self) -> int:
        """How many jobs count as running, also those whose worker died a moment ago."""
        return sum(queue.running for queue in self.queues)

    def queue(self, name: str) -> QueueSample | None:
        return next((queue for queue in self.queues if queue.name == name), None)

    def serving(self, queue: str) -> int:
        """Return how many living workers take jobs from a queue."""
        return sum(queue in worker["queues"] for worker in self.alive)


def running_in(workers: Iterable[Worker]) -> list[Running]:
    """Return the busy slots of workers with their worker's name, the one that runs for longest first."""
    busy: list[Running] = [{**slot, "worker": w["worker"]} for w in workers for slot in w["slots"] if slot.get("job")]
    return sorted(busy, key=lambda slot: slot["since"])


def current(connection: Redis | None = None) -> Sample:
    """Return the shared sample, taking a new one where it has grown old; raises RedisError where Redis is away."""
    connection = connection or store.connect()
    known = shared(connection)
    if known and known.age < FRESH_SECONDS:
        return known
    if not may_take(connection) and known:
        return known  # somebody takes it at this moment
    since = shared(connection)
    if since and since.age < FRESH_SECONDS:
        connection.delete(LOCK)
        return since  # somebody took it between these two steps
    taken = take(connection, known)
    together(connection, ("SET", KEY, json.dumps(asdict(taken)), "EX", KEPT_SECONDS), ("DEL", LOCK))
    return taken


def shared(connection: Redis) -> Sample | None:
    """Return the sample that others have left, however old; None where there is none."""
    words = connection.get(KEY)
    return loads(words) if words else None


def may_take(connection: Redis) -> bool:
    """Tell whether nobody else takes a sample now, and have others wait; all may if Redis is too full to note it."""
    try:
        return bool(connection.set(LOCK, 1, nx=True, px=5000))
    except ResponseError:  # its memory is full: just then somebody has to see what fills it
        return True


def loads(words: str | bytes) -> Sample | None:
    """Read a stored sample; None where another version of this code wrote it."""
    try:
        fields = json.loads(words)
        return Sample(**fields | {"queues": [QueueSample(**queue) for queue in fields["queues"]]})
    except (TypeError, KeyError, ValueError):
        return None


def take(connection: Redis, before: Sample | None = None) -> Sample:
    """Look at Redis: one script and one INFO. `before` lends the sizes of the last minutes."""
    names = queues.names()
    answer = script("snapshot")(connection, TAKES_MINUTES, MOST_WORKERS, *names)
    seconds, micros, told, takes, pauses, workers, unwritten, first, report, schedulers, words, going = answer
    rows = [QueueRow._make(row) for row in told]
    now = int(seconds) + int(micros) / 1e6
    sizes = [(at, size) for at, size in (before.sizes if before else []) if at > now - SIZES_SECONDS]
    if not sizes or sizes[-1][0] < now - 4:
        sizes.append((now, {as_text(row.name): row.waiting for row in rows}))
    started = _takes(takes)
    paused = {as_text(name): float(until) for name, until in zip(pauses[::2], pauses[1::2], strict=True)}
    paused = {name: until for name, until in paused.items() if not until or until > now}
    found = connection.info()
    reading = json.loads(words) if words else {"at": None, "queues": {}}
    return Sample(
        taken_at=now,
        queues=[_queue(row, now, started, sizes, paused, reading["queues"]) for row in rows],
        paused=paused,
        workers=[_worker(picture, float(seen), now) for words, seen in workers if (picture := read_picture(words))],
        unwritten=unwritten,
        written_until=int(as_text(first).partition("-")[0]) / 1000 if first else now,
        scheduler={as_text(k): as_text(v) for k, v in zip(report[::2], report[1::2], strict=True)},
        schedulers={as_text(k): now - float(v) for k, v in zip(schedulers[::2], schedulers[1::2], strict=True)},
        info={name: found[name] for name in INFO if name in found},
        sizes=sizes,
        going={as_text(name): json.loads(told) for name, told in zip(going[::2], going[1::2], strict=True)},
        weighed_at=reading["at"],
    )


def _takes(rows: list[tuple[int, list[bytes]]]) -> dict[int, dict[str, int]]:
    """Return how many jobs were started, by minute and queue."""
    return {
        minute: {as_text(name): int(count) for name, count in zip(row[::2], row[1::2], strict=True)}
        for minute, row in rows
    }


class QueueRow(NamedTuple):
    """What the script tells of one queue."""

    name: bytes
    waiting: int
    running: int
    scheduled: int
    deferred: int
    failed: int
    finished: int
    canceled: int
    since: bytes  # when its oldest waiting job was enqueued, as rq writes it
    next_due: bytes  # the score of the first planned job


def _queue(
    row: QueueRow,
    now: float,
    started: dict[int, dict[str, int]],
    sizes: list[tuple[float, dict[str, int]]],
    paused: dict[str, float],
    held: dict[str, dict[str, int] | None],
) -> QueueSample:
    name = as_text(row.name)
    weights = settings.QUEUE_WEIGHTS
    total = sum(sum(minute.values()) for minute in started.values())
    mine = sum(minute.get(name, 0) for minute in started.values())
    elapsed = (TAKES_MINUTES - 1) + (now % 60) / 60  # the running minute has only begun
    out = mine / elapsed
    grown = _growth(name, row.waiting, now, sizes)
    return QueueSample(
        name=name,
        weight=weights[name],
        waiting=row.waiting,
        running=row.running,
        scheduled=row.scheduled,
        deferred=row.deferred,
        failed=row.failed,
        finished=row.finished,
        canceled=row.canceled,
        oldest=_age(row.since, now),
        next_due=sound(row.next_due) if row.next_due else None,
        weight_ratio=weights[name] / sum(weights.values()),
        share_ratio=mine / total if total else None,
        out_per_minute=out,
        in_per_minute=max(0.0, out + grown) if grown is not None else None,
        paused=f"queue:{name}" in paused,
        **(held.get(name) or {}),
    )


def _age(since: bytes | str, now: float) -> float:
    """Return seconds since a time as rq writes it; 0 where it is none, so that one damaged job hides no queue."""
    try:
        return max(0.0, now - utcparse(as_text(since)).timestamp()) if since else 0.0
    except ValueError:
        return 0.0


def _growth(name: str, size: int, now: float, sizes: list[tuple[float, dict[str, int]]]) -> float | None:
    """Return by how many jobs per minute a queue grew since the oldest remembered sample; None before half a minute."""
    at, then = sizes[0]
    return (size - then.get(name, 0)) / (now - at) * 60 if now - at >= 30 else None


def read_picture(words: bytes) -> Picture | None:
    """Read what a worker tells of itself; None for what others, or another version, have put in its place.

    It is left out with a line of log, since every page shows workers and would be lost for one of them.
    """
    try:
        found = json.loads(words)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not _is_whole(found):
        logger.warning("The record of a worker cannot be read, so the pages leave this worker out.")
        return None
    return cast(Picture, found)


def _is_whole(found: dict[str, object]) -> bool:
    is_there = all(isinstance(found.get(name), kind) for name, kind in NEEDED.items())
    is_sound = all(isinstance(found[name], kind) for name, kind in OPTIONAL.items() if name in found)
    slots = found.get("slots")
    return is_there and is_sound and isinstance(slots, list) and all(isinstance(slot, dict) for slot in slots)


def _worker(picture: Picture, seen: float, now: float) -> Worker:
    """Add to a worker's own picture what only an observer can say."""
    silence = max(0.0, now - seen)
    busy = sum(bool(slot.get("job")) for slot in picture["slots"])
    is_alive = silence < SILENT_SECONDS
    state = "dead" if not is_alive else "quiet" if picture["state"] != "working" else "busy" if busy else "idle"
    clock = picture.get("clock", seen)
    skew = clock - seen  # by how much its clock is ahead of Redis's, seconds
    return {
        **picture, "seen": seen, "silence": silence, "busy": busy, "is_alive": is_alive, "shown_state": state,
        "skew": skew, "uptime": max(0.0, clock - picture.get("born", clock)),
    }  # fmt: skip
