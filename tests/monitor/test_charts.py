"""Charts: what is drawn of a queue over time, and of all queues now, is what the rows and Redis say."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.models import Reading, Tally
from amazon_pilot.jobs.monitor import charts, live, sample
from tests.busy_day import busy_day, failed_run, run  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime(2026, 3, 1, 13, 30, 30, tzinfo=UTC)


def reading(minutes, span="minute", queue="default", **values):
    given = {"waiting": 4, "running": 2, "scheduled": 3, "retries": 1, "held": 1, "failed": 5, "canceled": 0}
    at = NOW.replace(second=0) - timedelta(minutes=minutes)
    return Reading.objects.create(span=span, at=at, queue=queue, **given | {"oldest": 7.5, "memory": 1000} | values)


def test_a_minute_is_drawn_as_it_was_read():
    reading(0)
    reading(1, waiting=10, oldest=99.0, memory=None, retries=None)
    reading(1, queue="low", waiting=70)
    reading(60 * 24)

    drawn = charts.gauges("1h", "default", now=NOW)

    assert len(drawn["waiting"]) == len(charts.series("1h", queue="default", now=NOW)["at"]) == 60
    assert drawn["waiting"][-3:] == [None, 10, 4]
    assert drawn["size"][-3:] == [None, 16, 10]
    assert drawn["oldest"][-3:] == [None, 99, 7.5]
    assert (drawn["memory"][-3:], drawn["retries"][-3:]) == ([None, None, 1000], [None, None, 1])


def test_a_longer_step_is_the_mean_of_sizes_and_the_worst_of_ages():
    for minutes, waiting in ((0, 10), (5, 20), (9, 33)):  # the last step of 24 h began at 13:20
        reading(minutes, waiting=waiting, oldest=float(waiting))
    reading(11, waiting=500)

    drawn = charts.gauges("24h", "default", now=NOW)
    assert (drawn["waiting"][-2:], drawn["oldest"][-1]) == ([500, 21], 33)


def test_months_are_drawn_from_hours():
    reading(30, span="hour", waiting=8)
    reading(30 + 60 * 24 * 80, span="hour", waiting=3)
    reading(0, waiting=1000)

    drawn = charts.gauges("90d", "default", now=NOW)
    assert [value for value in drawn["waiting"] if value is not None] == [3, 8]


def test_rates_are_those_of_the_runs():
    for n in range(6):
        run(f"good{n}", ended_at=NOW - timedelta(minutes=2))
    for n in range(2):
        failed_run(f"bad{n}", ended_at=NOW - timedelta(minutes=2))
    failed_run("now", ended_at=NOW - timedelta(seconds=10))
    Tally.objects.fold(NOW - timedelta(minutes=1))

    drawn = charts.series("1h", queue="default", now=NOW)
    assert drawn["error_rate"][-4:] == [None, 25.0, None, 100.0]
    assert drawn["per_second"][-3] == round(8 / 60, 3)
    assert (drawn["failed_per_second"][-3], drawn["failed_per_second"][-1]) == (round(2 / 60, 3), round(1 / 30, 3))


def test_only_a_queue_has_gauges(person):
    reading(0)
    client, address = person("view"), reverse("monitor:chart")
    assert "waiting" in client.get(address, {"queue": "default"}).json()["gauges"]
    assert "gauges" not in client.get(address, {"queue": "default", "task": "x"}).json()
    assert "gauges" not in client.get(address).json()
    assert client.get(address, {"range": "2y", "queue": "default"}).status_code == 400


def test_every_part_of_a_bar_leads_to_as_many_jobs_as_it_says(busy_day, person):  # noqa: F811
    text = person("view").get(reverse("monitor:queues")).content.decode()
    bars = charts.bars(sample.current())

    default = next(bar for bar in bars if bar.queue == "default")
    assert {part.state for part in default.parts} >= {"waiting", "running", "scheduled", "deferred", "failed"}
    for part in default.parts:
        assert part.count == live.count(part.asked, "default")
        assert f"?q=state%3A{part.asked}+queue%3Adefault" in text
    assert default.total == sum(part.count for part in default.parts) == sum(n for *_words, n in default.counts)


def test_bars_are_as_long_as_their_queues_are_and_small_parts_can_be_seen():
    def queue(name, **counts):
        states = {state: counts.get(state, 0) for state, *_words in charts.BARS}
        rest = {"finished": 0, "oldest": 0.0, "next_due": None, "weight_ratio": 1.0, "share_ratio": None}
        return sample.QueueSample(
            name=name, weight=1, **states, **rest, out_per_minute=None, in_per_minute=None, paused=False
        )

    queues = [queue("a", waiting=999_999, failed=1), queue("b", running=500_000), queue("c")]
    big, half, empty = charts.bars(sample.Sample(0, queues, {}, [], 0, 0, {}, {}, {}))

    assert [part.width for part in big.parts] == [pytest.approx(98, abs=0.1), pytest.approx(2, abs=0.1)]
    assert big.parts[-1].x + big.parts[-1].width == pytest.approx(100, abs=0.1)
    assert half.parts[0].width == pytest.approx(51, abs=0.1)
    assert (empty.parts, empty.total) == ([], 0)


def test_charts_cost_few_queries(person, django_assert_max_num_queries):
    client = person("view")
    for name in charts.RANGES:
        with django_assert_max_num_queries(9):
            answer = client.get(reverse("monitor:chart"), {"range": name, "queue": "default"})
        assert len(answer.json()["gauges"]["size"]) == len(answer.json()["at"])


def test_a_queue_page_names_every_chart(busy_day, person):  # noqa: F811
    text = person("view").get(reverse("monitor:queue", args=["default"])).content.decode()
    drawn = set(re.findall(r'data-chart="(\w+)"', text))
    assert drawn == {"runs", "wait", "pace", "rate", "sizes", "oldest", "memory"}
    assert json.dumps(charts.gauges("1h", "default", now=timezone.now()))  # it has only what JSON can say
