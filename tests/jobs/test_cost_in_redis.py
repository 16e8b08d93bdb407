"""What a finished job costs Redis for the hour that it is kept, and that rq's tools still read all of it."""

import pytest
from rq.results import Result

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.enqueue import enqueue
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.core.scripts import script

from . import tasks

pytestmark = pytest.mark.django_db(transaction=True)

MOST = 1500  # bytes, of a job that does nothing
TIME = "2026-11-29T12:00:00.123456Z"


def wait(number):
    """Enqueue jobs that do nothing, and return their ids."""
    return enqueue(tasks.do_nothing, [((n,), {}) for n in range(number)], queue="low")


def finish(ids, value=""):
    """Take these jobs, as take.lua leaves them, and finish them."""
    connection, words = queues.connection(), []
    connection.delete("rq:queue:low")
    for job_id in ids:
        started = {"status": "started", "worker_name": "host-1-123456", "attempt": 1}
        connection.hset(f"rq:job:{job_id}", mapping=started)
        connection.zadd("rq:wip:low", {f"{job_id}:host-1-2-3-4": 2e9})
        data = connection.hget(f"rq:job:{job_id}", "data")
        end = (3600, TIME, TIME, "1790000000.123", "1790000000.456", value, '["succeeded"]', data)
        words += ["low", job_id, "host-1-2-3-4", 0, *end]
    assert script("commit")(connection, "host-1-123456", *words) == [1] * len(ids)


@pytest.mark.later
def test_a_finished_job_takes_at_most_1500_bytes(redis):
    ids = wait(100)
    finish(ids)

    keys = [key for job_id in ids for key in (f"rq:job:{job_id}", f"rq:results:{job_id}")]
    size = sum(redis.memory_usage(key, samples=0) for key in [*keys, "rq:finished:low"]) / len(ids)
    assert size <= MOST
    assert all(0 < redis.ttl(key) <= 3600 for key in keys)
    assert set(redis.keys("rq:*results*")) == {f"rq:results:{job_id}".encode() for job_id in ids}


@pytest.mark.parametrize(("value", "returned"), [("", None), ("Nw==", 7)])
def test_its_result_is_read_as_rq_reads_it(redis, value, returned):
    [job_id] = wait(1)
    finish([job_id], value)

    job = JSONJob.fetch(job_id, connection=redis)
    assert (job.return_value(), job.latest_result().type) == (returned, Result.Type.SUCCESSFUL)
    assert (job.latest_result().worker_name, job.worker_name) == ("host-1-123456", "host-1-123456")


def test_it_stands_behind_the_results_of_earlier_attempts(redis):
    [job_id] = wait(1)
    for number in range(3):
        Result.create(JSONJob.fetch(job_id, connection=redis), Result.Type.RETRIED, 60, return_value=number)
    finish([job_id], "Nw==")

    assert [each.return_value for each in JSONJob.fetch(job_id, connection=redis).results()] == [7, 2, 1, 0]
    assert redis.ttl(f"rq:results:{job_id}") > 3500
