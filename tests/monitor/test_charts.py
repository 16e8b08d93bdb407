"""Charts: what is drawn of a queue over time, and of all queues now, is what the rows and Redis say."""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import charts, redis_jobs, snapshot
from amazon_pilot.jobs.inspect.window import RANGES, range_of, window
from amazon_pilot.jobs.models import Reading, Tally
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

    drawn = charts.gauges(window("1h", NOW), "default")

    assert len(drawn["waiting"]) == len(charts.series(window("1h", NOW), queue="default")["at"]) == 60
    assert drawn["waiting"][-3:] == [None, 10, 4]
    assert drawn["size"][-3:] == [None, 16, 10]
    assert drawn["oldest"][-3:] == [None, 99, 7.5]
    assert (drawn["memory"][-3:], drawn["retries"][-3:]) == ([None, None, 1000], [None, None, 1])


def test_a_longer_step_is_the_mean_of_sizes_and_the_worst_of_ages():
    for minutes, waiting in ((0, 10), (5, 20), (9, 33)):  # the last step of 24 h began at 13:20
        reading(minutes, waiting=waiting, oldest=float(waiting))
    reading(11, waiting=500)

    drawn = charts.gauges(window("24h", NOW), "default")
    assert (drawn["waiting"][-2:], drawn["oldest"][-1]) == ([500, 21], 33)


def test_months_are_drawn_from_hours():
    reading(30, span="hour", waiting=8)
    reading(30 + 60 * 24 * 80, span="hour", waiting=3)
    reading(0, waiting=1000)

    drawn = charts.gauges(window("90d", NOW), "default")
    assert [value for value in drawn["waiting"] if value is not None] == [3, 8]


def test_rates_are_those_of_the_runs():
    for n in range(6):
        run(f"good{n}", ended_at=NOW - timedelta(minutes=2))
    for n in range(2):
        failed_run(f"bad{n}", ended_at=NOW - timedelta(minutes=2))
    failed_run("now", ended_at=NOW - timedelta(seconds=10))
    Tally.objects.fold(NOW - timedelta(minutes=1))

    drawn = charts.series(window("1h", NOW), queue="default")
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
    bars = charts.bars(snapshot.current())

    default = next(bar for bar in bars if bar.queue == "default")
    assert {part.state for part in default.parts} >= {"waiting", "running", "scheduled", "deferred", "failed"}
    for part in default.parts:
        assert part.count == redis_jobs.count(part.asked, "default")
        assert f"?q=state%3A{part.asked}+queue%3Adefault" in text
    assert default.total == sum(part.count for part in default.parts) == sum(n for *_words, n in default.counts)


def test_bars_are_as_long_as_their_queues_are_and_small_parts_can_be_seen():
    def queue(name, **counts):
        states = {state: counts.get(state, 0) for state, *_words in charts.BARS}
        rest = {"finished": 0, "oldest": 0.0, "next_due": None, "weight_ratio": 1.0, "share_ratio": None}
        return snapshot.QueueSample(
            name=name, weight=1, **states, **rest, out_per_minute=None, in_per_minute=None, paused=False
        )

    queues = [queue("a", waiting=999_999, failed=1), queue("b", running=500_000), queue("c")]
    big, half, empty = charts.bars(snapshot.Sample(0, queues, {}, [], 0, 0, {}, {}, {}))

    assert [part.width for part in big.parts] == [pytest.approx(98, abs=0.1), pytest.approx(2, abs=0.1)]
    assert big.parts[-1].x + big.parts[-1].width == pytest.approx(100, abs=0.1)
    assert half.parts[0].width == pytest.approx(51, abs=0.1)
    assert (empty.parts, empty.total) == ([], 0)


def ago(**span):
    return NOW - timedelta(**span)


def test_a_window_of_the_past_holds_that_time_alone():
    for minutes in (0, 100, 119, 120, 121, 181):
        reading(minutes, waiting=minutes)
        run(f"run{minutes}", ended_at=NOW.replace(second=0) - timedelta(minutes=minutes))
    Tally.objects.fold(NOW - timedelta(minutes=1))

    past = window("1h", NOW, ago(hours=2).replace(second=0))
    drawn, held = charts.series(past, queue="default"), charts.gauges(past, "default")

    assert (len(drawn["at"]), drawn["step"], drawn["is_coarse"]) == (60, 60, False)
    assert drawn["at"][-1] == int(ago(hours=2, minutes=1).replace(second=0).timestamp())
    assert [n for n in drawn["succeeded"] if n] == [1]
    assert (drawn["succeeded"][-1], held["waiting"][-1]) == (1, 121)
    assert [n for n in held["waiting"] if n is not None] == [121]
    assert drawn["per_second"][-1] == round(1 / 60, 3)  # a step of the past is whole


def test_a_window_that_ends_within_a_step_shows_it_whole():
    past = window("6h", NOW, ago(hours=1))  # 12:30:30, in steps of five minutes
    assert (past.start, past.end) == (ago(hours=7, seconds=30), ago(minutes=55, seconds=30))


def test_the_span_is_the_one_that_is_still_kept():
    run("old", ended_at=ago(days=3))
    Tally.objects.fold(NOW)
    Tally.objects.filter(span="minute").prune(NOW - timedelta(days=2))
    reading(3 * 24 * 60, span="hour", waiting=8)

    assert window("1h", NOW, ago(hours=46)).span == "minute"
    past = window("1h", NOW, ago(days=3))
    drawn, held = charts.series(past, queue="default"), charts.gauges(past, "default")
    assert (past.span, drawn["step"], drawn["is_coarse"], len(drawn["at"])) == ("hour", 3600, True, 2)
    assert (drawn["succeeded"], held["waiting"]) == ([0, 1], [None, 8])
    assert len(charts.series(window("24h", NOW, ago(days=300)))["at"]) == 25
    assert not window("7d", NOW, ago(days=300)).is_coarse


def test_what_ended_just_now_is_in_a_window_that_touches_it():
    run("new", ended_at=ago(minutes=2))
    recent, before = window("1h", NOW, ago(minutes=1)), window("1h", NOW, ago(minutes=3))
    assert sum(charts.series(recent)["succeeded"]) == 1  # not tallied yet
    assert sum(charts.series(before)["succeeded"]) == 0


def test_an_end_is_asked_for_with_its_zone(person):
    client, address = person("view"), reverse("monitor:chart")
    end = timezone.now().replace(second=0, microsecond=0) - timedelta(days=1)

    def times(text):
        return client.get(address, {"end": text, "queue": "default"}).json()["at"]

    there = end.astimezone(timezone.get_fixed_timezone(330))
    assert times(end.isoformat()) == times(there.isoformat()) == times(f"{end:%Y-%m-%dT%H:%M}Z")
    assert times(end.isoformat())[-1] == int(end.timestamp()) - 60
    assert abs(times("2999-01-01T00:00Z")[-1] - timezone.now().timestamp()) < 70  # what is to come is now


@pytest.mark.parametrize(
    "asked",
    [
        {"range": ""},
        {"range": "2y"},
        {"range": "9m"},
        {"range": "91d"},
        {"range": "2161h"},
        {"range": "-90m"},
        {"range": "1.5h"},
        {"range": "9" * 400 + "d"},
        {"range": "\u0669\u0660m"},
        {"end": "yesterday"},
        {"end": "2026-02-30T12:00Z"},
        {"end": "2026-03-01"},
        {"end": "2026-03-01T12:00"},
        {"end": "0001-01-01T00:00+23:59"},
        {"end": "2019-01-01T00:00Z"},
        {"end": "\0"},
        {"queue": "a\0"},
        {"task": "a\0"},
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(person, asked):
    answer = person("view").get(reverse("monitor:chart"), asked)
    assert answer.status_code == 400
    told = answer.json()["error"] if answer["Content-Type"] == "application/json" else answer.content.decode()
    assert "." in told


@pytest.mark.parametrize(
    ("name", "step", "span", "count"),
    [
        ("10m", 60, "minute", 10),
        ("90m", 60, "minute", 90),
        ("91 M", 300, "minute", 19),
        ("24h", 1200, "minute", 72),
        ("1d", 1200, "minute", 72),
        ("1441m", 3600, "hour", 25),
        ("36h", 3600, "hour", 36),
        ("10d", 3 * 3600, "hour", 80),
        ("2160h", 86400, "hour", 90),
    ],
)
def test_a_length_of_ones_own_is_drawn_in_steps_that_can_be_told_apart(name, step, span, count):
    live_window, past = window(name, NOW), window(name, NOW, ago(days=300))

    assert (live_window.step, live_window.span, len(live_window.steps)) == (step, span, count)
    assert live_window.edges[0] % step == 0
    assert live_window.end == NOW
    assert live_window.edges[-1] - live_window.edges[0] >= range_of(name).back.total_seconds()
    assert past.span == "hour"


def test_a_length_of_ones_own_holds_what_ran_in_it(person):
    for minutes in (5, 89, 95):
        run(f"run{minutes}", ended_at=timezone.now() - timedelta(minutes=minutes))
    Tally.objects.fold(timezone.now())
    client, address = person("view"), reverse("monitor:chart")

    assert sum(client.get(address, {"range": "90m"}).json()["succeeded"]) == 2
    assert sum(client.get(address, {"range": "100m"}).json()["succeeded"]) == 3
    assert sum(client.get(address, {"range": "30m"}).json()["succeeded"]) == 1
    assert "90m, 36h or 10d" in client.get(address, {"range": "long"}).json()["error"]
    assert "between 10 minutes" in client.get(address, {"range": "5m"}).json()["error"]


def test_a_browser_without_a_script_gets_the_table(person):
    run("good", ended_at=timezone.now() - timedelta(minutes=5))
    Tally.objects.fold(timezone.now())
    client, address = person("view"), reverse("monitor:chart")
    browser = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

    page = client.get(address, {"range": "90m", "queue": "default", "task": ""}, headers=browser)
    text = page.content.decode()
    assert text.count('<th scope="row">') == 90
    assert len(page.context["rows"][0][1]) == 15
    assert sum(values[0] for _at, values in page.context["rows"]) == 1
    assert 'name="range" value="90m"' in text
    assert reverse("monitor:queue", args=["default"]) in text

    refused = client.get(address, {"range": "long", "task": "a/b"}, headers=browser)
    assert (refused.status_code, "text/html" in refused.headers["Content-Type"]) == (400, True)
    assert "such as 90m, 36h or 10d" in refused.content.decode().split('role="alert"')[1]
    assert client.get(address, headers={"Accept": "*/*"}).json()["step"] == 60


def test_charts_cost_few_queries(person, django_assert_max_num_queries):
    client = person("view")
    for name in [*RANGES, "90m", "36h", "89d"]:
        for days in (0, 1, 30, 399):
            end = (timezone.now() - timedelta(days=days)).isoformat()
            with django_assert_max_num_queries(9):
                answer = client.get(reverse("monitor:chart"), {"range": name, "end": end, "queue": "default"})
            assert len(answer.json()["gauges"]["size"]) == len(answer.json()["at"]) <= 92


def test_a_queue_page_names_every_chart(busy_day, person):  # noqa: F811
    text = person("view").get(reverse("monitor:queue", args=["default"])).content.decode()
    drawn = set(re.findall(r'data-chart="(\w+)"', text))
    assert drawn == {"runs", "wait", "pace", "rate", "sizes", "oldest", "memory"}
    assert json.dumps(charts.gauges(window("1h", timezone.now()), "default"))  # it has only what JSON can say
