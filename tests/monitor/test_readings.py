"""The minute's reading: what each queue holds and weighs, taken by the scheduler, kept as rows, shown with its age."""

import os
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.history import retention
from amazon_pilot.jobs.inspect import gauges, metrics, store
from amazon_pilot.jobs.inspect import snapshot as sample
from amazon_pilot.jobs.models import Reading
from tests.busy_day import as_failed
from tests.jobs import tasks
from tests.jobs.schedule_world import Clock, make_scheduler

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = datetime(2026, 3, 1, 12, 59, tzinfo=UTC)


def read(redis, minute=MINUTE):
    """Take the reading of a minute of what is in Redis now, and look at it as a page does."""
    redis.delete(sample.KEY)
    assert gauges.take(redis, minute)
    redis.delete(sample.KEY)
    return sample.current(redis)


@pytest.mark.slow
@pytest.mark.parametrize("number", [600, 4000])
def test_a_queue_weighs_about_what_its_jobs_took_of_redis(redis, number):
    before = redis.info("memory")["used_memory"]
    tasks.do_nothing.enqueue_many([(os.urandom(100 + n % 400).hex(),) for n in range(number)])
    took = redis.info("memory")["used_memory"] - before

    seen = read(redis)

    assert seen.queue("default").memory == pytest.approx(took, rel=0.3)
    assert seen.queue("low").memory == 0


def test_jobs_of_every_state_are_weighed(redis):
    big = os.urandom(50_000).hex()
    as_failed(tasks.do_nothing.enqueue(big))
    tasks.do_nothing.enqueue_in(timedelta(hours=1), big)
    running = tasks.do_nothing.enqueue(big)
    redis.lrem("rq:queue:default", 1, running)
    redis.zadd("rq:wip:default", {f"{running}:pilot-1": 1})

    assert read(redis).queue("default").memory > 150_000  # payloads are stored compressed


def test_retries_are_told_apart_from_what_is_planned(redis):
    for n in range(8):
        job_id = tasks.do_nothing.enqueue_in(timedelta(hours=1), n)
        if n % 4 == 0:
            redis.hset(f"rq:job:{job_id}", "attempt", 1)

    assert read(redis).queue("default").retries == 2
    assert Reading.objects.get(span="minute", queue="default").retries == 2


@pytest.mark.slow
def test_weighing_looks_at_few_jobs_however_many_there_are(redis):
    def cost(number):
        tasks.do_nothing.enqueue_many([(n,) for n in range(number)])
        gauges.weigh(redis, "default")
        redis.config_resetstat()
        gauges.weigh(redis, "default")
        return {name: row["calls"] for name, row in redis.info("commandstats").items()}

    assert cost(100) == cost(5000)


def test_a_minute_is_read_once(redis):
    read(redis)
    tasks.do_nothing.enqueue(1)

    assert not gauges.take(redis, MINUTE)
    assert Reading.objects.get(span="minute", queue="default").waiting == 0


def test_an_hour_is_the_mean_of_its_minutes_and_the_worst_age(redis):
    tasks.do_nothing.enqueue_many([(n,) for n in range(10)])
    read(redis, MINUTE - timedelta(minutes=1))
    tasks.do_nothing.enqueue_many([(n,) for n in range(10)])
    redis.hset(f"rq:job:{redis.lindex('rq:queue:default', 0).decode()}", "enqueued_at", "2020-01-01T00:00:00.000000Z")
    read(redis)
    read(redis, MINUTE + timedelta(minutes=1))

    first, second = Reading.objects.filter(span="hour", queue="default").order_by("at")
    assert (first.at.hour, first.waiting, second.at.hour, second.waiting) == (12, 15, 13, 20)
    assert first.oldest == Reading.objects.get(span="minute", queue="default", at=MINUTE).oldest > 1e8
    assert first.memory < second.memory


def test_readings_are_pruned_like_tallies(redis):
    read(redis)

    assert retention.clean_up(MINUTE + timedelta(days=3)) == ({"reading_minutes": 3}, True)
    assert retention.clean_up(MINUTE + timedelta(days=401))[0]["reading_hours"] == 3


def test_a_redis_that_does_not_tell_hides_nothing_else(redis, person):
    tasks.do_nothing.enqueue_many([(n,) for n in range(12)])
    redis.execute_command("ACL", "SETUSER", "default", "-memory")
    try:
        seen = read(redis)
    finally:
        redis.execute_command("ACL", "SETUSER", "default", "+@all")

    assert (seen.queue("default").memory, seen.queue("default").waiting) == (None, 12)
    row = Reading.objects.get(span="minute", queue="default")
    assert (row.memory, row.waiting) == (None, 12)
    told = {family.name: {each.labels["queue"] for each in family.samples} for family in metrics.queue_gauges()}
    assert told["pilot_queue_memory_bytes"] == {"critical", "low"}  # empty, so nothing had to be weighed
    assert "default" in told["pilot_tasks"]
    assert "12</a>" in person("view").get(reverse("monitor:queues")).content.decode()


def test_pages_and_prometheus_tell_the_memory_and_its_age(redis, person):
    tasks.do_nothing.enqueue_many([(n,) for n in range(2000)])
    client = person("view")
    assert "Memory is not known" in client.get(reverse("monitor:queues")).content.decode()

    memory = read(redis).queue("default").memory
    assert memory > 500_000
    for name, args in (("queues", []), ("queue", ["default"])):
        text = client.get(reverse(f"monitor:{name}", args=args)).content.decode()
        assert "Memory was estimated" in text
        assert "MB</" in text or "KB</" in text
    assert client.get(reverse("monitor:api-queues")).json()["queues"][1]["memory"] == memory
    told = {f.name: f for f in metrics.queue_gauges()}["pilot_queue_memory_bytes"].samples
    assert {sample.labels["queue"]: sample.value for sample in told}["default"] == memory


def test_no_page_weighs(redis, person):
    client = person("view")
    redis.config_resetstat()
    client.get(reverse("monitor:queues"))
    assert not [name for name in redis.info("commandstats") if name.startswith("cmdstat_memory")]


@pytest.mark.later
def test_the_leading_scheduler_takes_it_once_a_minute(redis):
    scheduler = make_scheduler(redis, Clock(timezone.now().replace(second=10)))
    scheduler._turn()
    scheduler._turn()
    assert Reading.objects.filter(span="minute").count() == 3
    scheduler.clock.forward(seconds=60)
    scheduler._turn()
    assert Reading.objects.filter(span="minute").count() == 6
    assert store.connect().exists(gauges.KEY)


def test_who_stands_by_takes_none(redis):
    clock = Clock(timezone.now().replace(second=10))
    make_scheduler(redis, clock, "first").tick()
    make_scheduler(redis, clock, "second")._turn()
    assert not Reading.objects.exists()


@pytest.mark.later
def test_the_schedule_goes_on_where_a_reading_fails(redis):
    redis.set("pilot:paused", "not a hash")  # so that no sample can be taken
    scheduler = make_scheduler(redis, Clock(timezone.now().replace(second=10)))

    assert 0 < scheduler._turn() <= 1
    assert not Reading.objects.exists()
