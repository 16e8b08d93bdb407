"""Dramatiq with two processes of five threads, and results in Redis."""

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "dramatiq", "benchmarks.peers.dramatiq_threads", "--processes", "2", "--threads", "5"]

broker = RedisBroker(url=REDIS_URL)
broker.add_middleware(Results(backend=RedisBackend(url=REDIS_URL), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor
def noop() -> None:
    leave_record()


@dramatiq.actor
def sleep10() -> None:
    leave_record()
    time.sleep(0.01)


def enqueue(task: str, number: int) -> None:
    for _ in range(number):
        globals()[task].send()
