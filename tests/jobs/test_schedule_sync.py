"""Rows and Redis: the settings' table becomes rows, rows become templates, and an emptied Redis is filled again."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.utils import timezone
from django_rq import get_scheduler

from amazon_pilot.jobs.models import Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import entries, store
from amazon_pilot.jobs.schedule.checks import check_schedule
from amazon_pilot.jobs.schedule.scheduler import PilotScheduler
from tests.jobs.schedule_world import TASK, at, clock, fetch, make_entry, make_scheduler, queued, scheduler

__all__ = ["clock", "scheduler"]

SCHEDULED = "rq:scheduler:scheduled_jobs"


def templates(redis) -> dict[str, float]:
    """Answer rq-scheduler's set."""
    return {member.decode(): score for member, score in redis.zrange(SCHEDULED, 0, -1, withscores=True)}


def test_after_flushall_the_entries_are_back_within_one_tick_and_no_fire_is_repeated(scheduler, clock, redis):
    for name in ("bread", "tea"):
        make_entry(name, next_at=at("2026-01-05 09:00"))
    clock.now = at("2026-01-05 09:00")
    scheduler.tick()
    assert len(queued(redis)) == 2

    redis.flushall()
    clock.forward(seconds=1)
    scheduler.tick()

    tomorrow = at("2026-01-06 09:00")
    assert templates(redis) == {"schedule-bread": tomorrow.timestamp(), "schedule-tea": tomorrow.timestamp()}
    assert queued(redis) == []
    assert Fire.objects.count() == 2

    clock.now = tomorrow
    scheduler.tick()
    assert len(queued(redis)) == 2


def test_a_fire_that_fell_due_while_redis_was_emptied_comes_once(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    redis.flushall()
    clock.now = at("2026-01-05 09:00")

    scheduler.tick()
    scheduler.tick()

    assert len(queued(redis)) == 1


def test_a_template_that_somebody_removed_does_not_stop_its_entry(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-05 09:00"))
    redis.delete(SCHEDULED, "rq:job:schedule-stock")
    clock.now = at("2026-01-05 09:00")

    scheduler.tick()

    assert len(queued(redis)) == 1
    assert "schedule-stock" in templates(redis)


def test_sync_adds_corrects_and_removes_templates_and_leaves_one_off_jobs_alone(scheduler, clock, redis):
    make_entry("kept", next_at=at("2026-01-05 09:00"))
    one_off = scheduler.enqueue_at(at("2026-01-07 09:00").replace(tzinfo=None), TASK)
    redis.zadd(SCHEDULED, {"schedule-kept": 1, "schedule-gone": 2})

    entries.sync(redis, clock.now)

    assert templates(redis) == {
        "schedule-kept": at("2026-01-05 09:00").timestamp(),
        one_off.id: at("2026-01-07 09:00").timestamp(),
    }


def test_a_new_row_gets_its_next_time_at_the_next_sync(scheduler, clock, redis):
    entry = make_entry(zone="Asia/Shanghai")

    entries.sync(redis, clock.now)

    entry.refresh_from_db()
    assert entry.next_at == at("2026-01-06 09:00", "Asia/Shanghai")


def test_the_settings_become_rows_once(db, settings):
    settings.SCHEDULE = {"tea": {"cron": "@daily", "task": TASK, "args": [], "queue": "low"}}

    entries.load_settings()
    entries.load_settings()

    entry = ScheduleEntry.objects.get()
    assert (entry.name, entry.queue, entry.zone, entry.from_settings) == ("tea", "low", settings.TIME_ZONE, True)


def test_a_scheduler_brings_the_settings_in_with_its_first_turn_alone(db, redis, clock, settings):
    new = make_scheduler(redis, clock)
    settings.SCHEDULE = {"tea": {"cron": "@daily", "task": TASK}}
    new.tick()
    settings.SCHEDULE = {"milk": {"cron": "@daily", "task": TASK}}  # which is for the next scheduler to bring in
    clock.forward(seconds=20)
    new.tick()

    assert ScheduleEntry.objects.get().name == "tea"


def test_a_new_scheduler_plans_anew_what_was_planned_while_the_clock_was_ahead(db, redis, clock):
    entry = make_entry(next_at=at("2027-01-05 09:00"))
    missed = Fire.objects.create(
        entry=entry, planned_at=at("2026-01-06 09:00"), decided_at=at("2027-01-05 09:00"), outcome="missed"
    )

    make_scheduler(redis, clock).tick()

    assert ScheduleEntry.objects.get().next_at == at("2026-01-05 09:00")
    assert not Fire.objects.filter(pk=missed.pk).exists()


def test_a_line_that_changes_in_the_settings_changes_its_row_and_one_that_leaves_goes(db, settings):
    settings.SCHEDULE = {name: {"cron": "@daily", "task": TASK} for name in ("tea", "milk")}
    entries.load_settings()
    settings.SCHEDULE = {"tea": {"cron": "@hourly", "task": TASK}}

    entries.load_settings()

    assert list(ScheduleEntry.objects.values_list("name", "cron")) == [("tea", "@hourly")]


def test_a_line_of_the_settings_that_cannot_be_used_is_logged_and_stops_nobody(db, settings, caplog):
    settings.SCHEDULE = {"bad": {"cron": "61 * * * *", "task": TASK}, "good": {"cron": "@daily", "task": TASK}}

    entries.load_settings()

    assert list(ScheduleEntry.objects.values_list("name", flat=True)) == ["good"]
    assert "SCHEDULE['bad'] cannot be used: “61” cannot be read as minute" in caplog.text


def test_an_operators_edit_wins_over_the_settings(db, settings):
    settings.SCHEDULE = {"tea": {"cron": "@daily", "task": TASK}}
    entries.load_settings()
    entries.edit(ScheduleEntry.objects.get(), by=None, cron="@hourly")

    entries.load_settings()
    settings.SCHEDULE = {}
    entries.load_settings()

    assert ScheduleEntry.objects.get().cron == "@hourly"


def test_the_table_of_the_settings_holds_the_six_entries(db, settings):
    entries.load_settings()

    assert {(e.name, e.cron, e.queue) for e in ScheduleEntry.objects.all()} >= {
        ("daily-update", "0 9 * * *", "default"),
        ("hourly-update", "@hourly", "critical"),
        ("six-hourly-update", "0 */6 * * *", "default"),
        ("competitor-analysis", "0 2 * * 0", "low"),
        ("cleanup", "0 3 * * *", "low"),
        ("optimization-analysis", "0 1 * * 0", "low"),
    }


def test_the_check_names_a_task_that_is_not_registered_and_a_line_that_cannot_be_read(db, settings):
    settings.SCHEDULE = {
        "good": {"cron": "@daily", "task": TASK},
        "no-task": {"cron": "@daily", "task": "nowhere.tasks.nothing"},
        "no-line": {"cron": "61 * * * *", "task": TASK},
        "no-queue": {"cron": "@daily", "task": TASK, "queue": "urgent"},
    }

    errors = {(error.id, error.msg.split("'")[1]) for error in check_schedule()}

    assert errors == {("schedule.E002", "no-task"), ("schedule.E001", "no-line"), ("schedule.E001", "no-queue")}


def test_django_rq_loads_our_scheduler_and_its_page_shows_the_entries(admin_client, redis, clock, urls_of_django_rq):
    make_entry(cron="0 9 * * *", zone="Asia/Shanghai", next_at=at("2026-01-06 01:00"))
    entries.sync(redis, clock.now)

    page = admin_client.get("/django-rq/schedulers/0/").content.decode()

    assert isinstance(get_scheduler("default"), PilotScheduler)
    assert "schedule-stock" in page
    assert "0 9 * * * (Asia/Shanghai)" in page
    assert "count_stock" in page


@pytest.fixture
def urls_of_django_rq(settings) -> None:
    """Mount django-rq's own pages, wherever the product does."""
    settings.ROOT_URLCONF = "tests.jobs.django_rq_urls"


def test_the_tools_of_rq_scheduler_read_the_entries(scheduler, clock, redis):
    make_entry(next_at=at("2026-01-06 09:00"))
    entries.sync(redis, clock.now)

    [(job, time)] = scheduler.get_jobs(with_times=True)

    assert (job.func_name, time, job.get_status()) == (TASK, at("2026-01-06 09:00").replace(tzinfo=None), "scheduled")
    assert scheduler.count() == 1
    assert "schedule-stock" in scheduler
    assert fetch(redis, "schedule-stock").origin == "default"


def test_enqueueing_a_template_with_rq_schedulers_tools_runs_its_entry_now(scheduler, clock, redis, transactional_db):
    make_entry(next_at=at("2026-01-06 09:00"))
    entries.sync(redis, clock.now)

    scheduler.enqueue_job(fetch(redis, "schedule-stock"))

    assert Fire.objects.get().outcome == "manual"
    assert len(queued(redis)) == 1
    assert "schedule-stock" in templates(redis)


def test_all_keys_of_ours_begin_alike():
    keys = (store.REPORT, store.INSTANCES, store.SYNCED, store.FIRED)
    assert all(key.startswith(("pilot:schedule", "pilot:fired:")) for key in keys)


def test_an_entry_whose_task_is_missing_is_named_at_the_start_and_stops_nobody(transactional_db, redis, settings):
    settings.SCHEDULE = {"odd": {"cron": "@daily", "task": "nowhere.tasks.nothing"}}
    make_entry(next_at=timezone.now())
    said = StringIO()

    call_command("rqscheduler", "--once", stderr=said)

    assert "SCHEDULE['odd'] names a task that is not registered" in said.getvalue()
    assert [job_id.split("-")[0] for job_id in queued(redis)] == ["stock"]
