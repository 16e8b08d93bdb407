"""The page of retention, its JSON and its command: the same numbers, for whoever may look, and nothing changes."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError
from django.urls import reverse
from django.utils.timezone import now

from amazon_pilot.jobs.history import retention
from amazon_pilot.jobs.models import AuditEntry, JobRun, Tally
from tests.busy_day import run
from tests.jobs.schedule_world import make_entry

from .faces import get, jobs

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/admin/monitor/retention"


@pytest.fixture
def history():
    """Runs of 40 and of 10 days ago, and a clean-up in an hour."""
    for n in range(12):
        at = now() - timedelta(days=40 if n < 5 else 10)
        run(f"j{n}", started_at=at, ended_at=at)
    run("new", started_at=now(), ended_at=now())
    Tally.objects.fold(now() + timedelta(minutes=1))
    make_entry("cleanup", task=retention.TASK, next_at=now() + timedelta(hours=1))


def cells(text):
    """Answer the cells of the row of runs that succeeded as text."""
    row = next(row for row in text.split("<tr>") if "Runs that succeeded" in row)
    return [
        " ".join(re.sub(r"<[^>]+>", " ", cell).split()) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)
    ]


def test_it_says_how_long_how_many_how_old_and_what_goes_next(person, history):
    text = person("view").get(ADDRESS).content.decode()

    rows, kept, setting, number, oldest, doomed = cells(text)
    assert (rows, kept, setting) == ("Runs that succeeded", "30 days", "RETENTION_ SUCCEEDED_ DAYS")
    assert (number, oldest) == ("13", "40 days ago")
    assert re.fullmatch(r"5 frees about \d+(\.\d)?\xa0KB", doomed.replace(" KB", "\xa0KB"))
    assert "The next clean-up is planned" in text
    assert "Redis keeps a job that succeeded for 1 h 0 min and one that failed for 30 d 0 h" in text


def test_other_days_are_tried_without_a_change(person, history):
    client = person("view")

    text = client.get(ADDRESS, {"days": "7"}).content.decode()

    assert cells(text)[2] == "RETENTION_ SUCCEEDED_ DAYS=7"
    assert cells(text)[-1].startswith("12 frees about")
    assert "Nothing has been changed." in text
    assert JobRun.objects.count() == 13


@pytest.mark.parametrize("days", ["0", "-1", "many", "99999", "²"])
def test_days_that_are_none_are_refused_with_a_sentence(person, history, days):
    client = person("view")

    assert "days has to be from 1 to 3650." in client.get(ADDRESS, {"days": days}).content.decode()
    assert get(client, "retention", days=days)[0] == 400


@pytest.mark.parametrize("role", ["view", "operate", "edit", "admin"])
def test_every_role_may_look(person, role):
    assert person(role).get(ADDRESS).status_code == 200


def test_others_may_not_and_nobody_may_post(client, person, django_user_model):
    assert client.get(ADDRESS).status_code == 302
    client.force_login(django_user_model.objects.create_user("staff", is_staff=True))
    assert client.get(ADDRESS).status_code == 403
    assert client.get(reverse("monitor:api-retention")).status_code == 403
    assert person("admin").post(ADDRESS).status_code == 405


def test_it_says_that_nothing_is_planned_and_what_was_deleted_last(person):
    AuditEntry.objects.record(None, "prune", "history", count=1234)

    text = person("view").get(ADDRESS).content.decode()

    assert "No clean-up is planned" in text
    assert "deleted 1,234 rows" in text


def test_it_loads_without_redis(person, history, redis_away):
    text = person("view").get(ADDRESS).content.decode()

    assert cells(text)[3] == "13"
    assert "Redis does not answer" in text


def test_page_json_and_command_say_the_same(person, capsys, history):
    client = person("view")
    at = {"at", "next_clean_up"}

    told, answered = jobs(capsys, "retention", "--days", "7", "--json"), get(client, "retention", days=7)[1]

    assert {k: v for k, v in told.items() if k not in at} == {k: v for k, v in answered.items() if k not in at}
    good = told["kinds"][0]
    assert good["deletes"] == {"value": 5, "how": "exactly", "bytes": good["deletes"]["bytes"]}
    assert (good["tried"]["days"], good["tried"]["value"]) == (7, 12)
    head, first, *_rest, planned, server = jobs(capsys, "retention").splitlines()
    assert head.split() == ["rows", "days", "setting", "number", "oldest", "deletes", "MB"]
    assert first.split()[:4] == ["succeeded", "30", "RETENTION_SUCCEEDED_DAYS", "13"]
    assert planned.startswith("next clean-up: 20")
    assert server == "Redis keeps a job that succeeded for 3600 s, one that failed for 2592000 s"
    assert "7" in jobs(capsys, "retention", "--days", "7").splitlines()[1].split()
    with pytest.raises(CommandError, match="from 1 to 3650"):
        jobs(capsys, "retention", "--days", "0")
