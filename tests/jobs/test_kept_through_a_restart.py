"""What is held or snoozed keeps its place over a restart of Redis; over an emptied one, what the database knows."""

import os
import time
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from amazon_pilot.jobs import tasks as engine
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import store
from amazon_pilot.jobs.models import AuditEntry, BulkAction, JobRun, Pause
from amazon_pilot.jobs.operate import bulk, changes, operations

from . import tasks
from .conftest import ended, wait_for
from .redis_process import OwnRedis

pytestmark = pytest.mark.django_db(transaction=True)
DEFAULT, SCHEDULED = "rq:queue:default", "rq:scheduled:default"


@pytest.fixture
def own(tmp_path):
    server = OwnRedis(tmp_path).start()
    speak_to(server)
    yield server
    queues._connections.clear()
    store._connections.clear()
    server.stop()


def speak_to(server):
    """Have this process speak to a server of the test's own."""
    queues._connections[os.getpid()] = store._connections[os.getpid()] = server.client()


def restart(server):
    server.stop()
    server.start()
    speak_to(server)


def picture(server):
    """Answer the place of every job: queues and plans in their order, and what each job says of itself."""
    with server.client() as client:
        jobs = {key: client.hgetall(key) for key in sorted(client.scan_iter("rq:job:*"))}
        return client.lrange(DEFAULT, 0, -1), client.zrange(SCHEDULED, 0, -1, withscores=True), jobs


def snooze(job_id, **span):
    until = timezone.now() + timedelta(**span)
    assert operations.on_job(None, "snooze", job_id, reason="A test", until=until).count == 1


def hold(job_id):
    assert operations.on_job(None, "hold", job_id, reason="A test").count == 1


def test_held_and_snoozed_jobs_keep_their_place_over_a_restart(own, start):
    first, held, second, soon, far, planned = (tasks.add.enqueue(n, n) for n in range(6))
    hold(held)
    snooze(soon, seconds=6)
    snooze(far, hours=5)
    snooze(planned, hours=4)
    hold(planned)  # held with a time of its own
    before = picture(own)
    due = timezone.now() + timedelta(seconds=4)

    restart(own)

    assert picture(own) == before
    assert [job.decode() for job in before[0]] == [first, second]
    start(ready=False, REDIS_URL=own.url)
    assert [ended(job_id).outcome for job_id in (first, second, soon)] == ["succeeded"] * 3
    assert ended(soon).started_at > due
    assert not JobRun.objects.filter(job_id__in=[held, far, planned]).exists()
    assert [changes.state(job_id) for job_id in (held, far, planned)] == ["held", "scheduled", "held"]

    restart(own)
    for job_id in (held, planned):
        assert operations.on_job(None, "release", job_id, reason="A test").count == 1
    assert ended(held).outcome == "succeeded"
    assert changes.state(planned) == "scheduled"  # back to its own time
    with own.client() as client:
        assert client.zscore(SCHEDULED, planned) == pytest.approx(time.time() + 4 * 3600, abs=120)
    assert not JobRun.objects.filter(job_id__in=[far, planned]).exists()


def test_over_an_emptied_redis_what_the_database_knows_happens(own, start):
    boss = User.objects.create_superuser("boss")
    held, snoozed, kept = (tasks.add.enqueue(n, n) for n in range(3))
    hold(held)
    snooze(snoozed, seconds=1)
    assert operations.on_job(boss, "delete", kept).count == 1
    operations.pause(boss, "queue:low", reason="A test")
    row, _is_new = bulk.start(boss, "hold", token=os.urandom(16).hex(), ids=[snoozed], reason="A test", expected=1)
    with own.client() as client:
        client.flushall()

    start(ready=False, REDIS_URL=own.url)

    wait_for(lambda: "queue:low" in queues.paused(), "the pause to be in Redis again")
    low, fresh = tasks.add.options(queue="low").enqueue(1, 1), tasks.add.enqueue(2, 2)
    assert ended(fresh).outcome == "succeeded"
    BulkAction.objects.update(created_at=timezone.now() - timedelta(hours=1))  # nobody can be about to enqueue it
    engine.resume_bulk_actions()
    wait_for(lambda: BulkAction.objects.get(pk=row.pk).ended_at, "the bulk action to end")
    assert BulkAction.objects.get(pk=row.pk).changed == 0  # its job is gone
    assert operations.on_job(boss, "restore", kept).count == 1
    assert ended(kept).outcome == "succeeded"
    assert not JobRun.objects.filter(job_id__in=[held, snoozed, low]).exists()
    assert changes.state(held) == changes.state(snoozed) == ""
    assert Pause.objects.active().count() == 1
    told = AuditEntry.objects.filter(target__in=[f"job:{held}", f"job:{snoozed}"]).values_list("action", flat=True)
    assert set(told) == {"hold", "snooze"}
