"""Redis goes away and comes back under a real worker, which lives on and tells what it could not tell before."""

import json
import os
import signal
import time

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError
from rq import Callback, Queue

from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import recoverer

from . import tasks
from .conftest import wait_for
from .redis_process import OwnRedis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def own(tmp_path):
    server = OwnRedis(tmp_path).start()
    yield server
    server.stop()


def enqueue(own, path, text, seconds=0):
    with own.client() as client:
        queue = Queue("default", connection=client, job_class=JSONJob)
        return queue.enqueue("tests.jobs.tasks.write_line", str(path), text, seconds).id


def status(own, job_id):
    with own.client() as client:
        return JSONJob.fetch(job_id, connection=client).get_status().value


def begin(own, start, **more):
    worker = start(ready=False, REDIS_URL=own.url, **more)
    with own.client() as client:
        wait_for(lambda: client.exists("pilot:worker:w1"), "the worker")
    return worker


def test_an_idle_worker_lives_through_one_outage_after_the_other(own, start, tmp_path):
    worker = begin(own, start)
    for number in range(4):
        time.sleep(0.5)  # its wake-ups are armed on all queues
        own.stop()
        time.sleep(1)
        own.start()
        job_id = enqueue(own, tmp_path / "lines", f"after {number}")
        wait_for(lambda job_id=job_id: status(own, job_id) == "finished", f"the job after outage {number}")

    assert worker.popen.poll() is None
    assert worker.leave() == 0


def test_a_job_that_ends_during_an_outage_is_finished_once(own, start, tmp_path):
    lines = tmp_path / "lines"
    worker = begin(own, start)
    job_id = enqueue(own, lines, "ended", 2)
    wait_for(lambda: status(own, job_id) == "started")

    own.stop()
    wait_for(lines.exists, "the job to end while Redis is away")
    time.sleep(1)
    own.start()

    wait_for(lambda: status(own, job_id) == "finished")
    assert lines.read_text() == "ended\n"
    assert worker.popen.poll() is None


def test_a_job_that_rq_ends_waits_for_redis_with_its_callback(own, start):
    """rq logs a failure that it cannot store and goes on; here its lease would run out, and it would run again."""
    worker = begin(own, start)
    with own.client() as client:
        queue = Queue("default", connection=client, job_class=JSONJob)
        job_id = queue.enqueue("tests.jobs.tasks.sleep_and_fail", 2, on_failure=Callback(tasks.note_failure)).id
    wait_for(lambda: status(own, job_id) == "started")

    own.stop()
    time.sleep(4)
    own.start()

    wait_for(lambda: status(own, job_id) == "failed", "the failure")
    with own.client() as client:
        assert client.get("note") == b"failure TemporaryError"
        assert client.zcard("rq:wip:default") == 0
    wait_for(lambda: JobRun.objects.filter(job_id=job_id, outcome="failed").exists(), "its row")
    assert JobRun.objects.get(job_id=job_id, outcome="failed").message == "after a while"
    assert worker.leave() == 0


@pytest.mark.parametrize(("patience", "away"), [("60", 9), ("1", 9)], ids=["beyond the timeout", "beyond patience"])
def test_a_job_that_has_returned_is_not_run_or_failed_for_an_outage_before_rq_has_ended_it(
    own, start, tmp_path, patience, away
):
    lines = tmp_path / "lines"
    worker = begin(own, start, REDIS_PATIENCE_SECONDS=patience)
    with own.client() as client:
        queue = Queue("default", connection=client, job_class=JSONJob)
        given = (str(lines), 1)
        counted = Callback(tasks.count_success)
        job_id = queue.enqueue("tests.jobs.tasks.write_begin_and_end", *given, job_timeout=2, on_success=counted).id
    wait_for(lines.exists, "the job's function to begin")  # before that a slot needs Redis, and waits for it

    own.stop()
    wait_for(lambda: lines.read_text() == "begun\nended\n", "the job to end while Redis is away")
    time.sleep(away)
    own.start()

    wait_for(lambda: status(own, job_id) == "finished", "the end")
    assert lines.read_text() == "begun\nended\n"
    with own.client() as client:
        assert client.get("successes") == b"1"
        assert client.hget(f"rq:job:{job_id}", "attempt") == b"1"
    assert worker.popen.poll() is None


def test_an_emptied_redis_gets_its_worker_back(own, start, tmp_path):
    worker = begin(own, start)
    with own.client() as client:
        client.flushall()
        client.script_flush()
        wait_for(lambda: client.smembers("rq:workers") == {b"rq:worker:w1"}, "the worker's record")
        job_id = enqueue(own, tmp_path / "lines", "after")
        wait_for(lambda: status(own, job_id) == "finished")
    assert worker.popen.poll() is None


def test_a_slot_that_dies_while_the_bells_are_armed_is_replaced_by_one_that_lives(own, start, tmp_path):
    worker = begin(own, start, WORKER_CONCURRENCY="1")
    time.sleep(0.5)
    for number in range(3):
        with own.client() as client:
            snapshot = json.loads(client.get("pilot:worker:w1"))
        os.kill(snapshot["slots"][0]["pid"], signal.SIGKILL)
        job_id = enqueue(own, tmp_path / "lines", f"after {number}")
        wait_for(lambda job_id=job_id: status(own, job_id) == "finished", f"the job after death {number}")
        time.sleep(1.1)  # the snapshot shows the new slot

    with own.client() as client:
        wait_for(lambda: client.xlen("pilot:runs") == 0)
    assert not JobRun.objects.filter(cause__contains="left with code").exists()
    assert worker.leave() == 0


@pytest.mark.parametrize(("seconds_ago", "verdict"), [(4, "queued"), (7, "started"), (None, "started")])
def test_the_living_renew_first_where_nobody_looked_for_a_while(redis, seconds_ago, verdict):
    job_id = tasks.add.enqueue(1, 2)
    script("take")(redis, "a-dead-worker", "pilot-mark-1-", 1, 1, "default", b"\0")
    execution = redis.zrange("rq:wip:default", 0, -1)[0]
    redis.zadd("rq:wip:default", {execution: time.time()})  # its lease ended a minute ago
    if seconds_ago is not None:
        redis.set("pilot:looked", time.time() - seconds_ago)

    redis.script_load(script("recover").source)
    for _ in range(2):  # the second worker that looks waits as the first one did
        redis.execute_command(*recoverer.command("default"))

    assert JSONJob.fetch(job_id, connection=redis).get_status().value == verdict
    if verdict == "started":
        assert 4 <= redis.ttl("pilot:renew_first") <= 6
        recoverer.recover("default")  # an operator need not wait
        assert JSONJob.fetch(job_id, connection=redis).get_status().value == "queued"


def test_jobs_run_and_are_written_down_while_redis_is_at_its_memory_limit(own, start, tmp_path):
    """Else no queue would drain, and the memory never be free again."""
    begin(own, start).leave()
    jobs = [enqueue(own, tmp_path / "lines", f"job-{n}", seconds=1.5 * (n == 0)) for n in range(3)]
    with own.client() as client:
        client.config_set("maxmemory", 1)
        with pytest.raises(OutOfMemoryError):
            client.set("anything", 1)
        worker = start(ready=False, REDIS_URL=own.url)
        for job_id in jobs:
            wait_for(lambda job_id=job_id: status(own, job_id) == "finished", "the job")
        wait_for(lambda: client.xlen("pilot:runs") == 0, "the history")
        assert JobRun.objects.filter(job_id__in=jobs, outcome="succeeded").count() == 3
        assert client.exists("pilot:worker:w1")

        assert worker.leave() == 0
        client.config_set("maxmemory", 0)


def test_a_redis_that_takes_no_writes_is_asked_ever_more_rarely_and_loads_no_script_again(own, start, tmp_path):
    """So is one whose disk is full. Each script that is loaded again would make its append-only file grow."""
    begin(own, start).leave()
    folder = tmp_path / "gone"
    folder.mkdir()
    with own.client() as client:
        client.config_set("dir", str(folder))
        folder.rmdir()
        client.config_set("save", "1 1")
        client.set("anything", 1)
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "a save that fails")
        with pytest.raises(ResponseError, match="MISCONF"):
            client.set("anything", 2)
        worker = start(ready=False, REDIS_URL=own.url)
        time.sleep(8)  # it has begun, and its pauses have grown
        client.config_resetstat()
        time.sleep(10)
        taken = client.info("stats")
        assert taken["total_connections_received"] <= 40
        assert taken["total_net_input_bytes"] < 100_000  # all scripts are some 60 kB

        client.config_set("save", "")
        client.config_set("dir", str(tmp_path))
        client.bgsave()
        wait_for(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok", "a save")
        wait_for(lambda: client.exists("pilot:worker:w1"), "the worker")
    assert worker.leave() == 0
    lines = worker.popen.stderr.read().splitlines()
    assert len([line for line in lines if "Redis is away" in line]) <= 4
