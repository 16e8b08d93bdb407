"""What a task did in a span of time: its slowest runs, and the same hours a week before beside it."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import task_period
from amazon_pilot.jobs.inspect.task_period import Row, compare, slowest
from amazon_pilot.jobs.inspect.window import window
from amazon_pilot.jobs.models import JobRun, Tally
from amazon_pilot.jobs.templatetags.monitor import figure, signed

pytestmark = [pytest.mark.django_db, pytest.mark.both]

NOW = datetime(2026, 3, 10, 12, 30, 20, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)


def runs(number, at, duration=2.0, wait=0.2, task="a.b", **fields):
    base = JobRun.objects.count()
    given = {"task": task, "queue": "low", "outcome": "succeeded", "started_at": at, "ended_at": at} | fields
    JobRun.objects.bulk_create(
        JobRun(job_id=f"j{base + n}", execution_id="e", duration=duration, wait=wait, **given) for n in range(number)
    )


def told(back=HOUR, until=NOW):
    return {str(row.label): (row.now, row.then, row.change) for row in compare("a.b", back, until).rows}


# Against the week before


def test_the_last_whole_hour_is_compared_with_the_same_one_a_week_before():
    runs(90, NOW - HOUR, duration=3.0)  # 11:30, within the last whole hour
    runs(10, NOW - HOUR, duration=3.0, outcome="failed")
    runs(45, NOW - HOUR - WEEK, duration=0.3)
    runs(5, NOW - HOUR - WEEK, duration=0.3, outcome="lost", queue="default")
    for at in (NOW, NOW - 2 * HOUR, NOW - WEEK, NOW - DAY - WEEK):
        runs(999, at, outcome="failed")  # beside those hours
    runs(999, NOW - HOUR, task="a.other")
    Tally.objects.fold(NOW)

    seen = compare("a.b", HOUR, NOW)
    assert (seen.start, seen.end, seen.weeks) == (
        NOW.replace(hour=11, minute=0, second=0),
        NOW.replace(minute=0, second=0),
        1,
    )
    found = told()
    assert found["Runs"] == (100, 50, 1.0)
    assert found["Failed"] == (0.1, 0.1, 0.0)
    for name in ("Run p50", "Run p95"):
        now, then, change = found[name]
        assert 1 < now <= 3
        assert 0.1 < then <= 0.3
        assert change == now / then - 1 > 2
    assert found["Wait p95"][2] == pytest.approx(0)


@pytest.mark.parametrize(
    ("back", "hours", "weeks"),
    [
        (timedelta(minutes=10), 1, 1), (HOUR, 1, 1), (timedelta(minutes=90), 2, 1), (DAY, 24, 1), (WEEK, 168, 1),
        (8 * DAY, 192, 2), (30 * DAY, 720, 5), (90 * DAY, 2160, 13),
    ],
)  # fmt: skip
def test_each_span_is_compared_with_the_same_weekdays_and_does_not_overlap(back, hours, weeks):
    seen = compare("a.b", back, NOW)

    assert (seen.end - seen.start, seen.weeks) == (hours * HOUR, weeks)
    assert seen.end - weeks * WEEK <= seen.start


def test_what_is_not_known_is_told_as_such_and_has_no_change():
    assert set(told().values()) == {(0, 0, None), (None, None, None)}
    runs(4, NOW - HOUR)
    Tally.objects.fold(NOW)
    Tally.objects.filter(span="hour").update(wait_buckets=[])  # as an older version counted it
    found = told(2 * HOUR)

    assert found["Runs"] == (4, 0, None)
    assert found["Failed"] == (0, None, None)
    assert found["Wait p95"] == (None, None, None)
    assert found["Run p50"][0] > 0


def test_the_comparison_is_one_query_and_remembered(django_assert_num_queries):
    with django_assert_num_queries(1):
        told(90 * DAY)
        told(90 * DAY)


@pytest.mark.parametrize(
    ("kind", "now", "then", "written"),
    [
        ("count", 110, 100, "+10%"), ("count", 90, 100, "−10%"), ("count", 100, 100, "±0%"),
        ("count", 1001, 1000, "±0%"),
        ("count", 5, 0, "–"), ("count", 0, 5, "−100%"), ("span", 30.0, 1.5, "+1,900%"), ("span", None, 1.0, "–"),
        ("share", 0.25, 0.2, "+5%"), ("share", 0.0, 0.5, "−50%"), ("share", 0.5, None, "–"),
    ],
)  # fmt: skip
def test_a_change_is_written_with_its_sign(kind, now, then, written):
    assert signed(Row("", kind, now, then).change) == written


def test_a_figure_is_written_by_its_kind():
    assert [figure(1234, "count"), figure(0.5, "share"), figure(90.0, "span"), figure(None, "span")] == [
        "1,234", "50%", "1 min 30 s", "–"
    ]  # fmt: skip


# The slowest runs


def test_the_slowest_runs_are_those_of_the_span_and_of_the_task():
    for minute in range(20):
        runs(1, NOW - timedelta(minutes=minute), duration=float(minute))
    runs(1, NOW - 2 * HOUR, duration=999.0)
    runs(1, NOW - timedelta(minutes=1), duration=500.0, task="a.other")
    runs(1, NOW - timedelta(minutes=1), duration=None, outcome="started", ended_at=None)

    assert [run.duration for run in slowest("a.b", window("1h", NOW))] == [float(n) for n in range(19, 9, -1)]
    assert next(run.duration for run in slowest("a.b", window("24h", NOW))) == 999
    past = window("1h", NOW, NOW - timedelta(minutes=100))
    assert [run.duration for run in slowest("a.b", past)] == [999]


def test_no_more_than_the_newest_are_looked_at_in_one_query(monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(task_period, "NEWEST_OF_ONE", 5)
    for minute in range(8):
        runs(1, NOW - timedelta(minutes=minute), duration=float(minute))

    with django_assert_num_queries(1):
        assert [run.duration for run in slowest("a.b", window("1h", NOW))] == [5, 4, 3, 2, 1]


# The page


@pytest.fixture
def page(person, redis):
    client = person("view")

    def get(headers=None, status=200, task="a.b", **asked):
        answer = client.get(reverse("monitor:task", args=[task]), asked, headers=headers or {})
        assert answer.status_code == status
        return " ".join(answer.content.decode().split())

    return get


def test_the_page_links_the_slowest_runs_of_the_span_in_its_address(page):
    now = timezone.now()
    runs(1, now - timedelta(minutes=5), duration=7.0)
    runs(1, now - 5 * HOUR, duration=8.0)

    near, far = page(), page(range="6h")

    assert reverse("monitor:job", args=["j0"]) in near
    assert reverse("monitor:job", args=["j1"]) not in near
    assert far.index("/job/j1") < far.index("/job/j0")
    past = page(range="1h", end=(now - 4.5 * HOUR).isoformat())
    assert "/job/j1" in past
    assert "/job/j0" not in past


def test_a_script_gets_the_part_alone(page):
    runs(1, timezone.now())

    part = page({"HX-Request": "true"}, range="7d")
    assert "Slowest runs" in part
    assert "Against the week before" in part
    assert "What it promises" not in part
    page({"HX-Request": "true"}, 404, task="never.was")


@pytest.mark.parametrize("asked", [{"range": "1x"}, {"range": ""}, {"end": "yesterday"}, {"end": "2001-01-01T00:00Z"}])
def test_a_span_that_is_none_is_told_and_leaves_the_page_standing(page, asked):
    runs(1, timezone.now())

    text = page(**asked)
    assert "What it promises" in text
    assert "Slowest runs" not in text
    assert 'class="notice bad"' in text
