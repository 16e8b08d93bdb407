"""Releases: noticed when a process starts, or marked by hand; on charts, and beside failures."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, OperationalError, connection, connections
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.history import releases, rows
from amazon_pilot.jobs.models import AuditEntry, Cause, JobRun, Release
from amazon_pilot.jobs.models.cause import QUIET, Seen

NOW = timezone.now()


def marks():
    return list(Release.objects.order_by("pk").values_list("name", flat=True))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("names", "marked"),
    [
        (["v1", "v1"], ["v1"]),
        (["v1", "v2", "v2"], ["v1", "v2"]),
        (["v1", "v2", "v1"], ["v1", "v2", "v1"]),  # rolled back
        (["", "  "], []),
        (["v" * 99], ["v" * 60]),
        (["v" * 99, "v" * 98], ["v" * 60]),
    ],
)
def test_a_release_is_marked_when_it_is_another_than_before(names, marked):
    for name in names:
        Release.objects.note(name)
    assert marks() == marked


@pytest.mark.django_db
def test_of_two_processes_that_start_at_once_one_makes_the_mark(monkeypatch):
    Release.objects.note("v1")
    known = Release.objects.current()
    Release.objects.note("v2")
    monkeypatch.setattr(Release.objects.all().__class__, "current", lambda self: known)  # what the slower one had read

    assert Release.objects.note("v2") is False
    assert marks() == ["v1", "v2"]
    with pytest.raises(IntegrityError):
        Release.objects.create(name="v2", after=known.pk)


@pytest.mark.django_db(transaction=True)
def test_a_process_that_starts_notices_its_release(settings):
    settings.RELEASE = "v9"
    releases.notice()
    releases.notice()
    assert marks() == ["v9"]


@pytest.mark.django_db(transaction=True)
def test_a_process_starts_though_the_database_is_away(settings, monkeypatch, caplog):
    settings.RELEASE = "v9"
    monkeypatch.setattr(
        Release.objects.all().__class__, "note", lambda self, name: (_ for _ in ()).throw(OperationalError("away"))
    )
    releases.notice()
    assert "could not be marked" in caplog.text
    connections.close_all()


@pytest.mark.django_db
def test_a_release_is_marked_by_hand_with_a_line_of_audit():
    out = StringIO()
    call_command("release", "2026-06-01", stdout=out)
    call_command("release", "2026-06-01", stdout=out)
    call_command("release", stdout=out)

    first, again, listed = out.getvalue().splitlines()
    assert "is marked from now on" in first
    assert "no mark was made" in again
    assert listed.endswith("  2026-06-01")
    line = AuditEntry.objects.get()
    assert (line.action, line.target, line.source) == ("mark release", "release 2026-06-01", "command")
    with pytest.raises(CommandError, match="can be printed"):
        call_command("release", "a\nb")


@pytest.mark.django_db
def test_a_chart_has_the_releases_of_its_time(admin_client):
    for name, ago in (("v1", timedelta(hours=30)), ("v2", timedelta(minutes=20)), ("v3", timedelta(minutes=5))):
        Release.objects.note(name, at=NOW - ago)

    answer = admin_client.get(reverse("monitor:chart"), {"range": "1h"}).json()

    assert [mark["name"] for mark in answer["releases"]] == ["v2", "v3"]
    assert answer["releases"][0]["at"] == int((NOW - timedelta(minutes=20)).timestamp())


@pytest.mark.django_db
def test_a_group_says_with_which_release_it_is_new_and_with_which_it_came_back(admin_client):
    Release.objects.note("v1", at=NOW - timedelta(days=5))
    Release.objects.note("v2", at=NOW - timedelta(hours=2))
    for cause, ages in {"known": (96, 70, 50, 30, 10, 1), "new": (1,), "back": (96, 1)}.items():
        for hours in ages:
            at = NOW - timedelta(hours=hours)
            JobRun.objects.create(
                job_id=f"{cause}{hours}", execution_id="e", task="shop.tasks.a", queue="low", outcome="failed",
                started_at=at, ended_at=at, exception="x.Error", fingerprint=cause,
            )  # fmt: skip
            Cause.objects.note([Seen(cause, "shop.tasks.a", "x.Error", at)])

    answer = admin_client.get(reverse("monitor:failures"), {"window": "24h"})
    groups = {row.fingerprint: row for row in answer.context["groups"]["value"]["rows"]}
    fresh = admin_client.get(reverse("monitor:failures"), {"new": "1"})

    assert (groups["new"].release.name, groups["known"].release.name) == ("v2", "v1")
    assert (groups["back"].release.name, groups["back"].is_back) == ("v2", True)
    assert {row.fingerprint for row in fresh.context["groups"]["value"]["rows"]} == {"new", "back"}
    assert "New since v2" in fresh.content.decode()


# What the writer of the history keeps of a cause


def line(cause, started, outcome="failed", n=0):
    return json.dumps([outcome, f"{cause}{n}", f"e{n}-{started}", "low", "shop.tasks.a", 1, "", "w1", 1, started,
                       {"exception": "x.Error", "fingerprint": cause, "ended": started + 1}]).encode()  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_the_writer_keeps_when_a_cause_was_first_and_last_seen():
    start = NOW.timestamp()
    rows.write([rows.row_of(line("a", start + n, n=n), b"") for n in (5, 0, 9)])
    rows.write([rows.row_of(line("a", start + 5, n=5), b"")])  # the same line again
    rows.write([rows.row_of(line("b", start, "retrying"), b"")])

    assert set(Cause.objects.values_list("pk", flat=True)) == {"a", "b"}
    cause = Cause.objects.get(pk="a")
    assert (cause.first_at.timestamp(), cause.last_at.timestamp()) == pytest.approx((start, start + 9))
    assert cause.back_at is None


@pytest.mark.django_db
@pytest.mark.parametrize(("pause", "is_back"), [(QUIET - timedelta(seconds=1), False), (QUIET, True)])
def test_a_cause_that_was_away_for_a_day_is_back(pause, is_back):
    Cause.objects.note([Seen("a", "t", "e", NOW - pause)])
    Cause.objects.note([Seen("a", "t", "e", NOW)])
    Cause.objects.note([Seen("a", "t", "e", NOW - timedelta(seconds=5))])

    assert Cause.objects.get().back_at == (NOW if is_back else None)
    assert Cause.objects.get().last_at == NOW


@pytest.mark.django_db(transaction=True)
def test_what_succeeds_asks_nothing_about_causes_and_subjects():
    text = json.dumps(["succeeded", "j", "e", "low", "t", 1, "", "w", 1, NOW.timestamp(), {}]).encode()
    row = rows.row_of(text, b"")
    rows.write([row])
    with CaptureQueriesContext(connection) as queries:
        rows.write([row])
    asked = " ".join(query["sql"] for query in queries)
    assert "jobs_cause" not in asked
    assert "jobs_jobsubject" not in asked
