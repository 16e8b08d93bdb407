"""manage.py jobs schedule: the schedule for scripts, with an exit code that tells."""

import json
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.models import AuditEntry, Fire, ScheduleEntry
from tests.jobs.schedule_world import TASK, at, make_entry, queued

from .faces import fired, jobs, ran, staff

pytestmark = pytest.mark.django_db(transaction=True)
LOOK = ("view_jobrun", "view_scheduleentry", "view_fire")


def test_the_list_says_when_what_and_what_came_of_it(capsys):
    make_entry(zone="Asia/Shanghai", args=["tea"], queue="low", next_at=at("2036-01-06 01:00"))
    make_entry("odd", cron="what", broken="cannot be read")
    fired()
    ran("stock-0", 1, "failed")

    odd, stock = jobs(capsys, "schedule").splitlines()

    for words in ("stock", "T09:00:00+08:00", "Daily at 09:00", f'{TASK}("tea")', "low", "2026-01-05T09:00:00Z"):
        assert words in stock
    assert "enqueued failed" in stock
    assert "BROKEN: cannot be read" in odd
    assert "never fired" in odd


def test_the_command_and_the_api_answer_the_same(capsys, person):
    client = person("view")
    make_entry(paused_at=timezone.now(), paused_reason="A test")
    make_entry("tea")
    fired(number=3)
    ran("stock-0", 1, "succeeded")

    listed, one = jobs(capsys, "schedule", "list", "--json"), jobs(capsys, "schedule", "show", "stock", "--json")
    history = jobs(capsys, "schedule", "history", "stock", "--limit", "2", "--json")

    assert listed == client.get(reverse("monitor:api-schedule")).json()
    assert one == listed["entries"][0]
    assert history == client.get(reverse("monitor:api-schedule-history", args=["stock"]), {"limit": "2"}).json()


@pytest.mark.later
def test_the_history_shows_planned_against_actual_and_goes_on(capsys):
    make_entry()
    fired(number=3)

    first = jobs(capsys, "schedule", "history", "stock", "--limit", "2").splitlines()
    cursor = first[-1].removeprefix("More: --from ")
    (rest,) = jobs(capsys, "schedule", "history", "stock", "--limit", "2", "--from", cursor).splitlines()

    for words in ("2026-01-05T09:00:00Z", "0.250 s", "enqueued", "stock-0"):
        assert words in first[0]
    assert "stock-2" in rest
    with pytest.raises(CommandError, match="no entry nobody"):
        jobs(capsys, "schedule", "history", "nobody")


@pytest.mark.later
def test_an_entry_is_added_paused_resumed_run_edited_and_deleted(capsys, redis):
    jobs(capsys, "schedule", "create", "tea", "--cron", "daily at 09:00", "--task", TASK, "--args", '["x"]')
    jobs(capsys, "schedule", "pause", "tea", "--reason", "A test", "--minutes", "5")
    until = ScheduleEntry.objects.get().paused_until
    assert timedelta(minutes=4) < until - timezone.now() <= timedelta(minutes=5)
    assert "PAUSED by the machine until" in jobs(capsys, "schedule", "show", "tea")
    jobs(capsys, "schedule", "resume", "tea")
    job_id = jobs(capsys, "schedule", "run-now", "tea", "--json")["job"]
    assert queued(redis) == [job_id]
    jobs(capsys, "schedule", "edit", "tea", "--queue", "low", "--missed-limit", "3", "--reason", "Slow")
    entry = ScheduleEntry.objects.get()
    assert (entry.queue, entry.missed_limit, entry.args) == ("low", 3, ["x"])
    jobs(capsys, "schedule", "delete", "tea", "--yes")

    assert not ScheduleEntry.objects.exists()
    assert len(jobs(capsys, "schedule", "history", "tea", "--json")["fires"]) == 1
    told = AuditEntry.objects.order_by("at").values_list("actor", "action", "reason")
    assert list(told) == [
        (None, "create", ""), (None, "pause", "A test"), (None, "resume", ""), (None, "run now", ""),
        (None, "edit", "Slow"), (None, "delete", ""),
    ]  # fmt: skip


@pytest.mark.later
def test_roles_are_those_of_the_pages(capsys, redis):
    make_entry()
    staff("jobs-only", "view_jobrun", "operate_jobs", "edit_jobs", "administer_jobs")
    staff("mia", *LOOK, "operate_schedule")

    for words in (("list",), ("history", "stock"), ("run-now", "stock"), ("resume", "stock")):
        with pytest.raises(CommandError, match="does not allow"):
            jobs(capsys, "schedule", *words, "--user", "jobs-only")
    for words in (("edit", "stock", "--queue", "low"), ("delete", "stock", "--yes"), ("create", "tea")):
        with pytest.raises(CommandError, match="does not allow"):
            jobs(capsys, "schedule", *words, "--user", "mia")
    assert not AuditEntry.objects.exists()

    jobs(capsys, "schedule", "run-now", "stock", "--user", "mia", "--reason", "A seller asked")

    line = AuditEntry.objects.get()
    assert (line.actor.username, line.action, line.reason) == ("mia", "run now", "A seller asked")
    assert queued(redis) == [Fire.objects.get().job_id]


def test_where_nothing_is_done_it_fails_and_still_answers(capsys):
    make_entry()

    with pytest.raises(CommandError, match="Nothing was changed"):
        jobs(capsys, "schedule", "resume", "stock", "--json")

    assert json.loads(capsys.readouterr().out)["count"] == 0
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("pause", "stock"), "Say why"),
        (("pause", "stock", "--reason", "x", "--until", "soon"), "Write --until"),
        (("pause", "nobody", "--reason", "x"), "no entry nobody"),
        (("resume",), "Name the entry"),
        (("delete", "stock"), "say --yes"),
        (("edit", "stock"), "Say what to change"),
        (("edit", "stock", "--args", "{"), "is not JSON"),
        (("edit", "stock", "--cron", "0 25 * * *"), "cron: “25” cannot be read as hour"),
        (("create", "tea", "--cron", "@daily"), "Say also: task"),
        (("create", "a.b", "--cron", "@daily", "--task", TASK), "name: Use letters"),
        (("history", "stock", "--limit", "0"), "from 1 to 500"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, words, said):
    make_entry()
    before = list(ScheduleEntry.objects.values())

    with pytest.raises(CommandError, match=said):
        jobs(capsys, "schedule", *words)

    assert list(ScheduleEntry.objects.values()) == before
    assert not AuditEntry.objects.exists()
