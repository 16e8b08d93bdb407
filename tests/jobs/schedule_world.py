"""The small world of the schedule's tests: a task, entries, schedulers whose clock stands still until it is moved."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rq.job import Job
from rq_scheduler import Scheduler

from amazon_pilot.jobs import job
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.models import ScheduleEntry
from amazon_pilot.jobs.schedule.scheduler import PilotScheduler


@job("default", timeout=60)
def count_stock(shelf: str = "") -> None:
    """Do nothing; what matters is that it is enqueued."""


TASK = count_stock.name


def at(text: str, zone: str = "UTC") -> datetime:
    """Answer an instant from what the clock of a zone reads, such as 2026-03-08 02:30."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


class Clock:
    """A clock that only a test moves."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)


def make_entry(name: str = "stock", cron: str = "0 9 * * *", **fields: Any) -> ScheduleEntry:
    """Store an entry of the test's own task, as an operator's would be."""
    return ScheduleEntry.objects.create(**{"name": name, "cron": cron, "task": TASK, "zone": "UTC"} | fields)


def make_scheduler(redis: Any, clock: Clock, name: str = "first") -> PilotScheduler:
    scheduler = PilotScheduler(connection=redis, clock=clock, name=name)
    assert isinstance(scheduler, Scheduler)
    return scheduler


def queued(redis: Any, queue: str = "default") -> list[str]:
    """Answer the ids of the jobs in a queue, oldest first."""
    return [raw.decode() for raw in redis.lrange(f"rq:queue:{queue}", 0, -1)]


def work_off(redis: Any, *queues: str) -> list[str]:
    """End every queued job, as a worker would; answer their ids."""
    done: list[str] = []
    for queue in queues or ("critical", "default", "low"):
        for job_id in queued(redis, queue):
            JSONJob.fetch(job_id, connection=redis).set_status("finished")  # type: ignore[arg-type]
            done.append(job_id)
        redis.delete(f"rq:queue:{queue}")
    return done


def fetch(redis: Any, job_id: str) -> Job:
    return JSONJob.fetch(job_id, connection=redis)


@pytest.fixture
def clock(settings: Any) -> Clock:
    """Monday, 5 January 2026, 08:00 UTC, with an empty table in the settings."""
    settings.SCHEDULE = {}
    return Clock(at("2026-01-05 08:00"))


@pytest.fixture
def scheduler(db: None, redis: Any, clock: Clock) -> PilotScheduler:
    """A scheduler that has done its first tick on an empty schedule."""
    first = make_scheduler(redis, clock)
    first.tick()
    return first
