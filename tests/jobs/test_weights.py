"""Queues are taken by weight: each gets its share of the starts while all are full, and none starves."""

import random
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import settings
from rq import Queue

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.models import Pause
from tests.jobs.conftest import wait_for

from . import tasks

DRAWS = 5000
WEIGHTS = list(settings.QUEUE_WEIGHTS.values())


def take(redis, number, draw):
    """Have a worker take so many jobs; return how many came from each queue."""
    names = queues.names()
    orders = queues.draw_orders(WEIGHTS, draw, number)
    jobs, _resting, _more = script("take")(redis, "w1", "w1x", number, len(names), *names, *orders)
    return Counter(queue.decode() for queue, *_rest in jobs)


@pytest.mark.parametrize(
    "weights", [WEIGHTS, [1, 1], [50, 1], [1, 2, 3, 4, 5], [9, 5, 3, 3, 2, 1], [2] * 10 + [20, 10]]
)
def test_each_queue_is_looked_at_first_as_often_as_its_weight_says(weights):
    draw = random.Random(7)

    first = Counter(order[0] for order in queues.draw_orders(weights, draw, DRAWS))

    for number, weight in enumerate(weights):
        assert abs(first[number] / DRAWS - weight / sum(weights)) < 0.03
        assert first[number] > 0


@pytest.mark.later
def test_starts_are_shared_by_weight_while_all_queues_are_full(redis, transactional_db):
    shares, draw = {name: weight / sum(WEIGHTS) for name, weight in settings.QUEUE_WEIGHTS.items()}, random.Random(7)
    for name, share in shares.items():
        tasks.do_nothing.options(queue=name).enqueue_many([(n,) for n in range(int(share * DRAWS) + 200)])

    came = sum((take(redis, 500, draw) for _ in range(DRAWS // 500)), Counter())

    assert all(abs(came[name] / DRAWS - share) < 0.03 for name, share in shares.items()), came


def test_a_flood_of_the_heaviest_leaves_the_lightest_its_share(redis, transactional_db):
    tasks.do_nothing.options(queue="critical").enqueue_many([(n,) for n in range(500)])
    tasks.do_nothing.options(queue="low").enqueue_many([(n,) for n in range(20)])

    assert take(redis, 300, random.Random(7))["low"] >= 15  # a seventh of the starts


def test_what_one_queue_leaves_the_others_get(redis, transactional_db):
    tasks.do_nothing.options(queue="low").enqueue_many([(n,) for n in range(50)])

    assert take(redis, 50, random.Random(7)) == {"low": 50}


def test_a_pause_ends_by_itself_at_its_time(redis, transactional_db):
    tasks.do_nothing.options(queue="low").enqueue(1)
    Pause.objects.begin("queue:low", by=None, reason="A test", until=datetime.now(UTC) + timedelta(seconds=1))
    assert take(redis, 1, random.Random(7)) == {}
    assert Queue("low", connection=redis).count == 1

    assert wait_for(lambda: take(redis, 1, random.Random(7)), "the end of the pause") == {"low": 1}
