"""jobs stats and queue-history, and their JSON: the numbers of pages and charts, and days by our own clock."""

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.management import CommandError
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import charts, days, stats
from amazon_pilot.jobs.inspect.window import window
from amazon_pilot.jobs.models import JobRun, Tally
from tests.staff import serve

from .faces import get, jobs
from .test_same_numbers import shop, shown

__all__ = ["shop"]

pytestmark = pytest.mark.django_db(transaction=True)


def ended(at, outcome="succeeded", queue="low", number=1):
    JobRun.objects.bulk_create(
        JobRun(
            job_id=f"{queue}-{outcome}-{at.timestamp()}-{n}", execution_id="e", task="t", queue=queue, outcome=outcome,
            started_at=at, ended_at=at, wait=0.5, duration=1.0,
        )
        for n in range(number)
    )  # fmt: skip


def test_the_queues_have_the_numbers_of_their_page(capsys, person, shop):
    client = person("view")

    told = jobs(capsys, "stats", "--json")

    for queue in told["queues"]:
        page = shown(client, queue["name"])
        assert {name: queue[name] for name in page} == page
        assert page["waiting"] > 0
    for name in ("waiting", "running", "scheduled", "deferred", "failed"):
        assert told["total"][name] == sum(queue[name] for queue in told["queues"])
    assert get(client, "stats")[1]["queues"] == told["queues"]


@pytest.mark.later
def test_lines_tell_queues_total_workers_and_redis(capsys, redis, shop):
    serve(busy=1)
    ended(timezone.now(), "failed", number=4)
    ended(timezone.now(), number=5)
    told = stats.glance()

    head, *rows, workers, server = jobs(capsys, "stats").splitlines()

    assert re.split(r"\s{2,}", head.strip())[:4] == ["queue", "waiting", "running", "scheduled"]
    cells = {row.split()[0]: row.split()[1:] for row in rows}
    assert list(cells) == ["critical", "default", "low", "total"]
    assert cells["default"][0] == str(told["queues"][1]["waiting"])
    assert cells["low"][5:7] == ["13", "8"]  # the shop has four failures in each queue
    assert cells["total"][5:7] == ["21", "16"]
    assert cells["low"][3] == "-"  # no reading was taken, so nobody knows the retries
    assert workers == "workers: 1 alive, 1 of 2 slots busy"
    assert redis.info()["redis_version"] in server


@pytest.mark.later
def test_days_are_those_of_our_clock_and_hold_what_is_folded_and_what_is_not(settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    tokyo = ZoneInfo("Asia/Tokyo")
    now = datetime(2026, 3, 10, 10, 0, 30, tzinfo=tokyo)
    ended(datetime(2026, 3, 8, 23, 59, tzinfo=tokyo), number=2)
    ended(datetime(2026, 3, 9, 0, 1, tzinfo=tokyo), "failed", number=3)
    ended(datetime(2026, 3, 9, 23, 30, tzinfo=tokyo), "lost")
    ended(datetime(2026, 3, 10, 0, 30, tzinfo=tokyo), "retrying")
    Tally.objects.fold(now - timedelta(minutes=5))
    ended(now - timedelta(minutes=2), number=4)

    told = stats.past(3, "low", now)["days"]

    assert [tuple(day.values()) for day in told] == [
        ("2026-03-10", 5, 4, 0),
        ("2026-03-09", 4, 0, 4),
        ("2026-03-08", 2, 2, 0),
    ]
    assert stats.past(1, "low", now)["days"] == told[:1]


@pytest.mark.later
def test_a_day_is_what_the_chart_of_the_queue_draws():
    now = timezone.now()
    for n in range(5):
        ended(now - timedelta(days=n, minutes=1), "failed", number=n + 1)
        ended(now - timedelta(days=n, minutes=1), queue="default")
    Tally.objects.fold(now)

    for queue in ("low", "default", ""):
        days, chart = stats.past(90, queue, now)["days"], charts.series(window("90d", now), queue=queue)
        assert sum(day["failed"] for day in days) == sum(chart["failed"])
        assert sum(day["succeeded"] for day in days) == sum(chart["succeeded"])
    assert sum(day["processed"] for day in days) == 15 + 5


def test_command_and_api_answer_the_same_history(capsys, person):
    ended(timezone.now(), "failed", number=3)

    told = jobs(capsys, "queue-history", "low", "--days", "4", "--json")

    assert get(person("view"), "queue-history", "low", days="4") == (200, told)
    assert (len(told["days"]), told["days"][0]["failed"]) == (4, 3)
    lines = jobs(capsys, "queue-history", "low").splitlines()
    assert (lines[0].split(), len(lines)) == (["day", "processed", "succeeded", "failed"], 11)
    assert lines[1].split() == [timezone.localdate().isoformat(), "3", "0", "3"]
    assert jobs(capsys, "queue-history", "default").splitlines()[1].split()[1:] == ["0", "0", "0"]


@pytest.mark.parametrize("words", [("nowhere",), ("low", "--days", "0"), ("low", "--days", "91")])
def test_a_history_that_makes_no_sense_is_refused(capsys, words):
    with pytest.raises(CommandError, match=r"no queue nowhere|from 1 to 90"):
        jobs(capsys, "queue-history", *words)


def test_the_api_refuses_it_too(person):
    client = person("view")

    assert [get(client, "queue-history", "low", days=days)[0] for days in ("0", "x", "91")] == [400] * 3
    assert get(client, "queue-history", "nowhere")[0] == 400


def test_neither_costs_more_with_more_history(person, commands, django_assert_max_num_queries):
    client = person("view")
    ended(timezone.now() - timedelta(minutes=30), number=200)
    Tally.objects.fold(timezone.now())
    commands.clear()

    with django_assert_max_num_queries(9):
        client.get(reverse("monitor:api-stats"))
    with django_assert_max_num_queries(8):
        client.get(reverse("monitor:api-queue-history", args=["low"]))

    assert len(commands) <= 20


def test_today_is_compared_with_the_same_hours_a_week_ago(settings, person):
    settings.TIME_ZONE = "Europe/Berlin"
    zone = ZoneInfo("Europe/Berlin")
    now = datetime(2026, 3, 31, 14, 40, tzinfo=zone)  # the clock was put forward two days before
    with timezone.override(zone):
        for at, number in ((now, 1), (now - timedelta(minutes=41), 3), (datetime(2026, 3, 30, 23, tzinfo=zone), 9)):
            ended(at, number=number)
        for at, number in ((datetime(2026, 3, 24, 14, 10, tzinfo=zone), 1), (datetime(2026, 3, 24, 0, tzinfo=zone), 5)):
            ended(at, "failed", number=number)
        Tally.objects.fold(now + timedelta(hours=1))

        told = days.against_last_week(now)

    assert told["until"] == datetime(2026, 3, 31, 14, tzinfo=zone)
    assert told["today"] == {"processed": 3, "succeeded": 3, "failed": 0}
    assert told["week_ago"] == {"processed": 5, "succeeded": 0, "failed": 5}
    assert get(person("view"), "stats")[1]["against_last_week"]["today"].keys() == told["today"].keys()


def test_the_front_page_says_it(admin_client):
    page = admin_client.get(reverse("admin:index")).content.decode()

    assert "Today until" in page
    assert "A week ago until then: 0 ended, 0 failed." in page
