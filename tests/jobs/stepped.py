"""A worker that is stepped by hand, to bring about what a clock hits once in a million jobs.

Run as a process of its own, since it forks. `python -m tests.jobs.stepped <scene>` prints what became of the jobs.
"""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402 - Django stands now
from django_rq.queues import DjangoRQ  # noqa: E402
from rq import Callback  # noqa: E402
from rq.serializers import JSONSerializer  # noqa: E402

from amazon_pilot.jobs.core import queues, registry  # noqa: E402
from amazon_pilot.jobs.core.registry import JSONJob  # noqa: E402
from amazon_pilot.jobs.worker import rq_finish  # noqa: E402
from amazon_pilot.jobs.worker.pool import SlotHandle  # noqa: E402
from amazon_pilot.jobs.worker.prefetch import Prefetch  # noqa: E402
from amazon_pilot.jobs.worker.supervisor import GAVE_BACK_AT_ONCE, Supervisor  # noqa: E402
from tests.jobs import tasks  # noqa: E402

TASKS = "tests.jobs.tasks"
NOTE = Callback(f"{TASKS}.note_success")


class Stage:
    """One worker, its first slot, and jobs."""

    def __init__(self, size: int = 1) -> None:
        registry.discover()
        connection = queues.connection()
        self.queue = DjangoRQ("default", connection=connection, job_class=JSONJob, serializer=JSONSerializer)
        self.worker = Supervisor(["default"], name="w1", size=size)
        self.worker.start()
        warm = tasks.do_nothing.enqueue()
        self.until(lambda: self.status(warm) == "finished")
        self.handle: SlotHandle = next(iter(self.worker.pool))

    def until(self, condition: Callable[[], Any], seconds: float = 20) -> Any:
        """Take turns until `condition` holds, or so many seconds."""
        end = time.monotonic() + seconds
        while not condition() and time.monotonic() < end:
            self.worker.turn()
        return condition()

    def turns(self, seconds: float) -> None:
        self.until(lambda: False, seconds)

    def until_runs(self, job_id: str) -> None:
        self.until(lambda: self.handle.taken_job is not None and self.handle.taken_job.job_id == job_id)
        self.turns(0.3)

    def status(self, job_id: str) -> str:
        return str(JSONJob.fetch(job_id, connection=queues.connection()).get_status().value)

    def told(self, **jobs: str) -> dict[str, Any]:
        """Answer state and losses of each job."""
        losses = {name: queues.connection().hget(f"rq:job:{job}", "losses") for name, job in jobs.items()}
        return {name: [self.status(job), int(losses[name] or 0)] for name, job in jobs.items()}

    def flood(self) -> None:
        """Have the worker take as if jobs had been short and many."""
        self.worker.broker.prefetch = Prefetch(0.0001)
        self.worker.broker.is_flooded = self.worker.broker.is_hungry = True

    def take(self) -> None:
        """Take and hand out, as the rest of a turn does."""
        self.flood()
        self.worker.broker.turn(True)
        self.worker.broker.settle()


def the_next_job_when_the_one_before_ends_by_itself() -> dict[str, Any]:
    """The lease of a job is found gone after its end has taken it, and before the worker has read that end."""
    stage = Stage()
    first = stage.queue.enqueue(f"{TASKS}.add", 1, 2, on_success=NOTE).id
    second = tasks.sleep.enqueue(1)
    stage.take()
    assert len(stage.handle.hands) == 2
    time.sleep(0.5)  # the slot ends the first and begins the second
    stage.worker.clock.next_beat = stage.worker.clock.next_moment = 0
    stage.worker.clock.tick(stage.worker.state)
    stage.until(lambda: stage.status(second) != "started")
    return stage.told(first=first, second=second)


def the_next_job_when_the_one_before_was_to_be_killed() -> dict[str, Any]:
    """A job is killed for its timeout in the moment in which it ends."""
    stage = Stage()
    first, second = tasks.sleep.enqueue(0.2), tasks.sleep.enqueue(1)
    stage.take()
    assert len(stage.handle.hands) == 2
    time.sleep(0.5)
    stage.handle.kill("timeout")
    stage.until(lambda: stage.status(second) == "finished")
    return stage.told(first=first, second=second)


def the_job_behind_a_cancelled_one() -> dict[str, Any]:
    """A cancel recalls what lies behind the job, and the very same turn takes again."""
    stage = Stage()
    first = tasks.sleep.enqueue(20)
    stage.until_runs(first)
    second = tasks.sleep.enqueue(1)
    stage.worker.crew.cancel(first, "", 30, "me")
    stage.take()
    time.sleep(0.3)  # the slot ends the first and begins what lies behind it
    stage.until(lambda: stage.status(second) == "finished")
    return stage.told(first=first, second=second)


def a_timeout_after_a_callback() -> dict[str, Any]:
    """rq's limit of a callback leaves the alarm without a handler."""
    stage = Stage()
    first = stage.queue.enqueue(f"{TASKS}.add", 1, 2, on_success=NOTE).id
    stage.until(lambda: stage.status(first) == "finished")
    pid = stage.handle.pid
    second = tasks.sleep_beyond_its_timeout.enqueue()
    stage.until(lambda: stage.status(second) == "failed")
    return stage.told(first=first, second=second) | {"is_the_same_slot": stage.handle.pid == pid}


def a_hanging_job_in_a_slot_that_retires() -> dict[str, Any]:
    """The last job that a slot was to do has another one behind it, which hangs."""
    settings.WORKER_SLOT_JOBS = 2
    stage = Stage()
    first = tasks.do_nothing.enqueue()
    second = stage.queue.enqueue(f"{TASKS}.swallow_every_exception", job_timeout=1).id
    stage.take()
    assert len(stage.handle.hands) == 2
    stage.until(lambda: stage.handle.is_retiring)
    stage.until(lambda: stage.status(second) == "failed")
    return stage.told(first=first, second=second)


def the_end_of_a_job_before_a_backlog() -> dict[str, Any]:
    """A job whose end needs rq's code stands before a hundred others."""
    stage = Stage(size=2)
    parent = stage.queue.enqueue(f"{TASKS}.add", 1, 2)
    child = stage.queue.enqueue(f"{TASKS}.add", 3, 4, depends_on=parent)
    tasks.sleep.enqueue_many([(0.1,)] * 100)
    stage.until(lambda: stage.status(child.id) == "queued")
    return stage.told(parent=parent.id, child=child.id) | {"is_early": queues.size("default") > 90}


def a_cancelled_job_whose_worker_leaves_at_once() -> dict[str, Any]:
    """It does not listen to the cancel, and before its time is up the worker is told to go."""
    stage = Stage()
    job = stage.queue.enqueue(f"{TASKS}.swallow_every_exception", job_timeout=60).id
    stage.until_runs(job)
    stage.worker.crew.cancel(job, "", 30, "me")
    stage.turns(0.3)
    stage.worker.leave_now(GAVE_BACK_AT_ONCE)
    stage.until(lambda: stage.worker.exit_code is not None)
    return stage.told(job=job) | {"exit": stage.worker.exit_code}


def a_callback_that_never_ends() -> dict[str, Any]:
    """on_stopped swallows its own timeout; it is called twice at most."""
    rq_finish.MARGIN, settings.REDIS_PATIENCE_SECONDS = -119, 0  # so rq's code has 2 s where it would have 126
    stage = Stage(size=2)
    stuck = Callback(f"{TASKS}.never_stop_stopping", timeout=1)
    job = stage.queue.enqueue(f"{TASKS}.sleep", 30, job_timeout=60, on_stopped=stuck).id
    stage.until_runs(job)
    stage.worker.crew.cancel(job, "", 1, "me")
    stage.until(lambda: stage.status(job) == "stopped")
    return stage.told(job=job) | {"is_called_at_most_twice": int(queues.connection().get("stopping") or 0) in (1, 2)}


if __name__ == "__main__":
    logging.disable()
    print(json.dumps(globals()[sys.argv[1]]()), flush=True)
    sys.stdout.close()
