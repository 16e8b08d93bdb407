"""The schedule run through many days in a moment: real rows, a real Redis, two schedulers and a clock that jumps.

A scheduler is killed now and then at a random step between two Redis commands, and another one goes on.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from django.conf import settings
from django.db.models import Min
from redis import Redis

from amazon_pilot.jobs.models import ScheduleEntry
from amazon_pilot.jobs.schedule.scheduler import PilotScheduler
from tests.jobs import oracle
from tests.jobs.schedule_world import TASK, Clock, at
from tests.jobs.tripwire import Killed, Tripwire

ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Shanghai", "America/St_Johns", "UTC")


@dataclass
class Outcome:
    """What a simulation found: fires expected, those that never came, those that came more than once or unplanned."""

    fires: int
    missing: int
    double: int
    kills: int


def random_lines(random: Random, count: int) -> dict[str, str]:
    """Make cron lines of one to a few fires a day at most, often in the hours in which clocks change."""
    lines = {}
    for number in range(count):
        minute = random.choice(["0", "0", "0", "30"])
        hour = random.choice(["0", "1", "2", "3", "0,2", "1-3", "9", "23", "*/12"])
        day = random.choice(["*", "*", "1", "15", "28-31", "*/2"])
        month = random.choice(["*", "*", "*", "3,4", "10,11"])
        weekday = random.choice(["*", "*", "0", "1-5", "6,7"])
        lines[f"random-{number}"] = f"{minute} {hour} {day} {month} {weekday}"
    return lines


def lines_of(random: Random, count: int) -> dict[str, str]:
    """Answer the six lines of the mission and `count` random ones.

    The entry of every minute is left out: it would be all but one in a hundred fires, and none of the hard ones.
    """
    lines = {name: line["cron"] for name, line in settings.SCHEDULE.items() if line["cron"] != "* * * * *"}
    return lines | random_lines(random, count)


def simulate(
    redis: Redis, zones: tuple[str, ...], start: str, days: int, seed: int, random_count: int = 20, killed: float = 0.03
) -> Outcome:
    """Run the lines in every zone, in one schedule, for `days` from `start`; compare the jobs with the oracle.

    `killed` is the share of ticks in which the leader is killed, if its tick is long enough to reach the fatal step.
    """
    random = Random(seed)
    lines = {zone: lines_of(random, random_count) for zone in zones}
    first, end = at(start), at(start) + timedelta(days=days)
    prefixes = {zone: zone.replace("/", "_") for zone in zones}
    for zone in zones:
        for name, line in lines[zone].items():
            entry = ScheduleEntry(name=f"{prefixes[zone]}-{name}", cron=line, zone=zone, task=TASK)
            entry.next_at = entry.next_fire(first - timedelta(seconds=1))
            entry.save()
    settings.SCHEDULE = {}  # the rows above are the whole schedule
    settings.SCHEDULER_SYNC_INTERVAL = 30 * 86400.0  # else each jump of the clock would bring a comparison
    jobs, kills = run(redis, Clock(first), end, random, killed)
    expected: Counter[str] = Counter()
    for zone in zones:
        for name, times in oracle.fires(lines[zone], zone, first, end).items():
            expected.update(f"{prefixes[zone]}-{name}-{int(time.timestamp())}" for time in times)
    return Outcome(expected.total(), (expected - jobs).total(), (jobs - expected).total(), kills)


def run(redis: Redis, clock: Clock, end: datetime, random: Random, killed: float) -> tuple[Counter[str], int]:
    """Let two schedulers tick at each time at which something is due; answer the jobs and how often one was killed."""
    schedulers = [replacement(redis, clock, number) for number in range(2)]
    jobs: Counter[str] = Counter()
    kills = 0
    while (next_at := next_time()) < end:
        clock.now = max(clock.now, next_at + timedelta(milliseconds=random.randrange(900)))
        if random.random() < 0.02:
            redis.delete("rq:scheduler_lock")  # a lease ran out while its owner lived
            schedulers.reverse()
        wire = schedulers[0].connection
        wire.steps, wire.fatal = 0, random.randrange(1, 20) if random.random() < killed else 0
        try:
            schedulers[0].tick()
        except Killed:
            kills += 1
            schedulers[0] = replacement(redis, clock, 2 + kills)
            redis.delete("rq:scheduler_lock")  # the lease of the dead ran out
            clock.forward(seconds=10)
        wire.fatal = 0
        if schedulers[0].connection is not wire or random.random() < 0.1:
            schedulers[1].tick()
        jobs.update(work_off(redis))
    return jobs, kills


def replacement(redis: Redis, clock: Clock, number: int) -> PilotScheduler:
    return PilotScheduler(connection=Tripwire(redis), clock=clock, name=f"scheduler-{number}")


def next_time() -> datetime:
    return ScheduleEntry.objects.aggregate(next_at=Min("next_at"))["next_at"]


def work_off(redis: Redis) -> list[str]:
    """End all queued jobs and forget them, as a worker with result_ttl 0 would; answer their ids."""
    ids: Any = redis.lrange("rq:queue:default", 0, -1)
    if ids:
        redis.delete("rq:queue:default", *(b"rq:job:" + job_id for job_id in ids))
    return [job_id.decode() for job_id in ids]
