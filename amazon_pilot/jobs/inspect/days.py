"""What ended in each queue, today and on the days before: from tallies, so that no page scans the history."""

from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from typing import TypedDict

from django.db.models import Q, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from ..core import queues
from ..models import Tally
from ..models.tally import counts
from .charts import BAD, GOOD, MOST_TAIL


class Ended(TypedDict):
    """Runs by what became of them: all, those that went well, and those that failed or were lost."""

    processed: int
    succeeded: int
    failed: int


class Day(Ended):
    """What ended today, and what share of the last 24 hours failed; None where nothing ended."""

    error_rate: float | None


class AgainstLastWeek(TypedDict):
    """What ended today up to the last whole hour, and a week ago up to the same one."""

    today: Ended
    week_ago: Ended
    until: datetime


def by_day(first: date, now: datetime) -> dict[tuple[str, date], Counter[str]]:
    """Count what ended from the midnight of a day until now, by queue and day, and then by outcome."""
    return ended(timezone.make_aware(datetime(first.year, first.month, first.day)), now)


def ended(start: datetime, now: datetime) -> dict[tuple[str, date], Counter[str]]:
    """Count what ended from the beginning of an hour until now, by queue and day, and then by outcome.

    Hours come from tallies; what has not been folded is counted on the spot, as the charts do.
    """
    found: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    hours = Tally.objects.between("hour", start, now).order_by().annotate(day=TruncDay("at"))
    for row in hours.values("day", "queue", "outcome").annotate(n=Sum("count")):
        found[row["queue"], row["day"].date()][row["outcome"]] += row["n"]
    known = Tally.objects.counted_until()
    tail = max(known + timedelta(minutes=1) if known else start, now - MOST_TAIL, start)
    for late in counts(tail, now):
        found[late["queue"], timezone.localdate(late["at"])][late["outcome"]] += late["count"]
    return found


def told(counted: Counter[str]) -> Ended:
    """Return runs by what became of them: all, those that went well, and those that failed or were lost."""
    return {
        "processed": counted.total(),
        "succeeded": sum(counted[outcome] for outcome in GOOD),
        "failed": sum(counted[outcome] for outcome in BAD),
    }


def by_queue(now: datetime | None = None) -> dict[str, Day]:
    """Return by queue what ended today, as `told` says, and `error_rate`: what share of the last 24 hours failed.

    The rate is None where nothing ended. Its first hour is counted as a whole.
    """
    now = now or timezone.now()
    today = timezone.localdate(now)
    midnight = timezone.make_aware(datetime(today.year, today.month, today.day))
    day_ago = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=24)
    counted = ended(min(midnight, day_ago), now)
    answer: dict[str, Day] = {}
    for name in queues.names():
        whole = told(sum((each for (queue, _day), each in counted.items() if queue == name), Counter()))
        rate = whole["failed"] / whole["processed"] if whole["processed"] else None
        answer[name] = {**told(counted[name, today]), "error_rate": rate}
    return answer


def against_last_week(now: datetime | None = None) -> AgainstLastWeek:
    """Return what ended today up to the last whole hour, `until`, and a week ago up to the same one, as `told` says."""
    hour = timezone.localtime(now).replace(minute=0, second=0, microsecond=0, tzinfo=None)
    spans = {}
    for name, end in (("today", hour), ("week_ago", hour - timedelta(days=7))):
        spans[name] = Q(at__gte=timezone.make_aware(end.replace(hour=0)), at__lt=timezone.make_aware(end))
    hours = Tally.objects.filter(spans["today"] | spans["week_ago"], span="hour").order_by().values("outcome")
    sums = {name: Sum("count", filter=span, default=0) for name, span in spans.items()}
    rows = list(hours.annotate(**sums).values_list("outcome", *sums))
    today, week_ago = (told(Counter({row[0]: row[n] for row in rows})) for n in (1, 2))
    return {"today": today, "week_ago": week_ago, "until": timezone.make_aware(hour)}
