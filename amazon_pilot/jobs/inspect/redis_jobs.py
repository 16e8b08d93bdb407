"""Jobs as Redis holds them now: those that wait, run, are planned, held back, or have failed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from django.utils import timezone
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text

from ..core.fields import SHOWN
from ..core.payload import shown_call_of, unpacked
from ..core.scripts import script
from ..core.values import Args, Kwargs
from . import store
from .words import moment_at, sound, whole_number

# Each state, the place in Redis where its jobs are (list is the queue itself), and whether the newest comes first.
STATES: dict[str, tuple[str, bool]] = {
    "queued": ("list", False),
    "started": ("wip", False),
    "scheduled": ("scheduled", False),
    "retry": ("scheduled", False),
    "deferred": ("deferred", False),
    "held": ("deferred", False),
    "failed": ("failed", True),
    "canceled": ("canceled", True),
}
PARTS = {"retry": "scheduled", "held": "deferred"}  # the states that are part of another one
# The states of a job that has not ended, as the list of all shows them.
PRESENT = ("started", "queued", "scheduled", "deferred")


Peeked: TypeAlias = tuple[bytes, bytes, list[bytes]]  # how a script tells a job: its id, its score, its fields SHOWN


@dataclass(frozen=True)
class LiveJob:
    """One job of Redis. `score` is when a planned job is due, or until when a failed one is kept (Unix time)."""

    id: str
    state: str
    queue: str
    task: str
    args: Args
    kwargs: Kwargs
    attempt: int
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    score: float | None
    worker: str = ""
    tags: str = ""
    held: str = ""
    about: str = ""  # its subjects, joined by commas

    @property
    def wait(self) -> float | None:
        """Seconds since it was enqueued, or until it started."""
        if self.enqueued_at is None:
            return None
        return max(0.0, ((self.started_at or timezone.now()) - self.enqueued_at).total_seconds())


@dataclass(frozen=True)
class Window:
    """Some jobs of one place: `seen` were looked at, `jobs` are in the state asked for, `total` are in the place."""

    jobs: list[LiveJob]
    seen: int
    total: int


def window(state: str, queue: str, start: int, number: int) -> Window:
    """Return the jobs of a state from position `start` on, by one command; raises RedisError where Redis is away."""
    place, is_backwards = STATES[state]
    total, found = script("peek")(store.connect(), place, queue, start, number, int(is_backwards))
    jobs = [read(state, queue, *words) for words in found]
    return Window([job for job in jobs if is_in(state, job)], len(found), int(total))


def survey(places: Sequence[tuple[str, str]], most: int, each: int) -> list[Window]:
    """Return the first jobs of places, each a state and a queue, by one command: at most `each` of one, `most` in all.

    The states have to be of PRESENT. Raises RedisError where Redis is away.
    """
    words = [word for state, queue in places for word in (STATES[state][0], queue)]
    found = script("survey")(store.connect(), most, each, *words)
    return [
        Window([read(state, queue, *job) for job in jobs], len(jobs), int(total))
        for (state, queue), (total, jobs) in zip(places, found, strict=True)
    ]


def find(ids: Sequence[str]) -> list[LiveJob]:
    """Return those of some jobs that Redis holds, whatever their state, by two commands for each at most."""
    connection = store.connect()
    with connection.pipeline(transaction=False) as pipeline:
        for id in ids:
            pipeline.hmget(f"{RQ_KEY_PREFIX}:job:{id}", SHOWN)
        hashes = [[value or b"" for value in values] for values in pipeline.execute()]
    found = [(id, values) for id, values in zip(ids, hashes, strict=True) if values[0]]
    with connection.pipeline(transaction=False) as pipeline:
        for id, values in found:
            pipeline.zscore(f"{RQ_KEY_PREFIX}:scheduled:{as_text(values[1])}", id)
        scores = pipeline.execute() if found else []
    return [
        read(as_text(values[0]), "", id.encode(), str(score or "").encode(), values)
        for (id, values), score in zip(found, scores, strict=True)
    ]


def about(subjects: Collection[str], most: int) -> list[LiveJob]:
    """Return the newest jobs about some subjects that have not ended, by one command; at most twenty of a subject."""
    found = script("about")(store.connect(), most, *sorted(subjects)) if subjects else []
    return [read(as_text(status), "", *job) for status, job in found]


def count(state: str, queue: str) -> int:
    """Return how many jobs are in the place of a state: for `retry` and `held` the scheduled and deferred ones too."""
    return window(state, queue, 0, 0).total


def is_in(state: str, job: LiveJob) -> bool:
    """Tell the narrower states apart: a retry is scheduled after an attempt, a held job is deferred by somebody."""
    return {"retry": job.attempt > 0, "held": bool(job.held)}.get(state, True)


def read(state: str, queue: str, id: bytes, score: bytes, values: Sequence[bytes]) -> LiveJob:
    """Read one job of the script's answer; a payload that is no call is shown as its text."""
    words = {name: value.decode(errors="replace") for name, value in zip(SHOWN, values, strict=True) if name != "data"}
    data = bytes(values[SHOWN.index("data")])
    payload = unpacked(data).decode(errors="replace") if data else "[]"
    name = words["task"] or words["description"].partition("(")[0]
    task, args, kwargs = shown_call_of(payload, name)
    return LiveJob(
        id=id.decode(errors="replace"),
        state=state,
        queue=words["origin"] or queue,
        task=task,
        args=args if data else [],
        kwargs=kwargs,
        attempt=whole_number(words["attempt"], 10**9) or 0,
        enqueued_at=moment(words["enqueued_at"] or words["created_at"]),
        started_at=moment(words["started_at"]),
        ended_at=moment(words["ended_at"]),
        score=sound(score) if score else None,
        worker=words["worker_name"],
        tags=words["tags"],
        held=words["held"],
        about=words["about"],
    )


def moment(text: str) -> datetime | None:
    """Read a time as rq writes it; None for anything else."""
    try:  # rq's own utcparse would be a third of the work of reading a job
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return moment_at(found.replace(tzinfo=UTC).timestamp()) if found else None


def still(state: str, ids_by_queue: dict[str, list[str]]) -> set[str]:
    """Return which jobs are in the registry of a state now, by one command per queue."""
    found: set[str] = set()
    with store.connect().pipeline(transaction=False) as pipeline:
        for queue, ids in ids_by_queue.items():
            pipeline.execute_command("ZMSCORE", f"{RQ_KEY_PREFIX}:{STATES[state][0]}:{queue}", *ids)
        for ids, scores in zip(ids_by_queue.values(), pipeline.execute(), strict=True):
            found.update(id for id, score in zip(ids, scores, strict=True) if score is not None)
    return found
