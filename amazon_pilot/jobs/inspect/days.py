"""What ended in each queue, today and on the days before: from tallies, so that no page scans the history."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import TypedDict

from django.core.cache import cache
from django.db.models import Max, Q, Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from ..core import queues
from ..models import Tally
from ..models.tally import HOUR, MINUTE, Counted, counts, heights, heights_of
from ..models.total import BUCKETS
from .charts import BAD, GOOD, MOST_TAIL
from .percentile import percentile

REMEMBERED_SECONDS = 60  # a minute's own figures, by one process


class Ended(TypedDict):
    """Runs by what became of them: all, those that went well, and those that failed or were lost."""

    processed: int
    succeeded: int
    failed: int


class LastHour(TypedDict):
    """What share of the last hour failed, and how long 95 % of it waited at most, about; None where nothing ended."""

    error_rate_hour: float | None
    wait_p95: float | None


class Day(Ended, LastHour):
    """What ended today, what share of the last 24 hours failed, and the last hour; None where nothing ended."""

    error_rate: float | None


class AgainstLastWeek(TypedDict):
    """What ended today up to the last whole hour, and a week ago up to the same one."""

    today: Ended
    week_ago: Ended
    until: datetime


NOTHING: LastHour = {"error_rate_hour": None, "wait_p95": None}


def by_day(first: date, now: datetime) -> dict[tuple[str, date], Counter[str]]:
    """Count what ended from the midnight of a day until now, by queue and day, and then by outcome."""
    return ended(timezone.make_aware(datetime(first.year, first.month, first.day)), now)


def ended(start: datetime, now: datetime) -> dict[tuple[str, date], Counter[str]]:
    """Count what ended from the beginning of an hour until now, by queue and day, and then by outcome.

    Hours come from tallies; what has not been folded is counted on the spot, as the charts do.
    """
    return _ended(start, now, not_folded(start, now, Tally.objects.counted_until()))


def not_folded(start: datetime, now: datetime, folded: datetime | None) -> list[Counted]:
    """Count what ended after `start` and after the last minute that was folded, of a quarter of an hour at most."""
    return counts(max(folded + MINUTE if folded else start, now - MOST_TAIL, start), now)


def _ended(start: datetime, now: datetime, late: Iterable[Counted]) -> dict[tuple[str, date], Counter[str]]:
    found: dict[tuple[str, date], Counter[str]] = defaultdict(Counter)
    hours = Tally.objects.between("hour", start, now).order_by().annotate(day=TruncDay("at"))
    for row in hours.values("day", "queue", "outcome").annotate(n=Sum("count")):
        found[row["queue"], row["day"].date()][row["outcome"]] += row["n"]
    for new in late:
        found[new["queue"], timezone.localdate(new["at"])][new["outcome"]] += new["count"]
    return found


@dataclass
class Hour:
    """What ended in a queue within an hour: how many, how many of them badly, and their waits."""

    count: int = 0
    bad: int = 0
    waits: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))  # how many lie in each bucket
    longest: float = 0.0

    def add(self, outcome: str, count: int, waits: Iterable[int], longest: float) -> None:
        self.count += count
        self.bad += count if outcome in BAD else 0
        self.waits = [one + more for one, more in zip(self.waits, waits, strict=True)]
        self.longest = max(self.longest, longest)

    def told(self) -> LastHour:
        rate = self.bad / self.count if self.count else None
        return {"error_rate_hour": rate, "wait_p95": percentile(self.waits, 0.95, self.longest)}


def last_hours(now: datetime, folded: datetime | None, late: Iterable[Counted]) -> dict[str, LastHour]:
    """Return the last hour of every queue in which something ended.

    `folded` is the last minute that was folded, None where none was, and `late` is what came after it.
    """
    found = _folded_hours(now.replace(second=0, microsecond=0) - HOUR, folded) if folded else defaultdict(Hour)
    for new in late:
        found[new["queue"]].add(new["outcome"], new["count"], new["wait_buckets"], new["wait_max"])
    return {queue: hour.told() for queue, hour in found.items()}


def _folded_hours(start: datetime, last: datetime) -> dict[str, Hour]:
    """Add up the minutes of each queue in one query, once for each that is folded: with 200 queues that takes 0.3 s."""
    key = f"monitor:hours:{start.timestamp():.0f}:{last.timestamp():.0f}"
    known: dict[str, Hour] | None = cache.get(key)
    if known is None:
        known = defaultdict(Hour)
        minutes = Tally.objects.between("minute", start, last + MINUTE).order_by().values("queue", "outcome")
        for row in minutes.annotate(**heights("wait"), n=Sum("count"), longest=Max("wait_max")):
            known[row["queue"]].add(row["outcome"], row["n"], heights_of(row, "wait"), row["longest"])
        cache.set(key, known, REMEMBERED_SECONDS)
    return known


def told(counted: Counter[str]) -> Ended:
    """Return runs by what became of them: all, those that went well, and those that failed or were lost."""
    return {
        "processed": counted.total(),
        "succeeded": sum(counted[outcome] for outcome in GOOD),
        "failed": sum(counted[outcome] for outcome in BAD),
    }


def by_queue(now: datetime | None = None) -> dict[str, Day]:
    """Return by queue what ended today, as `told` says, and `error_rate`: what share of the last 24 hours failed.

    The rate is None where nothing ended. Its first hour is counted as a whole. How many queries it takes does not
    depend on the number of queues.
    """
    now = now or timezone.now()
    today = timezone.localdate(now)
    midnight = timezone.make_aware(datetime(today.year, today.month, today.day))
    day_ago = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=24)
    start = min(midnight, day_ago)
    folded = Tally.objects.counted_until()
    late = not_folded(start, now, folded)
    counted, hours = _ended(start, now, late), last_hours(now, folded, late)
    wholes: dict[str, Counter[str]] = defaultdict(Counter)
    for (name, _day), each in counted.items():
        wholes[name] += each
    answer: dict[str, Day] = {}
    for name in queues.names():
        whole = told(wholes[name])
        rate = whole["failed"] / whole["processed"] if whole["processed"] else None
        answer[name] = {**told(counted[name, today]), "error_rate": rate, **hours.get(name, NOTHING)}
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
