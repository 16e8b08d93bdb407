"""Jobs in numbers, each in the place that a test needs, and what is asked to be done to all of them."""

import uuid

from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.enqueue import fields, payloads, send
from amazon_pilot.jobs.inspect import redis_jobs
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.operate import bulk
from tests.jobs import tasks


def enqueue(number, task=tasks.do_nothing, queue="default", name=""):
    """Put jobs with the arguments 0, 1, 2, … on a queue at once."""
    jobs = []
    for n, data in enumerate(payloads(task, [((n,), {}) for n in range(number)])):
        jobs.append((f"{name or task.__name__}-{queue}-{n}", "", fields(task, queue, data)))
    return send(queue, jobs)


def bury(ids, queue="default", score=None, registry="failed"):
    """Put waiting jobs among the failed, as a worker does with one that has no retry left."""
    connection = queues.connection()
    for n, job_id in enumerate(ids):
        connection.lrem(queues.key(queue), 1, job_id)
        connection.hset(f"rq:job:{job_id}", mapping={"status": registry, "retries_left": 0})
        connection.zadd(f"rq:{registry}:{queue}", {job_id: score if score is not None else 1e10 + n})


def failures(ids, cause, queue="default"):
    moment = timezone.now()
    JobRun.objects.bulk_create(
        JobRun(job_id=job_id, execution_id=uuid.uuid4().hex, task="t", queue=queue, outcome="failed", fingerprint=cause,
               started_at=moment, ended_at=moment)
        for job_id in ids
    )  # fmt: skip


def plan(ids, queue="default"):
    """Have waiting jobs wait for a time."""
    connection = queues.connection()
    for n, job_id in enumerate(ids):
        connection.lrem(queues.key(queue), 1, job_id)
        connection.hset(f"rq:job:{job_id}", "status", "scheduled")
        connection.zadd(f"rq:scheduled:{queue}", {job_id: 9e9 + n})


def begin(ids, queue="default"):
    """Have waiting jobs run on a worker that is no more."""
    connection = queues.connection()
    for n, job_id in enumerate(ids):
        connection.lrem(queues.key(queue), 1, job_id)
        connection.hset(f"rq:job:{job_id}", mapping={"status": "started", "worker_name": "w9"})
        connection.zadd(f"rq:wip:{queue}", {f"{job_id}:run": 5e9 + n})


def asked(boss, action, query="", **words):
    words = {"reason": "A test", "token": uuid.uuid4(), "expected": 1} | words
    return bulk.start(boss, action, query=query, **words)[0]


def carried_out(boss, action, query="", **words):
    row = asked(boss, action, query, **words)
    bulk.run(row.pk)
    row.refresh_from_db()
    return row


def counted(state, queue="default"):
    return redis_jobs.count(state, queue)


def numbers(row):
    return row.state, row.seen, row.changed, row.left_alone
