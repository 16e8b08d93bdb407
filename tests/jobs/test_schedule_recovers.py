"""The scheduler brings back the jobs of a crew that died altogether, and leaves to workers what they do themselves."""

import time

import pytest
from redis.exceptions import RedisError

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import recoverer
from tests.jobs import tasks
from tests.jobs.conftest import env, start  # noqa: F401 - fixtures
from tests.jobs.conftest import wait_for as wait_long
from tests.jobs.schedule_process import running, wait_for
from tests.jobs.schedule_world import clock, make_entry, make_scheduler, queued, scheduler  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)


def status(redis, job_id):
    return JSONJob.fetch(job_id, connection=redis).get_status().value


def lost(redis, seconds_ago):
    """Enqueue a job and have a worker take it that is dead since; its lease was over so long ago."""
    job_id = tasks.add.enqueue(1, 2)
    script("take")(redis, "a-dead-worker", "pilot-mark-1-", 1, 1, "default", b"\0")
    (entry,) = redis.zrange("rq:wip:default", 0, -1)
    redis.zadd("rq:wip:default", {entry: time.time() + 60 - seconds_ago})
    redis.set("pilot:looked", time.time() - 3)
    return job_id


@pytest.mark.parametrize(("seconds_ago", "found"), [(1, "started"), (2, "started"), (4, "queued")])
def test_it_leaves_to_the_workers_what_they_would_find(redis, clock, seconds_ago, found):  # noqa: F811
    job_id = lost(redis, seconds_ago)

    make_scheduler(redis, clock).run(burst=True)

    assert status(redis, job_id) == found
    assert float(redis.get("pilot:looked")) == pytest.approx(time.time(), abs=2)


def test_after_an_outage_it_lets_the_living_renew_first(redis, clock):  # noqa: F811
    job_id = lost(redis, 30)
    redis.set("pilot:looked", time.time() - 7)

    make_scheduler(redis, clock).run(burst=True)

    assert status(redis, job_id) == "started"
    assert 4 <= redis.ttl("pilot:renew_first") <= 6


def test_it_looks_each_two_seconds_and_one_that_stands_by_never(redis, clock):  # noqa: F811
    leading, standing_by = make_scheduler(redis, clock), make_scheduler(redis, clock, "second")
    leading._turn()
    first = redis.get("pilot:looked")
    leading._turn()
    standing_by._turn()
    assert redis.get("pilot:looked") == first

    leading._recover_at -= 2
    leading._turn()
    assert redis.get("pilot:looked") > first


def test_a_fire_that_is_near_comes_before_it(scheduler, redis, clock):  # noqa: F811
    job_id = lost(redis, 30)
    entry = make_entry(next_at=clock.now)
    clock.forward(seconds=-0.1)

    assert 0 < scheduler._turn() < 0.2
    assert status(redis, job_id) == "started"

    entry.delete()
    scheduler._turn()
    assert status(redis, job_id) == "queued"


def test_what_goes_wrong_with_it_does_not_touch_the_schedule(scheduler, redis, clock, caplog):  # noqa: F811
    redis.set("rq:wip:default", "not what it should be")
    redis.set("pilot:looked", time.time())
    make_entry(next_at=clock.now, overlap="queue")

    scheduler._turn()
    clock.forward(days=1)
    scheduler._recover_at = 0
    scheduler._turn()

    assert len(queued(redis)) == 2
    assert "Lost jobs could not be looked for" in caplog.text
    with pytest.raises(RedisError):
        recoverer.stand_in(redis)


@pytest.mark.slow
def test_a_whole_crew_killed_is_brought_back_by_the_scheduler_alone(env, start, redis, tmp_path):  # noqa: F811
    running_jobs = [tasks.begin_and_sleep.enqueue(str(tmp_path / f"job-{n}"), 600) for n in range(2)]
    with running(env):
        worker = start(WORKER_CONCURRENCY="2")
        wait_for(lambda: len(list(tmp_path.iterdir())) == 2)
        worker.kill()
        killed_at = time.monotonic()

        wait_for(lambda: [status(redis, job_id) for job_id in running_jobs] == ["queued", "queued"], 40)
        assert time.monotonic() - killed_at < 30.5

    assert queues.counts("default")["started"] == 0
    assert set(queued(redis)) >= set(running_jobs)
    assert [redis.hget(f"rq:job:{job_id}", "losses") for job_id in running_jobs] == [b"1", b"1"]
    start(name="w2", WORKER_CONCURRENCY="2")
    for attempt, outcome in ((1, "lost"), (2, "started")):
        rows = JobRun.objects.filter(job_id__in=running_jobs, attempt=attempt, outcome=outcome)
        wait_long(lambda rows=rows: rows.count() == 2, f"attempt {attempt}")
