"""What a slot tells its worker of a job that has ended: what became of it, what it returned or raised, what follows."""

import json
import logging
import math
import time
from collections.abc import Callable

from django.conf import settings
from django_rq.workers import get_exception_handlers
from rq.job import Retry as ReturnedRetry
from rq.job_lifecycle import call_exception_handlers

from ..core import faults, secrets
from ..core.limits import LONGEST
from ..core.registry import TASKS, JSONJob, UnknownTaskError
from ..core.shared_memory import SharedMemory
from ..core.taken_job import TakenJob
from ..core.values import Json
from ..history import run_event
from . import rq_finish
from .messages import Message

logger = logging.getLogger(__name__)

Step = Callable[[], Message]


class JobCancelled(BaseException):
    """Somebody asked for this job to end. Not an Exception, so that a task's own handlers let it through."""


class UnreadablePayloadError(Exception):
    """What Redis holds as this job's call is not the JSON that an enqueue writes, so nothing was run."""


class Teller:
    """Tells of the jobs of one slot. `patiently` does a step again for as long as Redis is away."""

    def __init__(self, worker: str, slot: int, shared: SharedMemory, patiently: Callable[[Step], Message]) -> None:
        self.worker = worker
        self.slot = slot
        self.shared = shared
        self.patiently = patiently

    def told(
        self, taken_job: TakenJob, job: JSONJob, value: object, error: BaseException | None, started: float
    ) -> Message:
        """Return the outcome, which never depends on being able to describe it: the job does not run again for that."""
        try:
            return self.outcome(taken_job, job, value, error, started)
        except BaseException as trouble:
            logger.warning("Job %s ended, and its end cannot be told.", taken_job.job_id, exc_info=True)
            if error is None and not taken_job.is_rare:
                return self.success(taken_job, run_event.UNSERIALIZABLE, started)
            return self.plain_failure(taken_job, error or trouble, started)

    def plain_failure(self, taken_job: TakenJob, error: BaseException, started: float) -> Message:
        """Return the outcome of a job that failed, for good, told without rq's view of it."""
        verdict = "stopped" if type(error) is JobCancelled else "failed"
        return self.failed(taken_job, verdict, 0, "", "", run_event.failure(error, taken_job.task), started)

    def outcome(
        self, taken_job: TakenJob, job: JSONJob, value: object, error: BaseException | None, started: float
    ) -> Message:
        """Return what the worker has to commit."""
        if taken_job.is_rare or isinstance(value, ReturnedRetry):
            return self.settle_rare(taken_job, job, value, error, started)
        if error is None:
            return self.success(taken_job, value, started)
        return self.failure(taken_job, job, error, started)

    def success(self, taken_job: TakenJob, value: object, started: float) -> Message:
        ended = time.time()
        text, encoded = run_event.encode_value(value)
        ttl = taken_job.number("result_ttl")
        line = run_event.line(
            taken_job, self.worker, self.slot, "succeeded", started, ended=ended, result=text,
            **run_event.traces(self.shared),
        )  # fmt: skip
        return (
            "done",
            settings.RQ["DEFAULT_RESULT_TTL"] if ttl is None else ttl,
            *run_event.dates(started, ended),
            started,
            ended,
            encoded,
            line,
        )

    def failure(self, taken_job: TakenJob, job: JSONJob, error: BaseException, started: float) -> Message:
        details = run_event.failure(error, taken_job.task)
        if isinstance(error, JobCancelled):
            return self.failed(taken_job, "stopped", 0, "", "", details, started)
        meta_before = meta_of(job)
        apply_policy(job, error)
        tell_handlers(job, error)
        meta = meta_of(job)
        verdict, wait = verdict_of(job)
        left = "" if job.retries_left is None else str(int(job.retries_left))
        return self.failed(taken_job, verdict, wait, left, meta if meta != meta_before else "", details, started)

    def failed(
        self,
        taken_job: TakenJob,
        verdict: str,
        wait: int,
        left: str,
        meta: str,
        details: dict[str, Json],
        started: float,
    ) -> Message:
        """Return the message of a failure: where it leads, the wait and the retries left, and its description."""
        ended = time.time()
        words = {"scheduled": "retrying", "queued": "retrying"}
        line = run_event.line(
            taken_job, self.worker, self.slot, words.get(verdict, verdict), started, ended=ended,
            cause="cancelled: asked" if verdict == "stopped" else None,
            retry_in=wait if verdict == "scheduled" else None, **details, **run_event.traces(self.shared),
        )  # fmt: skip
        return (
            "failed", verdict, wait, int(taken_job.text("enqueue_at_front_on_retry") == "1"),
            run_event.failure_ttl(taken_job), left, meta, *run_event.dates(started, ended), started, ended,
            run_event.encode_trace(str(details["traceback"])), line,
        )  # fmt: skip

    def settle_rare(
        self, taken_job: TakenJob, job: JSONJob, value: object, error: BaseException | None, started: float
    ) -> Message:
        """End the job through rq's own code, here and now; the worker only hears of it."""
        is_cancelled = isinstance(error, JobCancelled)

        def tell(outcome: str, cause: BaseException | None) -> str:
            cause = error if is_cancelled else cause
            details = run_event.failure(cause, taken_job.task) if cause else {}
            if is_cancelled:
                details["cause"] = "cancelled: asked"
            if outcome == "succeeded":
                details["result"] = run_event.encode_value(value)[0]
            if outcome == "retrying" and cause:
                details["retry_in"] = job.get_retry_interval()
            return run_event.line(
                taken_job, self.worker, self.slot, outcome, started, ended=time.time(), **details,
                **run_event.traces(self.shared),
            )  # fmt: skip

        if error is not None and not is_cancelled:
            apply_policy(job, error)
        closer = rq_finish.Closer(self.worker, self.shared, taken_job.data, tell)
        value = run_event.kept(value) if not isinstance(value, ReturnedRetry) else value
        as_it_was = dict(job.__dict__)

        def end() -> Message:
            claimed = rq_finish.claim(taken_job, self.worker, self.shared)
            if claimed is None and closer.outcome:
                return ("settled", closer.outcome)  # before the line broke
            if claimed is None:
                outcome = "stopped" if is_cancelled else "failed" if error else "succeeded"
                rq_finish.refuse(taken_job, self.worker, tell(outcome, error))
                return ("refused",)
            _, queue, execution = claimed
            faults.point("slot before settling")
            job.__dict__.update(as_it_was)  # rq counts retries down before it stores them
            if error is None:
                rq_finish.succeed((job, queue, execution), closer, value, started)
            elif is_cancelled:
                rq_finish.stop((job, queue, execution), closer, started)
            else:
                rq_finish.fail((job, queue, execution), closer, error, started)
            faults.point("slot after settling")
            return ("settled", closer.outcome)

        return self.patiently(end)


def apply_policy(job: JSONJob, error: BaseException) -> None:
    """Set on rq's job what our retry policy says, where rq and the exception handlers look for it."""
    task = TASKS.get(str(job.func_name)) if not isinstance(error, UnreadablePayloadError) else None
    if isinstance(error, UnknownTaskError | UnreadablePayloadError):
        job.retries_left = 0  # another attempt would meet the same
    elif task and task.retry:
        if job.retries_left is None:  # enqueued by somebody who does not know the policy
            job.retries_left = task.retry.attempts - 1
        if not job.retries_left:
            return
        if isinstance(error, task.retry.permanent):
            job.retries_left = 0
        else:
            retry = max(0, task.retry.attempts - 1 - job.retries_left)
            job.retry_intervals = [math.ceil(task.retry.wait(retry, error))]


def tell_handlers(job: JSONJob, error: BaseException) -> None:
    """Call RQ_EXCEPTION_HANDLERS, which may still change the retries or the meta of the job."""
    handlers: list[Callable[..., object]] = get_exception_handlers()
    try:
        call_exception_handlers(handlers, job, type(error), error, error.__traceback__)
    except BaseException:
        logger.exception("An exception handler failed on job %s.", job.id)


def meta_of(job: JSONJob) -> str:
    """Return the job's meta as JSON, '' if a task or a handler has put something else there: then it is not kept."""
    return run_event.tried(lambda: secrets.scrub_json(json.dumps(job.meta, allow_nan=False)), "")


def verdict_of(job: JSONJob) -> tuple[str, int]:
    """Return where a failed attempt leads: failed, scheduled after so many seconds, or queued at once."""
    if not job.should_retry:
        return "failed", 0
    wait = math.ceil(max(0, min(job.get_retry_interval(), LONGEST)))
    job.retries_left = (job.retries_left or 1) - 1
    return ("scheduled", wait) if wait > 0 else ("queued", 0)
