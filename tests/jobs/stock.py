"""Jobs as rq's own classes see them, for tests that set our worker beside rq's tools."""

from rq.registry import (
    BaseRegistry,
    CanceledJobRegistry,
    DeferredJobRegistry,
    FailedJobRegistry,
    FinishedJobRegistry,
    ScheduledJobRegistry,
    StartedJobRegistry,
)

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob

from .conftest import wait_for

TASKS = "tests.jobs.tasks"
REGISTRIES: dict[str, type[BaseRegistry]] = {
    "started": StartedJobRegistry,
    "finished": FinishedJobRegistry,
    "failed": FailedJobRegistry,
    "scheduled": ScheduledJobRegistry,
    "deferred": DeferredJobRegistry,
    "canceled": CanceledJobRegistry,
}


def fetch(job_id: str) -> JSONJob:
    return JSONJob.fetch(job_id, connection=queues.connection())  # type: ignore[return-value]


def until(job_id: str, *words: str) -> JSONJob:
    """Wait until rq shows a job in one of these states and answer it."""
    wait_for(lambda: fetch(job_id).get_status().value in words, f"{job_id} to be {words}")
    return fetch(job_id)  # as it is now: the one whose state was asked may have been read before that


def registries(job_id: str, queue: str = "default") -> list[str]:
    """Answer the registries that hold a job, by rq's own classes and without their clean-up."""
    return [
        name
        for name, kind in REGISTRIES.items()
        if job_id in kind(queue, connection=queues.connection(), job_class=JSONJob).get_job_ids(cleanup=False)
    ]
