"""Jobs as Redis holds them now: those that wait, run, are planned, held back, or have failed."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TypeAlias

from django.utils import timezone
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text

from ..core.fields import SHOWN
from ..core.payload import shown_call_of, unpacked
from ..core.scripts import script
from ..core.values import Args, Call, Kwargs
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


PLACES = {name: place for place, name in enumerate(SHOWN)}
Peeked: TypeAlias = tuple[bytes, bytes, list[bytes]]  # how a script tells a job: its id, its score, its fields SHOWN


class LiveJob:
    """One job of Redis, read as far as it is asked for: of a thousand that are compared, most are never shown.

    `score` is when a planned job is due, or until when a failed one is kept (Unix time).
    """

    def __init__(self, state: str, queue: str, id: bytes, score: bytes, values: Sequence[bytes]) -> None:
        """Take what a script tells of a job, `values` being those of its fields SHOWN, empty where it has none."""
        self.state, self._queue, self._score, self._values = state, queue, score, values
        self.id = id.decode(errors="replace")

    def _word(self, name: str) -> str:
        return bytes(self._values[PLACES[name]]).decode(errors="replace")

    def may_hold(self, word: str) -> bool:
        """Tell whether the payload may hold a word of ASCII letters and digits, without reading it as JSON."""
        data = self._values[PLACES["data"]]
        return not data.startswith(b"[") or word.lower().encode() in data.lower()  # else it is compressed

    @cached_property
    def call(self) -> Call:
        """The call without its secrets; a payload that is no call is shown as its text."""
        data = bytes(self._values[PLACES["data"]])
        name = self._word("task") or self._word("description").partition("(")[0]
        task, args, kwargs = shown_call_of(unpacked(data).decode(errors="replace") if data else "[]", name)
        return task, args if data else [], kwargs

    @property
    def task(self) -> str:
        return self.call[0]

    @property
    def args(self) -> Args:
        return self.call[1]

    @property
    def kwargs(self) -> Kwargs:
        return self.call[2]

    @property
    def queue(self) -> str:
        return self._word("origin") or self._queue

    @property
    def attempt(self) -> int:
        return whole_number(self._word("attempt"), 10**9) or 0

    @property
    def enqueued_at(self) -> datetime | None:
        return moment(self._word("enqueued_at") or self._word("created_at"))

    @property
    def started_at(self) -> datetime | None:
        return moment(self._word("started_at"))

    @property
    def ended_at(self) -> datetime | None:
        return moment(self._word("ended_at"))

    @property
    def score(self) -> float | None:
        return sound(self._score) if self._score else None

    @property
    def worker(self) -> str:
        return self._word("worker_name")

    @property
    def tags(self) -> str:
        return self._word("tags")

    @property
    def held(self) -> str:
        return self._word("held")

    @property
    def about(self) -> str:
        """Its subjects, joined by commas."""
        return self._word("about")

    @property
    def wait(self) -> float | None:
        """Seconds since it was enqueued, or until it started."""
        enqueued_at = self.enqueued_at
        if enqueued_at is None:
            return None
        return max(0.0, ((self.started_at or timezone.now()) - enqueued_at).total_seconds())


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
    jobs = [LiveJob(state, queue, *words) for words in found]
    return Window([job for job in jobs if is_in(state, job)], len(found), int(total))


def survey(places: Sequence[tuple[str, str]], most: int, each: int) -> list[Window]:
    """Return the first jobs of places, each a state and a queue, by one command: at most `each` of one, `most` in all.

    The states have to be of PRESENT. Raises RedisError where Redis is away.
    """
    words = [word for state, queue in places for word in (STATES[state][0], queue)]
    found = script("survey")(store.connect(), most, each, *words)
    return [
        Window([LiveJob(state, queue, *job) for job in jobs], len(jobs), int(total))
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
        LiveJob(as_text(values[0]), "", id.encode(), str(score or "").encode(), values)
        for (id, values), score in zip(found, scores, strict=True)
    ]


def about(subjects: Collection[str], most: int) -> list[LiveJob]:
    """Return the newest jobs about some subjects that have not ended, by one command; at most twenty of a subject."""
    found = script("about")(store.connect(), most, *sorted(subjects)) if subjects else []
    return [LiveJob(as_text(status), "", *job) for status, job in found]


def count(state: str, queue: str) -> int:
    """Return how many jobs are in the place of a state: for `retry` and `held` the scheduled and deferred ones too."""
    return window(state, queue, 0, 0).total


def is_in(state: str, job: LiveJob) -> bool:
    """Tell the narrower states apart: a retry is scheduled after an attempt, a held job is deferred by somebody."""
    return {"retry": job.attempt > 0, "held": bool(job.held)}.get(state, True)


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
