"""Tally.fold: what ended is counted once, by minute, by hour and in total, in few steps however many minutes."""

from datetime import UTC, datetime, timedelta

import pytest

from amazon_pilot.jobs.models import JobRun, Tally, TallyTotal
from tests.busy_day import run

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def totals():
    return {(row.queue, row.task, row.outcome): row.count for row in TallyTotal.objects.all()}


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

    with django_assert_max_num_queries(60):
        assert Tally.objects.fold(START + timedelta(days=201)) == 4
    assert totals() == {("default", "a", "succeeded"): 4}
    assert Tally.objects.filter(span="hour").count() == Tally.objects.filter(span="minute").count() == 4
