"""rq's stock worker pool: ten workers, each of which forks for every job."""

import time

from redis import Redis
from rq import Queue

from ..stage import leave_record
from . import REDIS_URL

WORKER = ["-m", "benchmarks.peers.rq_fork"]


def noop() -> None:
    leave_record()


def sleep10() -> None:
    leave_record()
    time.sleep(0.01)


def enqueue(task: str, number: int) -> None:
    queue = Queue("bench", connection=Redis.from_url(REDIS_URL))
    queue.enqueue_many([Queue.prepare_data(f"benchmarks.peers.rq_fork.{task}") for _ in range(number)])


if __name__ == "__main__":
    from rq.worker_pool import WorkerPool

    import benchmarks.peers.rq_fork  # noqa: F401 - else every forked child imports it anew

    WorkerPool(["bench"], connection=Redis.from_url(REDIS_URL), num_workers=10).start(logging_level="WARNING")
