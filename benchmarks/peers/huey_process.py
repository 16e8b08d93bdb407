"""Huey with ten worker processes, and results in Redis."""

import time

from huey import RedisHuey

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_process.huey", "-k", "process", "-w", "10", "-q"]

huey = RedisHuey("bench", url=REDIS_URL, store_none=True)  # else it keeps no result of a task that returns None


@huey.task()
def noop() -> None:
    leave_record()


@huey.task()
def sleep10() -> None:
    leave_record()
    time.sleep(0.01)


def enqueue(task: str, number: int) -> None:
    for _ in range(number):
        globals()[task]()
