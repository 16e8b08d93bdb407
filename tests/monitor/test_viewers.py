"""Fifty who watch a page cost Redis what one does, but for one to three GET each, as Redis itself counts."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import pytest
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot
from tests.busy_day import BusyDay
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)
VIEWERS = 50
SHARED = ["overview", "queues", "workers", "schedule", "alerts", "batches", "tasks", "failures"]
# What these show is asked for by each viewer: of Redis at most one script, whose work is bounded, and so many commands.
OWN = {"jobs": 1, "queue": 1, "limits": 1, "stuck": 0, "redis": 0}


def calls(redis):
    """Answer how often each command came since the counters were set back; INFO is what counts them."""
    told = {name.removeprefix("cmdstat_"): row["calls"] for name, row in redis.info("commandstats").items()}
    return {name: number for name, number in told.items() if name not in ("info", "config|resetstat", "config")}


def watch(redis, client, name, times):
    """Have a page refresh itself so often, and answer what that cost."""
    args = ["default"] if name == "queue" else []
    redis.config_resetstat()
    for _ in range(times):
        answer = client.get(reverse(f"monitor:{name}", args=args), headers={"HX-Request": "true"})
        assert answer.status_code == 200
    return calls(redis)


@pytest.fixture
def day(monkeypatch, redis):
    BusyDay()
    serve()
    monkeypatch.setattr(snapshot, "FRESH_SECONDS", 600)  # fifty pages take a test longer than a sample is fresh


@pytest.mark.parametrize("name", SHARED)
def test_fifty_viewers_share_one_sample(day, redis, admin_client, name):
    queues.connection().delete(snapshot.KEY)

    one = watch(redis, admin_client, name, 1)
    others = watch(redis, admin_client, name, VIEWERS - 1)

    assert one["time"] == 1  # which the script of the sample asks for, and nothing else
    assert set(others) == {"get"}
    assert others["get"] <= 3 * (VIEWERS - 1)


@pytest.mark.parametrize("name", OWN)
def test_what_each_viewer_asks_for_is_one_bounded_step(day, redis, admin_client, name):
    watch(redis, admin_client, name, 1)

    five = watch(redis, admin_client, name, 5)

    assert five.get("evalsha", 0) <= 5 * OWN[name]
    commands = sum(number for command, number in five.items() if command not in WITHIN_SCRIPTS or not OWN[name])
    assert commands <= 5 * 20


WITHIN_SCRIPTS = {"hmget", "hget", "zrange", "lrange", "llen", "zcard", "sscan", "hstrlen"}


def test_of_fifty_at_once_one_takes_the_sample(redis):
    serve()
    old = snapshot.take(queues.connection())
    old.taken_at -= 2 * snapshot.FRESH_SECONDS
    redis.set(snapshot.KEY, json.dumps(asdict(old)))
    redis.config_resetstat()

    with ThreadPoolExecutor(VIEWERS) as viewers:
        seen = list(viewers.map(lambda _: snapshot.current().taken_at, range(VIEWERS)))

    assert calls(redis)["time"] == 1  # which the script of the sample asks for, and nothing else
    assert set(seen) <= {old.taken_at, snapshot.current().taken_at}
