"""The verbs: create, edit, remove, run now, catch up, and health."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from amazon_pilot.jobs.models import AuditEntry, Fire, ScheduleEntry, Total
from amazon_pilot.jobs.schedule import entries, store
from tests.jobs.schedule_world import (
    TASK,
    at,
    clock,
    fetch,
    make_entry,
    make_scheduler,
    queued,
    scheduler,
)

__all__ = ["clock", "scheduler"]


@pytest.fixture
def olga(transactional_db, django_user_model):
    """An operator. Commits are real here, since the verbs write to Redis after them."""
    return django_user_model.objects.create_user("olga")


def test_creating_an_entry_plans_it_and_shows_it_in_redis(olga, redis):
    entry = entries.create(olga, name="tea", cron="daily at 09:00", task=TASK, zone="Asia/Shanghai")

    assert entry.next_at == entry.next_fire(timezone.now())
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-tea") == entry.next_at.timestamp()
    assert AuditEntry.objects.get().actor == olga


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("cron", "0 25 * * *", "“25” cannot be read as hour: allowed are *, 0-23, lists, ranges, steps. (position 3)"),
        ("zone", "Mars/Base", "This time zone is not known: write one such as Europe/Berlin or UTC."),
        ("queue", "urgent", "There is no such queue."),
        ("args", {"shelf": 3}, 'Write a list such as ["daily"], or {"args": ["daily"], "kwargs": {"most": 10}}.'),
        ("name", "a.b", "Use letters, digits, - and _ only."),
    ],
)
def test_a_wrong_entry_is_refused_with_a_sentence_and_nothing_is_written(db, redis, field, value, sentence):
    with pytest.raises(ValidationError) as refusal:
        entries.create(None, **{"name": "tea", "cron": "@daily", "task": TASK, "zone": "UTC"} | {field: value})

    assert refusal.value.message_dict[field] == [sentence]
    assert not ScheduleEntry.objects.exists()
    assert not AuditEntry.objects.exists()


def test_editing_the_time_plans_anew_and_says_what_changed(olga, redis):
    entry = make_entry(cron="0 9 * * *", next_at=at("2026-01-06 09:00"), broken="was wrong")

    entries.edit(entry, olga, reason="Too early", cron="30 10 * * *")

    entry.refresh_from_db()
    assert (entry.next_at.hour, entry.next_at.minute, entry.broken) == (10, 30, "")
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-stock") == entry.next_at.timestamp()
    audit = AuditEntry.objects.get()
    assert (audit.action, audit.reason) == ("edit", "Too early")
    assert (audit.detail["before"], audit.detail["after"]) == ({"cron": "0 9 * * *"}, {"cron": "30 10 * * *"})


def test_an_edit_of_something_else_leaves_the_time_to_the_scheduler(olga):
    entry = make_entry(next_at=at("2026-01-06 09:00"))
    ScheduleEntry.objects.update(next_at=at("2026-01-07 09:00"))  # the scheduler fired meanwhile

    entries.edit(entry, olga, queue="low")

    entry.refresh_from_db()
    assert (entry.queue, entry.next_at) == ("low", at("2026-01-07 09:00"))


def test_a_field_that_the_scheduler_owns_cannot_be_edited(db):
    with pytest.raises(ValidationError):
        entries.edit(make_entry(), None, next_at=at("2026-01-06 09:00"))


def test_removing_an_entry_keeps_its_history(olga, redis):
    entry = make_entry(next_at=at("2026-01-06 09:00"))
    entries.run_now(entry, olga)

    entries.remove(entry, olga)

    assert Fire.objects.get().entry_id == "stock"
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-stock") is None


def test_run_now_fires_at_once_and_leaves_the_planned_times_alone(olga, redis):
    entry = make_entry(next_at=at("2026-01-06 09:00"))

    fire = entries.run_now(entry, olga, reason="A seller asked")

    fire.refresh_from_db()
    assert (fire.outcome, fire.note) == ("manual", "A seller asked")
    assert queued(redis) == [fire.job_id]
    assert fetch(redis, fire.job_id).meta == {"entry": "stock", "fire": fire.pk}
    entry.refresh_from_db()
    assert entry.next_at == at("2026-01-06 09:00")
    assert AuditEntry.objects.get().detail == {"job": fire.job_id}


def test_run_now_in_the_second_of_a_planned_fire_has_an_id_of_its_own(olga, redis):
    entry = make_entry(next_at=at("2026-01-06 09:00"))

    first, second = entries.run_now(entry, olga), entries.run_now(entry, olga)

    assert first.job_id != second.job_id
    assert first.planned_at.microsecond > 0
    assert len(queued(redis)) == 2


def test_run_now_is_made_up_for_by_the_scheduler_when_redis_was_away(scheduler, clock, redis):
    fire = entries.run_now(make_entry(), by=None)  # inside the test's transaction nothing is sent yet
    assert queued(redis) == []

    scheduler.tick()

    assert queued(redis) == [fire.job_id]
    fire.refresh_from_db()
    assert fire.outcome == "manual"


def test_catching_up_fires_an_entry_that_never_has(olga, redis):
    entry = make_entry(next_at=at("2026-01-06 09:00"))

    assert entries.catch_up(entry) is not None
    assert entries.catch_up(entry) is None

    assert len(queued(redis)) == 1


def test_totals_count_fires_by_entry_and_outcome(scheduler, clock):
    make_entry("tea", next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")
    scheduler.tick()

    assert dict(Total.objects.filter(name="fires").values_list("subject", "count")) == {"tea": 1}


def test_pruning_deletes_old_fires_and_keeps_pending_ones(db):
    entry = make_entry()
    for day, outcome in ((1, "enqueued"), (2, "pending"), (20, "enqueued")):
        moment = at(f"2026-01-{day:02} 09:00")
        Fire.objects.create(entry=entry, planned_at=moment, decided_at=moment, outcome=outcome)

    assert Fire.objects.prune(at("2026-01-10 00:00")) == 1
    assert Fire.objects.count() == 2


def test_health_is_good_after_a_tick_and_names_the_leader(scheduler, clock, redis):
    clock.now = store.clock(redis)
    scheduler.tick()
    make_scheduler(redis, clock, "second").tick()

    health = entries.health(redis)

    assert (health.ok, health.reason, health.leader) == (True, "", "first")
    assert health.tick_age_seconds < 30
    assert set(health.schedulers) == {"first", "second"}


def test_health_fails_when_no_tick_came_for_thirty_seconds(scheduler, clock, redis):
    clock.now = store.clock(redis) - timedelta(seconds=31)
    scheduler.tick()

    health = entries.health(redis)

    assert health.ok is False
    assert "seconds ago" in health.reason


def test_health_fails_before_the_first_tick(redis):
    assert entries.health(redis).reason == "No scheduler has reported yet."


def test_health_tells_the_lag_of_the_last_fire(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00") + timedelta(milliseconds=400)
    scheduler.tick()
    clock.forward(seconds=1)
    scheduler.tick()

    assert entries.health(redis).lag_seconds == 0.4
