"""What is known of queues and jobs as JSON, for scripts: the API and the command line answer the same."""

from dataclasses import asdict
from typing import Any

from django.core.exceptions import ValidationError

from ..core import redaction
from ..models import JobRun
from . import lists, query, snapshot, store, waiting
from .job_detail import Dossier

PAGE, MOST = 50, 500


Answer = dict[str, Any]


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
