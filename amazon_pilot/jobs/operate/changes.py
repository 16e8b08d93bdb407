"""What an operator can do to one job: the verbs behind the monitor's buttons.

Each answers whether it was done; False means that the job was not where the verb makes sense, and nothing was changed.
They act at once: a caller inside a transaction wraps them in `transaction.on_commit`.
"""

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime

from rq.command import send_command
from rq.defaults import RQ_KEY_PREFIX
from rq.exceptions import NoSuchJobError
from rq.job import JobStatus
from rq.rate_limit import RateLimitRegistry
from rq.utils import as_text, utcformat

from ..core.enqueue import enqueue, payloads, unique_key
from ..core.keys import UNIQUE
from ..core.payload import unpacked
from ..core.queues import connection
from ..core.registry import TASKS, JSONJob, UnknownTaskError
from ..core.scripts import script
from ..core.values import Args, Kwargs, Word
from ..models import JobRun, KeptJob

PENDING = ("queued", "started", "scheduled", "deferred", "held", "rate_limited", "ready_to_enqueue")


def find(job_id: str) -> JSONJob | None:
    """Return a job as rq knows it, None if Redis has forgotten it, or holds there what rq's code cannot read."""
    try:
        return JSONJob.fetch(job_id, connection=connection())  # type: ignore[return-value]
    except (NoSuchJobError, ValueError, TypeError, AttributeError):
        return None


def state(job_id: str) -> str:
    """Return where a job is, in the words of the query box; '' where Redis has forgotten it."""
    found = connection().hmget(f"{RQ_KEY_PREFIX}:job:{job_id}", "status", "held")
    status, held = (as_text(word) if word else "" for word in found)
    return "held" if status == "deferred" and held else status


def queues_of(ids: Sequence[str]) -> set[str]:
    """Return the queues of some jobs: where they are, were deleted or ran last; '' for one that nobody knows."""
    with connection().pipeline(transaction=False) as pipe:
        for job_id in ids:
            pipe.hget(f"{RQ_KEY_PREFIX}:job:{job_id}", "origin")
        found = {job_id: as_text(origin) for job_id, origin in zip(ids, pipe.execute(), strict=True) if origin}
    gone = set(ids) - found.keys()
    for rows in (KeptJob.objects, JobRun.objects) if gone else ():
        found = dict(rows.filter(job_id__in=gone).order_by("pk").values_list("job_id", "queue")) | found
    return {found.get(job_id, "") for job_id in ids}


def run_again(task: str, args: Args, kwargs: Kwargs | None = None, *, of: str = "", queue: str = "") -> str:
    """Enqueue a new job, with edited arguments if so wished; the job `of` which it is a copy stays as it is.

    Returns the new job's id. Raises UnknownTaskError, or PayloadError where the arguments are not JSON.
    """
    if task not in TASKS:
        raise UnknownTaskError(f"{task} is not a registered task, so it was not run.")
    meta = {"copy_of": of} if of else None
    return enqueue(TASKS[task], [(list(args), kwargs or {})], queue=queue, meta=meta)[0]


def pending(task: str, args: Args, kwargs: Kwargs) -> str:
    """Return the job of a unique task that waits or runs with these arguments; '' if there is none."""
    known = TASKS.get(task)
    if known is None or not known.unique:
        return ""
    key = unique_key(known, payloads(known, [(list(args), kwargs)])[0])
    job_id = as_text(connection().get(UNIQUE + key) or b"")
    return job_id if job_id and state(job_id) in PENDING else ""


def free(job_id: str) -> tuple[bool, bool] | None:
    """Free a job's unique key and its permit; returns which of both it held, None for an unknown job."""
    job = find(job_id)
    if job is None:
        return None
    task = TASKS.get(str(job.func_name))
    with suppress(ValueError, TypeError):  # a payload that is no call holds no key
        key = unique_key(task, unpacked(job.data)) if task else ""
    has_freed_key = bool(key) and one("free", job_id, key)
    return has_freed_key, free_permit(job)


def free_permit(job: JSONJob) -> bool:
    """Have the next job under a job's rate limit take its permit; False if it holds none."""
    if not job.rate_limit_key:
        return False
    limit = RateLimitRegistry.from_job(job)
    if connection().zscore(limit.allowed_key, job.id) is None:
        return False
    limit.release_and_enqueue(job.id)
    return True


def delete(job_id: str) -> bool:
    """Forget a job that does not run; its history stays."""
    job = find(job_id)
    if job is None or job.get_status() == JobStatus.STARTED:
        return False
    job.delete()
    return True


def cancel(job_id: str, *, grace: float = 5, by: str = "") -> str:
    """End a job: remove one that waits, ask one that runs and have it killed after `grace` seconds.

    Returns `removed`, `asked`, or `too late` where it had ended. What became of a job that was asked is in its JobRun:
    outcome stopped, and in `cause` whether it ended when asked or was killed.
    """
    if one("cancel", job_id):
        return "removed"
    return "asked" if ask_to_end([job_id], grace=grace, by=by) else "too late"


def ask_to_end(ids: Sequence[str], *, grace: float = 5, by: str = "") -> list[str]:
    """Ask running jobs to end, and have them killed after `grace` seconds; returns the ids of those that ran."""
    with connection().pipeline(transaction=False) as pipeline:
        for job_id in ids:
            pipeline.hmget(f"{RQ_KEY_PREFIX}:job:{job_id}", "status", "worker_name")
        found = pipeline.execute()
        running = [
            (job_id, as_text(worker))
            for job_id, (status, worker) in zip(ids, found, strict=True)
            if status == JobStatus.STARTED.encode() and worker
        ]
        for job_id, worker in running:
            send_command(pipeline, worker, "stop-job", job_id=job_id, grace=grace, by=by)
        pipeline.execute()
    return [job_id for job_id, _worker in running]


def ask_stack(job_id: str) -> bool:
    """Have a running job's process show its stack; False if it does not run."""
    found = connection().hmget(f"{RQ_KEY_PREFIX}:job:{job_id}", "status", "worker_name")
    status, worker = (as_text(word) if word else "" for word in found)
    if status != JobStatus.STARTED or not worker:
        return False
    send_command(connection(), worker, "stack", job_id=job_id)
    return True


def parents(job_id: str) -> list[str]:
    """Return the jobs that a job waits for and that have not ended."""
    ids = [as_text(id) for id in connection().smembers(JSONJob(job_id, connection=connection()).dependencies_key)]
    return sorted(id for id in ids if state(id) in PENDING)


def for_requeue(ids: Sequence[str]) -> str:
    """Return what requeue has to know, as JSON: how many retries each task grants, and the keys of unique jobs."""
    retries = {name: task.retry.attempts - 1 for name, task in TASKS.items() if task.retry}
    names = {name for name, task in TASKS.items() if task.unique}
    with connection().pipeline(transaction=False) as pipeline:
        for id in ids:
            pipeline.hmget(f"{RQ_KEY_PREFIX}:job:{id}", "task", "data")
        found = pipeline.execute()
    unique = {}
    for id, (task, data) in zip(ids, found, strict=True):
        if task and data and as_text(task) in names:
            with suppress(ValueError, TypeError):  # a payload that is no call fails by itself when it runs
                unique[id] = unique_key(TASKS[as_text(task)], unpacked(data))
    return json.dumps({"retries": retries, "unique": unique})


def rearrange(
    verb: str, ids: Sequence[str], word: Word = "", *, before: datetime | None = None, distance: int | None = None,
    tally: tuple[str, str] = ("", ""),
) -> int:  # fmt: skip
    """Do a verb of rearrange.lua to many jobs in one atomic step; returns to how many it was done.

    Only jobs enqueued `before` are touched. With `distance`, how far from the end of their queue the jobs stand, taking
    them out of a long queue is quick. The same step adds the answer to `tally`, a hash and a field of it.
    """
    since = utcformat(before) if before else ""
    where = "" if distance is None else distance
    now = utcformat(datetime.now(UTC))
    word = for_requeue(ids) if verb.startswith("requeue") else word
    return int(script("rearrange")(connection(), verb, now, word, since, where, *tally, *ids))


def one(verb: str, job_id: str, word: Word = "") -> bool:
    """Do a verb of rearrange.lua to one job; False if the job was in no place where it makes sense."""
    return rearrange(verb, [job_id], word) == 1
