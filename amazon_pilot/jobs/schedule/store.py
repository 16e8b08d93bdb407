"""The scheduler's door to Redis: its keys, its scripts, its clock.

Every change that could be torn apart by a kill is one script or one MULTI. Commands are those of Redis 6.2.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

import django_rq
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from redis.typing import EncodableT
from rq.job import Job
from rq.queue import Queue
from rq.scripts import acquire_or_refresh_lock, release_lock
from rq.utils import as_text
from rq_scheduler import Scheduler

from ..core import keys
from ..core.values import Word

SCHEDULED = Scheduler.scheduled_jobs_key
LOCK = Scheduler.scheduler_lock_key  # rq-scheduler's own, so that a stock scheduler beside ours stands still
REPORT, INSTANCES = keys.SCHEDULER, keys.SCHEDULERS
SYNCED = "pilot:schedule:synced"  # vanishes with everything else when Redis is emptied
FIRED = "pilot:fired:"
TEMPLATE = "schedule-"
INSTANCE_SECONDS = 60  # a scheduler that was not seen for so long is off the list
# How long Redis remembers that a fire was enqueued. A fire is sent again for less long: see fires.OLDEST_SENT_AGAIN.
FIRED_SECONDS = 7 * 24 * 3600

# Fire: enqueue one job, once, and move its entry's template on to the next time.
# Keys: the lock, the set of scheduled jobs, the mark of this fire, the job's hash, the queue, the set of queues,
#   the key of a unique task or the mark of this fire again.
# Arguments: the name that has to hold the lock ('' for none), the mark's seconds, the instant in milliseconds,
#   the job's id, the template's id, the next time in epoch seconds, the prefix of job hashes, then the hash's
#   fields and values in turn.
# Answer: -1 when another scheduler leads, 0 when the job was enqueued now, else the milliseconds of when it was;
#   the id of another job of a unique task that waits or runs with these arguments, and is joined.
FIRE = """
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local before = redis.call('GET', KEYS[3])
local other = not before and KEYS[7] ~= KEYS[3] and redis.call('GET', KEYS[7])
local PENDING = {queued = 1, started = 1, scheduled = 1, deferred = 1, rate_limited = 1, ready_to_enqueue = 1}
if other and PENDING[redis.call('HGET', ARGV[7] .. other, 'status') or ''] then
  before = 'joined ' .. other
  redis.call('SET', KEYS[3], before, 'EX', ARGV[2])
end
if not before then
  redis.call('SET', KEYS[3], ARGV[3], 'EX', ARGV[2])
  if KEYS[7] ~= KEYS[3] then redis.call('SET', KEYS[7], ARGV[4], 'EX', 2592000) end
  redis.call('HSET', KEYS[4], unpack(ARGV, 8))
  redis.call('RPUSH', KEYS[5], ARGV[4])
  redis.call('SADD', KEYS[6], KEYS[5])
end
redis.call('ZADD', KEYS[2], 'XX', 'GT', ARGV[6], ARGV[5])
return before and before:match('^joined (.*)') or tonumber(before or 0)
"""

# Move jobs of enqueue_at and enqueue_in whose time has come onto their queues.
# Keys: the set of scheduled jobs, the set of queues.
# Arguments: the instant in epoch seconds, the same as rq writes it, how many at most,
#   the prefixes of job hashes, of queues and of our templates, which stay.
# Answer: how many were moved; one whose hash is gone is dropped.
MOVE = """
local moved = 0
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
  if string.sub(id, 1, #ARGV[6]) ~= ARGV[6] then
    redis.call('ZREM', KEYS[1], id)
    local origin = redis.call('HGET', ARGV[4] .. id, 'origin')
    if origin then
      local queue = ARGV[5] .. origin
      redis.call('HSET', ARGV[4] .. id, 'status', 'queued', 'enqueued_at', ARGV[2])
      local front = redis.call('HGET', ARGV[4] .. id, 'enqueue_at_front')
      redis.call((front and front ~= '' and front ~= '0') and 'LPUSH' or 'RPUSH', queue, id)
      redis.call('SADD', KEYS[2], queue)
      moved = moved + 1
    end
  end
end
return moved
"""


@dataclass(frozen=True)
class Parcel:
    """What FIRE needs for one fire: the entry's name, its next time (None to leave it), and a job made by rq.

    `unique` is the key under which one job of a unique task may be pending, or ''.
    """

    entry: str
    next_at: datetime | None
    job: Job
    queue: str
    unique: str = ""


def connect() -> Redis:
    """Return a connection that gives up after about a second: the scheduler's loop and a web page both know better
    what to do then than to wait the half minute that workers do."""
    connection: Redis = django_rq.get_connection("default")
    connection.connection_pool.connection_kwargs |= {"socket_timeout": 5, "socket_connect_timeout": 2}
    connection.set_retry(Retry(ConstantBackoff(0.2), 3))
    return connection


def clock(connection: Redis) -> datetime:
    """Return Redis's own time, the one clock of all schedulers."""
    seconds, micros = connection.time()
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def lead(connection: Redis, name: str, lease: int) -> bool:
    """Take or renew the lock for `lease` seconds; False means that another scheduler holds it."""
    return acquire_or_refresh_lock(connection, LOCK, name, lease) != "taken"


def leave(connection: Redis, name: str) -> None:
    """Give the lock back, if it is ours."""
    release_lock(connection, LOCK, name)


def fire(connection: Redis, parcels: Iterable[Parcel], leader: str, now: datetime) -> list[int | str]:
    """Send fires in one packet, each of them one atomic step; answer FIRE's number for each, or the job it joined.

    `leader` is the name that has to hold the lock, or "" for an operator's own act.
    """
    script = connection.register_script(FIRE)
    pipe = connection.pipeline(transaction=False)
    millis = int(now.timestamp() * 1000)
    for parcel in parcels:
        job, queue = parcel.job, Queue.redis_queue_namespace_prefix + parcel.queue
        fields = [part for pair in job.to_dict().items() for part in pair]
        next_at = parcel.next_at.timestamp() if parcel.next_at else "-inf"
        mark = FIRED + job.id
        unique = keys.UNIQUE + parcel.unique if parcel.unique else mark
        keyed = [LOCK, SCHEDULED, mark, job.key, queue, Queue.redis_queues_keys, unique]
        words: list[Word] = [leader, FIRED_SECONDS, millis, job.id, TEMPLATE + parcel.entry, next_at]
        script(keyed, [*words, Job.redis_job_namespace_prefix, *fields], client=pipe)
    return [answer.decode() if isinstance(answer, bytes) else answer for answer in pipe.execute()]


def move_one_offs(connection: Redis, now: datetime, limit: int = 100) -> int:
    """Move jobs of enqueue_at and enqueue_in that are due onto their queues; answer how many."""
    stamp = now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    prefixes = (Job.redis_job_namespace_prefix, Queue.redis_queue_namespace_prefix, TEMPLATE)
    return int(
        connection.eval(MOVE, 2, SCHEDULED, Queue.redis_queues_keys, str(now.timestamp()), stamp, limit, *prefixes)
    )


def alive(connection: Redis, job_ids: list[str]) -> list[bool]:
    """Tell for each job whether it still waits or runs; one that is unknown or gone does not."""
    pipe = connection.pipeline(transaction=False)
    for job_id in job_ids:
        pipe.hget(Job.key_for(job_id), "status")
    waiting = {b"queued", b"started", b"deferred", b"scheduled", b"rate_limited", b"ready_to_enqueue"}
    return [status in waiting for status in pipe.execute()]


def scored(connection: Redis, key: str) -> list[tuple[bytes, float]]:
    """Return the members of a sorted set with their scores."""
    return cast(list[tuple[bytes, float]], connection.zrange(key, 0, -1, withscores=True))


def planned(connection: Redis) -> dict[str, float]:
    """Return the templates that Redis holds: entry name and score."""
    members = scored(connection, SCHEDULED)
    found = {member.decode(): score for member, score in members}
    return {name.removeprefix(TEMPLATE): score for name, score in found.items() if name.startswith(TEMPLATE)}


def put_templates(connection: Redis, templates: Mapping[str, tuple[Job, datetime]], gone: Iterable[str]) -> None:
    """Write templates with their next times and remove those of entries that are gone, in one MULTI."""
    pipe = connection.pipeline()
    for name, (job, next_at) in templates.items():
        pipe.hset(job.key, mapping=job.to_dict())
        pipe.zadd(SCHEDULED, {TEMPLATE + name: next_at.timestamp()})
    for name in gone:
        pipe.zrem(SCHEDULED, TEMPLATE + name)
        pipe.delete(Job.key_for(TEMPLATE + name))
    pipe.execute()


def report(connection: Redis, name: str, now: datetime, leads: bool, numbers: Mapping[str, float]) -> None:
    """Say that a scheduler lives and, if it leads, when it ticked and what it measured (seconds)."""
    at = now.timestamp()
    pipe = connection.pipeline()
    pipe.zadd(INSTANCES, {name: at})
    pipe.zremrangebyscore(INSTANCES, "-inf", at - INSTANCE_SECONDS)
    # What rq-scheduler keeps of a scheduler that runs.
    key = Scheduler.redis_scheduler_namespace_prefix + name
    pipe.hsetnx(key, "birth", str(at))
    pipe.expire(key, INSTANCE_SECONDS)
    if leads:
        fields: dict[EncodableT, EncodableT] = {"leader": name, "tick_at": at}
        pipe.hset(REPORT, mapping=fields | dict(numbers))
    pipe.execute()


def last_tick(connection: Redis) -> datetime | None:
    """Return when a leader last looked at the clock, None where Redis does not know."""
    at = connection.hget(REPORT, "tick_at")
    try:
        return datetime.fromtimestamp(float(at), UTC) if at else None
    except (ValueError, OverflowError):
        return None


def withdraw(connection: Redis, name: str) -> None:
    """Take a scheduler that stops off the list."""
    connection.zrem(INSTANCES, name)
    connection.delete(Scheduler.redis_scheduler_namespace_prefix + name)


def read_report(connection: Redis) -> tuple[dict[str, str], dict[str, float]]:
    """Return the leader's last report, and for each scheduler the epoch at which it was last seen."""
    found = {as_text(key): as_text(value) for key, value in connection.hgetall(REPORT).items()}
    return found, {name.decode(): score for name, score in scored(connection, INSTANCES)}
