"""Retention: what is kept too long is deleted, nothing else is, and the preview says beforehand what will be."""

import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta

import pytest
from django.core.checks import run_checks
from django.utils.timezone import now

from amazon_pilot.jobs import tasks
from amazon_pilot.jobs.history import retention
from amazon_pilot.jobs.models import (
    Alert,
    AuditEntry,
    Batch,
    BulkAction,
    Fire,
    JobRun,
    JobSubject,
    Reading,
    Silence,
    Tally,
    Total,
)  # fmt: skip
from tests.busy_day import failed_run, run
from tests.jobs.conftest import ROOT
from tests.jobs.schedule_world import make_entry
from tests.world import enqueued

pytestmark = pytest.mark.django_db

NOW = now()


def ago(**span):
    return NOW - timedelta(**span)


def old_run(job_id, days, **fields):
    """Write a run that ended so many days ago."""
    at = ago(days=days)
    write = run if fields.get("outcome", "succeeded") == "succeeded" else failed_run
    return write(job_id, started_at=at, ended_at=at + timedelta(seconds=3), **fields)


def counted():
    """Have every run counted, as the minutely task does; the newest one is what it counts again."""
    old_run("newest", 0)
    Tally.objects.fold(NOW + timedelta(minutes=1))


def names():
    return set(JobRun.objects.values_list("job_id", flat=True))


def totals():
    return {(task, outcome): number for (_queue, task, outcome), number in Total.objects.ended().items()}


def hours():
    return Counter({(t.at, t.outcome): t.count for t in Tally.objects.filter(span="hour", at__gte=ago(days=399))})


def everything():
    """Write of each kind of row some that are kept too long and some that are not."""
    for n in range(7):
        old_run(f"good{n}", 31)
        old_run(f"bad{n}", 91, outcome=("failed", "retrying", "stopped", "lost")[n % 4])
        old_run(f"young{n}", 29)
    counted()
    entry = make_entry("kept")
    for n in range(4):
        AuditEntry.objects.record(None, "pause", "queue:low")
        BulkAction.objects.create(action="retry", state="done", ended_at=ago(days=91))
        at = ago(days=91, minutes=n)
        Fire.objects.create(entry=entry, planned_at=at, decided_at=at, outcome="missed")
        Silence.objects.note(at, at + timedelta(seconds=30))
        Batch.objects.create(task="gone", children=2, at=at)
        JobSubject.objects.note([("product:1", f"old{n}", at), ("product:1", f"new{n}", ago(days=1))])
        over = ago(days=401)
        Alert.objects.create(rule="poison", subject=f"{n}", severity="warning", since=over, resolved_at=over)
        Alert.objects.create(rule="poison", subject=f"open{n}", severity="warning", since=over)
    AuditEntry.objects.update(at=ago(days=401))
    BulkAction.objects.update(created_at=ago(days=91))
    for span, days in (("minute", 3), ("hour", 401), ("hour", 3)):
        at = ago(days=days)
        words = {"waiting": 1, "running": 0, "scheduled": 0, "held": 0, "failed": 0, "canceled": 0, "oldest": 0}
        Reading.objects.create(span=span, at=at, queue="low", **words)
        Tally.objects.create(span=span, at=at, queue="low", task="gone", outcome="succeeded", count=1)


@pytest.mark.later
def test_runs_are_kept_for_as_long_as_their_outcome_says():
    for days in (29, 31, 89, 91):
        old_run(f"good{days}", days)
        old_run(f"bad{days}", days, outcome="failed")
        old_run(f"retried{days}", days, outcome="retrying")
    counted()

    retention.clean_up(NOW)

    assert names() == {"good29", "bad29", "bad31", "bad89", "retried29", "retried31", "retried89", "newest"}


@pytest.mark.later
def test_the_settings_decide(settings):
    settings.RETENTION_SUCCEEDED_DAYS, settings.RETENTION_FAILED_DAYS = 5, 400
    old_run("good", 6)
    old_run("bad", 300, outcome="failed")
    counted()

    retention.clean_up(NOW)

    assert names() == {"bad", "newest"}


def test_a_run_that_has_not_ended_or_ended_lately_is_kept():
    old_run("running", 200, outcome="started")
    JobRun.objects.update(ended_at=None)
    run("long", started_at=ago(days=40), ended_at=ago(days=2))
    counted()

    retention.clean_up(NOW)

    assert names() == {"running", "long", "newest"}


def test_a_run_that_is_not_counted_yet_is_kept_until_it_is():
    for n in range(3):
        old_run(f"good{n}", 50)
    retention.clean_up(NOW)
    assert len(names()) == 3

    counted()
    retention.clean_up(NOW)

    assert names() == {"newest"}
    assert totals()["tests.jobs.tasks.add", "succeeded"] == 4


@pytest.mark.later
def test_totals_and_charts_stay_when_the_history_goes():
    everything()
    before, drawn = totals(), hours()

    retention.clean_up(NOW)
    Tally.objects.fold(NOW + timedelta(minutes=2))

    assert JobRun.objects.count() == 8
    assert totals() == before
    assert hours() == drawn


def test_nothing_is_counted_twice_after_days_in_which_nothing_ended():
    old_run("last", 5)
    Tally.objects.fold(NOW - timedelta(days=4))
    before = totals()

    retention.clean_up(NOW)
    run("first", started_at=NOW, ended_at=NOW)
    Tally.objects.fold(NOW + timedelta(minutes=1))

    assert before == {("tests.jobs.tasks.add", "succeeded"): 1}
    assert totals() == {("tests.jobs.tasks.add", "succeeded"): 2}


@pytest.mark.later
def test_the_preview_says_what_the_clean_up_deletes():
    everything()
    moment, _planned, lines = retention.preview(NOW)
    said = {line.kind.name: line.doomed.number.value for line in lines}

    deleted, is_done = retention.clean_up(moment)

    assert is_done
    assert deleted == Counter({name: number for name, number in said.items() if number})
    assert {name for name, number in said.items() if number} == {kind.name for kind in retention.KINDS}
    assert [line.doomed.number.value for line in retention.preview(NOW)[2]] == [0] * len(retention.KINDS)


@pytest.mark.later
def test_other_days_are_tried_and_nothing_changes():
    everything()
    rows = JobRun.objects.count()

    lines = {line.kind.name: line for line in retention.preview(NOW, days=28)[2]}

    good = lines["succeeded"]
    assert (good.doomed.number.value, good.tried_days, good.tried.number.value) == (7, 28, 14)
    assert good.tried.bytes == pytest.approx(2 * good.doomed.bytes, rel=0.1)
    assert lines["tally_minutes"].tried is None
    assert JobRun.objects.count() == rows


@pytest.mark.later
def test_a_preview_is_told_as_of_the_next_clean_up():
    old_run("nearly", 29.5)
    counted()
    assert retention.preview(NOW)[2][0].doomed.number.value == 0

    entry = make_entry("cleanup", task=retention.TASK, next_at=NOW + timedelta(hours=20))
    moment, planned, lines = retention.preview(NOW)
    assert (moment, planned, lines[0].doomed.number.value) == (entry.next_at, entry.next_at, 1)

    entry.paused_at = NOW
    entry.save()
    assert retention.preview(NOW)[1] is None


@pytest.mark.later
def test_a_preview_counts_so_far_and_no_farther(monkeypatch):
    monkeypatch.setattr(retention, "COUNTED", 5)
    everything()

    line = retention.preview(NOW)[2][0]

    assert line.rows.how in ("about", "more")
    assert line.rows.value >= 5
    assert line.doomed.bytes > 5 * 500


# Steps of four rows; in the third the process dies by kill -9 when its rows are deleted and not committed.
DYING = """
import os, signal, django
django.setup()
from amazon_pilot.jobs.history import retention
from amazon_pilot.jobs.models.expiring import ExpiringQuerySet
prune = ExpiringQuerySet.prune_in_steps
def dying(rows, before):
    for step, gone in enumerate(prune(rows, before, batch=4), start=1):
        if step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield gone
ExpiringQuerySet.prune_in_steps = dying
retention.clean_up()
"""


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_clean_up_that_is_killed_goes_on_where_it_was(process_env):
    for n in range(12):
        old_run(f"good{n:02}", 40 - n / 100)
    counted()

    killed = subprocess.run([sys.executable, "-c", DYING], env=process_env, cwd=ROOT, timeout=60)

    assert killed.returncode == -signal.SIGKILL
    assert names() == {f"good{n:02}" for n in range(8, 12)} | {"newest"}
    assert AuditEntry.objects.get(action="prune").count == 8

    assert retention.clean_up(NOW)[0]["succeeded"] == 4
    assert names() == {"newest"}
    lines = AuditEntry.objects.filter(action="prune").order_by("at")
    assert [line.detail["succeeded"] for line in lines] == [8, 4]


def test_a_clean_up_that_is_out_of_time_asks_for_another(monkeypatch, django_capture_on_commit_callbacks):
    old_run("good", 40)
    counted()
    monkeypatch.setattr(tasks, "CLEANUP_SECONDS", 0)

    with django_capture_on_commit_callbacks(execute=True):
        tasks.cleanup()
    assert (retention.TASK, []) in enqueued()
    assert "good" in names()

    monkeypatch.setattr(tasks, "CLEANUP_SECONDS", 60)
    tasks.cleanup()
    assert names() == {"newest"}


@pytest.mark.later
def test_a_clean_up_leaves_one_line_of_audit_and_none_where_nothing_was_deleted():
    everything()

    retention.clean_up(NOW)
    retention.clean_up(NOW)

    line = AuditEntry.objects.get(action="prune")
    assert (line.actor, line.source, line.target) == (None, "system", "history")
    assert (line.detail["succeeded"], line.detail["audit"]) == (7, 4)
    assert line.count == sum(line.detail.values())


@pytest.mark.later
@pytest.mark.parametrize("days", [0, -1, "30", None, True, 1.5])
def test_a_number_of_days_that_is_none_is_refused(settings, days):
    assert [error for error in run_checks() if error.id == "jobs.E004"] == []
    settings.RETENTION_AUDIT_DAYS = days

    (error,) = [error for error in run_checks() if error.id == "jobs.E004"]

    assert error.msg == f"RETENTION_AUDIT_DAYS is {days!r}, which cannot be used."
    assert error.hint == "Set it to a whole number of days from 1 to 3650."
