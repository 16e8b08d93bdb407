"""One verb for every job that a search matches: which jobs those are, batch by batch, and what is done to each batch.

The moment of asking is frozen: a job that was enqueued later, or put back by the action itself, is not touched again.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import accumulate
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.utils import timezone
from django.utils.translation import gettext as _
from rq import get_current_job
from rq.utils import as_text

from . import deletion, queues, verbs
from .acts import GRACE, reaches
from .enqueueing import enqueue
from .models import AuditEntry, BulkAction, JobRun, KeptJob
from .models.kept_job import KEPT
from .monitor import live
from .monitor.query import Query, QueryError, parse
from .registry import progress
from .scripts import script

BATCH = 500  # at most WINDOW of rearrange.lua
# Jobs found by the history may stand anywhere in a long queue, and each is looked for from its head.
BATCH_OF_HISTORY = 50
MANY = 1000  # jobs beyond which an action needs the role admin, and its number typed
MOST_CHOSEN = 100
MOST_RUNNING = 2000  # jobs that run, read at once: their order changes each second
PRUNED = 20_000  # kept jobs whose time is over, at the beginning of an action: it has to begin soon
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
    "cancel": ("queued", "started", "scheduled", "deferred", "retry", "held"),
    "snooze": ("queued", "scheduled", "retry", "held"),
}
SEARCHED = {
    "retry": (), "delete": (), "hold": ("queued", "scheduled"), "release": ("held",),
    "run now": ("scheduled",), "move": ("queued", "scheduled", "deferred"),
    "cancel": ("queued", "scheduled", "deferred"), "snooze": ("queued", "scheduled"),
}  # fmt: skip
ROLES = {
    "retry": "operate", "hold": "operate", "release": "operate", "run now": "operate", "cancel": "operate",
    "snooze": "operate", "move": "edit", "delete": "edit", "restore": "edit",
}  # fmt: skip


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


def meant(action: str, query: Query) -> Query:
    """Narrow a search to the states that an action is for; raises ValidationError where none is left.

    A state that is part of another one is left out beside that: its jobs would be looked at twice.
    """
    states = query.states & set(STATES[action]) if query.states else frozenset(SEARCHED[action])
    states -= {part for part, whole in live.PARTS.items() if whole in states}
    if query.states and not states:
        allowed = ", ".join(STATES[action])
        raise ValidationError(_("This action is for jobs that are %s; the search names others.") % allowed)
    return replace(query, states=states)


def start(
    by: Any, action: str, *, token: UUID, query: str = "", ids: list[str] | None = None, to_queue: str = "",
    until: datetime | None = None, reason: str = "", expected: int | None = None,
) -> tuple[BulkAction, bool]:  # fmt: skip
    """Have an action carried out in the background once the transaction commits; answers its row, and if it is new.

    The same `token` again answers the same row, and starts nothing. `expected` is how many jobs it is about, None where
    that is not known. Raises PermissionDenied, or ValidationError where the action makes no sense.
    """
    if action not in STATES:
        raise ValidationError(_("There is no such action."))
    is_large = expected is None or expected > MANY
    if not reaches(by, ROLES[action]) or (is_large and not reaches(by, "admin")):
        raise PermissionDenied(_("Your role does not allow this."))
    if not reason:
        raise ValidationError(_("Say why: the reason is kept with the action."))
    if action == "move" and to_queue not in queues.names():
        raise ValidationError(_("There is no queue %s.") % to_queue)
    if action == "snooze" and (until is None or until <= timezone.now()):
        raise ValidationError(_("Choose a time that is still to come."))
    if ids and len(ids) > MOST_CHOSEN:
        raise ValidationError(_("At most %d jobs can be chosen one by one.") % MOST_CHOSEN)
    if not ids:
        try:
            meant(action, parse(query))
        except QueryError as error:
            raise ValidationError(str(error)) from error
    words: dict[str, Any] = {"query": "" if ids else query, "ids": ids or []}
    words["to_queue"] = to_queue if action == "move" else ""
    asked = words | {"action": action, "reason": reason, "by": by, "expected": expected}
    told = words | {"expected": expected}
    if action == "snooze" and until:
        asked["until"], told["until"] = until, until.isoformat()
    return _begin(token, asked, told)


def _begin(token: UUID, asked: dict[str, Any], told: dict[str, Any]) -> tuple[BulkAction, bool]:
    """Write the row of an action and the line of audit, which tells of it what is `told`, and have it carried out."""
    from .tasks import run_bulk_action

    with transaction.atomic():
        row, is_new = BulkAction.objects.get_or_create(token=token, defaults=asked)
        if is_new:
            # The task counts on this line how many jobs it has changed.
            AuditEntry.objects.record(row.by, row.action, row.target, reason=row.reason, count=0, goes_on=True, **told)
            enqueue(run_bulk_action, [((row.pk,), {})], queue=_queue_that_moves(), at_front=True)
    return row, is_new


def kept_until(row: BulkAction) -> datetime | None:
    """Answer until when an action can be taken back; None where there is nothing to take back, or not yet."""
    return row.started_at + KEPT if row.action == "delete" and row.started_at and row.ended_at else None


def restore(by: Any, row: BulkAction, *, token: UUID, reason: str) -> tuple[BulkAction, bool]:
    """Have the jobs that an action deleted brought back in the background; answers the row of that, and if it is new.

    The same `token` again starts nothing. Raises PermissionDenied, or ValidationError where there is nothing to bring
    back; what is left alone is told by `deletion.restore`.
    """
    if known := BulkAction.objects.filter(token=token).first():
        return known, False
    if not reaches(by, ROLES["restore"]):
        raise PermissionDenied(_("Your role does not allow this."))
    if not reason:
        raise ValidationError(_("Say why: the reason is kept with the action."))
    if row.action != "delete":
        raise ValidationError(_("Only a deletion can be taken back."))
    until = kept_until(row)
    if until is None:
        raise ValidationError(_("The deletion has not ended; stop it first."))
    if until < timezone.now():
        raise ValidationError(_("This cannot be taken back any more: it was more than 24 hours ago."))
    deletion.settle(row)
    number = KeptJob.objects.of(row).count()
    if not number:
        raise ValidationError(_("There is nothing to bring back."))
    if number > MANY and not reaches(by, "admin"):
        raise PermissionDenied(_("Your role does not allow this."))
    asked = {"action": "restore", "undoes": row, "reason": reason, "by": by, "expected": number}
    try:
        with transaction.atomic():
            return _begin(token, asked, {"deletion": row.pk, "expected": number})
    except IntegrityError as error:
        raise ValidationError(_("The jobs are being brought back already.")) from error


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
    row = BulkAction.objects.get(pk=pk)
    KeptJob.objects.prune(most=PRUNED)
    for deleting in filter(None, (row if row.action == "delete" else row.undoes,)):
        deletion.settle(deleting)
    if not BulkAction.objects.claim(pk, **counts_so_far(row)):
        BulkAction.objects.end(pk)
        return "ended already"
    row.refresh_from_db()
    try:
        if row.expected is None:
            row.expected = size(row)
            row.save(update_fields=["expected"])
        for batch in batches(row):
            batch.changed = act(row, batch)
            counts = {"seen": batch.seen, "matched": len(batch.ids), "changed": batch.changed, "asked": batch.asked}
            if not BulkAction.objects.add(pk, **counts):
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
    queues.connection().delete(tally(pk), asked_to_end(pk))
    deletion.forget_proof(row)
    row.refresh_from_db()
    return f"{row.state}: {row.changed} of {row.matched} changed, {row.seen} looked at"


def tally(pk: int) -> str:
    """Answer the key under which Redis counts what an action has changed, in the step that changes it.

    The row is written a moment later: of a worker that is killed in between Redis alone knows what it did.
    """
    return f"pilot:bulk:{pk}"


def asked_to_end(pk: int) -> str:
    """Answer the key of the set of those running jobs that an action has asked to end."""
    return f"pilot:bulk:{pk}:asked"


def counts_so_far(row: BulkAction) -> dict[str, int]:
    """Answer the counts with which to begin: what an earlier worker changed and nobody will meet again."""
    found: Any = queues.connection().hgetall(tally(row.pk))
    if row.action == "restore":
        deletion.forget_restored(tally(row.pk))
        met, restored = int(found.get(b"met", 0)), int(found.get(b"restored", 0))
        return {"seen": met, "matched": met, "changed": restored}
    done = {Walk(as_text(walk)): int(number) for walk, number in found.items()}
    left, seen = done.get(Walk.LEFT, 0), done.get(Walk.SEEN, 0)
    asked = queues.connection().scard(asked_to_end(row.pk))
    left += asked if not row.ids else 0
    return {"seen": left, "matched": left + seen, "changed": sum(done.values()) + asked, "asked": asked}


def act(row: BulkAction, batch: Batch) -> int:
    """Do a row's verb to a batch in one atomic step; answers to how many jobs it was done."""
    if not batch.ids:
        return 0
    verb, word = row.action, ""
    if verb == "retry":
        verb, word = "requeue", verbs.retries()
    elif verb == "move":
        word = row.to_queue
    elif verb == "snooze" and row.until:
        word = str(row.until.timestamp())
    elif verb == "run now":
        verb = "run"
    count_in = (tally(row.pk), batch.walk)
    if verb == "delete":
        return deletion.delete(row, batch.ids, distance=batch.distance, tally=count_in)
    if verb == "restore":
        return deletion.restore(KeptJob.objects.filter(pk__in=batch.ids).order_by("pk"), tally(row.pk))
    done = verbs.rearrange(verb, batch.ids, word, before=row.created_at, distance=batch.distance, tally=count_in)
    if verb == "cancel" and done < len(batch.ids) and (row.ids or "started" in parse(row.query).states):
        batch.asked = ask_to_end(row, batch.ids)
    return done + batch.asked


def ask_to_end(row: BulkAction, ids: list[str]) -> int:
    """Ask those of some jobs that run to end, each once, but for the action's own; answers how many were asked."""
    connection, key = queues.connection(), asked_to_end(row.pk)
    job = get_current_job()
    known = connection.smismember(key, ids)
    fresh = [id for id, is_known in zip(ids, known, strict=True) if not is_known and not (job and id == job.id)]
    asked = verbs.ask_to_end(fresh, grace=GRACE, by=row.by.get_username() if row.by else "machine") if fresh else []
    if asked:
        connection.sadd(key, *asked)
        connection.expire(key, KEPT)
    return len(asked)


def batches(row: BulkAction) -> Iterator[Batch]:
    """Answer the jobs of an action, some at a time; what becomes of a batch does not make it miss a job."""
    if row.undoes:
        yield from of_kept(row, row.undoes)
        return
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
            if state == "started":
                yield from of_running(row, query, queue)
            elif state == "queued":
                yield from of_queue(row, query, queue)
            else:
                yield from of_registry(row, query, state, queue)


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


def of_running(row: BulkAction, query: Query, queue: str) -> Iterator[Batch]:
    """Answer what runs of a queue, but for what was asked to end already."""
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
    place = live.STATES[state][0]
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
