"""The line of health: calm while all is well; for each thing that is not, a sentence and the page that says more."""

import json
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import keys
from amazon_pilot.jobs.inspect import health, redis_health, snapshot, store, stuck
from amazon_pilot.jobs.models import Cause, Pause, Release
from amazon_pilot.jobs.models.cause import Seen
from products.models import DaySpending
from tests.jobs import tasks
from tests.jobs.schedule_world import make_entry
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def well(redis):
    """A worker, and a scheduler that looked a moment ago."""
    serve()
    redis.hset(keys.SCHEDULER, mapping={"leader": "first", "tick_at": time.time(), "tick_seconds": 0.01})
    return redis


def found():
    store.connect().delete(snapshot.KEY)
    return health.look().findings


def texts():
    return [finding.text for finding in found()]


def test_all_is_well(well, admin_client):
    assert found() == []
    text = admin_client.get(reverse("monitor:queues")).content.decode()
    assert "All is well" in text
    assert text.count('class="health') == 1


def old_job(redis):
    tasks.add.enqueue(1, 2)
    job_id = redis.lindex("rq:queue:default", 0).decode()
    redis.hset(f"rq:job:{job_id}", "enqueued_at", "2026-01-01T00:00:00.000000Z")


def no_scheduler(redis):
    redis.delete(keys.SCHEDULER)


def silent_scheduler(redis):
    redis.hset(keys.SCHEDULER, "tick_at", time.time() - 120)


def no_worker(redis):
    redis.delete("pilot:worker:w1")


def lost_worker(redis):
    serve(busy=1)
    picture = json.loads(redis.get("pilot:worker:w1")) | {"worker": "w0", "seen": time.time() - 60}
    redis.set("pilot:worker:w0", json.dumps(picture))
    redis.zadd("pilot:workers", {"w0": time.time() - 60})


def pause(redis):
    Pause.objects.begin("queue:low", by=None, reason="A test")


def paused_entry(redis):
    make_entry(paused_at=timezone.now())


def broken_entry(redis):
    make_entry(broken="no such zone")


def new_failure(redis):
    Cause.objects.note([Seen("f", "t", "x.Error", timezone.now())])


def behind(redis):
    redis.xadd(keys.FAILURES, {"e0": "x"}, id=f"{int((time.time() - 600) * 1000)}-0")


def evicting(redis):
    redis.config_set("maxmemory-policy", "allkeys-lru")


def budget(redis):
    DaySpending.objects.create(day=timezone.now().date(), micros=5_000_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("break_it", "says", "page"),
    [
        (no_scheduler, "No scheduler has reported", "monitor:schedule"),
        (silent_scheduler, "The scheduler has been silent for 2 min", "monitor:schedule"),
        (no_worker, "No worker lives", "monitor:workers"),
        (lost_worker, "1 worker fell silent while it ran jobs.", "monitor:workers"),
        (old_job, "Queue default: the oldest of 1 waits for", "monitor:queues"),
        (pause, "queue:low is paused by the machine.", "monitor:queues"),
        (paused_entry, "1 schedule entry is paused.", "monitor:schedule"),
        (broken_entry, "1 schedule entry is broken.", "monitor:schedule"),
        (new_failure, "1 failure is new within a day.", "monitor:failures"),
        (behind, "The history is 1 lines and 10 min 0 s behind.", "monitor:stuck"),
        (evicting, "The eviction policy is allkeys-lru", "monitor:redis"),
        (budget, "The budget is spent (Apify, today): $5.00 of $5.00.", "admin:index"),
    ],
)
def test_what_is_not_well_is_told_on_every_page_and_counted_in_the_menu(well, admin_client, break_it, says, page):
    try:
        break_it(well)
        (finding,) = found()
        assert says in finding.text
        assert finding.page == page
        for name in ("monitor:jobs", "monitor:redis", "admin:jobs_auditentry_changelist", "admin:index"):
            text = admin_client.get(reverse(name)).content.decode()
            assert says.replace("'", "&#x27;") in text.replace("  ", " ")
            assert f'href="{finding.address.replace("&", "&amp;")}"' in text
        assert health.look().counts == {page: 1}
    finally:
        well.config_set("maxmemory-policy", "noeviction")


def test_redis_away_is_the_one_thing_that_is_told_of_it(well, admin_client, redis_away):
    told = [finding.text for finding in health.look().findings]
    assert told == ["Redis does not answer: nothing starts, and nothing is lost."]
    assert admin_client.get(reverse("monitor:jobs")).status_code == 200


def test_a_live_part_brings_the_line_along(well, admin_client):
    text = admin_client.get(reverse("monitor:queues"), headers={"HX-Request": "true"}).content.decode()
    assert 'id="health"' in text
    assert text.count('hx-swap-oob="true"') > 5


@pytest.mark.later
def test_looking_costs_the_same_however_much_there_is(well, commands, django_assert_max_num_queries):
    health.look()
    for n in range(30):
        Pause.objects.begin(f"task:t{n}", by=None, reason="A test")
        Cause.objects.note([Seen(f"f{n}", "t", "x.Error", timezone.now())])
        make_entry(f"entry{n}", paused_at=timezone.now())
    commands.clear()
    with django_assert_max_num_queries(20):
        health.look()
    assert len(commands) <= 4


def test_a_failing_check_of_the_product_does_not_hide_the_others(well, settings):
    settings.MONITOR_CHECKS = ["tests.monitor.test_health.broken_check"]
    assert texts() == ["A check of the product failed; the web server's log says why."]


def broken_check():
    raise ValueError("broken")


def test_a_failure_is_new_since_the_last_release_only(well):
    now = timezone.now()
    Cause.objects.note([Seen("old", "t", "x.Error", now - timedelta(hours=3))])
    Release.objects.note("v7", at=now - timedelta(hours=1))
    assert texts() == []
    Cause.objects.note([Seen("new", "t", "x.Error", now)])
    assert texts() == ["1 failure is new since v7."]


def test_what_came_back_after_a_release_counts_as_new(well):
    now = timezone.now()
    Release.objects.note("v7", at=now - timedelta(hours=1))
    Cause.objects.note([Seen("a", "t", "x.Error", now - timedelta(days=3))])
    Cause.objects.note([Seen("a", "t", "x.Error", now)])
    assert texts() == ["1 failure is new since v7."]


def test_both_streams_of_the_history_count(well):
    for stream in (keys.RUNS, keys.FAILURES):
        well.xadd(stream, {"e0": "x"})
        well.xgroup_create(stream, keys.RUNS_GROUP, id="0")
        well.xreadgroup(keys.RUNS_GROUP, "reader", {stream: ">"})
    store.connect().delete(snapshot.KEY)

    assert (stuck.unwritten()["lines"], stuck.unwritten()["taken"]) == (2, 2)
    held = {name: members for name, members, _bytes in redis_health.sizes()}
    assert (held[keys.RUNS], held[keys.FAILURES]) == (1, 1)


def test_a_budget_that_is_nearly_spent_is_a_warning(well, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal("10")
    DaySpending.objects.create(day=timezone.now().date(), micros=9_500_000)
    assert [finding.level for finding in found()] == ["warn"]
