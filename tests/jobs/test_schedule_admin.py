"""The schedule's pages in the monitor: what they show, what their buttons do, and who may press them."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.models import AuditEntry, Fire, ScheduleEntry
from tests.busy_day import failed_run, run
from tests.jobs.schedule_world import TASK, at, make_entry, queued

LIST = reverse("admin:jobs_scheduleentry_changelist")
ADD = reverse("admin:jobs_scheduleentry_add")
FORM = {
    "name": "tea",
    "cron": "daily at 09:00",
    "zone": "Asia/Shanghai",
    "task": TASK,
    "args": "[]",
    "queue": "low",
    "missed": "once",
    "missed_limit": "10",
    "missed_window": "1 00:00:00",
    "overlap": "skip",
}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def entry():
    return make_entry(cron="0 9 * * *", zone="Asia/Shanghai", next_at=at("2036-01-06 01:00"))


def press(client, action, *entries, **fields):
    """Press a button for the given entries."""
    return client.post(LIST, {"action": action, "_selected_action": [e.pk for e in entries]} | fields, follow=True)


def test_the_list_says_when_where_and_what_came_last(admin_client, entry):
    Fire.objects.create(
        entry=entry, planned_at=at("2026-01-05 01:00"), decided_at=at("2026-01-05 01:00"), outcome="missed"
    )

    page = admin_client.get(LIST).content.decode()

    for words in ("stock", "Daily at 09:00", "0 9 * * *", "Asia/Shanghai", "Jan. 6, 2036, 9 a.m.", "missed", "active"):
        assert words in page


def test_the_list_takes_few_queries_however_many_entries(admin_client, django_assert_max_num_queries):
    for number in range(30):
        make_entry(f"stock-{number}")

    with django_assert_max_num_queries(24):
        admin_client.get(LIST)


def test_the_list_counts_entries(admin_client, entry):
    make_entry("coffee")
    assert "2 schedule entries" in admin_client.get(LIST).text


def test_a_tasks_name_breaks_where_its_parts_meet(admin_client, entry):
    entry.task = "shop.tasks.count_<all>"
    entry.save()
    assert "shop.<wbr>tasks.<wbr>count_<wbr>&lt;all&gt;</td>" in admin_client.get(LIST).text


def test_an_entry_can_be_added(admin_client, redis):
    answer = admin_client.post(ADD, FORM, follow=True)

    assert answer.redirect_chain
    assert ScheduleEntry.objects.get(name="tea").next_at is not None
    assert redis.zscore("rq:scheduler:scheduled_jobs", "schedule-tea")
    assert AuditEntry.objects.get().action == "create"


def test_a_wrong_cron_line_is_refused_with_a_sentence(admin_client):
    page = admin_client.post(ADD, FORM | {"cron": "0 25 * * *"}).content.decode()

    assert "“25” cannot be read as hour: allowed are *, 0-23, lists, ranges, steps. (position 3)" in page
    assert not ScheduleEntry.objects.exists()


def test_the_page_of_an_entry_shows_its_next_five_fires(admin_client, entry):
    page = admin_client.get(reverse("admin:jobs_scheduleentry_change", args=[entry.pk])).content.decode()

    assert page.count("<li>") >= 5
    assert "(Asia/Shanghai)" in page


def test_an_edit_moves_the_next_fire(admin_client, entry):
    admin_client.post(reverse("admin:jobs_scheduleentry_change", args=[entry.pk]), FORM | {"cron": "30 10 * * *"})

    entry.refresh_from_db()
    assert (entry.name, entry.cron, entry.next_at.minute) == ("stock", "30 10 * * *", 30)
    assert AuditEntry.objects.get().action == "edit"


def test_run_now_puts_a_job_into_the_queue(admin_client, entry, redis):
    page = press(admin_client, "run_now", entry).content.decode()

    assert "Entries run now: 1." in page
    assert len(queued(redis)) == 1


def test_pausing_asks_for_a_reason_and_shows_it(admin_client, admin_user, entry):
    question = press(admin_client, "pause", entry).content.decode()
    assert "Reason" in question
    entry.refresh_from_db()
    assert not entry.is_paused

    refused = press(admin_client, "pause", entry, apply="1", reason="").content.decode()
    assert "This field is required." in refused

    page = press(admin_client, "pause", entry, apply="1", reason="Stocktaking").content.decode()
    assert "Entries paused: 1." in page
    assert "Paused by admin: Stocktaking" in page
    assert AuditEntry.objects.get(action="pause").actor == admin_user

    page = press(admin_client, "resume", entry).content.decode()
    assert "Entries resumed: 1." in page
    assert "Stocktaking" not in page


def test_a_pause_cannot_end_in_the_past(admin_client, entry):
    fields = {"apply": "1", "reason": "Stocktaking", "until_0": "2020-01-01", "until_1": "09:00"}

    page = press(admin_client, "pause", entry, **fields).content.decode()

    assert "This time has passed." in page


def test_deleting_keeps_the_history(admin_client, entry):
    Fire.objects.create(entry=entry, planned_at=at("2026-01-05 01:00"), decided_at=at("2026-01-05 01:00"))

    admin_client.post(reverse("admin:jobs_scheduleentry_delete", args=[entry.pk]), {"post": "yes"})

    assert not ScheduleEntry.objects.exists()
    assert Fire.objects.count() == 1
    assert "stock" in admin_client.get(reverse("admin:jobs_fire_changelist")).content.decode()


def test_the_history_shows_the_fires_of_one_entry(admin_client, entry):
    moment = at("2026-01-05 01:00")
    for name in ("stock", "other"):
        Fire.objects.create(entry_id=name, planned_at=moment, decided_at=moment, job_id=f"{name}-1")

    page = admin_client.get(reverse("admin:jobs_fire_changelist") + "?entry=stock").content.decode()

    assert "stock-1" in page
    assert "other-1" not in page


def test_the_list_tells_the_last_fire_and_what_became_of_the_last_run(admin_client, entry):
    moment = timezone.now() - timedelta(hours=30)
    for hours, outcome in ((0, "enqueued"), (24, "skipped_overlap")):
        planned = moment + timedelta(hours=hours)
        Fire.objects.create(
            entry=entry, planned_at=planned, decided_at=planned, outcome=outcome, job_id=f"stock-{hours}"
        )
    failed_run("stock-0", hours=30, schedule_entry="stock")
    run("other", hours=1)

    page = admin_client.get(LIST).content.decode()
    job = reverse("monitor:job", args=["stock-0"])
    assert "left out: the last job had not ended</a> <time" in page
    assert f'<a href="{job}">Failed</a> <time' in page

    page = admin_client.get(reverse("admin:jobs_fire_changelist") + "?entry=stock").content.decode()
    assert f'<a href="{job}">stock-0</a><br>Failed' in page


@pytest.mark.parametrize("action", ["run_now", "pause", "resume"])
def test_who_may_only_look_cannot_press_a_button(client, django_user_model, entry, redis, action):
    vera = django_user_model.objects.create_user("vera", is_staff=True)
    vera.user_permissions.add(Permission.objects.get(codename="view_scheduleentry"))
    client.force_login(vera)

    press(client, action, entry, apply="1", reason="Because")

    entry.refresh_from_db()
    assert not entry.is_paused
    assert queued(redis) == []
    assert not AuditEntry.objects.exists()


def test_nobody_changes_anything_by_looking(admin_client, entry, redis):
    admin_client.get(LIST, {"action": "run_now", "_selected_action": entry.pk})

    assert queued(redis) == []
    assert not Fire.objects.exists()
