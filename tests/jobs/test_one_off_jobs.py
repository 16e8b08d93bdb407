"""rq-scheduler's one-off jobs (enqueue_in, enqueue_at): whoever plans and whoever brings them, our worker runs them."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import django_rq
import pytest
from django.utils import timezone
from rq.job import JobStatus
from rq_scheduler import Scheduler

from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.models import ScheduleEntry
from amazon_pilot.jobs.schedule import entries
from tests import nursery

from .conftest import ROOT, ended
from .stock import TASKS, fetch, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

STOCK = """
import django
django.setup()
from rq_scheduler import Scheduler
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob
Scheduler(connection=queues.connection(), job_class=JSONJob, interval=1).run()
"""


@pytest.fixture(params=["manage.py rqscheduler", "rq-scheduler's own"])
def mover(request, env):
    """A process that brings planned jobs onto their queues."""
    entries.load_settings()
    ScheduleEntry.objects.update(paused_at=timezone.now())  # the product's own entries are not looked at here
    if request.param.startswith("manage"):
        process = nursery.start(env, "rqscheduler")
    else:
        process = subprocess.Popen([sys.executable, "-c", STOCK], cwd=ROOT, env=env, stderr=subprocess.DEVNULL)
    yield process
    process.terminate()
    process.wait(20)


@pytest.fixture(params=["rq-scheduler's own", "django-rq's"])
def planner(request, redis):
    """The object through which a program plans jobs."""
    if request.param.startswith("django"):
        return django_rq.get_scheduler("default")
    return Scheduler("default", connection=redis, job_class=JSONJob)


def test_a_planned_job_is_brought_and_run(start, planner, mover, redis):
    start()
    soon = planner.enqueue_in(timedelta(seconds=1), f"{TASKS}.add", 2, b=3)
    then = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=2)
    low = planner.enqueue_at(then, f"{TASKS}.add", 4, 5, queue_name="low", meta={"why": "a test"}, timeout=30)
    taken_off = planner.enqueue_in(timedelta(seconds=1), f"{TASKS}.add", 6, 7)
    planner.cancel(taken_off)
    later = planner.enqueue_in(timedelta(hours=1), f"{TASKS}.add", 8, 9)

    assert until(soon.id, "finished").return_value() == 5
    assert until(low.id, "finished").return_value() == 9
    run = ended(low.id)
    assert (run.outcome, run.queue, run.meta, run.attempt) == ("succeeded", "low", {"why": "a test"}, 1)
    assert (run.started_at.replace(tzinfo=None) - then).total_seconds() > -1  # not before its time; it is whole seconds
    assert later in planner
    assert taken_off not in planner
    assert fetch(taken_off.id).get_status() not in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.FINISHED)


@pytest.mark.parametrize("mover", ["manage.py rqscheduler"], indirect=True)  # rq-scheduler's own opens the pickle
def test_one_planned_with_rqs_pickle_is_refused_with_a_sentence(start, mover, redis, tmp_path):
    start()
    job = Scheduler("default", connection=redis).enqueue_in(timedelta(0), "os.system", f"touch {tmp_path / 'ran'}")

    assert ended(job.id).message == "The payload of this job is not a call in JSON, so nothing was run."
    assert not (tmp_path / "ran").exists()
