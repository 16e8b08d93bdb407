"""Huey with ten worker processes, and results in Redis; as it comes it keeps none of a task that returns None."""

import time

from huey import RedisHuey

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "huey.bin.huey_consumer", "benchmarks.peers.huey_process.huey", "-k", "process", "-w", "10", "-q"]

huey = RedisHuey("bench", url=REDIS_URL)


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
