"""The last hour of each queue: its error rate, and the 95th percentile of its waits from the buckets of the tallies."""

import random
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import days
from amazon_pilot.jobs.inspect.percentile import percentile
from amazon_pilot.jobs.models import JobRun, Tally
from amazon_pilot.jobs.models.total import BUCKETS
from tests.staff import serve

from .faces import cells
from .test_queue_pages import look

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.both]

NOW = datetime(2026, 3, 10, 12, 30, 20, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def ended(waits, at=NOW - 20 * MINUTE, **fields):
    given = {"task": "t", "queue": "low", "outcome": "succeeded", "started_at": at, "ended_at": at} | fields
    base = JobRun.objects.count()
    rows = [{"job_id": f"j{base + n}", "execution_id": f"e{base + n}", "wait": wait} for n, wait in enumerate(waits)]
    JobRun.objects.bulk_create([JobRun(**row | given) for row in rows])


def exact(waits, share=0.95):
    return sorted(waits)[min(len(waits) - 1, int(len(waits) * share))]


def bucket(seconds):
    """The edges of the bucket in which a span lies; the last one reaches to the longest there is."""
    upper = next((bound for bound in BUCKETS if seconds <= bound), float("inf"))
    return max((bound for bound in BUCKETS if bound < upper), default=0.0) if seconds > BUCKETS[0] else 0.0, upper


# From buckets to a percentile


@pytest.mark.parametrize("seed", range(40))
def test_a_percentile_lies_in_the_bucket_of_the_true_one(seed):
    chance = random.Random(seed)
    scale = 10 ** chance.uniform(-3, 4)
    waits = [chance.expovariate(1 / scale) for _ in range(chance.choice([1, 2, 7, 100, 999]))]
    heights = [0] * (len(BUCKETS) + 1)
    for wait in waits:
        heights[next((n for n, bound in enumerate(BUCKETS) if wait <= bound), len(BUCKETS))] += 1

    for share in (0.5, 0.95, 0.99):
        found = percentile(heights, share, max(waits))
        rank = max(0, -(-len(waits) * share // 1) - 1)
        low, high = bucket(sorted(waits)[int(rank)])
        assert low <= found <= min(high, max(waits))


def test_a_percentile_of_nothing_is_not_known():
    assert percentile([0] * 11, 0.95, 3.0) is None
    assert percentile([], 0.95, 0.0) is None


# A queue's last hour


@pytest.mark.parametrize("folded", [NOW - 70 * MINUTE, NOW - 10 * MINUTE, NOW], ids=["long ago", "partly", "all"])
def test_what_is_folded_and_what_is_not_yet_is_told_alike(folded):
    ended([0.2] * 90, NOW - 12 * MINUTE)
    ended([40.0] * 10, NOW - 3 * MINUTE, outcome="failed")
    ended([1000.0] * 500, NOW - 75 * MINUTE, outcome="lost")  # not within the hour
    ended([9.0] * 5, NOW - 3 * MINUTE, queue="default", outcome="retrying")
    Tally.objects.fold(folded)
    days.by_queue(NOW)

    found = days.by_queue(NOW)  # the second time from what is remembered

    assert found["low"]["error_rate_hour"] == 0.1
    assert 15 < found["low"]["wait_p95"] <= 40
    assert found["default"]["error_rate_hour"] == 0
    assert 5 < found["default"]["wait_p95"] <= 9
    assert (found["critical"]["error_rate_hour"], found["critical"]["wait_p95"]) == (None, None)


def test_an_hour_of_which_no_wait_is_known_has_a_rate_alone():
    ended([None] * 4, outcome="failed")
    Tally.objects.fold(NOW)
    Tally.objects.update(wait_buckets=[], duration_buckets=[])  # as an older version wrote them

    assert (days.by_queue(NOW)["low"]["error_rate_hour"], days.by_queue(NOW)["low"]["wait_p95"]) == (1, None)


def test_an_hour_keeps_the_buckets_of_its_minutes():
    for minute in range(3):
        ended([0.2, 100.0], NOW - minute * MINUTE)
    Tally.objects.fold(NOW + MINUTE)

    hour = Tally.objects.get(span="hour")
    assert hour.wait_buckets == [0, 0, 0, 3, 0, 0, 0, 0, 3, 0, 0]
    assert hour.duration_buckets == [0] * 11


def test_two_hundred_queues_cost_as_many_queries_as_three(settings):
    def queries():
        with CaptureQueriesContext(connection) as seen:
            days.by_queue(NOW)
        return len(seen)

    few = queries() + 1  # nothing is folded yet
    settings.QUEUE_WEIGHTS = settings.QUEUE_WEIGHTS | {f"queue-{n}": 1 for n in range(197)}
    for n in range(197):
        ended([n / 10], queue=f"queue-{n}")
    Tally.objects.fold(NOW)

    assert queries() == few
    assert queries() == few - 1  # what a minute adds up to is remembered
    assert days.by_queue(NOW)["queue-196"]["wait_p95"] == pytest.approx(19.6, abs=0.3)


def test_the_pages_the_json_and_the_command_line_tell_it(person, capsys, redis):
    serve()
    now = timezone.now()
    ended([3.0] * 99, now, outcome="failed")
    ended([3.0], now)
    client = person("view")

    row = cells(look(client, "queues"), "low")
    assert (row["Errors, 1 h, 24 h"], row["p95 wait, 1 h"]) == ("99%, 99%", "2.9 s")
    card = look(client, "queue", "low")
    assert card.index("Error rate, 1 h") < card.index("99%") < card.index("p95 wait, 1 h") < card.index("2.9 s")
    [low] = [each for each in client.get(reverse("monitor:api-stats")).json()["queues"] if each["name"] == "low"]
    assert (low["error_rate"], low["error_rate_hour"], low["wait_p95"]) == (0.99, 0.99, pytest.approx(2.9))
    capsys.readouterr()
    call_command("jobs", "stats")
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("low")]
    assert line.split()[-4:] == ["99.0%", "99.0%", "2.9", "s"]
