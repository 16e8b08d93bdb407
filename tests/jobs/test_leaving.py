"""Workers come and go: a rolling restart, and a supervisor that hangs."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import recoverer

from . import tasks
from .conftest import PATIENCE, ROOT, children, ended, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

JOBS = 500
HANGS = """
import sys, time
import django
django.setup()
from amazon_pilot.jobs.core import registry, queues
from amazon_pilot.jobs.worker import clock, supervisor
registry.discover()
clock.WATCHDOG = 2

class Hanging(supervisor.Supervisor):
    def consider_leaving(self):
        while self.crew.held():
            time.sleep(1)

sys.exit(Hanging(queues.names(), name="hanging", size=2).work())
"""


def marks(path, word):
    """Answer how often each job has begun or ended, by the lines that its runs wrote themselves."""
    words = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return Counter(line[1] for line in words if line[0] == word)


def test_a_rolling_restart_loses_nothing_and_repeats_nothing_that_had_ended(start, tmp_path):
    path = tmp_path / "lines"
    calls = [(str(path), 0.1 * (n % 5)) for n in range(JOBS)]
    old = [start(name="old-1"), start(name="old-2")]
    ids = tasks.note_start_and_end.enqueue_many(calls)
    codes = []
    for number, worker in enumerate(old):
        before = marks(path, "end").total()
        wait_for(lambda before=before: marks(path, "end").total() > before + 30, "some work")
        start(name=f"new-{number}")
        codes.append(worker.leave())
    third = start(name="hasty")
    wait_for(lambda: len(children(third.pid)) > 3)
    time.sleep(0.3)
    third.popen.send_signal(signal.SIGQUIT)
    codes.append(third.popen.wait(20))

    wait_for(lambda: set(marks(path, "end")) == set(ids), "every job")
    assert codes == [0, 0, 4]
    wait_for(lambda: JobRun.objects.filter(job_id__in=ids, outcome="succeeded").count() == JOBS, "the history")
    begun, ended = marks(path, "start"), marks(path, "end")
    cut_short = JobRun.objects.filter(outcome="stopped", cause="leaving")
    wait_for(lambda: set(begun - ended) <= set(cut_short.values_list("job_id", flat=True)), "the rest of the history")
    assert cut_short.count() <= 3  # what the third ran on its slots when it was told to leave at once
    assert {job_id for job_id, times in ended.items() if times > 1} <= set(cut_short.values_list("job_id", flat=True))
    assert not JobRun.objects.filter(outcome="lost").exists()
    assert set(JobRun.objects.values_list("attempt", flat=True)) == {1}


def test_a_supervisor_that_hangs_is_ended_with_its_slots_and_its_job_runs_elsewhere(start, env, tmp_path):
    path = tmp_path / "lines"
    job_id = tasks.begin_and_sleep.enqueue(str(path), 4)
    hanging = subprocess.Popen([sys.executable, "-c", HANGS], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    try:
        wait_for(path.exists, "the job to begin")
        slots = children(hanging.pid)
        assert slots
        assert hanging.wait(20) == -signal.SIGALRM
        wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in slots), "the slots to follow")
    finally:
        hanging.kill()
        hanging.wait()

    assert recoverer.recover("default", ahead=30) == [(job_id, "queued")]
    start()
    wait_for(lambda: JobRun.objects.filter(job_id=job_id, outcome="succeeded", attempt=2).exists())
    assert queues.counts("default")["started"] == 0


def test_a_burst_worker_looks_beyond_ids_whose_jobs_are_gone(start, redis):
    redis.rpush("rq:queue:default", *[f"gone-{n}" for n in range(2_500)])
    job_id = tasks.add.enqueue(1, 2)

    assert start("--burst", ready=False).popen.wait(PATIENCE) == 0
    assert ended(job_id).result == 3
    assert not redis.exists("rq:queue:default")
