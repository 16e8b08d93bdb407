"""Verbs: what an operator can do to one job."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django_rq.queues import get_queue
from rq.rate_limit import RateLimit

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob, UnknownTaskError
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.operate.table import OPERATIONS
from amazon_pilot.jobs.worker import forwarder

from . import tasks

pytestmark = pytest.mark.django_db(transaction=True)


def places(job_id):
    """Answer everywhere a job is, by rq's own books: exactly one place is right."""
    found = []
    for queue in queues.names():
        if job_id.encode() in queues.connection().lrange(queues.key(queue), 0, -1):
            found.append(f"queue {queue}")
        for name in ("scheduled", "deferred", "canceled", "failed"):
            if queues.connection().zscore(f"rq:{name}:{queue}", job_id) is not None:
                found.append(f"{name} {queue}")  # noqa: PERF401
    return found


def status(job_id):
    return JSONJob.fetch(job_id, connection=queues.connection()).get_status().value


def test_a_held_job_is_deferred_and_released_to_the_head():
    tasks.do_nothing.enqueue(1)
    job_id = tasks.do_nothing.enqueue(2)

    assert changes.one("hold", job_id)
    assert places(job_id) == ["deferred default"]
    assert status(job_id) == "deferred"
    assert changes.one("release", job_id)
    assert queues.connection().lindex(queues.key("default"), 0).decode() == job_id
    assert places(job_id) == ["queue default"]
    assert not changes.one("release", job_id)


def test_a_held_job_keeps_its_planned_time():
    job_id = tasks.do_nothing.enqueue_in(timedelta(hours=2))
    planned = queues.connection().zscore("rq:scheduled:default", job_id)

    assert changes.one("hold", job_id)
    assert changes.one("release", job_id)

    assert queues.connection().zscore("rq:scheduled:default", job_id) == planned


def test_a_snoozed_job_waits_until_its_new_time():
    job_id = tasks.do_nothing.enqueue()
    until = datetime.now(UTC) + timedelta(hours=3)

    assert changes.one("snooze", job_id, until.timestamp())

    assert places(job_id) == ["scheduled default"]
    assert queues.connection().zscore("rq:scheduled:default", job_id) == pytest.approx(until.timestamp(), abs=1)


def test_a_planned_job_that_is_run_now_is_the_next_of_its_queue():
    first, job_id = tasks.do_nothing.enqueue(1), tasks.do_nothing.enqueue_in(timedelta(hours=2), 2)

    assert changes.one("run_first", job_id)

    assert places(job_id) == ["queue default"]
    assert status(job_id) == "queued"
    waiting = queues.connection().lrange(queues.key("default"), 0, -1)
    assert [each.decode() for each in waiting] == [job_id, first]
    assert not changes.one("run_first", job_id)


def test_a_retry_that_is_run_now_keeps_its_attempts_and_retries():
    job_id = tasks.fail.enqueue()
    changes.one("snooze", job_id, (datetime.now(UTC) + timedelta(hours=3)).timestamp())
    queues.connection().hset(f"rq:job:{job_id}", mapping={"attempt": 2, "retries_left": 1})

    assert changes.one("run_first", job_id)

    assert queues.connection().hmget(f"rq:job:{job_id}", "attempt", "retries_left") == [b"2", b"1"]


def test_a_unique_job_that_is_run_now_stays_the_only_one():
    job_id = tasks.once_at_a_time.enqueue_in(timedelta(hours=1), "a")
    changes.one("run_first", job_id)

    assert tasks.once_at_a_time.enqueue("a") == job_id
    assert queues.size("default") == 1


def test_a_planned_job_with_a_rate_limit_is_due_at_once_and_asks_for_its_permit():
    queue = get_queue("default", commit_mode="auto")
    limit = RateLimit(key="apify", concurrency=1)
    held = queue.enqueue("tests.jobs.tasks.add", 1, 1, rate_limit=limit)
    planned = queue.enqueue_in(timedelta(hours=1), "tests.jobs.tasks.add", 2, 2, rate_limit=limit)

    assert changes.one("run_first", planned.id)
    assert places(planned.id) == ["scheduled default"]
    assert forwarder.forward("default") == 1

    assert status(held.id) == "queued"
    assert status(planned.id) == "rate_limited"


@pytest.mark.parametrize("where", ["queue", "held", "canceled", "running", "forgotten"])
def test_a_job_that_waits_for_no_time_is_not_run_now(where):
    job_id = tasks.do_nothing.enqueue()
    if where == "held":
        changes.one("hold", job_id)
    elif where == "canceled":
        changes.cancel(job_id)
    elif where == "running":
        queues.connection().hset(f"rq:job:{job_id}", "status", "started")
    elif where == "forgotten":
        changes.delete(job_id)
    before = places(job_id)

    assert not changes.one("run_first", job_id)
    assert places(job_id) == before


@pytest.mark.parametrize("where", ["queue", "scheduled", "held"])
def test_a_waiting_job_is_cancelled_by_removal(where):
    job_id = tasks.do_nothing.enqueue_in(timedelta(hours=1)) if where == "scheduled" else tasks.do_nothing.enqueue()
    if where == "held":
        changes.one("hold", job_id)

    assert changes.cancel(job_id) == "removed"
    assert places(job_id) == ["canceled default"]
    assert changes.cancel(job_id) == "too late"


@pytest.mark.parametrize("where", ["queue", "scheduled", "deferred"])
def test_a_waiting_job_moves_to_another_queue(where):
    job_id = tasks.do_nothing.enqueue_in(timedelta(hours=1)) if where == "scheduled" else tasks.do_nothing.enqueue()
    if where == "deferred":
        changes.one("hold", job_id)

    assert changes.one("move", job_id, "low")
    assert places(job_id) == [f"{where} low"]
    assert JSONJob.fetch(job_id, connection=queues.connection()).origin == "low"


def test_a_job_does_not_move_to_a_queue_that_nobody_serves():
    with pytest.raises(ValidationError, match="There is no queue nowhere"):
        OPERATIONS["move"].read({"queue": "nowhere"})


def test_a_cancelled_job_can_be_retried_with_all_its_retries():
    job_id = tasks.fail.enqueue()
    queues.connection().hset(f"rq:job:{job_id}", "retries_left", 0)
    changes.cancel(job_id)

    assert changes.one("requeue", job_id)
    assert places(job_id) == ["queue default"]
    assert JSONJob.fetch(job_id, connection=queues.connection()).retries_left == 2
    assert not changes.one("requeue", job_id)


def test_a_copy_with_edited_arguments_leaves_the_original_alone():
    job_id = tasks.add.enqueue(1, 2)
    copy = changes.run_again("tests.jobs.tasks.add", [3, 4], of=job_id)

    jobs = JSONJob.fetch_many([job_id, copy], connection=queues.connection())
    assert [job.args for job in jobs] == [[1, 2], [3, 4]]
    assert jobs[1].meta == {"copy_of": job_id}


def test_a_copy_of_something_that_is_no_task_is_refused():
    with pytest.raises(UnknownTaskError, match=r"os\.system is not a registered task"):
        changes.run_again("os.system", ["true"])


def test_deleting_forgets_a_job_but_not_one_that_runs():
    job_id = tasks.do_nothing.enqueue()
    queues.connection().hset(f"rq:job:{job_id}", "status", "started")
    assert not changes.delete(job_id)
    queues.connection().hset(f"rq:job:{job_id}", "status", "queued")
    assert changes.delete(job_id)
    assert changes.find(job_id) is None
    assert places(job_id) == []
