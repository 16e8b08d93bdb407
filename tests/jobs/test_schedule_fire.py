"""A fire: once per planned time, a job that tells where it comes from, and an entry that moves on."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from amazon_pilot.jobs.models import Fire, ScheduleEntry
from tests.jobs.schedule_world import TASK, at, clock, fetch, make_entry, make_scheduler, queued, scheduler, work_off

__all__ = ["clock", "scheduler"]


def test_a_due_entry_puts_one_job_into_its_queue(scheduler, clock, redis):
    entry = make_entry(cron="0 9 * * *", args=["shelf 3"], queue="low", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00") + timedelta(milliseconds=250)

    scheduler.tick()

    [job_id] = queued(redis, "low")
    assert job_id == f"stock-{int(at('2026-01-05 09:00').timestamp())}"
    job = fetch(redis, job_id)
    fire = Fire.objects.get()
    assert (job.func_name, job.args, job.get_status()) == (TASK, ["shelf 3"], "queued")
    assert (job.origin, job.timeout, job.meta) == ("low", 60, {"entry": "stock", "fire": fire.pk})
    assert b"rq:queue:low" in redis.smembers("rq:queues")
    assert (fire.outcome, fire.job_id, fire.lag_seconds) == ("enqueued", job_id, 0.25)
    entry.refresh_from_db()
    assert entry.next_at == at("2026-01-06 09:00")


def test_nothing_happens_before_the_time(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00") - timedelta(milliseconds=1)

    assert scheduler.tick() == []
    assert queued(redis) == []


def test_many_ticks_at_one_time_fire_once(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")

    for _turn in range(5):
        scheduler.tick()

    assert len(queued(redis)) == 1
    assert Fire.objects.count() == 1
    [mark] = redis.keys("pilot:fired:*")
    assert timedelta(days=6, hours=23) < timedelta(seconds=redis.ttl(mark)) <= timedelta(days=7)


def test_the_template_moves_to_the_next_time_with_the_fire(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.forward(minutes=2)
    scheduler.tick()
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-stock") == at("2026-01-05 09:00").timestamp()

    clock.now = at("2026-01-05 09:00") + timedelta(seconds=1)
    scheduler.tick()

    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-stock") == at("2026-01-06 09:00").timestamp()
    assert fetch(redis, "schedule-stock").meta["cron_string"] == "0 9 * * * (UTC)"
    assert queued(redis) == [f"stock-{int(at('2026-01-05 09:00').timestamp())}"]  # never the template


def test_a_planned_time_is_unique_for_ever(db):
    entry = make_entry()
    Fire.objects.create(entry=entry, planned_at=at("2026-01-05 09:00"), decided_at=at("2026-01-05 09:00"))

    with pytest.raises(IntegrityError), transaction.atomic():
        Fire.objects.create(entry=entry, planned_at=at("2026-01-05 09:00"), decided_at=at("2026-01-05 09:00"))


def test_an_entry_that_was_deleted_and_made_again_does_not_repeat_a_fire(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")
    scheduler.tick()
    ScheduleEntry.objects.all().delete()
    make_entry(next_at=at("2026-01-05 09:00"))

    scheduler.tick()

    assert len(queued(redis)) == 1
    assert ScheduleEntry.objects.get().next_at == at("2026-01-06 09:00")


@pytest.mark.slow
def test_hundreds_of_entries_that_are_due_together_fire_in_batches_without_a_pause(scheduler, clock, redis):
    for number in range(250):
        make_entry(f"stock-{number}", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")

    for _turn in range(3):
        scheduler.tick()
        assert scheduler.seconds_to_wait() == (0.02 if _turn < 2 else 1)

    assert len(set(queued(redis))) == 250


def test_one_entry_that_cannot_be_read_does_not_stop_the_others(scheduler, clock, redis, caplog):
    make_entry("bad", cron="61 * * * *", next_at=at("2026-01-05 09:00"))
    make_entry("worse", zone="Mars/Base", next_at=at("2026-01-05 09:00"))
    make_entry("good", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")

    scheduler.tick()

    assert [job_id.split("-")[0] for job_id in queued(redis)] == ["good"]
    assert "position 1" in ScheduleEntry.objects.get(name="bad").broken
    assert ScheduleEntry.objects.get(name="worse").broken
    assert "Schedule entry bad is broken" in caplog.text


def test_a_task_that_is_not_registered_is_an_error_in_the_history(scheduler, clock, redis):
    make_entry(task="os.remove", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")

    scheduler.tick()

    fire = Fire.objects.get()
    assert (fire.outcome, fire.note) == ("error", "There is no task os.remove.")
    assert queued(redis) == []


def test_two_schedulers_fire_once_and_only_the_leader_does(scheduler, clock, redis):
    other = make_scheduler(redis, clock, "second")
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")

    assert other.tick() == []
    assert len(scheduler.tick()) == 1
    assert other.tick() == []

    assert len(queued(redis)) == 1


def test_a_scheduler_that_lost_the_lock_in_the_middle_leaves_the_fire_to_the_next(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")
    scheduler.acquire_lock = lambda: True  # it believes that it leads, as after a long pause of its process
    redis.set("rq:scheduler_lock", "second")

    assert scheduler.tick() == []
    assert (Fire.objects.get().outcome, queued(redis)) == ("pending", [])

    make_scheduler(redis, clock, "second").tick()
    assert (Fire.objects.get().outcome, len(queued(redis))) == ("enqueued", 1)


def test_a_job_of_enqueue_in_moves_to_its_queue_when_its_time_comes(scheduler, clock, redis):
    job = scheduler.enqueue_at(at("2026-01-05 08:30").replace(tzinfo=None), TASK, "shelf 4")
    scheduler.tick()
    assert queued(redis) == []

    clock.now = at("2026-01-05 08:30")
    scheduler.tick()
    scheduler.tick()

    assert queued(redis) == [job.id]
    assert (fetch(redis, job.id).get_status(), job.args) == ("queued", ("shelf 4",))
    assert job.id not in scheduler


def test_cron_and_interval_jobs_are_refused_since_redis_alone_would_hold_them(scheduler):
    with pytest.raises(NotImplementedError):
        scheduler.cron("0 9 * * *", TASK)
    with pytest.raises(NotImplementedError):
        scheduler.schedule(at("2026-01-05 09:00"), TASK, interval=60)


def test_a_new_job_follows_when_the_last_one_has_ended(scheduler, clock, redis):
    make_entry(cron="@hourly", next_at=at("2026-01-05 09:00"))
    for hour in range(9, 13):
        clock.now = at(f"2026-01-05 {hour:02}:00")
        scheduler.tick()
        work_off(redis)

    assert list(Fire.objects.values_list("outcome", flat=True)) == ["enqueued"] * 4
