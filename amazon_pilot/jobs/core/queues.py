"""The queues: their weights, their size and latency, and the pauses that a worker respects when it takes a job."""

import os
import random
import time
from collections.abc import Sequence
from datetime import datetime
from functools import cache
from itertools import accumulate, permutations

from django.conf import settings
from django_rq.queues import get_connection
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text, utcformat, utcparse

from . import keys
from .scripts import script

_connections: dict[int, Redis] = {}


def connection() -> Redis:
    """Return this process's connection to Redis, made at first use and never shared with a child."""
    pid = os.getpid()
    if pid not in _connections:
        _connections.clear()
        _connections[pid] = get_connection(next(iter(settings.RQ_QUEUES)))
    return _connections[pid]


def names() -> list[str]:
    """Return the queues by weight, the most important first."""
    return list(settings.QUEUE_WEIGHTS)


def key(queue: str) -> str:
    """Return the Redis key of a queue's list."""
    return f"{RQ_KEY_PREFIX}:queue:{queue}"


@cache
def orders(weights: tuple[int, ...]) -> tuple[list[bytes], list[float]]:
    """Return every order of a few queues, and the running total of their odds."""
    names, odds = list(permutations(range(len(weights)))), []
    for order in names:
        left, odd = sum(weights), 1.0
        for n in order:
            odd *= weights[n] / left
            left -= weights[n]
        odds.append(odd)
    return list(map(bytes, names)), list(accumulate(odds))


def draw_orders(weights: Sequence[int], draw: random.Random, number: int) -> list[bytes]:
    """Draw for each of so many jobs the order in which its take looks at the queues, as indexes: by weight, without
    putting back.

    With weights 6, 3 and 1 and all queues full, the first of the order is the first queue in 60 of 100 takes, and
    every queue is first sooner or later: none starves.
    """
    if len(weights) <= 5:  # a table is several times as quick
        names, odds = orders(tuple(weights))
        return draw.choices(names, cum_weights=odds, k=number)
    places = range(len(weights))
    drawn = [sorted(places, key=lambda n: -(draw.random() ** (1 / weights[n]))) for _ in range(number)]
    return list(map(bytes, drawn))


def size(queue: str) -> int:
    """Return how many jobs wait in a queue."""
    return connection().llen(key(queue))


def latency(queue: str) -> float:
    """Return the age of the oldest waiting job of a queue, in seconds; 0 where none waits."""
    oldest = connection().lindex(key(queue), 0)
    enqueued_at = connection().hget(f"{RQ_KEY_PREFIX}:job:{as_text(oldest)}", "enqueued_at") if oldest else None
    return max(0.0, time.time() - utcparse(as_text(enqueued_at)).timestamp()) if enqueued_at else 0.0


def counts(queue: str) -> dict[str, int]:
    """Return how many jobs of a queue are in each state, without any of rq's clean-up."""
    registries = ("wip", "scheduled", "deferred", "finished", "failed", "canceled")
    with connection().pipeline(transaction=False) as pipeline:
        pipeline.llen(key(queue))
        for name in registries:
            pipeline.zcard(f"{RQ_KEY_PREFIX}:{name}:{queue}")
        numbers = pipeline.execute()
    return dict(zip(("queued", "started", *registries[1:]), numbers, strict=True))


def takes(minutes: int) -> dict[str, int]:
    """Return how many jobs all workers have taken from each queue in the last `minutes`, at most 120."""
    this_minute = int(time.time() // 60)
    with connection().pipeline(transaction=False) as pipeline:
        for minute in range(this_minute - minutes + 1, this_minute + 1):
            pipeline.hgetall(f"{keys.TAKES}{minute}")
        rows = pipeline.execute()
    total = dict.fromkeys(names(), 0)
    for row in rows:
        for queue, number in row.items():
            total[as_text(queue)] = total.get(as_text(queue), 0) + int(number)
    return total


def drain(queue: str, before: datetime, most: int) -> tuple[int, int, bool]:
    """Delete those of the first `most` waiting jobs that were enqueued before a time, with all their keys.

    Returns how many were deleted, how many newer ones stand at the head now, and whether the queue's end was reached.
    """
    deleted, newer, is_over = script("drain")(connection(), queue, utcformat(before), most)
    return deleted, newer, bool(is_over)


def set_pause(pause: str, until: float = 0) -> None:
    """Keep workers from starting jobs of `queue:…`, `task:…` or `tag:…`, for good or `until` a Unix time.

    Jobs that run are untouched. `Pause` is the row that says who and why; use its verbs.
    """
    connection().hset(keys.PAUSED, pause, str(until or 0))


def end_pause(pause: str, *, only_if_over: bool = False) -> None:
    """Let workers start jobs of `pause` again, and put those that were kept back at the head of their queues."""
    while script("resume")(connection(), pause, 1000, int(only_if_over)) > 0:
        pass


def paused() -> dict[str, float]:
    """Return what workers hold paused now, and until which Unix time (0 = until resumed)."""
    return {as_text(name): float(until) for name, until in connection().hgetall(keys.PAUSED).items()}
