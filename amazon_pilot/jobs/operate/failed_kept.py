"""Failed jobs that Redis keeps: at most FAILED_JOBS_KEPT of a queue, beside the time after which each goes by itself.

What is too much is told a day before: `look` notes which jobs go, and from when on. `trim` deletes these and no others,
those first that would go first by themselves, as bulk actions of the machine: each has its line of audit with its
number, and can be taken back for a day. What failed after the notice waits for the next one.
"""

import json
import time
from datetime import datetime, timedelta
from typing import cast

from django.conf import settings
from django.utils import timezone
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text, utcparse

from ..core import keys, queues
from ..core.scripts import together
from ..core.values import Command
from ..inspect.snapshot import Going
from . import bulk

NOTICE = timedelta(hours=24)
STEP = 500  # jobs of one bulk action


def look(now: datetime | None = None) -> dict[str, Going]:
    """Note for each queue that keeps too many failed jobs how many go, and from when on; returns that by queue.

    A notice that was given stands until its jobs are gone, or the queue keeps no more than it may.
    """
    connection, now = queues.connection(), now or timezone.now()
    given = read(connection)
    found = {name: going for name in queues.names() if (going := _going(connection, name, given.get(name), now))}
    commands: list[Command] = [
        ("HSET", keys.GOING, name, json.dumps(found[name])) for name in found if found[name] != given.get(name)
    ]
    commands += [("HDEL", keys.GOING, name) for name in given if name not in found]
    if commands:
        together(connection, *commands)
    return found


def read(connection: Redis) -> dict[str, Going]:
    """Return the notices that stand, by queue."""
    return {as_text(name): json.loads(words) for name, words in connection.hgetall(keys.GOING).items()}


def _going(connection: Redis, queue: str, given: Going | None, now: datetime) -> Going | None:
    """Return the notice of one queue: the one that was given as far as it still holds, a new one, or None."""
    over = too_many(connection, queue)
    if over <= 0:
        return None
    if given is not None:
        number = min(over, int(connection.zcount(failed(queue), "-inf", given["score"])))
        return cast(Going, {**given, "number": number}) if number else None
    last = cast(list[tuple[bytes, float]], connection.zrange(failed(queue), over - 1, over - 1, withscores=True))
    if not last:
        return None  # fewer by now
    due = (now + NOTICE).timestamp()
    return Going(number=over, score=last[0][1], told_at=now.timestamp(), due=due)


def trim(now: datetime | None = None, seconds: float | None = None) -> tuple[int, bool]:
    """Delete the jobs whose notice is a day old; returns how many, and False where `seconds` were over first."""
    connection, now = queues.connection(), now or timezone.now()
    end = time.monotonic() + seconds if seconds is not None else None
    deleted = 0
    for queue, going in look(now).items():
        if going["due"] > now.timestamp():
            continue
        passed = 0
        while (over := too_many(connection, queue)) > 0 and (ids := _next(connection, queue, going, passed, over)):
            if end is not None and time.monotonic() >= end:
                return deleted, False
            told = _ended_before(connection, ids, going["told_at"])
            changed = bulk.carry_out("delete", told, _why(going)).changed if told else 0
            deleted, passed = deleted + changed, passed + len(ids) - changed
        connection.hdel(keys.GOING, queue)
    look(now)
    return deleted, True


def _next(connection: Redis, queue: str, going: Going, passed: int, over: int) -> list[str]:
    found = connection.zrangebyscore(failed(queue), "-inf", going["score"], start=passed, num=min(STEP, over))
    return [as_text(cast(bytes, job_id)) for job_id in found]


def _ended_before(connection: Redis, ids: list[str], moment: float) -> list[str]:
    """Keep the jobs that had failed when their notice was given, in one round trip; one that does not say when had."""
    pipeline = connection.pipeline(transaction=False)
    for job_id in ids:
        pipeline.hget(f"{RQ_KEY_PREFIX}:job:{job_id}", "ended_at")
    return [job_id for job_id, text in zip(ids, pipeline.execute(), strict=True) if _is_before(text, moment)]


def _is_before(text: bytes | None, moment: float) -> bool:
    try:
        return not text or utcparse(as_text(text)).timestamp() <= moment
    except ValueError:
        return True


def _why(going: Going) -> str:
    told_at = datetime.fromtimestamp(going["told_at"], timezone.get_current_timezone())
    return f"More than FAILED_JOBS_KEPT ({settings.FAILED_JOBS_KEPT}); told since {told_at:%Y-%m-%d %H:%M %Z}."


def too_many(connection: Redis, queue: str) -> int:
    """Return how many failed jobs a queue keeps beyond what it may; below zero where it keeps fewer."""
    return int(connection.zcard(failed(queue))) - settings.FAILED_JOBS_KEPT


def failed(queue: str) -> str:
    """Return the key of rq's registry of failed jobs, by when each goes by itself."""
    return f"{RQ_KEY_PREFIX}:failed:{queue}"
