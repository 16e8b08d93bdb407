"""Tally.fold: what ended is counted once, by minute, by hour and in total, in few steps however many minutes."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from amazon_pilot.jobs.models import JobRun, Tally, Total
from amazon_pilot.jobs.models.total import BUCKETS, SUM
from tests.busy_day import run
from tests.migrating import OldPath

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def totals():
    return Total.objects.ended()


@pytest.mark.later
def test_totals_are_the_sum_of_all_minutes_and_folding_again_adds_nothing():
    for minute in range(70):
        run(f"a{minute}", task="a", ended_at=START + timedelta(minutes=minute))
        run(f"b{minute}", task="b", queue="low", outcome="failed", ended_at=START + timedelta(minutes=minute))
    until = START + timedelta(minutes=70)

    assert Tally.objects.fold(until) == 140
    expected = {("default", "a", "succeeded"): 70, ("low", "b", "failed"): 70}
    assert totals() == expected
    Tally.objects.fold(until)
    assert totals() == expected

    run("late", task="a", ended_at=until - timedelta(minutes=2))  # told late, in a minute that was counted before
    Tally.objects.fold(until)
    assert totals() == expected | {("default", "a", "succeeded"): 71}
    hours = Tally.objects.filter(span="hour", task="a").order_by("at").values_list("count", flat=True)
    assert list(hours) == [60, 11]


def test_a_total_never_falls():
    for minute in range(3):
        run(f"a{minute}", task="a", ended_at=START + timedelta(minutes=minute))
    Tally.objects.fold(START + timedelta(minutes=3))
    JobRun.objects.all().delete()
    run("new", task="a", ended_at=START + timedelta(minutes=2))

    Tally.objects.fold(START + timedelta(minutes=3))
    assert totals() == {("default", "a", "succeeded"): 3}


def test_an_hour_costs_as_few_queries_as_a_minute(django_assert_max_num_queries):
    for minute in range(60):
        run(f"a{minute}", ended_at=START + timedelta(minutes=minute))

    with django_assert_max_num_queries(20):
        assert Tally.objects.fold(START + timedelta(hours=1)) == 60


def test_months_in_which_nothing_ended_cost_nothing(django_assert_max_num_queries):
    for days in (0, 90, 91, 200):
        run(f"a{days}", task="a", ended_at=START + timedelta(days=days))

    with django_assert_max_num_queries(64):
        assert Tally.objects.fold(START + timedelta(days=201)) == 4
    assert totals() == {("default", "a", "succeeded"): 4}
    assert Tally.objects.filter(span="hour").count() == Tally.objects.filter(span="minute").count() == 4


# How long they waited and ran, for Prometheus


def heights(name, task):
    rows = dict(Total.objects.filter(name=name, subject=task).values_list("outcome", "count"))
    return [rows.get(str(n), 0) for n in range(len(BUCKETS) + 1)], rows.get(SUM, 0)


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (0, 0), (0.01, 0), (0.011, 1), (0.1, 2), (0.5, 3), (0.75, 4), (1, 4), (4.9, 5), (60, 7), (299, 8), (1800, 9),
        (1801, 10), (10**7, 10),
    ],
)  # fmt: skip
@pytest.mark.parametrize(("name", "column"), [("wait", "wait"), ("run", "duration")])
def test_a_run_lies_in_the_bucket_of_its_length(name, column, seconds, bucket):
    run("one", task="a", ended_at=START, **{column: seconds})
    Tally.objects.fold(START + timedelta(minutes=1))

    expected = [0] * 11
    expected[bucket] = 1
    assert heights(name, "a") == (expected, round(1000 * seconds))


def test_what_never_waited_lies_in_no_bucket():
    run("one", task="a", ended_at=START, wait=None)
    Tally.objects.fold(START + timedelta(minutes=1))

    assert heights("wait", "a") == ([0] * 11, 0)
    assert sum(heights("run", "a")[0]) == 1


@pytest.mark.later
def test_buckets_never_fall_and_count_what_comes_late_once():
    for minute in range(10):
        for outcome in ("succeeded", "failed"):
            run(f"{outcome}{minute}", task="a", outcome=outcome, wait=0.2, duration=2, ended_at=at_minute(minute))
    for _ in range(3):
        Tally.objects.fold(at_minute(10))
    assert (heights("wait", "a")[0][3], heights("run", "a")) == (20, ([0] * 5 + [20] + [0] * 5, 40_000))

    run("late", task="a", wait=0.2, duration=2, ended_at=at_minute(8))
    Tally.objects.fold(at_minute(10))
    assert heights("run", "a") == ([0] * 5 + [21] + [0] * 5, 42_000)
    JobRun.objects.all().delete()
    run("new", task="a", wait=0.2, duration=2, ended_at=at_minute(9))
    Tally.objects.fold(at_minute(10))
    assert heights("run", "a") == ([0] * 5 + [21] + [0] * 5, 42_000)


def test_minutes_that_an_older_version_counted_are_taken_as_they_are():
    run("old", task="a", duration=2, ended_at=START)
    Tally.objects.fold(START + timedelta(minutes=1))
    Tally.objects.update(wait_buckets=[], duration_buckets=[])
    Total.objects.filter(name__in=("wait", "run")).delete()
    Tally.objects.fold(START + timedelta(minutes=1))

    assert heights("run", "a")[0][5] == 1
    assert totals() == {("default", "a", "succeeded"): 1}


def at_minute(number):
    return START + timedelta(minutes=number)


# Totals of the installation before


@pytest.mark.django_db(transaction=True)
def test_totals_that_had_a_table_of_their_own_are_carried_over_and_back():
    before = [("jobs", "0022_give_scripts_tokens")]
    kept = {("low:urgent", "b.c", "failed"): 3, ("default", "a" * 200, "succeeded"): 2**40, ("q" * 100, "a", "lost"): 1}
    Total.objects.raise_by(Total.Name.POISONED, {("low", "b.c"): 4})
    executor = OldPath(connection)
    latest = executor.loader.graph.leaf_nodes()
    try:
        executor.migrate(before)
        old = executor.loader.project_state(before).apps.get_model("jobs", "TallyTotal")
        for (queue, task, outcome), number in kept.items():
            old.objects.create(queue=queue, task=task, outcome=outcome, count=number)
        OldPath(connection).migrate(latest)
        assert list(Total.objects.ended().items()) == list(kept.items())
        assert dict(Total.objects.filter(name="poisoned").values_list("outcome", "count")) == {"b.c": 4}

        OldPath(connection).migrate(before)
        rows = old.objects.order_by("pk").values_list("queue", "task", "outcome", "count")
        assert {(queue, task, outcome): number for queue, task, outcome, number in rows} == kept
    finally:
        OldPath(connection).migrate(latest)
    assert Total.objects.ended() == kept
