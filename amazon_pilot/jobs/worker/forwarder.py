"""The forwarder: brings retries and delayed jobs whose time has come onto their queue.

Every worker does so each second, and any one is enough: the move is one script, so two cannot move the same job.
"""

from datetime import UTC, datetime, timedelta

from redis.exceptions import WatchError
from rq.utils import as_text, utcformat

from ..core import queues
from ..core.registry import JSONJob
from ..core.scripts import script
from ..core.values import Command

AT_ONCE = 100


def command(queue: str, *, ahead: timedelta = timedelta(0)) -> Command:
    """Return the command that moves at most AT_ONCE due jobs of one queue; `ahead` makes later jobs due as well."""
    return script("forward").command(queue, utcformat(datetime.now(UTC)), AT_ONCE, ahead.total_seconds())


def forward(queue: str, *, ahead: timedelta = timedelta(0)) -> int:
    """Move all due jobs of one queue now; returns how many."""
    total = 0
    while True:
        moved, limited = script("forward")(
            queues.connection(), queue, utcformat(datetime.now(UTC)), AT_ONCE, ahead.total_seconds()
        )
        for job_id in limited:
            total += forward_limited(as_text(job_id))
        total += moved
        if moved < AT_ONCE:
            return total


def forward_limited(job_id: str) -> int:
    """Move one due job that has a rate limit, through rq's own code, which asks for its permit; returns 1 or 0.

    In one transaction, so that no kill leaves it nowhere; where another worker moves it too, one of them does nothing.
    """
    from django_rq.queues import get_queue

    job = JSONJob.fetch(job_id, connection=queues.connection())
    if not job.rate_limit_concurrency:  # a limit that says of nobody how many; now the job is as others are
        queues.connection().hdel(job.key, "rate_limit_key")
        return 0
    queue = get_queue(job.origin, connection=queues.connection(), commit_mode="auto")
    registry = queue.scheduled_job_registry
    with queues.connection().pipeline() as pipeline:
        pipeline.watch(job.key)
        if pipeline.zscore(registry.key, job_id) is None:
            return 0
        pipeline.multi()
        registry.remove(job, pipeline=pipeline)
        queue._enqueue_rate_limited_job(job, pipeline=pipeline)
        try:
            pipeline.execute()
        except WatchError:
            return 0
    return 1
