"""What is known of queues and jobs as JSON, for scripts: the API and the command line answer the same."""

from dataclasses import asdict

from django.core.exceptions import ValidationError

from ..core import redaction
from ..core.values import Answer
from ..models import JobRun
from ..models.batch import Progress
from . import batches, holders, lists, query, snapshot, store, waiting
from .job_detail import Dossier

PAGE, MOST = 50, 500


def queues_now() -> Answer:
    """Return the shared sample's queues."""
    seen = snapshot.current()
    names = (
        "name", "weight", "waiting", "running", "scheduled", "deferred", "failed", "oldest", "in_per_minute",
        "out_per_minute", "drain_seconds", "paused", "memory",
    )  # fmt: skip
    queues = [{name: getattr(queue, name) for name in names} for queue in seen.queues]
    return {"taken_at": seen.taken.isoformat(), "queues": queues, "paused": seen.paused}


def found(question: str, limit: int, cursor: str = "") -> Answer:
    """Return one page of what a question asks for; `note` says what may be missing from it.

    Where it names no state `jobs` are runs, and `present` on the first page is what has not ended. Raises
    ValidationError where the question cannot be read.
    """
    try:
        listing = lists.ask(question, cursor, limit)
    except query.QueryError as error:
        raise ValidationError(str(error)) from error
    return {
        "present": present_of(listing.present) if listing.present else None,
        "jobs": [asdict(row) for row in listing.rows],
        "total": listing.total,
        "is_more_than": listing.is_more_than,
        "next": listing.following,
        "note": listing.note,
    }


def present_of(present: lists.Present) -> Answer:
    """Return what has not ended as JSON: of `total` jobs `looked_at` were looked at, and `number` match."""
    return {
        "jobs": [asdict(row) for row in present.rows],
        "number": present.number,
        "looked_at": present.looked_at,
        "total": present.total,
        "states": {part.state: part.number for part in present.parts},
    }


def run_of(run: JobRun, *, whole: bool = False) -> Answer:
    """Return one attempt; `whole` adds traceback, log and result."""
    names = [
        "job_id", "execution_id", "task", "queue", "args", "kwargs", "attempt", "outcome", "cause", "exception",
        "message", "enqueued_at", "started_at", "ended_at", "retry_at", "wait", "duration", "worker", "slot",
        "progress",
    ]  # fmt: skip
    told = {name: getattr(run, name) for name in names + (["traceback", "log", "result"] if whole else [])}
    told["args"], told["kwargs"] = redaction.call(run.task, run.args, run.kwargs)
    return told


def job_of(known: Dossier) -> Answer:
    """Return a dossier as JSON; `waits` is the reason in words, '' where it does not wait."""
    task, args, kwargs = known.call
    why = None if known.is_away else waiting.reason(store.connect(), known, snapshot.current())
    return {
        "job_id": known.job_id,
        "state": known.state,
        "task": task,
        "queue": known.queue,
        "args": args,
        "kwargs": kwargs,
        "waits": " ".join(filter(None, (why.text, why.why))) if why else "",
        "progress": known.percent,
        "stack": known.stack,
        "attempts": [run_of(run, whole=True) for run in known.runs],
    }


def limits_now(cursor: str = "0") -> Answer:
    """Return the unique keys that are held, the oldest first, and the part of the rate limits behind a cursor."""
    seen = holders.look(cursor)
    return {
        "keys": [holder_of(each) for each in seen.keys],
        "is_whole": seen.is_whole,
        "limits": [limit_of(each) for each in seen.limits],
        "next": seen.following,
    }


def limit_of(limit: holders.Limit) -> Answer:
    """Return one rate limit with the first of those that hold a permit, and of those that wait for one."""
    told: Answer = {name: getattr(limit, name) for name in ("name", "permits", "held", "waiting")}
    return told | {name: [holder_of(each) for each in getattr(limit, name)] for name in ("holders", "next")}


def holder_of(each: holders.Holder) -> Answer:
    """Return one job that holds something or waits for it."""
    task, args, kwargs = each.call
    told = {name: getattr(each, name) for name in ("state", "since", "until", "due", "joined")}
    return {"job_id": each.id, "task": task, "args": args, "kwargs": kwargs} | told


def batches_now(before: int | None = None) -> Answer:
    """Return fan-outs and how far each is, the newest first; `next` is empty at the end."""
    seen = batches.newest(before)
    return {"batches": [batch_of(each) for each in seen["rows"]], "next": str(seen["before"] or "")}


def batch_of(progress: Progress) -> Answer:
    """Return one fan-out and what became of its jobs."""
    batch = progress.of
    counts = ("waiting", "running", "retrying", "succeeded", "failed", "percent", "state")
    return (
        {"id": batch.pk, "task": batch.task, "at": batch.at, "sent_at": batch.sent_at, "parent": batch.parent}
        | {"by": batch.by.get_username() if batch.by else "", "jobs": batch.children, "joined": batch.joined}
        | {name: getattr(progress, name) for name in counts}
    )
