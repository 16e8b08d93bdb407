"""Two real schedulers, of which one is killed with -9 again and again while fires fall due."""

import signal
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

from django.utils import timezone
from redis import Redis

from amazon_pilot.jobs.models import Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import entries, store
from amazon_pilot.jobs.schedule.fires import job_id_of
from tests.jobs.schedule_process import Process, end, start, wait_for
from tests.jobs.schedule_world import TASK, queued


@dataclass
class Found:
    """What came of it: jobs missing and double, fires still pending, and those sent again in vain."""

    fires: int
    missing: int
    double: int
    pending: int
    resent: int
    kills: int


def kill_while_firing(env: dict[str, str], redis: Redis, fires: int, kills: int, seed: int) -> Found:
    """Let `fires` fall due in `kills` rounds, kill one of two schedulers in each, and count the jobs in the end.

    The lock is dropped with its owner: the lease would cost ten seconds a kill, and nothing may rest on it anyway.
    """
    random = Random(seed)
    entries.load_settings()
    ScheduleEntry.objects.update(paused_at=timezone.now())  # the entries of the settings are not looked at here
    processes = [start(env), start(env)]
    expected: Counter[str] = Counter()
    try:
        for round_number in range(kills):
            wait_for(lambda: len(living(redis, processes)) == 2)
            share = fires // kills + (round_number < fires % kills)
            planned_at = timezone.now().replace(microsecond=0) + timedelta(seconds=2)
            expected.update(fall_due(f"round-{round_number}", share, planned_at))
            # A turn with five fires takes some ten milliseconds, so that the kill falls before, into or after it.
            moment = planned_at + timedelta(milliseconds=random.uniform(-5, 40))
            time.sleep((moment - timezone.now()).total_seconds())
            victim = victim_of(random, redis, processes)
            processes[victim].send_signal(signal.SIGKILL)
            end(processes[victim])
            redis.delete(store.LOCK)
            processes[victim] = start(env)
        wait_for(lambda: len(queued(redis)) >= fires and not Fire.objects.pending().exists(), 120)
    finally:
        for process in processes:
            end(process)
    jobs = Counter(queued(redis))
    pending = Fire.objects.filter(outcome="pending").count()
    resent = Fire.objects.filter(suppressed__gt=0).count()
    return Found(fires, (expected - jobs).total(), (jobs - expected).total(), pending, resent, kills)


def fall_due(prefix: str, count: int, planned_at: datetime) -> list[str]:
    """Store entries that fall due at one time; answer the ids of their jobs."""
    names = [f"{prefix}-{number}" for number in range(count)]
    ScheduleEntry.objects.bulk_create(
        ScheduleEntry(name=name, cron="0 0 1 1 *", task=TASK, zone="UTC", next_at=planned_at) for name in names
    )
    return [job_id_of(name, planned_at) for name in names]


def living(redis: Redis, processes: list[Process]) -> list[int]:
    """Answer the numbers of those processes that have reported a tick; a scheduler's name holds its process id."""
    _report, seen = store.read_report(redis)
    ids = {int(name.split("-")[-2]) for name in seen}
    return [number for number, process in enumerate(processes) if process.pid in ids]


def victim_of(random: Random, redis: Redis, processes: list[Process]) -> int:
    """Choose one at random, two times out of three the one that leads."""
    owner: Any = redis.get(store.LOCK)
    leader = int(owner.decode().split("-")[-2]) if owner else None
    pids = [process.pid for process in processes]
    return pids.index(leader) if leader in pids and random.random() < 2 / 3 else random.randrange(2)
