"""Taskiq's list broker with two processes of five tasks, and results in Redis."""

import asyncio
import time

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "taskiq", "worker", "benchmarks.peers.taskiq_list:broker", "--workers", "2"]
WORKER += ["--max-async-tasks", "5", "--log-level", "WARNING"]

results: RedisAsyncResultBackend[None] = RedisAsyncResultBackend(REDIS_URL, result_ex_time=3600)
broker = ListQueueBroker(REDIS_URL).with_result_backend(results)


@broker.task
def noop() -> None:
    leave_record()


@broker.task
def sleep10() -> None:
    leave_record()
    time.sleep(0.01)


def enqueue(task: str, number: int) -> None:
    async def send() -> None:
        await broker.startup()
        for _ in range(number):
            await globals()[task].kiq()
        await broker.shutdown()

    asyncio.run(send())
