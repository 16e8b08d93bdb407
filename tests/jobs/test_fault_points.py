"""A process is killed with -9 between two steps, at each of them in turn, and another one goes on.

A task appends a line when it has run, so that its executions are counted by something else than our records.
"""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta

import pytest
from django.utils import timezone
from rq import Callback, Queue

from amazon_pilot.jobs.core import faults, queues
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.history import writer
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import recoverer

from . import tasks
from .conftest import ROOT, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

TASKS = "tests.jobs.tasks"
JOBS = 3
BEYOND_THE_LEASE = 30


@dataclass
class Kill:
    """Where, who dies, how many of the jobs are lost there, and how many of those had run already."""

    point: str
    who: str
    lost: tuple[int, ...]
    again: tuple[int, ...]


KILLS = [
    Kill("before take", "worker", lost=(0,), again=(0,)),
    Kill("after take", "worker", lost=(3,), again=(0,)),
    Kill("before hand out", "worker", lost=(3,), again=(0,)),
    # The one that was handed out may have run in the moment before its slot followed the worker.
    Kill("after hand out", "worker", lost=(3,), again=(0, 1)),
    Kill("slot before task", "slot", lost=(1,), again=(0,)),
    Kill("slot after task", "slot", lost=(1,), again=(1,)),
    Kill("slot before answer", "slot", lost=(1,), again=(1,)),
    # How many slots have ended when the worker first speaks of it is a matter of luck.
    Kill("before commit", "worker", lost=(3,), again=(1, 2, 3)),
    Kill("after commit", "worker", lost=(0, 1, 2), again=(0, 1, 2)),
    Kill("before history is written", "historian", lost=(0,), again=(0,)),
    Kill("before history is acknowledged", "historian", lost=(0,), again=(0,)),
]


def finished(job_ids):
    return all(job.get_status() == "finished" for job in JSONJob.fetch_many(job_ids, connection=queues.connection()))


def waiting_or_running():
    return [queues.counts(name)[state] for name in queues.names() for state in ("queued", "started", "scheduled")]


@pytest.mark.parametrize("kill", KILLS, ids=lambda kill: kill.point)
def test_nothing_is_lost_and_nothing_is_doubled(start, history, monkeypatch, tmp_path, kill):
    monkeypatch.setattr(writer, "ABANDONED_MS", 0)
    lines, died = tmp_path / "lines", tmp_path / "died"
    ids = tasks.write_line.enqueue_many([(str(lines), str(n)) for n in range(JOBS)])

    victim = start(ready=False, PILOT_FAULT=f"{kill.point}@{died}")
    wait_for(died.exists, f"a death {kill.point}")
    if kill.who == "worker":
        assert victim.popen.wait(20) == -9
        time.sleep(0.3)  # its slots follow it
        recoverer.recover("default", ahead=BEYOND_THE_LEASE)
        start(name="survivor")
    wait_for(lambda: finished(ids), "all jobs to end")

    assert not any(waiting_or_running())
    wait_for(lambda: history() and queues.connection().xlen(writer.STREAM) == 0, "the history")
    runs = JobRun.objects.filter(job_id__in=ids)
    assert runs.filter(outcome="succeeded").count() == JOBS
    assert runs.filter(outcome="lost").count() in kill.lost
    assert runs.count() == runs.filter(outcome__in=("succeeded", "lost")).count()
    executions = lines.read_text().split()
    assert set(executions) == {str(n) for n in range(JOBS)}
    assert len(executions) - JOBS in kill.again
    for job_id in ids:  # the attempts are numbered without a gap
        attempts = list(runs.filter(job_id=job_id).order_by("attempt").values_list("attempt", flat=True))
        assert attempts == list(range(1, len(attempts) + 1))


@pytest.mark.parametrize(
    ("point", "again"), [("slot before task", 0), ("slot after task", 1), ("slot before settling", 1)]
)
def test_a_job_that_rq_ends_is_not_lost_either(start, history, tmp_path, redis, point, again):
    lines, died = tmp_path / "lines", tmp_path / "died"
    queue = Queue("default", connection=redis, job_class=JSONJob)
    job = queue.enqueue("tests.jobs.tasks.write_line", str(lines), "x", on_success=Callback(tasks.note_success))

    start(ready=False, PILOT_FAULT=f"{point}@{died}")
    wait_for(lambda: redis.get("note"), "the callback")
    wait_for(lambda: finished([job.id]))

    assert died.exists()
    assert lines.read_text().split() == ["x"] * (1 + again)
    wait_for(lambda: {run.outcome for run in history()} == {"lost", "succeeded"})
    assert not any(waiting_or_running())


@pytest.mark.parametrize("ends", ["success", "failure", "dependents"])
def test_a_kill_after_rq_has_ended_a_job_costs_neither_its_history_nor_a_second_run(
    start, history, tmp_path, redis, ends
):
    lines, died = tmp_path / "lines", tmp_path / "died"
    queue = Queue("default", connection=redis, job_class=JSONJob)
    if ends == "failure":
        job = queue.enqueue(f"{TASKS}.write_and_fail", str(lines), on_failure=Callback(tasks.note_failure))
    elif ends == "success":
        job = queue.enqueue(f"{TASKS}.write_line", str(lines), "x", on_success=Callback(tasks.note_success))
    else:  # dependents alone: the worker finds them when it commits, and has a slot end the job
        job = queue.enqueue(f"{TASKS}.write_line", str(lines), "x")
    children = [queue.enqueue(f"{TASKS}.do_nothing", depends_on=job)] if ends == "dependents" else []

    start(ready=False, PILOT_FAULT=f"slot after settling@{died}")
    wait_for(died.exists, "the death")
    for child in children:
        wait_for(lambda child=child: finished([child.id]), "the dependent")
    time.sleep(1)  # in which the worker buries the slot

    assert not any(waiting_or_running())
    assert lines.read_text().split() == ["x"]
    wait_for(lambda: queues.connection().xlen(writer.STREAM) == 0)
    outcome = "failed" if ends == "failure" else "succeeded"
    assert list(JobRun.objects.filter(job_id=job.id).values_list("outcome", "attempt")) == [(outcome, 1)]


@pytest.mark.parametrize(("point", "arrives"), [("before enqueue", False), ("after enqueue", True)])
def test_a_producer_dies_beside_its_enqueue(env, point, arrives):
    program = (
        "import django; django.setup(); from django.db import transaction; from tests.jobs import tasks\n"
        "from django.contrib.auth.models import User\n"
        "with transaction.atomic():\n    User.objects.create(username='alice'); tasks.do_nothing.enqueue(1)"
    )
    died = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env | {"PILOT_FAULT": point}, timeout=60)

    assert died.returncode == -9
    from django.contrib.auth.models import User

    assert User.objects.filter(username="alice").exists()  # the row is there, so whoever asks what is due sees it
    assert queues.size("default") == int(arrives)
    assert len(queues.connection().keys("rq:job:*")) == int(arrives)


def test_every_point_in_the_code_is_killed_at_here():
    words = subprocess.run(
        ["grep", "-rhoE", r"faults\.point\(.*\)", "amazon_pilot"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    named = {word for word in words.split('"') if " " in word and not word.startswith((")", " "))}
    elsewhere = {"slot before settling", "slot after settling", "before enqueue", "after enqueue"}
    assert named - {" if ended else "} == {kill.point for kill in KILLS} | elsewhere


def test_a_point_kills_only_once_where_it_has_a_memory(monkeypatch, tmp_path):
    monkeypatch.setattr(faults, "MEMORY", str(tmp_path / "died"))
    assert faults.is_first()
    assert not faults.is_first()


def test_a_job_of_a_dead_worker_runs_again_within_thirty_seconds(start, tmp_path):
    victim = start(name="victim")
    job_id = tasks.begin_and_sleep.enqueue(str(tmp_path / "lines"), 40)
    wait_for(lambda: (tmp_path / "lines").exists())
    start(name="survivor")
    os.kill(victim.pid, 9)
    began = time.monotonic()

    wait_for(lambda: len((tmp_path / "lines").read_text().split()) == 2, "the second run")

    assert time.monotonic() - began < 30
    wait_for(lambda: JobRun.objects.filter(job_id=job_id, outcome="lost", cause="worker_lost").exists())


@pytest.mark.parametrize("rare", [False, True])
def test_the_late_result_of_a_frozen_worker_is_refused(start, history, tmp_path, redis, queue, rare):
    lines = tmp_path / "lines"
    frozen = start(name="frozen")
    # A rare job is ended by its slot, which goes on while its worker is frozen: it has to ask before it decides.
    callback = {"on_success": Callback(tasks.count_success)} if rare else {}
    job_id = queue.enqueue(f"{TASKS}.write_line", str(lines), "x", 3, **callback).id
    wait_for(lambda: JobRun.objects.filter(job_id=job_id).exists())
    os.kill(frozen.pid, signal.SIGSTOP)
    if not rare:
        wait_for(lines.exists, "the slot to end the job while its worker is frozen")

    recoverer.recover("default", ahead=BEYOND_THE_LEASE)
    start(name="survivor")
    wait_for(lambda: finished([job_id]))
    os.kill(frozen.pid, signal.SIGCONT)
    time.sleep(2)  # now it tells what it had kept

    assert lines.read_text().split() == ["x", "x"]
    [result] = JSONJob.fetch(job_id, connection=queues.connection()).results()
    assert result.worker_name == "survivor"
    assert int(redis.get("successes") or 0) == int(rare)
    wait_for(lambda: queues.connection().xlen(writer.STREAM) == 0)
    runs = JobRun.objects.filter(job_id=job_id).order_by("attempt").values_list("worker", "outcome", "cause")
    assert list(runs) == [("frozen", "lost", "worker_lost"), ("survivor", "succeeded", "")]
    assert frozen.leave() == 0


def test_a_job_that_was_taken_in_a_lost_answer_goes_back_when_its_worker_connects_again(start, redis):
    start()
    seen = tasks.sleep.enqueue(1)
    [execution] = wait_for(lambda: redis.zrange(f"rq:executions:{seen}", 0, -1), "the mark of this worker")
    mark = execution.decode().rsplit("-", 2)[0]
    stray = tasks.add.enqueue_in(timedelta(hours=1), 1, 2)
    with redis.pipeline() as taken:  # what take.lua leaves
        taken.zrem("rq:scheduled:default", stray)
        taken.hset(f"rq:job:{stray}", mapping={"status": "started", "worker_name": "w1", "attempt": 1})
        taken.zadd("rq:wip:default", {f"{stray}:{mark}-9999-0": time.time() + 80})
        taken.execute()

    for client in redis.client_list():
        if client["id"] != str(redis.client_id()):
            redis.client_kill_filter(_id=client["id"])

    wait_for(lambda: finished([stray, seen]), "the stray job and the one that ran on")
    ended = JobRun.objects.filter(job_id__in=[stray, seen], outcome="succeeded", attempt=1)
    wait_for(lambda: ended.count() == 2, "both rows")


def test_a_job_killed_inside_rqs_retry_is_not_lost(redis):
    """rq writes the status `scheduled` a moment before its transaction puts the job among the scheduled."""
    job_id = tasks.add.enqueue_in(timedelta(hours=1), 1, 2)
    redis.zrem("rq:scheduled:default", job_id)
    redis.zadd("rq:wip:default", {f"{job_id}:pilot-dead-1-0": time.time() - 1})

    assert recoverer.recover("default") == [(job_id, "queued")]
    assert JSONJob.fetch(job_id, connection=redis).get_status() == "queued"
    assert redis.lrange("rq:queue:default", 0, -1) == [job_id.encode()]


def test_a_run_whose_job_was_deleted_and_whose_worker_then_died_does_not_stay_open(start, tmp_path):
    victim = start()
    deleted = tasks.begin_and_sleep.enqueue(str(tmp_path / "deleted"), 60)
    kept = tasks.begin_and_sleep.enqueue(str(tmp_path / "kept"), 60)
    wait_for(lambda: JobRun.objects.filter(outcome="started").count() == 2, "both rows")
    JSONJob.fetch(deleted, connection=queues.connection()).delete()
    victim.kill()
    JobRun.objects.update(started_at=timezone.now() - timedelta(minutes=3))
    keeper = writer.HistoryWriter("keeper", queues.names())

    assert keeper.close_unheard() == 0  # its end may still be on its way
    assert keeper.close_unheard() == 1

    run = JobRun.objects.get(job_id=deleted)
    assert (run.outcome, run.cause, run.message) == ("lost", "unheard", writer.UNHEARD)
    assert run in JobRun.objects.ended_badly()
    assert JobRun.objects.get(job_id=kept).outcome == "started"  # the recoverer will find it
    assert keeper.close_unheard() == 0
