"""Why a job waits: the first true reason in one order, and never none for a job that waits."""

import itertools
import json
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot, store, waiting
from amazon_pilot.jobs.inspect.job_detail import collect
from amazon_pilot.jobs.models import JobRun, Pause
from amazon_pilot.jobs.operate import changes
from tests.jobs import tasks
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)

KEPT = ("queue:default", "task:tests.jobs.tasks.tagged", "tag:apify")
WORKERS = ("none", "elsewhere", "quiet", "leaving", "busy", "half", "free")


def why(job_id, sample=None):
    connection = store.connect()
    return waiting.reason(connection, collect(connection, job_id), sample or snapshot.take(connection))


def workers(sample, kind):
    """Answer a sample with one worker of a kind, made of the one that lives."""
    if kind == "none":
        return replace(sample, workers=[])
    busy = {"busy": 2, "half": 1}.get(kind, 0)
    running = {"job": "x", "task": "t", "queue": "default", "since": time.time() - 9}
    slots = [{"slot": n, "pid": 1, "jobs": 0} | (running if n <= busy else {}) for n in (1, 2)]
    state = kind if kind in ("quiet", "leaving") else "working"
    lists = {"low": 1} if kind == "elsewhere" else {"default": 3}
    return replace(
        sample, workers=[sample.workers[0] | {"slots": slots, "busy": busy, "state": state, "queues": lists}]
    )


def expected(paused, suspended, kind, before):
    """The order: paused, suspended, nobody listens, quiet, all slots held, behind others, next."""
    order = [
        ("queue:default" in paused, "The queue default is paused."),
        ("task:tests.jobs.tasks.tagged" in paused, "The task tests.jobs.tasks.tagged is paused."),
        ("tag:apify" in paused, "The tag apify is paused."),
        (suspended, "All workers are suspended by rq's own command (rq resume ends that)."),
        (kind in ("none", "elsewhere"), "No worker listens on the queue default."),
        (kind in ("quiet", "leaving"), "Every worker of its queue is quiet or leaves."),
        (kind == "busy", "All 2 slots are held: 2 by t (the longest since 9.0 s)."),
        (before > 0, f"{before} job stands before it."),
        (True, "It is next."),
    ]
    return next(text for is_true, text in order if is_true)


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("kind", WORKERS)
def test_the_first_true_reason_is_told_of_all_that_are_true(redis, kind, before):
    serve()
    tasks.do_nothing.enqueue_many([() for _ in range(before)])
    job_id = tasks.tagged.enqueue()
    sample = workers(snapshot.take(store.connect()), kind)
    some = [names for n in range(4) for names in itertools.combinations(KEPT, n)]
    for suspended, paused in itertools.product((False, True), some):
        (redis.set if suspended else redis.delete)("rq:suspended", *([1] if suspended else []))
        seen = replace(sample, paused=dict.fromkeys(paused, 0.0), taken_at=sample.taken_at)
        told = why(job_id, seen).text
        if kind == "busy" and not paused and not suspended:
            assert told.startswith("All 2 slots are held: 2 by t (the longest since ")
            assert ("1 job stands before it." in told) == (before == 1)
        else:
            assert told == expected(paused, suspended, kind, before)


# Each state in which a job waits


def planned():
    return tasks.do_nothing.enqueue_in(timedelta(hours=2))


def retried():
    job_id = planned()
    began = timezone.now()
    JobRun.objects.create(
        job_id=job_id, execution_id="e", task="t", started_at=began, outcome="retrying", exception="X"
    )
    return job_id


def held():
    job_id = tasks.do_nothing.enqueue()
    changes.one("hold", job_id)
    return job_id


def in_state(status, **fields):
    job_id = tasks.tagged.enqueue()
    store.connect().lrem(queues.key("default"), 1, job_id)
    store.connect().hset(f"rq:job:{job_id}", mapping={"status": status} | fields)
    return job_id


def kept_back():
    Pause.objects.begin("tag:apify", by=None, reason="Enough")
    return in_state("deferred", held="tag:apify")


STATES = {
    "queued": (lambda: tasks.do_nothing.enqueue(), "No worker listens on the queue default."),
    "planned": (planned, "It is planned for later."),
    "retry": (retried, "It failed and is tried again later."),
    "held": (held, "It is held until somebody releases it."),
    "kept back": (kept_back, "The tag apify is paused."),
    "dependency": (lambda: in_state("deferred", dependency_ids=json.dumps(["p"])), "It waits for other jobs to end: p"),
    "no dependency": (lambda: in_state("deferred"), "It is deferred, and Redis does not say what it waits for."),
    "rate limit": (
        lambda: in_state("rate_limited", rate_limit_key="apify"),
        "It waits for its turn under the rate limit",
    ),
    "its turn": (lambda: in_state("ready_to_enqueue", rate_limit_key="apify"), "It waits for its turn under the rate"),
    "created": (lambda: in_state("created"), "It was made, and nobody has put it on a queue."),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_in_which_a_job_waits_has_its_reason(redis, state):
    make, text = STATES[state]

    assert why(make()).text.startswith(text)


@pytest.mark.parametrize("state", STATES)
def test_a_waiting_job_has_a_reason_whatever_its_record_has_lost(redis, state):
    job_id = STATES[state][0]()
    key = f"rq:job:{job_id}"
    fields = set(redis.hkeys(key)) - {b"status", b"held"}
    whole = redis.hgetall(key)
    for lost in itertools.chain(([name] for name in sorted(fields)), [sorted(fields)]):
        redis.hdel(key, *lost)
        assert why(job_id).text, lost
        for garbage in (b"", b"\xff\xfe", b"[", b"-1"):
            redis.hset(key, mapping=dict.fromkeys(lost, garbage))
            assert why(job_id).text, (lost, garbage)
        redis.hset(key, mapping=whole)


@pytest.mark.parametrize("garbage", [b"", b"\xff\xfe", b"yesterday", b"2026-13-45T00:00:00Z"])
@pytest.mark.parametrize("end", [0, -1])
def test_a_damaged_job_at_an_end_of_a_long_queue_hides_nothing(redis, end, garbage):
    serve(busy=1)
    ids = tasks.do_nothing.enqueue_many([(n,) for n in range(1002)])
    redis.hset(f"rq:job:{ids[end]}", "enqueued_at", garbage)

    assert why(ids[500]).text == "It is one of 1002 that wait."


@pytest.mark.parametrize("status", ["started", "finished", "failed", "stopped", "canceled"])
def test_what_does_not_wait_has_none(redis, status):
    assert why(in_state(status)) is None


def test_what_redis_does_not_know_has_none(redis):
    assert why("nobody") is None
