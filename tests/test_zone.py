"""Pages write and read times in the viewer's zone, which the browser says in a cookie."""

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import charts
from amazon_pilot.jobs.inspect.window import window
from amazon_pilot.jobs.models import Tally
from tests.busy_day import run
from tests.jobs.tasks import add

pytestmark = pytest.mark.django_db(transaction=True)

STARTED = datetime(2026, 1, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("", "2026-01-31 23:30:00"),
        ("Asia/Shanghai", "2026-02-01 07:30:00"),
        ("America/New_York", "2026-01-31 18:30:00"),
        ("Mars/Olympus", "2026-01-31 23:30:00"),
        ("../../etc/passwd", "2026-01-31 23:30:00"),
    ],
)
def test_a_page_is_written_in_the_zone_that_the_cookie_says(person, redis, zone, shown):
    client = person("view")
    client.cookies["zone"] = zone
    run("j1", started_at=STARTED, ended_at=STARTED + timedelta(seconds=3))

    page = client.get(reverse("monitor:job", args=["j1"])).content.decode()
    assert f'title="2026-01-31 23:30:00 UTC">{shown}<' in page
    assert timezone.get_current_timezone_name() == "UTC"  # the next request begins anew


def test_a_time_that_is_typed_is_read_in_that_zone_and_an_api_call_is_not(person, redis):
    client = person("operate")
    client.cookies["zone"] = "Asia/Shanghai"
    on_page, by_api = add.enqueue(1, 2), add.enqueue(3, 4)

    client.post(reverse("monitor:job-snooze", args=[on_page]), {"until": "2099-02-01T07:30"})
    client.post(
        reverse("monitor:api-job-snooze", args=[by_api]), {"until": "2099-02-01T07:30"}, content_type="application/json"
    )

    due = {job: redis.zscore("rq:scheduled:default", job) for job in (on_page, by_api)}
    assert due[on_page] == datetime(2099, 1, 31, 23, 30, tzinfo=UTC).timestamp()
    assert due[by_api] == datetime(2099, 2, 1, 7, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("zone", "midnights"),
    [  # the night of 2026-03-08 has 23 hours in New York
        ("America/New_York", ["2026-03-07T05:00", "2026-03-08T05:00", "2026-03-09T04:00"]),
        ("Asia/Shanghai", ["2026-03-07T16:00", "2026-03-08T16:00", "2026-03-09T16:00"]),
        ("UTC", ["2026-03-07T00:00", "2026-03-08T00:00", "2026-03-09T00:00"]),
    ],
)
def test_a_day_of_a_chart_is_a_day_of_the_viewer(zone, midnights):
    moment = datetime(2026, 3, 9, 20, 15, tzinfo=UTC)
    with timezone.override(zone):
        asked = window("90d", moment)
        past = window("90d", moment + timedelta(days=30), moment)

    wanted = [int(datetime.fromisoformat(f"{each}+00:00").timestamp()) for each in midnights]
    assert list(asked.steps[-3:]) == list(past.steps[-3:]) == wanted
    assert len(asked.steps) == 90
    assert asked.end == moment


def test_a_run_counts_on_the_day_of_the_viewer(person):
    ended = datetime(2026, 3, 8, 16, 30, tzinfo=UTC)  # half past midnight of the 9th in Shanghai
    run("j1", started_at=ended, ended_at=ended)
    Tally.objects.fold(ended + timedelta(hours=1))
    midnight = int(datetime(2026, 3, 8, 16, tzinfo=UTC).timestamp())

    with timezone.override("Asia/Shanghai"):
        drawn = charts.series(window("90d", ended + timedelta(hours=8)))
    assert dict(zip(drawn["at"], drawn["succeeded"], strict=True))[midnight] == 1
    assert sum(drawn["succeeded"]) == 1


@pytest.mark.browser
def test_the_browser_says_its_zone_by_itself(chromium, live_server, client, person):
    person("view")
    run("j1", started_at=STARTED, ended_at=STARTED + timedelta(seconds=3))
    context = chromium.new_context(base_url=live_server.url, timezone_id="Asia/Shanghai")
    try:
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
        page = context.new_page()
        page.goto("/")
        page.goto(reverse("monitor:job", args=["j1"]))
        assert "2026-02-01 07:30:00" in page.locator("#content").inner_text()
    finally:
        context.close()
