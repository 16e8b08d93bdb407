"""One verb for every job that a search matches: which jobs those are, batch by batch, and what is done to each batch.

The moment of asking is frozen: a job that was enqueued later, or put back by the action itself, is not touched again.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from rq import get_current_job
from rq.utils import as_text

from . import queues, verbs
from .acts import reaches
from .enqueueing import enqueue
from .models import AuditEntry, BulkAction, JobRun
from .monitor import live
from .monitor.query import Query, QueryError, parse
from .registry import progress
from .scripts import script

BATCH = 500  # at most WINDOW of rearrange.lua
# Jobs found by the history may stand anywhere in a long queue, and each is looked for from its head.
BATCH_OF_HISTORY = 50
MANY = 1000  # jobs beyond which an action needs the role admin, and its number typed
MOST_CHOSEN = 100
ENDED_BADLY = ("failed", "stopped", "lost")

# The live states that each action is for, and the role that it needs. The first states are looked through where the
# search names none; without them the history says which jobs are meant, and the script whether they can be.
STATES: dict[str, tuple[str, ...]] = {
    "retry": ("failed", "canceled"),
    "delete": ("failed", "canceled", "queued", "scheduled", "retry", "deferred", "held"),
    "hold": ("queued", "scheduled", "retry"),
    "release": ("held",),
    "run now": ("scheduled", "retry"),
    "move": ("queued", "scheduled", "deferred", "retry", "held"),
    "cancel": ("queued", "scheduled", "deferred", "retry", "held"),
}
SEARCHED = {
    "retry": (), "delete": (), "hold": ("queued", "scheduled"), "release": ("held",),
    "run now": ("scheduled",), "move": ("queued", "scheduled", "deferred"),
    "cancel": ("queued", "scheduled", "deferred"),
}  # fmt: skip
PARTS = {"retry": "scheduled", "held": "deferred"}
ROLES = {
    "retry": "operate", "hold": "operate", "release": "operate", "run now": "operate", "cancel": "operate",
    "move": "edit", "delete": "edit",
}  # fmt: skip


class Walk(StrEnum):
    """What becomes of a changed job for somebody who looks through everything again: a worker after one that died."""

    LEFT = "left"  # it has left the place that is walked through
    SEEN = "seen"  # its run is looked at again, and does not match any more
    AGAIN = "again"  # its run is looked at again, and matches


@dataclass
class Batch:
    """Some jobs that match; `seen` were looked at for them, `distance` is how far from their queue's end they stand.

    Whoever acts on it says how many it `changed`.
    """

    ids: list[str]
    seen: int
    walk: Walk
    distance: int | None = None
    changed: int = 0


def meant(action: str, query: Query) -> Query:
    """Narrow a search to the states that an action is for; raises ValidationError where none is left.

    A state that is part of another one is left out beside that: its jobs would be looked at twice.
    """
    states = query.states & set(STATES[action]) if query.states else frozenset(SEARCHED[action])
    states -= {part for part, whole in PARTS.items() if whole in states}
    if query.states and not states:
        allowed = ", ".join(STATES[action])
        raise ValidationError(_("This action is for jobs that are %s; the search names others.") % allowed)
    return replace(query, states=states)


def start(
    by: Any, action: str, *, token: UUID, query: str = "", ids: list[str] | None = None, to_queue: str = "",
    reason: str = "", expected: int | None = None,
) -> tuple[BulkAction, bool]:  # fmt: skip
    """Have an action carried out in the background once the transaction commits; answers its row, and if it is new.

    The same `token` again answers the same row, and starts nothing. `expected` is how many jobs it is about, None where
    that is not known. Raises PermissionDenied, or ValidationError where the action makes no sense.
    """
    from .tasks import run_bulk_action

    if action not in STATES:
        raise ValidationError(_("There is no such action."))
    is_large = expected is None or expected > MANY
    if not reaches(by, ROLES[action]) or (is_large and not reaches(by, "admin")):
        raise PermissionDenied(_("Your role does not allow this."))
    if not reason:
        raise ValidationError(_("Say why: the reason is kept with the action."))
    if action == "move" and to_queue not in queues.names():
        raise ValidationError(_("There is no queue %s.") % to_queue)
    if ids and len(ids) > MOST_CHOSEN:
        raise ValidationError(_("At most %d jobs can be chosen one by one.") % MOST_CHOSEN)
    if not ids:
        try:
            meant(action, parse(query))
        except QueryError as error:
            raise ValidationError(str(error)) from error
    words: dict[str, Any] = {"query": "" if ids else query, "ids": ids or []}
    words["to_queue"] = to_queue if action == "move" else ""
    with transaction.atomic():
        asked = words | {"action": action, "reason": reason, "by": by, "expected": expected}
        row, is_new = BulkAction.objects.get_or_create(token=token, defaults=asked)
        if is_new:
            # The task counts on this line how many jobs it has changed.
            AuditEntry.objects.record(
                by, action, row.target, reason=reason, count=0, goes_on=True, **words, expected=expected
            )
            enqueue(run_bulk_action, [((row.pk,), {})], queue=_queue_that_moves(), at_front=True)
    return row, is_new


def _queue_that_moves() -> str:
    """Answer the most important queue that is not paused."""
    closed = queues.paused()
    through = [name for name in queues.names() if f"queue:{name}" not in closed]
    if not through:
        raise ValidationError(_("All queues are paused, so nobody could carry this out. Resume one of them."))
    return through[0]


def abort(by: Any, row: BulkAction, *, reason: str = "") -> bool:
    """Have an action stop before its next batch; what it has done stays done. False where it has ended already."""
    if not reaches(by, ROLES[row.action]):
        raise PermissionDenied(_("Your role does not allow this."))
    with transaction.atomic():
        is_done = BulkAction.objects.abort(row.pk, by)
        AuditEntry.objects.record(by, "abort", row.target, reason=reason, count=int(is_done))
    return is_done


def resume() -> int:
    """Enqueue actions again that have not ended and may be on their way nowhere: Redis was away or was emptied.

    Answers how many; the task is unique, so one that waits or runs is joined.
    """
    from .tasks import run_bulk_action

    return len(run_bulk_action.enqueue_many([(pk,) for pk in BulkAction.objects.forgotten()]))


def run(pk: int) -> str:
    """Carry out an action to its end or until it is aborted. Run again after a crash it goes on with what is left."""
    if not BulkAction.objects.claim(pk, **counts_so_far(pk)):
        BulkAction.objects.end(pk)
        return "ended already"
    row = BulkAction.objects.get(pk=pk)
    try:
        if row.expected is None:
            row.expected = size(row)
            row.save(update_fields=["expected"])
        for batch in batches(row):
            batch.changed = act(row, batch)
            if not BulkAction.objects.add(pk, seen=batch.seen, matched=len(batch.ids), changed=batch.changed):
                break
            row.seen += batch.seen
            progress(row.percent or 0, f"{row.seen} looked at")
    except Exception as error:
        job = get_current_job()
        BulkAction.objects.fail(pk, str(error), is_final=job is None or not job.retries_left)
        raise
    finally:
        row.refresh_from_db()
        AuditEntry.objects.filter(target=row.target, action=row.action).update(count=row.changed)
    BulkAction.objects.end(pk)
    queues.connection().delete(tally(pk))
    row.refresh_from_db()
    return f"{row.state}: {row.changed} of {row.matched} changed, {row.seen} looked at"


def tally(pk: int) -> str:
    """Answer the key under which Redis counts what an action has changed, in the step that changes it.

    The row is written a moment later: of a worker that is killed in between Redis alone knows what it did.
    """
    return f"pilot:bulk:{pk}"


def counts_so_far(pk: int) -> dict[str, int]:
    """Answer the counts with which to begin: what an earlier worker changed and nobody will meet again."""
    found: Any = queues.connection().hgetall(tally(pk))
    done = {Walk(as_text(walk)): int(number) for walk, number in found.items()}
    left, seen = done.get(Walk.LEFT, 0), done.get(Walk.SEEN, 0)
    return {"seen": left, "matched": left + seen, "changed": sum(done.values())}


def act(row: BulkAction, batch: Batch) -> int:
    """Do a row's verb to a batch in one atomic step; answers to how many jobs it was done."""
    if not batch.ids:
        return 0
    verb, word = row.action, ""
    if verb == "retry":
        verb, word = "requeue", verbs.retries()
    elif verb == "move":
        word = row.to_queue
    elif verb == "run now":
        verb = "run"
    count_in = (tally(row.pk), batch.walk)
    return verbs.rearrange(verb, batch.ids, word, before=row.created_at, distance=batch.distance, tally=count_in)


def batches(row: BulkAction) -> Iterator[Batch]:
    """Answer the jobs of an action, some at a time; what becomes of a batch does not make it miss a job."""
    if row.ids:
        yield Batch(row.ids, len(row.ids), Walk.AGAIN)
        return
    query = meant(row.action, parse(row.query))
    if not query.states:
        yield from of_history(row, query)
    for state in (state for state in live.STATES if state in query.states):
        if state == "failed" and not query.is_plain:
            yield from of_history(row, query, state)
            continue
        for queue in places(row, query):
            place = live.STATES[state][0]
            yield from of_queue(row, query, queue) if place == "list" else of_registry(row, query, state, queue)


def places(row: BulkAction, query: Query) -> list[str]:
    """Answer the queues to look through; who moves jobs to one of them does not look there for those that came."""
    return [name for name in queues.names() if (not query.queues or name in query.queues) and name != row.to_queue]


def size(row: BulkAction) -> int:
    """Answer how many jobs an action will look at, as far as is known now."""
    query = meant(row.action, parse(row.query))
    states = query.states - ({"failed"} if not query.is_plain else set())
    total = sum(live.count(state, queue) for state in states for queue in places(row, query))
    for state in {""} if not query.states else query.states - states:
        total += history(query, state, row.created_at).count()
    return total


def history(query: Query, state: str, before: datetime) -> QuerySet[JobRun]:
    """Answer the runs that a search matches and that started before a time; with a state, those that ended badly."""
    runs = JobRun.objects.filter(query.q(), started_at__lt=before)
    return runs.filter(outcome__in=ENDED_BADLY) if state else runs


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
            there = live.still(state, by_queue)
            ids = [job_id for job_id in ids if job_id in there]
        yield Batch(ids, len(found), Walk.SEEN if state else Walk.AGAIN)


def met_before(runs: QuerySet[JobRun], ids: list[str], last: int) -> set[str]:
    """Answer the jobs with another run among those that were walked through, down to the key `last`.

    Few jobs have one. They are looked for by id alone first: asked all at once, the database may choose to read
    everything that was walked through, and again for each batch.
    """
    others = JobRun.objects.filter(job_id__in=ids).order_by().values_list("job_id", "pk")
    several = {job_id for job_id, pk in others if pk >= last}
    return set(runs.filter(pk__gte=last, job_id__in=several).values_list("job_id", flat=True)) if several else several


def of_registry(row: BulkAction, query: Query, state: str, queue: str) -> Iterator[Batch]:
    """Walk up a registry by score and id, to the job that was its last at the beginning."""
    place = live.STATES[state][0]
    _total, last = script("peek")(queues.connection(), place, queue, 0, 1, 1)
    behind: tuple[bytes, ...] = ()
    end = _order(last[0]) if last else None
    while end is not None:
        _total, found = script("peek")(queues.connection(), place, queue, 0, BATCH, 0, *behind)
        looked_at = [words for words in found if _order(words) <= end]
        if not looked_at:
            return
        yield Batch(*matching(row, query, state, queue, looked_at), Walk.LEFT)
        behind = (found[-1][1], found[-1][0])
        if len(looked_at) < len(found):
            return


def _order(words: Any) -> tuple[float, bytes]:
    return float(words[1]), bytes(words[0])


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


def matching(row: BulkAction, query: Query, state: str, queue: str, found: Any) -> tuple[list[str], int]:
    """Answer the ids of those jobs of a window that a search matches, of how many that were there when it was asked."""
    jobs = [job for job in (live.read(state, queue, *words) for words in found) if _was_there(row, job)]
    return [job.id for job in jobs if live.is_in(state, job) and query.matches(job)], len(jobs)


def _was_there(row: BulkAction, job: live.LiveJob) -> bool:
    times = [job.enqueued_at, job.ended_at if job.state in ("failed", "canceled") else None]
    return all(time is None or time < row.created_at for time in times)
