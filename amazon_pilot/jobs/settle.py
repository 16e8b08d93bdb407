"""Ending a job through rq's own code: callbacks, dependents, webhooks, repeats, rate limits and returned retries.

These are rare and have many rules, so they stay rq's. They run in a slot, which may take its time. The lease is renewed
right before, since rq does not ask whether this run still has the right to decide.
"""

import json
import sys
import zlib
from base64 import b64decode
from datetime import UTC, datetime
from typing import Any

from django_rq.queues import DjangoRQ
from django_rq.workers import get_exception_handlers
from rq import Worker
from rq.executions import Execution
from rq.job import JobStatus
from rq.serializers import JSONSerializer

from .assignment import Assignment
from .queues import connection
from .registry import JSONJob
from .scripts import script

OUTCOMES = {JobStatus.FINISHED: "succeeded", JobStatus.FAILED: "failed", JobStatus.STOPPED: "stopped"}


def rq_worker(name: str) -> Worker:
    """Answer one of rq's workers that shares our worker's name and never takes a job."""
    return Worker(
        [],
        name=name,
        connection=connection(),
        job_class=JSONJob,
        queue_class=DjangoRQ,
        serializer=JSONSerializer,
        exception_handlers=get_exception_handlers() or None,
        prepare_for_work=False,
    )


def may_decide(assignment: Assignment, worker: str) -> bool:
    """Renew the lease; False means that this run was given up and must not write anything."""
    now = datetime.now(UTC).isoformat()
    return not script("renew")(connection(), worker, now, *assignment.place, 0)


def place(assignment: Assignment) -> tuple[JSONJob, DjangoRQ, Execution]:
    """Answer rq's view of a taken job, read from Redis; raises NoSuchJobError where it was deleted."""
    job = JSONJob.fetch(assignment.job_id, connection=connection())
    queue = DjangoRQ(
        assignment.queue, connection=connection(), job_class=JSONJob, serializer=JSONSerializer, commit_mode="auto"
    )
    execution = Execution(assignment.execution_id, assignment.job_id, connection())
    return job, queue, execution  # type: ignore[return-value]


def succeed(assignment: Assignment, worker: str, job: JSONJob, value: Any, started: float) -> str:
    """Have rq end a job that returned `value`; answers the outcome in our words."""
    _, queue, execution = place(assignment)
    rq = rq_worker(worker)
    mark_times(job, execution, worker, started)
    try:
        rq._finalize_success(job, queue, execution, value)
    except Exception:  # a failing callback fails the job, as in rq's perform_job
        rq._finalize_failure(job, queue, execution, sys.exc_info())
    return outcome_of(job)


def fail(
    assignment: Assignment, worker: str, job: JSONJob, error: BaseException, started: float, is_stopped: bool
) -> str:
    """Have rq end or retry a job that raised `error`; answers the outcome in our words."""
    _, queue, execution = place(assignment)
    rq = rq_worker(worker)
    mark_times(job, execution, worker, started)
    if is_stopped:
        rq._stopped_job_id = job.id
        job.ended_at = datetime.now(UTC)
        rq._handle_stopped_job(job, queue, execution)
        return "stopped"
    rq._finalize_failure(job, queue, execution, (type(error), error, error.__traceback__))
    return outcome_of(job)


def mark_times(job: JSONJob, execution: Execution, worker: str, started: float) -> None:
    """Tell rq when and where the job ran."""
    job.started_at = execution.created_at = datetime.fromtimestamp(started, UTC)
    job.worker_name = execution.worker_name = worker


def outcome_of(job: JSONJob) -> str:
    """Answer our word for the state that rq has put the job in; a job that rq deleted had succeeded."""
    if not JSONJob.exists(job.id, connection()):
        return "succeeded"
    return OUTCOMES.get(job.get_status(refresh=True), "retrying")


def finish_later(message: tuple[Any, ...], worker: str) -> tuple[Any, ...]:
    """End a job that another slot ran, and that needs rq's code; answers the line that history gets, if we may."""
    assignment, (kind, started, value, trace, line) = Assignment.from_reply(list(message[1:6])), message[6:11]
    if not may_decide(assignment, worker):
        return ("refused",)
    job, queue, execution = place(assignment)
    rq = rq_worker(worker)
    mark_times(job, execution, worker, started)
    job.ended_at = datetime.now(UTC)
    if kind == "done":
        job._result = json.loads(b64decode(value)) if value else None
        job._status = JobStatus.FINISHED
        rq.handle_job_success(
            job=job, queue=queue, started_job_registry=queue.started_job_registry, execution=execution
        )
    elif kind == "stopped":
        rq._stopped_job_id = job.id
        rq._handle_stopped_job(job, queue, execution)
    else:
        if kind == "failed":
            job.retries_left = 0
        text = zlib.decompress(b64decode(trace)).decode()
        rq.handle_job_failure(job=job, queue=queue, exc_string=text, execution=execution)
    return ("settled", line)


def after_loss(message: tuple[Any, ...], worker: str) -> None:
    """Tell the exception handlers that a job was lost, and after its last loss rq's callbacks and dependents too."""
    _, queue_name, job_id, cause, verdict = message
    job = JSONJob.fetch(job_id.decode(), connection=connection())
    error = LostError(f"{cause.decode()}: the job was lost and is {verdict.decode()} now")
    rq = rq_worker(worker)
    rq.handle_exception(job, LostError, error, None)
    if verdict == b"poison":
        queue = DjangoRQ(queue_name.decode(), connection=connection(), job_class=JSONJob, serializer=JSONSerializer)
        rq._enqueue_dependents_safely(queue, job)
        rq._release_slot_safely(job)


class LostError(Exception):
    """The slot or the worker that ran a job is gone; handlers of exceptions see this in the job's place."""
