"""A bulk action on a real worker: one whose worker is killed goes on with what is left."""

import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rq.job import _current_job

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.enqueue import enqueue
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.inspect.grammar import QueryError
from amazon_pilot.jobs.models import BulkAction, JobRun, Pause
from amazon_pilot.jobs.operate import bulk, changes, operations
from amazon_pilot.jobs.tasks import resume_bulk_actions

from . import tasks
from .conftest import wait_for

pytestmark = pytest.mark.django_db(transaction=True)


def row_of(action):
    return BulkAction.objects.get(pk=action.pk)


@pytest.fixture
def waiting():
    """Jobs that stay in their queue while a worker works."""
    Pause.objects.begin("queue:default", by=None, reason="The test holds them")
    return tasks.do_nothing.enqueue_many([(n,) for n in range(6000)])


def ask(action, query):
    boss = User.objects.create_superuser("boss")
    return bulk.start(boss, action, query=query, token=uuid.uuid4(), reason="A test", expected=6000)[0]


def test_an_action_that_redis_lost_is_brought_back_by_its_row(redis):
    action = ask("hold", "state:queued queue:default")
    redis.flushdb()

    resume_bulk_actions()
    assert queues.size("critical") == 0  # it may still be on its way
    BulkAction.objects.update(created_at=timezone.now() - timedelta(minutes=2))
    for _ in range(2):  # once is enough
        resume_bulk_actions()

    [job_id] = redis.lrange("rq:queue:critical", 0, -1)
    assert JSONJob.fetch(job_id.decode(), connection=redis).args == [action.pk]
    bulk.run(action.pk)
    resume_bulk_actions()
    assert bulk.resume() == 0


def test_what_people_ask_for_goes_before_what_waits(redis):
    enqueue(tasks.do_nothing, [((n,), {}) for n in range(3)], queue="critical")

    ask("hold", "state:queued queue:default")
    drained = operations.drain(User.objects.get(), "low", reason="A test")

    first, second = (JSONJob.fetch(id.decode(), connection=redis) for id in redis.lrange("rq:queue:critical", 0, 1))
    assert first.id == drained.job_id
    assert second.func_name.endswith("run_bulk_action")


@pytest.mark.parametrize(("left", "state"), [(None, "failed"), (0, "failed"), (1, "running"), (3, "running")])
def test_an_action_that_breaks_has_failed_when_its_task_is_not_tried_again(redis, left, state):
    action = ask("hold", "state:queued queue:default")
    BulkAction.objects.update(query="(")  # which nobody can read
    [job_id] = redis.lrange("rq:queue:critical", 0, -1)
    job = JSONJob.fetch(job_id.decode(), connection=redis)
    job.retries_left = left

    token = _current_job.set(job)
    with pytest.raises(QueryError):
        bulk.run(action.pk)
    _current_job.reset(token)

    row = row_of(action)
    assert (row.state, bool(row.error), row.ended_at is None) == (state, True, state == "running")


def test_an_action_that_breaks_outside_of_a_job_has_failed():
    action = ask("hold", "state:queued queue:default")
    BulkAction.objects.update(query="(")

    with pytest.raises(QueryError):
        bulk.run(action.pk)

    assert row_of(action).state == "failed"


def test_a_killed_worker_leaves_an_action_that_the_next_one_ends(start, waiting):
    first = start(name="w1")
    action = ask("hold", "state:queued queue:default")
    wait_for(lambda: row_of(action).changed, "the first batch")
    first.kill()
    cut_short = row_of(action)

    start(name="w2")
    wait_for(lambda: row_of(action).ended_at, "the second worker to end it")

    done = row_of(action)
    assert cut_short.state == "running"
    assert 0 < cut_short.changed < len(waiting)
    assert (done.state, done.seen, done.matched, done.changed) == ("done", *[len(waiting)] * 3)
    assert queues.counts("default") | {"started": 0} == {
        "queued": 0, "started": 0, "scheduled": 0, "deferred": len(waiting), "finished": 0, "failed": 0, "canceled": 0
    }  # fmt: skip


def test_one_action_ends_what_runs_and_what_waits_but_not_itself(start):
    Pause.objects.begin("queue:low", by=None, reason="The test holds them")
    waiting = enqueue(tasks.do_nothing, [((n,), {}) for n in range(3)], queue="low")
    start("--slots", "5", name="w1")
    running = tasks.sleep.enqueue_many([(60,)] * 4)
    wait_for(lambda: all(changes.state(job_id) == "started" for job_id in running), "four to run")

    action = ask("cancel", "state:started OR state:queued")
    wait_for(lambda: row_of(action).ended_at, "the action to end")

    done = row_of(action)
    assert (done.state, done.removed, done.asked, done.changed) == ("done", 3, 4, 7)
    assert [changes.state(job_id) for job_id in waiting] == ["canceled"] * 3
    runs = JobRun.objects.filter(job_id__in=running)
    wait_for(lambda: set(runs.values_list("outcome", flat=True)) == {"stopped"}, "those that ran to end")
