"""One verb for every job that a search matches: who may ask for it, and how it is carried out, batch by batch.

Which jobs those are is told by batches.py: the moment of asking is frozen.
"""

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID, uuid4

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from rq import get_current_job
from rq.utils import as_text

from ..core import queues
from ..core.registry import Backoff
from ..core.shared_memory import progress
from ..core.task import job
from ..core.values import Json
from ..inspect import redis_jobs
from ..inspect.grammar import QueryError
from ..inspect.query import LONGEST_FROZEN, Query, frozen, narrowed, parse
from ..models import AuditEntry, BulkAction, KeptJob
from ..models.kept_job import KEPT
from ..models.person import Actor, known
from . import batches as walks
from . import changes, deletion
from .batches import Batch, Walk, asked_to_end, tally
from .jobs import GRACE
from .operation import QUEUE, UNTIL, Values
from .operations import reaches
from .roles import may, within
from .table import OPERATIONS, in_bulk

MANY = 1000  # jobs beyond which an action needs the role admin, and its number typed
MOST_CHOSEN = 100
PRUNED = 20_000  # kept jobs whose time is over, at the beginning of an action: it has to begin soon

RESTORE = "restore"  # what a deletion deleted; asked for by its row, not by a search


def meant(action: str, query: Query) -> Query:
    """Narrow a search to the states that an action is for; raises ValidationError where none is left.

    A state that is part of another one is left out beside that: its jobs would be looked at twice.
    """
    way = in_bulk()[action]
    states = query.states & set(way.states) if query.states else frozenset(way.searched)
    states -= {part for part, whole in redis_jobs.PARTS.items() if whole in states}
    if query.states and not states:
        allowed = ", ".join(way.states)
        raise ValidationError(_("This action is for jobs that are %s; the search names others.") % allowed)
    return replace(query, states=states)


def own_part(by: Actor, action: str, text: str) -> str:
    """Return a question about those jobs alone that are in queues where somebody may do this to them.

    Raises PermissionDenied where there is no such queue, QueryError for what is no question.
    """
    role = OPERATIONS[action].role
    if by is None or may(by, role):
        return text
    allowed, asked = within(by, role), parse_frozen(text).queues
    if not (allowed & asked if asked else allowed):
        raise PermissionDenied(_("Your role does not allow this."))
    return text if asked and asked <= allowed else narrowed(text, allowed)


def allows(by: Actor, row: BulkAction, number: int | None = 0) -> bool:
    """Tell whether somebody may have an action done to so many jobs, in the queues that it is about; None is many."""
    roles = {OPERATIONS[row.action].role} | ({"admin"} if number is None or number > MANY else set())
    if all(reaches(by, role) for role in roles):
        return True
    about = where(row)
    return all(reaches(by, role, about) for role in roles)


def where(row: BulkAction) -> Set[str]:
    """Return the queues that an action is about; none where its question names none."""
    if row.undoes:
        return KeptJob.objects.of(row.undoes).queues()
    named = changes.queues_of(row.ids) if row.ids else parse_frozen(row.query).queues
    return named | ({row.to_queue} if row.to_queue and named else set())


def start(
    by: Actor, action: str, *, token: UUID, query: str = "", ids: list[str] | None = None,
    given: Mapping[str, str] | None = None, reason: str = "", expected: int | None = None,
) -> tuple[BulkAction, bool]:  # fmt: skip
    """Have an action carried out in the background once the transaction commits; returns its row, and if it is new.

    The same `token` again answers the same row, and starts nothing. `expected` is how many jobs it is about, None where
    that is not known. Raises PermissionDenied, or ValidationError where the action makes no sense.
    """
    if action not in in_bulk():
        raise ValidationError(_("There is no such action."))
    if ids and len(ids) > MOST_CHOSEN:
        raise ValidationError(_("At most %d jobs can be chosen one by one.") % MOST_CHOSEN)
    values = OPERATIONS[action].read(given or {})
    try:
        words: dict[str, Json] = {"query": "" if ids else frozen(query), "ids": ids or [], "expected": expected}
        asked: dict[str, object] = {**words, "action": action, "reason": reason, "by": known(by)}
        asked |= {"to_queue": values.get("queue", ""), "until": values.get("until")}
        if not allows(by, BulkAction(**asked), expected):
            raise PermissionDenied(_("Your role does not allow this."))
        if not reason:
            raise ValidationError(_("Say why: the reason is kept with the action."))
        if not ids:
            meant(action, parse_frozen(query))
    except QueryError as error:
        raise ValidationError(str(error)) from error
    told = words | {name: str(value) for name, value in values.items()}
    return _begin(token, asked, told)


def _begin(token: UUID, asked: dict[str, object], told: dict[str, Any]) -> tuple[BulkAction, bool]:
    """Write the row of an action and the line of audit, which tells of it what is `told`, and have it carried out."""
    with transaction.atomic():
        row, is_new = BulkAction.objects.get_or_create(token=token, defaults=asked)
        if is_new:
            # The task counts on this line how many jobs it has changed.
            AuditEntry.objects.record(row.by, row.action, row.target, reason=row.reason, count=0, goes_on=True, **told)
            run_bulk_action.options(queue=_queue_that_moves(), at_front=True).enqueue(row.pk)
    return row, is_new


def carry_out(action: str, ids: list[str], reason: str) -> BulkAction:
    """Have the machine do an action to these jobs here and now; what a kill leaves undone is picked up by `resume`."""
    with transaction.atomic():
        row = BulkAction.objects.create(token=uuid4(), action=action, ids=ids, reason=reason, expected=len(ids))
        AuditEntry.objects.record(None, action, row.target, reason=reason, count=0, goes_on=True, expected=len(ids))
    run(row.pk)
    row.refresh_from_db()
    return row


def kept_until(row: BulkAction) -> datetime | None:
    """Return until when an action can be taken back; None where there is nothing to take back, or not yet."""
    return row.started_at + KEPT if row.action == "delete" and row.started_at and row.ended_at else None


def restore(by: Actor, row: BulkAction, *, token: UUID, reason: str) -> tuple[BulkAction, bool]:
    """Have the jobs that an action deleted brought back in the background; returns the row of that, and if it is new.

    The same `token` again starts nothing. Raises PermissionDenied, or ValidationError where there is nothing to bring
    back; what is left alone is told by `deletion.restore`.
    """
    if begun := BulkAction.objects.filter(token=token).first():
        return begun, False
    asked = {"action": RESTORE, "undoes": row, "reason": reason, "by": known(by)}
    if not allows(by, BulkAction(**asked)):
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
    if not allows(by, BulkAction(**asked), number):
        raise PermissionDenied(_("Your role does not allow this."))
    try:
        with transaction.atomic():
            return _begin(token, asked | {"expected": number}, {"deletion": row.pk, "expected": number})
    except IntegrityError as error:
        raise ValidationError(_("The jobs are being brought back already.")) from error


def _queue_that_moves() -> str:
    """Return the most important queue that is not paused."""
    closed = queues.paused()
    through = [name for name in queues.names() if f"queue:{name}" not in closed]
    if not through:
        raise ValidationError(_("All queues are paused, so nobody could carry this out. Resume one of them."))
    return through[0]


def abort(by: Actor, row: BulkAction, *, reason: str = "") -> bool:
    """Have an action stop before its next batch; what it has done stays done. False where it has ended already."""
    if not allows(by, row):
        raise PermissionDenied(_("Your role does not allow this."))
    with transaction.atomic():
        is_done = BulkAction.objects.abort(row.pk, by)
        AuditEntry.objects.record(by, "abort", row.target, reason=reason, count=int(is_done))
    return is_done


def resume() -> int:
    """Enqueue actions again that have not ended and may be on their way nowhere: Redis was away or was emptied.

    Returns how many; the task is unique, so one that waits or runs is joined.
    """
    return len(run_bulk_action.enqueue_many([(pk,) for pk in BulkAction.objects.forgotten()]))


def run(pk: int) -> str:
    """Carry out an action to its end or until it is aborted. Run again after a crash it goes on with what is left."""
    row = BulkAction.objects.get(pk=pk)
    KeptJob.objects.prune(most=PRUNED)
    if deleting := row if row.action == "delete" else row.undoes:
        deletion.settle(deleting)
    if not BulkAction.objects.claim(pk, **counts_so_far(row)):
        BulkAction.objects.end(pk)
        return "ended already"
    row.refresh_from_db()
    try:
        if row.expected is None:
            row.expected = walks.size(row, meant(row.action, parse_frozen(row.query)))
            row.save(update_fields=["expected"])
        for batch in batches(row):
            if problem := beyond(row, len(batch.ids)):
                BulkAction.objects.fail(pk, problem, is_final=True)
                break
            row.matched += len(batch.ids)
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


def most_for(expected: int) -> int:
    """Return how many jobs an action may match that was shown to be about so many."""
    return max(2 * expected, expected + 100)


def beyond(row: BulkAction, more: int) -> str:
    """Say why an action may not go on to so many more jobs; '' if it may."""
    if not allows(row.by, row, row.matched + more):
        return _("It has stopped: the role of who asked for it does not reach so far.")
    if row.expected is not None and row.matched + more > most_for(row.expected):
        words = _("It has stopped: far more jobs match than the %d that were shown. Look again, then ask once more.")
        return words % row.expected
    return ""


def parse_frozen(text: str) -> Query:
    """Read a question as an action stores it; raises QueryError."""
    return parse(text, longest=LONGEST_FROZEN)


def counts_so_far(row: BulkAction) -> dict[str, int]:
    """Return the counts with which to begin: what an earlier worker changed and nobody will meet again."""
    found = queues.connection().hgetall(tally(row.pk))
    if row.action == RESTORE:
        deletion.forget_restored(tally(row.pk))
        met, restored = int(found.get(b"met", 0)), int(found.get(b"restored", 0))
        return {"seen": met, "matched": met, "changed": restored}
    done = {Walk(as_text(walk)): int(number) for walk, number in found.items()}
    left, seen = done.get(Walk.LEFT, 0), done.get(Walk.SEEN, 0)
    asked = queues.connection().scard(asked_to_end(row.pk))
    left += asked if not row.ids else 0
    return {"seen": left, "matched": left + seen, "changed": sum(done.values()) + asked, "asked": asked}


def act(row: BulkAction, batch: Batch) -> int:
    """Do a row's verb to a batch in one atomic step; returns to how many jobs it was done."""
    if not batch.ids:
        return 0
    count_in = (tally(row.pk), batch.walk)
    if row.action == "delete":
        return deletion.delete(row, batch.ids, distance=batch.distance, tally=count_in)
    if row.action == RESTORE:
        return deletion.restore(KeptJob.objects.filter(pk__in=batch.ids).order_by("pk"), tally(row.pk))
    operation = OPERATIONS[row.action]
    script = (operation.bulk and operation.bulk.script) or operation.script
    word = operation.word(cast(Values, {QUEUE.name: row.to_queue, UNTIL.name: row.until}))
    done = changes.rearrange(script, batch.ids, word, before=row.created_at, distance=batch.distance, tally=count_in)
    if row.action == "cancel" and done < len(batch.ids) and (row.ids or "started" in parse_frozen(row.query).states):
        batch.asked = ask_to_end(row, batch.ids)
    return done + batch.asked


def ask_to_end(row: BulkAction, ids: list[str]) -> int:
    """Ask those of some jobs that run to end, each once, but for the action's own; returns how many were asked."""
    connection, key = queues.connection(), asked_to_end(row.pk)
    job = get_current_job()
    known = connection.smismember(key, ids)
    fresh = [id for id, is_known in zip(ids, known, strict=True) if not is_known and not (job and id == job.id)]
    asked = changes.ask_to_end(fresh, grace=GRACE, by=row.by.get_username() if row.by else "machine") if fresh else []
    if asked:
        connection.sadd(key, *asked)
        connection.expire(key, KEPT)
    return len(asked)


def batches(row: BulkAction) -> Iterator[Batch]:
    """Return the jobs of an action, some at a time; what becomes of a batch does not make it miss a job."""
    if row.undoes:
        return walks.of_kept(row, row.undoes)
    if row.ids:
        return iter([Batch(row.ids, len(row.ids), Walk.AGAIN)])
    return walks.of_search(row, meant(row.action, parse_frozen(row.query)))


@job(
    "critical", name="amazon_pilot.jobs.tasks.run_bulk_action", timeout=6 * 3600,
    retry=Backoff(attempts=4, first=5), unique=True,
)  # fmt: skip
def run_bulk_action(pk: int) -> str:
    """Carry out what an operator asked to be done to many jobs; run again, it goes on with what is left."""
    return run(pk)
