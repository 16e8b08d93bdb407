"""When a queue will be empty: simulated loads, told by the sample that real figures in Redis make, and by the page."""

import random
import time
from collections import Counter
from dataclasses import replace

import pytest

from amazon_pilot.jobs.core import keys, queues
from amazon_pilot.jobs.inspect import snapshot, store
from tests.staff import serve

from .faces import cells

pytestmark = pytest.mark.django_db

PAST = 400  # seconds that are simulated before now


class Load:
    """A queue, second by second: what comes in, and what the workers take out, each with its noise."""

    def __init__(self, size, comes, goes, seed):
        self.chance = random.Random(seed)
        self.size, self.comes, self.goes = float(size), comes / 60, goes / 60

    def second(self):
        """Let a second pass; answer how many were taken."""
        self.size += self.comes * self.chance.uniform(0.8, 1.2)
        taken = min(self.size, self.goes * self.chance.uniform(0.8, 1.2))
        self.size -= taken
        return taken

    def seconds_until_empty(self, most=10**6):
        return next(n for n in range(most) if self.second() is not None and self.size < 1)


def looked_at(redis, load, looks):
    """Answer the sample that is taken now, after a load that was looked at as often as a page or the watch does."""
    now, sizes, taken = time.time(), [], Counter()
    for ago in range(PAST, 0, -1):
        taken[int((now - ago) // 60)] += load.second()
        if ago % looks == 0:
            sizes.append((now - ago, {"low": round(load.size)}))
    for minute, number in taken.items():
        redis.hset(f"{keys.TAKES}{minute}", "low", round(number))
    if load.size >= 1:
        redis.rpush(queues.key("low"), *range(round(load.size)))
    before = replace(snapshot.take(redis), sizes=sizes)
    return snapshot.take(redis, before)


def shown(client, sample):
    """Answer what the page of all queues says of this one."""
    store.connect().set(snapshot.KEY, snapshot.json.dumps(snapshot.asdict(sample)))
    return cells(client.get("/admin/monitor/queues").content.decode(), "low")["Empty in"]


@pytest.mark.parametrize("looks", [4, 10])
@pytest.mark.parametrize(("comes", "goes"), [(0, 60), (30, 120), (300, 600), (480, 600), (5000, 6000), (5, 60)])
@pytest.mark.parametrize("seed", range(3))
def test_a_steady_load_is_told_to_a_fifth(redis, comes, goes, looks, seed):
    load = Load((goes - comes) / 60 * (PAST + 900), comes, goes, seed)  # about a quarter of an hour is left

    line = looked_at(redis, load, looks).queue("low")

    true = load.seconds_until_empty()
    assert 700 < true < 1100
    assert line.drain_seconds == pytest.approx(true, rel=0.2)
    assert line.out_per_minute == pytest.approx(goes, rel=0.2)
    assert line.in_per_minute == pytest.approx(comes, abs=0.2 * goes)
    assert line.grows_by is None


@pytest.mark.parametrize(("comes", "goes"), [(120, 60), (600, 0), (660, 600)])
def test_a_load_that_is_too_much_is_told_as_growing(person, redis, comes, goes):
    serve()
    sample = looked_at(redis, Load(100, comes, goes, 1), 4)
    line = sample.queue("low")

    assert line.drain_seconds is None
    assert line.grows_by == pytest.approx(comes - goes, rel=0.2)
    said = shown(person("view"), sample)
    assert said.startswith("grows ")
    assert said.endswith("/min")


@pytest.mark.parametrize("seconds", [0, 5, 25])
def test_before_half_a_minute_nobody_knows(person, redis, seconds):
    serve()
    redis.rpush(queues.key("low"), *range(50))
    before = replace(snapshot.take(redis), sizes=[(time.time() - seconds, {"low": 90})])
    sample = snapshot.take(redis, before)

    assert (sample.queue("low").drain_seconds, sample.queue("low").grows_by) == (None, None)
    assert shown(person("view"), sample) == "no data"


def test_what_is_known_is_written_in_words(person, redis):
    serve()
    client = person("view")
    assert shown(client, looked_at(redis, Load(0, 0, 60, 1), 4)) == "–"  # nothing waits

    steady = looked_at(redis, Load(60 / 60 * (PAST + 900), 0, 60, 1), 4)
    minutes = int(shown(client, steady).split(" min")[0])
    assert 12 <= minutes <= 18
    paused = replace(steady.queue("low"), paused=True)
    kept = [paused if queue.name == "low" else queue for queue in steady.queues]
    assert shown(client, replace(steady, queues=kept)) == "paused"


def test_sizes_of_more_than_five_minutes_ago_say_nothing_of_now(redis):
    redis.rpush(queues.key("low"), *range(600))
    now = time.time()
    sizes = [(now - 3000, {"low": 0}), (now - 240, {"low": 1000}), (now - 5, {"low": 610})]
    line = snapshot.take(redis, replace(snapshot.take(redis), sizes=sizes)).queue("low")

    assert line.out_per_minute == 0  # nothing was taken that Redis noted
    assert line.in_per_minute == 0
    assert line.grows_by is None
