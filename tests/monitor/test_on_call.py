"""On call: five questions of a bad night, each answered within two clicks and one search, and the answer is true.

Each story does something to the system, then asks the monitor as a person would. What the pages say is held against
what was done.
"""

import zoneinfo
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.models import AuditEntry, Cause, JobRun, Release, ScheduleEntry
from amazon_pilot.jobs.models.cause import Seen
from amazon_pilot.jobs.operate import operations
from amazon_pilot.jobs.schedule import entries, store
from products.models import Product, ScrapeRun, Tracking
from products.tasks import update_product
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.jobs.schedule_world import Clock, make_entry, make_scheduler
from tests.monitor.conftest import shown_busy

pytestmark = pytest.mark.browser


# 1. It is backed up: why?


def test_a_backed_up_queue_says_by_what_and_since_when(walk, start, settings):  # noqa: F811
    start()
    long = [tasks.sleep.options(queue="low").enqueue(60) for _slot in range(3)]
    wait_for(lambda: queues.connection().zcard("rq:wip:low") == 3, "the slots to be held")
    waiting = [tasks.add.enqueue(1, n) for n in range(5)]
    settings.QUEUE_LIMITS = {"default": 0.01}
    wait_for(lambda: shown_busy() == 3, "the worker to show what it runs")

    her = walk()

    assert "Queue default: the oldest of 5 waits for" in her.health
    assert "All 3 slots are held: 3 by tests.jobs.tasks.sleep" in her.health.replace("jobs.sleep", "jobs.tasks.sleep")
    her.has_cost(0)
    her.click("Queue default: the oldest")
    held = her.page.get_by_role("region", name="What holds its slots").or_(
        her.page.locator("[aria-labelledby=slots-title]")
    )
    assert "3 of 3 slots that serve this queue are busy" in held.first.inner_text()
    assert held.first.locator("td a").get_attribute("href").rsplit("/", 1)[1] in long
    her.has_cost(1)
    her.page.goto(f"/admin/monitor/job/{waiting[-1]}")
    assert "4 jobs stand before it." in her.text
    assert "It starts when one of them is free" in her.text


# 2. The product B0… is not updated: why?


def left_alone(product):
    Product.objects.filter(pk=product.pk).update(monitored=False, failures=4)
    return "It is left alone after 4 failures in a row"


def resting(product):
    until = timezone.now() + timedelta(hours=5)
    Product.objects.filter(pk=product.pk).update(failures=2, retry_at=until, last_outcome="failed")
    return f"{until:%-d}, {until.year}"


def not_watched(product):
    Tracking.objects.filter(product=product).update(paused=True)
    return "Everybody who watches it has paused that."


def held_by_a_run(product):
    run = ScrapeRun.objects.plan([product])
    return f"Scrape run {run.pk} holds it since"


def entry_is_paused(product):
    entry = ScheduleEntry.objects.create(
        name="daily-update", cron="0 9 * * *", zone="UTC", task="products.tasks.update_due_products", args=["daily"]
    )
    entries.pause(entry, User.objects.create_user("mia"), "Amazon is down")
    return "is paused by mia: “Amazon is down”"


def job_is_paused(product):
    update_product.enqueue(product.pk)
    operations.pause(None, "queue:default", reason="A test")
    return "queue:default is paused by the machine"


@pytest.mark.parametrize("cause", [left_alone, resting, not_watched, held_by_a_run, entry_is_paused, job_is_paused])
def test_a_product_that_is_not_updated_says_why(walk, lamp, cause):
    wanted = cause(lamp)

    her = walk()
    her.search(lamp.asin)
    her.click(f"{lamp.asin} (amazon.com)")

    assert wanted in her.text
    her.has_cost(1, 1)


# 3. It fails each night: since when, and what changed?


def test_what_fails_each_night_says_since_which_release(walk):
    now = timezone.now()
    Release.objects.note("v1", at=now - timedelta(days=9))
    Release.objects.note("v2", at=now - timedelta(days=3))
    nights = [now - timedelta(days=n) for n in (2, 1)]
    for n, night in enumerate(nights):
        JobRun.objects.create(
            job_id=f"night{n}", execution_id="e", task="shop.tasks.nightly", queue="low", outcome="failed",
            started_at=night, ended_at=night, exception="x.SchemaError", message="no column", fingerprint="nightly",
        )  # fmt: skip
        Cause.objects.note([Seen("nightly", "shop.tasks.nightly", "x.SchemaError", night)])

    her = walk()

    assert "1 failure is new since v2." in her.health
    her.click("1 failure is new since v2.")
    row = her.page.locator("tbody tr").first.inner_text()
    assert "SchemaError" in row
    assert "since v2" in row
    assert her.page.locator("tbody tr time").first.get_attribute("datetime") == nights[0].isoformat()
    her.has_cost(1)


# 4. The deploy broke it: retry what failed since 10:00, by the clock on my wall.


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_what_failed_since_a_time_on_my_clock_is_retried(walk, zone, redis):
    border = timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    for n, ago in enumerate((-30, -1, 1, 30)):
        failed_job(redis, f"job{n}", border + timedelta(minutes=ago))
    local = border.astimezone(zoneinfo.ZoneInfo(zone))

    her = walk(zone)
    her.search(f"state:failed since:{local:%Y-%m-%dT%H:%M}")
    her.click("Act on all that match")
    her.click("Retry")

    assert "2 are looked at." in her.text
    assert [each for each in ("job0", "job1", "job2", "job3") if each in her.page.content()] == ["job2", "job3"]
    her.has_cost(2, 1)


def failed_job(redis, job_id, at):
    JobRun.objects.create(
        job_id=job_id, execution_id="e", task="tests.jobs.tasks.fail", queue="default", outcome="failed",
        started_at=at, ended_at=at, exception="x.Error", message="broke", fingerprint="broke",
    )  # fmt: skip
    redis.hset(f"rq:job:{job_id}", mapping={
        "status": "failed", "origin": "default", "task": "tests.jobs.tasks.fail", "created_at": at.isoformat(),
        "enqueued_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), "data": '["tests.jobs.tasks.fail", null, [], {}]',
    })  # fmt: skip
    redis.zadd("rq:failed:default", {job_id: at.timestamp() + 86_400})


# 5. It did not fire: prove it.


def scheduler_down(redis, entry, clock):
    """The one scheduler ends 40 minutes ago, and the next begins now."""
    since, until = clock.now, clock.now + timedelta(minutes=40)
    clock.now = until
    make_scheduler(redis, clock, "second").tick()
    return f"No scheduler ran from {since:%Y-%m-%d %H:%M:%S} to {until:%Y-%m-%d %H:%M:%S}"


def paused(redis, entry, clock):
    entries.pause(entry, User.objects.create_user("mia"), "The shop is closed")
    AuditEntry.objects.update(at=clock.now)  # the story's clock is behind
    for _minute in range(40):
        clock.forward(minutes=1)
        make_scheduler(redis, clock).tick()
    return f"Paused by mia since {clock.now - timedelta(minutes=40):%Y-%m-%d %H:%M:%S}: “The shop is closed”"


def overlap(redis, entry, clock):
    """Its last job waits, since no worker runs, when the next fire is due."""
    for _minute in range(40):
        clock.forward(minutes=1)
        make_scheduler(redis, clock).tick()
    job_id = redis.lindex("rq:queue:default", 0).decode()
    return f"Job {job_id} had not ended."


@pytest.mark.parametrize("cause", [scheduler_down, paused, overlap])
def test_what_did_not_fire_says_why(walk, redis, settings, cause):
    settings.SCHEDULE = {}
    now = timezone.now().replace(second=0, microsecond=0)
    clock = Clock(now - timedelta(minutes=41))
    entry = make_entry("stock", cron="*/15 * * * *", missed="skip", overlap="skip")
    ScheduleEntry.objects.filter(pk=entry.pk).update(next_at=entry.next_fire(clock.now))
    entry.refresh_from_db()
    make_scheduler(redis, clock).tick()
    redis.delete(store.LOCK)
    wanted = cause(redis, entry, clock)

    her = walk()
    her.click("Schedule", within=".monitor-nav")

    assert wanted in her.page.locator("tbody tr", has_text="stock").first.inner_text()
    her.has_cost(1)
