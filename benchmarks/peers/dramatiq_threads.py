"""Dramatiq with two processes of five threads."""

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "dramatiq", "benchmarks.peers.dramatiq_threads", "--processes", "2", "--threads", "5"]

dramatiq.set_broker(RedisBroker(url=REDIS_URL))


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
