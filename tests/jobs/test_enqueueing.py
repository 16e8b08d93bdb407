"""Enqueueing: a call becomes a job when the transaction commits, in the shape that rq knows."""

import math
import os
from datetime import UTC, datetime, timedelta, timezone

import pytest
from django.conf import settings
from django.db import transaction
from rq.job import JobStatus

from amazon_pilot.jobs import Backoff
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.enqueue import PayloadError, fields, payloads, send, unique_key
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.models import Batch
from amazon_pilot.jobs.operate import changes

from . import hard_to_tell, tasks
from .cutting_proxy import CuttingProxy

pytestmark = pytest.mark.django_db(transaction=True)


def fetch(job_id):
    return JSONJob.fetch(job_id, connection=queues.connection())


def test_a_job_is_one_that_rq_reads():
    job = fetch(tasks.fail.enqueue("wait"))

    assert job.func_name == "tests.jobs.tasks.fail"
    assert job.args == ["wait"]
    assert job.get_status() == JobStatus.QUEUED
    assert job.get_position() == 0
    assert job.retries_left == 2
    assert job.retry_intervals == [10, 15]
    assert job.timeout == 180
    assert job.enqueued_at is not None
    assert queues.connection().smembers("rq:queues") == {b"rq:queue:default"}


def test_nothing_leaves_before_the_commit():
    with transaction.atomic():
        tasks.do_nothing.enqueue(1)
        tasks.do_nothing.enqueue_many([(2,), (3,)])
        tasks.do_nothing.enqueue_in(timedelta(minutes=1), 4)
        assert queues.counts("default")["queued"] == 0
        assert queues.counts("default")["scheduled"] == 0

    assert queues.counts("default")["queued"] == 3
    assert queues.counts("default")["scheduled"] == 1


def test_a_rollback_enqueues_nothing():
    with transaction.atomic():
        tasks.do_nothing.enqueue(1)
        tasks.do_nothing.enqueue_many([(2,)])
        tasks.do_nothing.enqueue_in(timedelta(minutes=1), 3)
        transaction.set_rollback(True)

    assert sum(queues.counts("default").values()) == 0


@pytest.mark.later
def test_two_thousand_five_hundred_jobs_keep_their_order_and_take_three_round_trips():
    before = queues.connection().info("stats")["total_commands_processed"]
    ids = tasks.do_nothing.enqueue_many([(n,) for n in range(2500)])

    waiting = [id.decode() for id in queues.connection().lrange(queues.key("default"), 0, -1)]
    assert waiting == ids
    scripts = queues.connection().info("commandstats")["cmdstat_evalsha"]["calls"]
    assert before > 0
    assert scripts >= 3


def test_the_head_of_the_queue_is_for_jobs_at_the_front():
    tasks.do_nothing.enqueue(1)
    first = tasks.do_nothing.options(at_front=True).enqueue(2)

    assert queues.connection().lindex(queues.key("default"), 0).decode() == first


def test_a_unique_task_waits_once_per_arguments():
    first = tasks.once_at_a_time.enqueue("kettle")
    second = tasks.once_at_a_time.enqueue("kettle")
    other = tasks.once_at_a_time.enqueue("toaster")
    later = tasks.once_at_a_time.enqueue_in(timedelta(hours=1), "kettle")

    assert second == first == later
    assert other != first
    assert queues.size("default") == 2


@pytest.mark.parametrize("state", ["failed", "finished", "canceled", "deleted"])
def test_a_unique_task_may_come_again_once_the_other_has_ended(state):
    first = tasks.once_at_a_time.enqueue("kettle")
    if state == "deleted":
        assert changes.delete(first)
    else:
        queues.connection().hset(f"rq:job:{first}", "status", state)

    assert tasks.once_at_a_time.enqueue("kettle") != first


@pytest.mark.parametrize("state", ["queued", "started", "scheduled", "deferred"])
def test_a_unique_task_is_joined_while_it_is_pending(state):
    first = tasks.once_at_a_time.enqueue("kettle")
    queues.connection().hset(f"rq:job:{first}", "status", state)

    assert tasks.once_at_a_time.enqueue("kettle") == first


def test_an_argument_of_five_megabytes_is_refused_with_the_way_out():
    with pytest.raises(
        PayloadError, match=r"take 5\.0 MB as JSON|take 5\.0 MB; 1 MB is the limit\. Keep them in a row"
    ):
        tasks.do_nothing.enqueue("x" * 5 * 1024**2)

    assert queues.size("default") == 0


@pytest.mark.parametrize("argument", [object(), {1, 2}, timedelta(1), float("nan")])
def test_an_argument_that_is_not_json_is_refused_by_name(argument):
    with pytest.raises(PayloadError, match=r"tests\.jobs\.tasks\.do_nothing takes what JSON can carry"):
        tasks.do_nothing.enqueue_many([(1,), (argument,)])

    assert queues.size("default") == 0


@pytest.mark.parametrize(
    "delay", [timedelta(days=3_000_000), timedelta.max, 10**12, 10**15, math.nan, math.inf, -math.inf]
)
def test_a_delay_that_no_calendar_has_is_refused_with_a_sentence(delay):
    with pytest.raises(PayloadError, match=r"Choose a nearer time|No job can wait"):
        tasks.do_nothing.enqueue_in(delay)
    assert sum(queues.counts("default").values()) == 0


@pytest.mark.parametrize("when", [datetime.max, datetime.max - timedelta(seconds=1)])
def test_the_last_moments_of_the_calendar_are_refused(when):
    with pytest.raises(PayloadError, match="Choose a nearer time"):
        tasks.do_nothing.enqueue_at(when.replace(tzinfo=UTC))
    with pytest.raises(ValueError, match="Say in which zone"):
        tasks.do_nothing.enqueue_at(when)


@pytest.mark.parametrize(
    "when", [datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))]
)
def test_a_time_long_past_is_now(when):
    tasks.do_nothing.enqueue_at(when)
    tasks.do_nothing.enqueue_in(timedelta.min)
    assert queues.size("default") == 2


@pytest.mark.parametrize("task", [tasks.do_nothing, tasks.once_at_a_time], ids=["plain", "unique"])
@pytest.mark.parametrize("levels", [101, 400, 500, 900])
def test_deep_arguments_are_taken_or_refused_with_a_sentence(task, levels):
    job_id = task.enqueue(hard_to_tell.deep(levels))
    assert fetch(job_id).description
    with pytest.raises(PayloadError):
        task.enqueue(hard_to_tell.deep(5000))


@pytest.mark.parametrize(
    "words",
    [
        {"attempts": 0}, {"attempts": -3}, {"attempts": True}, {"attempts": 10**6}, {"first": math.nan}, {"first": -7},
        {"cap": math.inf}, {"cap": -1}, {"first": 1e300},
    ],
)  # fmt: skip
def test_a_policy_by_which_no_time_can_be_told_is_refused(words):
    with pytest.raises(ValueError, match="A Backoff"):
        Backoff(**words)


def test_a_delayed_job_is_brought_forward_when_its_time_has_come():
    from amazon_pilot.jobs.worker import forwarder

    job_id = tasks.do_nothing.enqueue_in(timedelta(minutes=10))
    assert forwarder.forward("default") == 0
    assert forwarder.forward("default", ahead=timedelta(minutes=11)) == 1

    assert fetch(job_id).get_status() == JobStatus.QUEUED
    assert queues.counts("default")["scheduled"] == 0
    assert forwarder.forward("default", ahead=timedelta(minutes=11)) == 0


def test_a_process_keeps_one_connection():
    assert queues.connection() is queues.connection()
    before = len(queues.connection().client_list())
    for n in range(20):
        tasks.do_nothing.enqueue(n)

    assert len(queues.connection().client_list()) <= before


def all_ids():
    """Return the id in each place of the queue `default`, as often as it stands there."""
    connection = queues.connection()
    registries = ("scheduled", "deferred", "wip", "failed", "finished", "canceled")
    found = connection.lrange(queues.key("default"), 0, -1)
    for name in registries:
        found += connection.zrange(f"rq:{name}:default", 0, -1)
    return sorted(id.decode() for id in found)


@pytest.fixture
def cut_off():
    """Return a function that has the next scripts carried out without their answers coming back."""
    proxies = []

    def cut(cuts):
        proxies.append(CuttingProxy(settings.REDIS_SOCKET, cuts=cuts))
        queues._connections[os.getpid()] = proxies[-1].client()
        return proxies[-1]

    yield cut
    for proxy in proxies:
        proxy.close()


def in_a_batch(task, calls):
    batch = Batch.objects.fan_out(task, calls)
    batch.refresh_from_db()
    assert (batch.joined, batch.children) == (0, len(calls))
    return all_ids()[: len(calls)]


ENQUEUED = {
    "now": lambda task, n: [task.enqueue(f"k{n}")],
    "at the head": lambda task, n: [task.options(at_front=True).enqueue(f"k{n}")],
    "later": lambda task, n: [task.enqueue_in(timedelta(hours=1), f"k{n}")],
    "again": lambda task, n: [changes.run_again(task.name, [f"k{n}"])],
    "in a batch": lambda task, n: in_a_batch(task, [(f"k{n}.{i}",) for i in range(3)]),
    "many": lambda task, n: task.enqueue_many([(f"k{n}.{i}",) for i in range(1003)]),
}


@pytest.mark.parametrize("cuts", [1, 3])
@pytest.mark.parametrize("way", ENQUEUED)
@pytest.mark.parametrize("task", [tasks.do_nothing, tasks.once_at_a_time], ids=["plain", "unique"])
def test_a_job_is_written_once_however_often_the_answer_is_lost(cut_off, task, way, cuts):
    proxy = cut_off(cuts)

    ids = ENQUEUED[way](task, 1)

    assert proxy.cuts == 0
    assert all_ids() == sorted(ids)


@pytest.mark.parametrize("task", [tasks.do_nothing, tasks.once_at_a_time], ids=["plain", "unique"])
@pytest.mark.parametrize(
    "status", ["queued", "started", "scheduled", "deferred", "finished", "failed", "canceled", "stopped"]
)
def test_a_job_that_went_on_meanwhile_is_not_written_again(task, status):
    """The command comes once more when the job has been taken, or has run."""
    words = ("j1", unique_key(task, data_of(task)), fields(task, "default", data_of(task)))
    assert send("default", [words]) == ["j1"]
    queues.connection().delete(queues.key("default"))
    queues.connection().hset("rq:job:j1", "status", status)

    assert send("default", [words]) == ["j1"]
    assert queues.size("default") == 0
    assert queues.connection().hget("rq:job:j1", "status") == status.encode()


def data_of(task):
    return payloads(task, [(("kettle",), {})])[0]


def test_a_unique_job_that_ran_is_not_written_again_beside_the_next_one():
    words = ("j1", unique_key(tasks.once_at_a_time, data_of(tasks.once_at_a_time)), ["data", "x", "origin", "default"])
    send("default", [words])
    queues.connection().delete(queues.key("default"))
    queues.connection().hset("rq:job:j1", "status", "finished")
    after = tasks.once_at_a_time.enqueue("kettle")

    assert send("default", [words]) == ["j1"]
    assert all_ids() == [after]
