"""The minute's reading: what each queue holds and about how much memory it takes, kept as rows for the charts.

The leading scheduler takes it between two looks at the schedule, so that it is there when no worker is. No page takes
it: pages read the newest one, with its age, from the shared sample.
"""

import json
import logging
from datetime import datetime

from redis import Redis
from redis.exceptions import RedisError

from ..core import keys
from ..core.scripts import script
from ..models import Reading
from . import snapshot

logger = logging.getLogger(__name__)

KEY = keys.READING
KEPT_SECONDS = 900
WEIGHED = 20  # jobs of each place; their mean stands for the others


def weigh(connection: Redis, queue: str) -> dict[str, int] | None:
    """Return about how many bytes a queue and its jobs take, and how many of its scheduled jobs are retries.

    None where Redis refuses to tell (MEMORY may be forbidden): nothing else may fail for it.
    """
    try:
        memory, retries = script("memory_usage")(connection, queue, WEIGHED)
    except RedisError as error:
        logger.warning("The memory of queue %s is not known: %s", queue, error)
        return None
    return {"memory": memory, "retries": retries}


def take(connection: Redis, minute: datetime) -> bool:
    """Take the reading of one minute, once for all processes; False where it was taken already.

    Raises RedisError and django.db.Error; the next minute is a new try.
    """
    if not connection.set(f"{KEY}:{minute:%H%M}", 1, nx=True, ex=120):
        return False
    seen = snapshot.current(connection)
    held = {queue.name: weigh(connection, queue.name) for queue in seen.queues}
    connection.set(KEY, json.dumps({"at": seen.taken_at, "queues": held}), ex=KEPT_SECONDS)
    Reading.objects.keep([_reading(queue, minute, held[queue.name] or {}) for queue in seen.queues])
    return True


def _reading(queue: snapshot.QueueSample, minute: datetime, held: dict[str, int]) -> Reading:
    return Reading(
        span="minute", at=minute, queue=queue.name, waiting=queue.waiting, running=queue.running,
        scheduled=queue.scheduled, retries=held.get("retries"), held=queue.deferred, failed=queue.failed,
        canceled=queue.canceled, oldest=queue.oldest, memory=held.get("memory"),
    )  # fmt: skip
