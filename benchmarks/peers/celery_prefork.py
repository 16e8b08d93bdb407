"""Celery with its prefork pool of ten, and results in Redis."""

import time

from celery import Celery

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "celery", "-A", "benchmarks.peers.celery_prefork", "worker", "-P", "prefork", "-c", "10"]
WORKER += ["-l", "WARNING", "--without-gossip", "--without-mingle"]

app = Celery("bench", broker=REDIS_URL, backend=REDIS_URL)


@app.task
def noop() -> None:
    leave_record()


@app.task
def sleep10() -> None:
    leave_record()
    time.sleep(0.01)


def enqueue(task: str, number: int) -> None:
    for _ in range(number):
        globals()[task].delay()
