"""Outcome a job through rq's own code: callbacks, dependents, webhooks, repeats, rate limits and returned retries.

These are rare and have many rules, so they stay rq's. They run in a slot, which may take its time. The lease is renewed
right before, since rq does not ask whether this run still has the right to decide.
"""

import json
import sys
import zlib
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django_rq.queues import DjangoRQ
from django_rq.workers import get_exception_handlers
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus, Retry
from rq.rate_limit import RateLimitRegistry
from rq.serializers import JSONSerializer

from ..core import keys, limits, secrets
from ..core.queues import connection
from ..core.registry import JSONJob
from ..core.scripts import script
from ..core.shared_memory import SharedMemory
from ..core.taken_job import TakenJob
from ..history import run_event
from .messages import Message

Claimed = tuple[JSONJob, DjangoRQ, Execution]
Teller = Callable[[str, BaseException | None], str]


class NotStoredError(RedisConnectionError):
    """Redis answers, and rq's code could not store an end: what is in the way may pass, or stand in the job itself."""


MARGIN = 5.0  # seconds that rq's code may take beside the callbacks and webhooks, which have limits of their own


class Closer(Worker):
    """rq's worker as it ends one job, under our worker's name; it never takes one.

    It adds the line of history to the very transaction with which rq ends the run, so that no kill falls between the
    two. `tell` answers that line for an outcome and the error that led to it. The slot's shared tells its worker of the
    commit: what follows it may take longer than the lease.
    """

    def __init__(self, worker: str, shared: SharedMemory, data: bytes = b"", tell: Teller | None = None) -> None:
        super().__init__(
            [],
            name=worker,
            connection=connection(),
            job_class=JSONJob,
            queue_class=DjangoRQ,
            serializer=JSONSerializer,
            exception_handlers=get_exception_handlers() or None,
            prepare_for_work=False,
        )
        self.shared = shared
        self.data = data
        self.tell = tell
        self.outcome = ""
        self.error: BaseException | None = None
        self.is_persisted = True

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        self.error = exc_info[1]  # the task's own, or that of a callback
        super().handle_exception(job, *exc_info)

    def handle_job_success(self, job: Job, *args: Any, **kwargs: Any) -> None:
        self.outcome = "succeeded"
        super().handle_job_success(job, *args, **kwargs)

    def handle_job_failure(self, job: Job, *args: Any, **kwargs: Any) -> None:
        is_stopped = self._stopped_job_id == job.id
        self.outcome = "stopped" if is_stopped else "retrying" if job.should_retry else "failed"
        self.is_persisted = False
        kwargs["exc_string"] = secrets.scrub(str(kwargs.get("exc_string") or ""))
        super().handle_job_failure(job, *args, **kwargs)
        self.check_persisted()

    def check_persisted(self) -> None:
        """Raise if a failure could not be stored: rq logs that, and lets the job be."""
        if not self.is_persisted:
            self.connection.ping()  # raises if Redis is away
            raise NotStoredError("The failure could not be stored.")

    def _release_slot_safely(self, job: Job) -> None:
        self.is_persisted = True  # what rq does last, and only after its transaction
        super()._release_slot_safely(job)

    def handle_job_retry(self, job: Job, queue: Queue, retry: Retry, *args: Any, **kwargs: Any) -> None:
        self.outcome = "failed" if (job.number_of_retries or 0) >= retry.max else "retrying"
        self.is_persisted = self.outcome == "retrying"
        super().handle_job_retry(job, queue, retry, *args, **kwargs)
        self.check_persisted()

    def cleanup_execution(self, job: Job, pipeline: Pipeline, execution: Execution | None = None) -> None:
        """Take the run out of the started registry, as rq does in its transaction, and tell the history there."""
        super().cleanup_execution(job, pipeline, execution)
        if self.tell is not None:
            pipeline.execute_command(*run_event.command(self.tell(self.outcome, self.error), self.data))
        if execution is not None and job.result_ttl == 0:  # no job is left by which a late word would see that it ended
            pipeline.set(keys.LOST + execution.id, 1, ex=limits.LOST_SECONDS)
        self.shared.commit()  # the next that rq does


def claim(taken_job: TakenJob, worker: str, shared: SharedMemory) -> Claimed | None:
    """Renew the lease and answer rq's view of a taken job; from now on its callbacks' and webhooks' limits count.

    None means that this run must not decide any more: the job was given to others, or rq deleted or cancelled it.
    """
    now = datetime.now(UTC).isoformat()
    if script("renew")(connection(), worker, now, *taken_job.run_id, 0):
        return None
    try:
        job = JSONJob.fetch(taken_job.job_id, connection=connection())
    except NoSuchJobError:
        return None
    if job.get_status(refresh=False) == JobStatus.CANCELED:
        return None
    shared.close_within(patience(job))
    queue = DjangoRQ(
        taken_job.queue, connection=connection(), job_class=JSONJob, serializer=JSONSerializer, commit_mode="auto"
    )
    execution = Execution(taken_job.execution_id, taken_job.job_id, connection())
    return job, queue, execution  # type: ignore[return-value]


def patience(job: Job) -> float:
    """Return how many seconds rq's code may take to end a job: its callbacks and webhooks, each within its limit.

    Redis may be away meanwhile, for as long as a connection waits for it.
    """
    redis = settings.REDIS_PATIENCE_SECONDS
    callbacks = job.success_callback_timeout + job.failure_callback_timeout + job.stopped_callback_timeout
    return redis + callbacks + sum(webhook.timeout for webhook in job.webhooks) + MARGIN


def refuse(taken_job: TakenJob, worker: str, line: str) -> None:
    """End a run that must not decide: tell the history, and free its permits, which rq leaves to the run itself."""
    if script("tell")(connection(), worker, *taken_job.run_id, line, taken_job.data):
        for limit in RateLimitRegistry.all(connection()):
            limit.release_stale_and_enqueue(taken_job.job_id)


def succeed(claimed: Claimed, closer: Closer, value: object, started: float) -> None:
    """Have rq end a job that returned `value`."""
    job, queue, execution = claimed
    mark_times(job, execution, closer.name, started)
    try:
        closer._finalize_success(job, queue, execution, value)
    except Exception as error:  # a failing callback fails the job, as in rq's perform_job
        is_ours = closer.outcome == "succeeded" or not job.success_callback
        if is_ours and isinstance(error, RedisError):
            raise  # it is not the callback: the end could not be stored
        closer._finalize_failure(job, queue, execution, sys.exc_info())


def fail(claimed: Claimed, closer: Closer, error: BaseException, started: float) -> None:
    """Have rq end or retry a job that raised `error`."""
    job, queue, execution = claimed
    mark_times(job, execution, closer.name, started)
    closer._finalize_failure(job, queue, execution, (type(error), error, error.__traceback__))


def stop(claimed: Claimed, closer: Closer, started: float) -> None:
    """Have rq end a job that was cancelled while it ran."""
    job, queue, execution = claimed
    mark_times(job, execution, closer.name, started)
    job.ended_at = datetime.now(UTC)
    closer._stopped_job_id = job.id
    closer._handle_stopped_job(job, queue, execution)


def mark_times(job: JSONJob, execution: Execution, worker: str, started: float) -> None:
    """Tell rq when and where the job ran."""
    job.started_at = execution.created_at = datetime.fromtimestamp(started, UTC)
    job.worker_name = execution.worker_name = worker


def finish_later(message: Message, worker: str, shared: SharedMemory) -> Message:
    """End a job that another slot ran, and that needs rq's code; returns what became of it."""
    taken_job, (kind, started, value, trace, line) = TakenJob.from_reply(list(message[1:6])), message[6:11]
    secrets.of_job(taken_job)  # its callbacks may log
    claimed = claim(taken_job, worker, shared)
    if claimed is None:
        refuse(taken_job, worker, line)
        return ("refused",)
    closer = Closer(worker, shared, taken_job.data, lambda outcome, error: line)
    if kind == "stopped":
        stop(claimed, closer, started)
        return ("settled", closer.outcome)
    job, queue, execution = claimed
    mark_times(job, execution, worker, started)
    job.ended_at = datetime.now(UTC)
    if kind == "cut":  # stopped, without its callback
        closer._stopped_job_id = job.id
    if kind == "done":
        job._result = json.loads(b64decode(value)) if value else None
        job._status = JobStatus.FINISHED
        closer.handle_job_success(
            job=job, queue=queue, started_job_registry=queue.started_job_registry, execution=execution
        )
    else:
        if kind == "failed":
            job.retries_left = 0
        text = zlib.decompress(b64decode(trace)).decode()
        closer.handle_job_failure(job=job, queue=queue, exc_string=text, execution=execution)
    return ("settled", closer.outcome)


def after_loss(message: Message, worker: str, shared: SharedMemory) -> None:
    """Tell the exception handlers of a run that could not end, lost or killed by us.

    After a job's last loss do what rq does after a failure as well.
    """
    kind, queue_name, job_id, cause, verdict = message
    job = JSONJob.fetch(job_id.decode(), connection=connection())
    shared.close_within(patience(job))
    error = LostError(f"{cause.decode()}: the job was {kind} and is {verdict.decode()} now")
    closer = Closer(worker, shared)
    closer.handle_exception(job, LostError, error, None)
    if verdict == b"poison":
        job.send_webhooks(JobStatus.FAILED, exc_string=str(error))
        after_end(("ended", queue_name, job_id), worker, shared)


def after_end(message: Message, worker: str, shared: SharedMemory) -> None:
    """Do what follows a job's end and may be done twice: let its dependents go on and free its permits."""
    _, queue_name, job_id = message
    job = JSONJob.fetch(job_id.decode(), connection=connection())
    if job.get_status(refresh=False) not in (JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED):
        return  # its slot died before the commit
    queue = DjangoRQ(queue_name.decode(), connection=connection(), job_class=JSONJob, serializer=JSONSerializer)
    closer = Closer(worker, shared)
    closer._enqueue_dependents_safely(queue, job)
    closer._release_slot_safely(job)


class LostError(Exception):
    """The slot or the worker that ran a job is gone; handlers of exceptions see this in the job's claimed."""
