"""Calls to the services outside, counted where every process can: how long each took and how it ended, for Prometheus.

The counters lie in Redis, since the calls are made in slots, which nobody scrapes. Where Redis was emptied they begin
at 0 again, which Prometheus understands; where it is away a call is not counted, and hardly held up for it.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from amazon_pilot.jobs.inspect import store

logger = logging.getLogger(__name__)

KEY = "pilot:outside"  # hash of numbers: "service outcome", "service <n" for a bucket, "service ms" for the sum
SERVICES = ("apify", "openai", "mail", "webhook", "pictures")
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)  # seconds
WELL, BROKEN_OFF = "ok", "broken_off"


@contextmanager
def calling(service: str) -> Iterator[None]:
    """Count the call inside: its time, and as its outcome ok, the name of the error, or broken_off by a timeout."""
    begun, outcome = time.monotonic(), WELL
    try:
        yield
    except Exception as error:
        outcome = type(error).__name__
        raise
    except BaseException:
        outcome = BROKEN_OFF
        raise
    finally:
        note(service, outcome, time.monotonic() - begun)


def note(service: str, outcome: str, seconds: float) -> None:
    """Count one call."""
    bucket = next((n for n, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))
    try:
        with store.connect().pipeline(transaction=False) as pipeline:
            for field, number in ((outcome, 1), (f"<{bucket}", 1), ("ms", round(1000 * seconds))):
                pipeline.hincrby(KEY, f"{service} {field}", number)
            pipeline.execute()
    except RedisError as error:
        logger.warning("A call to %s was not counted, Redis is away: %s", service, error)
