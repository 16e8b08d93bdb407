"""The walks of a bulk action: they answer the jobs that a search matches, in batches, while the action changes them.

The moment of asking is frozen: a job that was enqueued later, or put back by the action itself, is not met again.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import accumulate

from django.db.models import QuerySet
from django.db.models.functions import Length
from rq.utils import as_text

from ..core import queues
from ..core.scripts import script
from ..inspect import redis_jobs
from ..inspect.query import Query
from ..models import BulkAction, JobRun, KeptJob
from . import deletion

BATCH = 500  # at most WINDOW of common.lua
# Jobs found by the history may stand anywhere in a long queue, and each is looked for from its head.
BATCH_OF_HISTORY = 50
MOST_RUNNING = 2000  # jobs that run, read at once: their order changes each second
ENDED_BADLY = ("failed", "stopped", "lost")


class Walk(StrEnum):
    """What becomes of a changed job for somebody who looks through everything again: a worker after one that died."""

    LEFT = "left"  # it has left the place that is walked through
    SEEN = "seen"  # its run is looked at again, and does not match any more
    AGAIN = "again"  # its run is looked at again, and matches


@dataclass
class Batch:
    """Some jobs that match; `seen` were looked at for them, `distance` is how far from their queue's end they stand.

    Whoever acts on it says how many it `changed`, and how many of these run and were `asked` to end.
    """

    ids: list[str]
    seen: int
    walk: Walk
    distance: int | None = None
    changed: int = 0
    asked: int = 0


def tally(pk: int) -> str:
    """Return the key under which Redis counts what an action has changed, in the step that changes it.

    The row is written a moment later: of a worker that is killed in between Redis alone knows what it did.
    """
    return f"pilot:bulk:{pk}"


def asked_to_end(pk: int) -> str:
    """Return the key of the set of those running jobs that an action has asked to end."""
    return f"pilot:bulk:{pk}:asked"


def of_search(row: BulkAction, query: Query) -> Iterator[Batch]:
    """Walk through every place in which a search, narrowed to what its action is for, may find jobs."""
    if not query.states:
        yield from of_history(row, query)
    for state in (state for state in redis_jobs.STATES if state in query.states):
        if state == "failed" and not query.is_plain:
            yield from of_history(row, query, state)
            continue
        for queue in places(row, query):
            if state == "started":
                yield from of_running(row, query, queue)
            elif state == "queued":
                yield from of_queue(row, query, queue)
            else:
                yield from of_registry(row, query, state, queue)


def places(row: BulkAction, query: Query) -> list[str]:
    """Return the queues to look through; who moves jobs to one of them does not look there for those that came."""
    return [name for name in queues.names() if (not query.queues or name in query.queues) and name != row.to_queue]


def size(row: BulkAction, query: Query) -> int:
    """Return how many jobs an action will look at, as far as is known now."""
    states = query.states - ({"failed"} if not query.is_plain else set())
    total = sum(redis_jobs.count(state, queue) for state in states for queue in places(row, query))
    for state in {""} if not query.states else query.states - states:
        total += history(query, state, row.created_at).count()
    return total


def history(query: Query, state: str, before: datetime) -> QuerySet[JobRun]:
    """Return the runs that a search matches and that started before a time; with a state, those that ended badly."""
    runs = JobRun.objects.filter(query.q(), started_at__lt=before)
    return runs.filter(outcome__in=ENDED_BADLY) if state else runs


def of_kept(row: BulkAction, deleted: BulkAction) -> Iterator[Batch]:
    """Walk through what a deletion has kept, on from where Redis brought it back last; a batch names rows, not jobs."""
    last = int(queues.connection().hget(tally(row.pk), "upto") or 0)
    kept = KeptJob.objects.of(deleted).order_by("pk").values_list("pk", Length("content"))
    while found := list(kept.filter(pk__gt=last)[:BATCH]):
        sizes = accumulate(size for _pk, size in found)
        number = 1 + sum(size < deletion.BYTES_AT_ONCE for size in sizes)  # one more than fit, but of those there are
        keys = [str(pk) for pk, _size in found[:number]]
        last = int(keys[-1])
        yield Batch(keys, len(keys), Walk.LEFT)


def of_history(row: BulkAction, query: Query, state: str = "") -> Iterator[Batch]:
    """Walk down the history by key, the newest first; with a state, only jobs that are in it still."""
    runs = history(query, state, row.created_at).order_by("-pk")
    number = BATCH if state or row.action == "retry" else BATCH_OF_HISTORY
    last: int | None = None
    while found := list(
        (runs if last is None else runs.filter(pk__lt=last)).values_list("pk", "queue", "job_id")[:number]
    ):
        ids = list(dict.fromkeys(job_id for _pk, _queue, job_id in found))
        if last is not None:
            met = met_before(runs, ids, last)
            ids = [job_id for job_id in ids if job_id not in met]
        last = found[-1][0]
        if state and ids:
            by_queue: dict[str, list[str]] = {}
            for _pk, queue, job_id in found:
                by_queue.setdefault(queue, []).append(job_id)
            there = redis_jobs.still(state, by_queue)
            ids = [job_id for job_id in ids if job_id in there]
        yield Batch(ids, len(found), Walk.SEEN if state else Walk.AGAIN)


def met_before(runs: QuerySet[JobRun], ids: list[str], last: int) -> set[str]:
    """Return the jobs with another run among those that were walked through, down to the key `last`.

    Few jobs have one. They are looked for by id alone first: asked all at once, the database may choose to read
    everything that was walked through, and again for each batch.
    """
    others = JobRun.objects.filter(job_id__in=ids).order_by().values_list("job_id", "pk")
    several = {job_id for job_id, pk in others if pk >= last}
    return set(runs.filter(pk__gte=last, job_id__in=several).values_list("job_id", flat=True)) if several else several


def of_running(row: BulkAction, query: Query, queue: str) -> Iterator[Batch]:
    """Return what runs of a queue, but for what was asked to end already."""
    met = {as_text(id) for id in queues.connection().smembers(asked_to_end(row.pk))}
    first = 0
    while True:
        total, found = script("peek")(queues.connection(), "wip", queue, first, MOST_RUNNING, 0)
        new = [words for words in found if as_text(words[0]) not in met]
        met.update(as_text(words[0]) for words in new)
        for start in range(0, len(new), BATCH):
            yield Batch(*matching(row, query, "started", queue, new[start : start + BATCH]), Walk.LEFT)
        first += len(found)
        if not found or first >= total:
            return


def of_registry(row: BulkAction, query: Query, state: str, queue: str) -> Iterator[Batch]:
    """Walk up a registry by score and id, to the job that was its last at the beginning.

    What waits for the time until which jobs are put off is passed over: it may have come there by this action.
    """
    until = row.until.timestamp() if row.until else None
    place = redis_jobs.STATES[state][0]
    _total, last = script("peek")(queues.connection(), place, queue, 0, 1, 1)
    behind: tuple[bytes, ...] = ()
    end = _order(last[0]) if last else None
    while end is not None:
        _total, found = script("peek")(queues.connection(), place, queue, 0, BATCH, 0, *behind)
        looked_at = [words for words in found if _order(words) <= end]
        if not looked_at:
            return
        new = [words for words in looked_at if float(words[1]) != until]
        yield Batch(*matching(row, query, state, queue, new), Walk.LEFT)
        behind = (found[-1][1], found[-1][0])
        if len(looked_at) < len(found):
            return


def _order(words: redis_jobs.Peeked) -> tuple[float, bytes]:
    return float(words[1]), words[0]


def of_queue(row: BulkAction, query: Query, queue: str) -> Iterator[Batch]:
    """Walk a queue from its end to its head, from which workers take meanwhile."""
    kept = 0  # jobs behind the next window, which were looked at and have stayed
    met: deque[bytes] = deque(maxlen=4 * BATCH)  # those that come behind them push some of these into the next window
    while True:
        total, found = script("peek")(queues.connection(), "list", queue, -kept - BATCH, BATCH, 0)
        known = set(met)
        new = [words for words in found if words[0] not in known]
        batch = Batch(*matching(row, query, "queued", queue, new), Walk.LEFT, kept)
        yield batch
        if total <= kept + BATCH:  # the head was reached; in a busy queue somebody always comes behind
            return
        kept += len(found) - batch.changed
        met.extend(words[0] for words in new)


def matching(
    row: BulkAction, query: Query, state: str, queue: str, found: Iterable[redis_jobs.Peeked]
) -> tuple[list[str], int]:
    """Return the ids of those jobs of a window that a search matches, of how many that were there when it was asked."""
    jobs = [job for job in (redis_jobs.LiveJob(state, queue, *words) for words in found) if _was_there(row, job)]
    return [job.id for job in jobs if redis_jobs.is_in(state, job) and query.matches(job)], len(jobs)


def _was_there(row: BulkAction, job: redis_jobs.LiveJob) -> bool:
    times = [job.enqueued_at, job.ended_at if job.state in ("failed", "canceled") else None]
    return all(time is None or time < row.created_at for time in times)
