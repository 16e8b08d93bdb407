"""The pages' own line to Redis: it fails within about two seconds, where a worker would wait half a minute."""

import os

import django_rq
from django.conf import settings
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

ANSWER_SECONDS = 1.5

_connections: dict[int, Redis] = {}


def connect() -> Redis:
    """Return this process's connection for pages: threads share its pool, a forked child makes its own."""
    pid = os.getpid()
    if pid not in _connections:
        connection: Redis = django_rq.get_connection(next(iter(settings.RQ_QUEUES)))
        timeouts = {"socket_timeout": ANSWER_SECONDS, "socket_connect_timeout": ANSWER_SECONDS, "retry_on_error": []}
        connection.connection_pool.connection_kwargs |= timeouts
        connection.set_retry(Retry(NoBackoff(), 0))
        _connections.clear()
        _connections[pid] = connection
    return _connections[pid]


def is_away() -> bool:
    """Tell whether Redis fails to answer now: an action asks before it calls a verb that would wait."""
    try:
        return not connect().ping()
    except RedisError:
        return True
