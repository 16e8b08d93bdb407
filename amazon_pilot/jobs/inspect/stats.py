"""Figures for scripts: all queues at a glance, and what ended on each day, from tallies as the charts have it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from ..core import queues
from ..core.values import Answer
from . import snapshot
from .days import against_last_week, by_day, by_queue, told

DAYS, MOST_DAYS = 10, 90


HELD = ("waiting", "running", "scheduled", "retries", "deferred", "failed")
ENDED: tuple[Literal["processed", "succeeded", "failed"], ...] = ("processed", "succeeded", "failed")
RATES: tuple[Literal["error_rate", "error_rate_hour", "wait_p95"], ...] = ("error_rate", "error_rate_hour", "wait_p95")


def glance(now: datetime | None = None) -> Answer:
    """Return the shared sample's figures and today's by queue; `retries` are about how many of the scheduled, or None.

    `error_rate` is of 24 hours, `error_rate_hour` and `wait_p95` (seconds, about) of the last one; None where nothing
    ended.
    Raises RedisError.
    """
    seen = snapshot.current()
    now = now or timezone.now()
    days = by_queue(now)
    rows: list[Answer] = [
        {"name": queue.name, "paused": queue.paused}
        | {name: getattr(queue, name) for name in HELD}
        | {f"{name}_today": days[queue.name][name] for name in ENDED}
        | {name: days[queue.name][name] for name in RATES}
        for queue in seen.queues
    ]
    numbers = [*HELD, *(f"{name}_today" for name in ENDED)] if rows else []
    return {
        "taken_at": seen.taken.isoformat(),
        "weighed_at": seen.weighed.isoformat() if seen.weighed else None,
        "queues": rows,
        "total": {name: total([row[name] for row in rows]) for name in numbers},
        "against_last_week": against_last_week(now),
        "workers": {
            "alive": len(seen.alive),
            "busy": sum(worker["busy"] for worker in seen.alive),
            "slots": sum(len(worker["slots"]) for worker in seen.alive),
        },
        "redis": {name: seen.info.get(name) for name in ("redis_version", "used_memory", "used_memory_peak")},
    }


def total(numbers: Sequence[object]) -> int | None:
    """Add numbers up; None where one of them is not known."""
    known = [number for number in numbers if isinstance(number, int)]
    return sum(known) if len(known) == len(numbers) else None


def past(days: int, queue: str = "", now: datetime | None = None) -> Answer:
    """Return what ended on each of the last days by the clock of TIME_ZONE, today first; '' means all queues.

    Raises ValidationError where there is no such queue, or no such number of days.
    """
    if queue and queue not in queues.names():
        raise ValidationError(_("There is no queue %s.") % queue)
    if not 1 <= days <= MOST_DAYS:
        raise ValidationError(_("days has to be from 1 to %d.") % MOST_DAYS)
    now = now or timezone.now()
    dates = [timezone.localdate(now) - timedelta(days=n) for n in range(days)]
    each: dict[date, Counter[str]] = defaultdict(Counter)
    for (name, day), ended in by_day(dates[-1], now).items():
        if queue in ("", name):
            each[day] += ended
    return {"queue": queue, "days": [{"day": day.isoformat()} | told(each[day]) for day in dates]}
