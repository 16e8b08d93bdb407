"""Missed fires, overlap and pauses: each entry says what it wants, and each fire that was left out has a line."""

from datetime import timedelta

import pytest

from amazon_pilot.jobs.models import AuditEntry, Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import entries, fires
from tests.jobs.schedule_world import at, clock, fetch, make_entry, queued, scheduler, work_off

__all__ = ["clock", "scheduler"]


def outcomes() -> list[str]:
    """Answer the history's outcomes, oldest first."""
    return list(Fire.objects.order_by("planned_at").values_list("outcome", flat=True))


def after_three_hours_of_silence(clock, **fields) -> ScheduleEntry:
    """Make an hourly entry whose fires of 08:00, 09:00 and 10:00 are all to be decided at 10:30."""
    entry = make_entry(cron="@hourly", next_at=at("2026-01-05 08:00"), **fields)
    clock.now = at("2026-01-05 10:30")
    return entry


def test_missed_fires_run_once_by_default_and_leave_their_lines(scheduler, clock, redis):
    entry = after_three_hours_of_silence(clock)

    scheduler.tick()

    assert outcomes() == ["missed", "missed", "caught_up"]
    assert queued(redis) == [fires.job_id_of("stock", at("2026-01-05 10:00"))]
    entry.refresh_from_db()
    assert entry.next_at == at("2026-01-05 11:00")


def test_missed_fires_each_run_oldest_first_up_to_the_limit(scheduler, clock, redis):
    after_three_hours_of_silence(clock, missed="all", missed_limit=2)

    scheduler.tick()

    assert outcomes() == ["missed", "caught_up", "caught_up"]
    assert queued(redis) == [fires.job_id_of("stock", at(f"2026-01-05 {hour}:00")) for hour in ("09", "10")]


def test_missed_fires_are_left_out_on_request(scheduler, clock, redis):
    after_three_hours_of_silence(clock, missed="skip")

    scheduler.tick()

    assert outcomes() == ["missed", "missed", "missed"]
    assert queued(redis) == []


def test_a_missed_fire_outside_the_window_is_recorded_and_not_run(scheduler, clock, redis):
    after_three_hours_of_silence(clock, missed_window=timedelta(minutes=10))

    scheduler.tick()

    assert outcomes() == ["missed"] * 3
    assert queued(redis) == []


def test_a_fire_within_the_grace_is_not_late(scheduler, clock, redis):
    make_entry(missed="skip", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:01")

    scheduler.tick()

    assert outcomes() == ["enqueued"]


@pytest.mark.slow
def test_a_year_of_silence_costs_bounded_work(scheduler, clock, redis):
    make_entry(cron="* * * * *", next_at=at("2025-01-05 08:00"))

    scheduler.tick()

    assert Fire.objects.count() <= fires.MOST_WALKED + 24 * 60 + 1
    assert Fire.objects.filter(outcome="enqueued").count() == 1
    assert ScheduleEntry.objects.get().next_at == at("2026-01-05 08:01")


def fire_twice(scheduler, clock, redis, **fields) -> list[str]:
    """Fire an hourly entry at 09:00 and at 10:00 while the first job still waits; answer the ids of both jobs."""
    make_entry(cron="@hourly", next_at=at("2026-01-05 09:00"), **fields)
    for hour in ("09", "10"):
        clock.now = at(f"2026-01-05 {hour}:00")
        scheduler.tick()
    return [fires.job_id_of("stock", at(f"2026-01-05 {hour}:00")) for hour in ("09", "10")]


def test_while_the_last_job_waits_the_next_fire_is_left_out_with_a_line(scheduler, clock, redis):
    first, _second = fire_twice(scheduler, clock, redis)

    assert outcomes() == ["enqueued", "skipped_overlap"]
    assert queued(redis) == [first]
    assert first in Fire.objects.get(outcome="skipped_overlap").note


def test_overlapping_jobs_queue_up_on_request(scheduler, clock, redis):
    both = fire_twice(scheduler, clock, redis, overlap="queue")

    assert queued(redis) == both
    assert outcomes() == ["enqueued", "enqueued"]


def test_the_old_job_is_cancelled_on_request(scheduler, clock, redis):
    first, second = fire_twice(scheduler, clock, redis, overlap="cancel")

    assert queued(redis) == [second]
    assert fetch(redis, first).get_status() == "canceled"


def test_a_running_old_job_is_asked_to_stop(scheduler, clock, redis):
    make_entry(cron="@hourly", overlap="cancel", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")
    scheduler.tick()
    [first] = queued(redis)
    redis.lpop("rq:queue:default")
    redis.hset(f"rq:job:{first}", mapping={"status": "started", "worker_name": "anna"})
    with redis.pubsub() as listener:
        listener.subscribe("rq:pubsub:anna")
        listener.get_message(timeout=1)

        clock.now = at("2026-01-05 10:00")
        scheduler.tick()

        message = listener.get_message(timeout=1)
    assert message is not None
    assert b"stop-job" in message["data"]
    assert first.encode() in message["data"]


@pytest.mark.parametrize("status", ["finished", "failed", "stopped", "canceled"])
def test_a_job_that_ended_in_any_way_never_blocks_the_next_fire(scheduler, clock, redis, status):
    make_entry(cron="@hourly", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")
    scheduler.tick()
    [first] = work_off(redis)
    fetch(redis, first).set_status(status)

    clock.now = at("2026-01-05 10:00")
    scheduler.tick()

    assert outcomes() == ["enqueued", "enqueued"]


def test_a_paused_entry_leaves_its_fires_out_and_says_so(scheduler, clock, redis, django_user_model):
    olga = django_user_model.objects.create_user("olga")
    entry = make_entry(cron="@hourly", next_at=at("2026-01-05 09:00"))
    entries.pause(entry, by=olga, reason="Stocktaking")
    clock.now = at("2026-01-05 09:00")

    scheduler.tick()

    fire = Fire.objects.get()
    assert (fire.outcome, fire.note, queued(redis)) == ("skipped_paused", "Stocktaking", [])
    audit = AuditEntry.objects.get(action="pause")
    assert (audit.actor, audit.reason, audit.target) == (olga, "Stocktaking", "schedule entry stock")


def test_after_resuming_the_next_planned_time_fires(scheduler, clock, redis):
    entry = make_entry(cron="@hourly", next_at=at("2026-01-05 09:00"))
    entries.pause(entry, by=None, reason="Stocktaking")
    clock.now = at("2026-01-05 09:00")
    scheduler.tick()

    assert entries.resume(entry, by=None) is True
    assert entries.resume(entry, by=None) is False
    clock.now = at("2026-01-05 10:00")
    scheduler.tick()

    assert outcomes() == ["skipped_paused", "enqueued"]
    assert not entry.is_paused


def test_a_pause_ends_by_itself_at_its_end(scheduler, clock, redis):
    entry = make_entry(cron="@hourly", next_at=at("2026-01-05 09:00"))
    entries.pause(entry, by=None, reason="Stocktaking", until=at("2026-01-05 09:30"))
    for hour in ("09", "10"):
        clock.now = at(f"2026-01-05 {hour}:00")
        scheduler.tick()

    assert outcomes() == ["skipped_paused", "enqueued"]
    entry.refresh_from_db()
    assert entry.paused_at is None
    assert AuditEntry.objects.get(action="resume").reason == "The pause had this end."
