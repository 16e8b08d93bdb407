"""Runs counted by minute and hour: what the charts draw and Prometheus reads, so that neither scans the history."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Self, TypedDict, cast

from django.db import models, transaction
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, TruncHour, TruncMinute
from django.utils.translation import gettext_lazy as _

from .expiring import ExpiringQuerySet
from .job_run import JobRun, Outcome
from .total import BUCKETS, SUM, Run, Total

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
AGAIN = timedelta(minutes=5)  # counted once more: a worker that was cut off tells late what ended
STEP = timedelta(hours=1)  # counted in one transaction
KEPT = {"minute": timedelta(days=2), "hour": timedelta(days=400)}

Key = tuple[datetime, str, str, str]
Spans = tuple[list[int], float]  # how many runs lie in each bucket, and the seconds of all together
KEY = ("at", "queue", "task", "outcome")


class TallyQuerySet(ExpiringQuerySet["Tally"]):
    def between(self, span: str, start: datetime, end: datetime) -> "TallyQuerySet":
        """Return the tallies of one span, `minute` or `hour`, that begin from `start` up to and without `end`."""
        return self.filter(span=span, at__gte=start, at__lt=end)

    def counted_until(self) -> datetime | None:
        """Return the last minute that holds a count, None where nothing was ever counted."""
        return self.filter(span="minute").aggregate(last=models.Max("at"))["last"]

    def settled_until(self) -> datetime | None:
        """Return the moment before which no run is counted again, None where nothing was ever counted."""
        last = self.counted_until()
        return last - AGAIN if last else None

    def fold(self, until: datetime) -> int:
        """Count what ended before `until` and since the last fold, an hour at a time; returns how many runs.

        Give the moment before which every end has been written (its writer may lag). Minutes that were counted are
        counted again for five minutes, so folding twice changes nothing.
        """
        start = self.settled_until() or _first_end()
        counted = 0
        while start is not None and start < until:
            start = start.replace(second=0, microsecond=0)
            end = min(start + STEP, until)
            counted += self._fold_between(start, end)
            start = _first_end(ended_at__gte=end)  # hours in which nothing ended need no step
        return counted

    def _fold_between(self, start: datetime, end: datetime) -> int:
        rows = {_key(row): row for row in counts(start, end)}
        with transaction.atomic():
            told = cast("Iterable[Counted]", self.between("minute", start, end).values())
            old = {_key(row): row for row in told}
            self.between("minute", start, end).delete()
            Tally.objects.bulk_create([Tally(span="minute", **row) for row in rows.values()])
            self._fold_hours(start, end)
            Total.objects.raise_ended(_ended(rows, old))
            for name, spans in (("wait", _waits), ("run", _durations)):
                Total.objects.raise_by(name, _grown(spans, rows, old))
        return sum(row["count"] for row in rows.values())

    def _fold_hours(self, start: datetime, end: datetime) -> None:
        """Add up the minutes of every hour that was touched."""
        first = start.replace(minute=0, second=0, microsecond=0)
        rows = sums(self.between("minute", first, end + HOUR).annotate(bucket=TruncHour("at")), "bucket")
        wholes = [row for row in rows if row["at"] < end]
        self.between("hour", first, end).delete()
        Tally.objects.bulk_create([Tally(span="hour", **row) for row in wholes])

    def expired(self, before: datetime) -> Self:
        """Return the tallies from before a moment, but none of an hour that is added up again.

        However long nothing has ended, the last minute stays: without it all history would be counted a second time.
        """
        settled = Tally.objects.settled_until()
        return self.older(min(before, settled.replace(minute=0, second=0))) if settled else self.none()


class Tally(models.Model):
    """How many runs of one task ended in one minute or hour with one outcome, and how long they waited and ran."""

    span = models.CharField(_("span"), max_length=6)
    at = models.DateTimeField(_("begins"))
    queue = models.CharField(_("queue"), max_length=100)
    task = models.CharField(_("task"), max_length=200)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome)
    count = models.PositiveIntegerField(_("count"))
    wait_sum = models.FloatField(_("wait"), default=0, help_text=_("Seconds, all runs together."))
    wait_max = models.FloatField(_("longest wait"), default=0)
    duration_sum = models.FloatField(_("duration"), default=0, help_text=_("Seconds, all runs together."))
    duration_max = models.FloatField(_("longest duration"), default=0)
    # How many runs lie in each of BUCKETS, and one for the longer; empty where none is known, as of hours that an older
    # version counted.
    wait_buckets = models.JSONField(default=list, editable=False)
    duration_buckets = models.JSONField(default=list, editable=False)

    objects = TallyQuerySet.as_manager()

    class Meta:
        verbose_name = _("tally")
        verbose_name_plural = _("tallies")
        constraints = [
            # Also the index of every chart: one span, a range of times.
            models.UniqueConstraint(fields=["span", "at", "queue", "task", "outcome"], name="one_tally_per_outcome")
        ]

    def __str__(self) -> str:
        return f"{self.span} {self.at:%Y-%m-%d %H:%M} {self.task} {self.outcome}"


def _first_end(**after: datetime) -> datetime | None:
    first: datetime | None = JobRun.objects.filter(**after).aggregate(first=models.Min("ended_at"))["first"]
    return first


def _key(row: "Summed | Part") -> Key:
    return row["at"], row["queue"], row["task"], row["outcome"]


def _waits(row: "Counted") -> Spans:
    return row["wait_buckets"], row["wait_sum"]


def _durations(row: "Counted") -> Spans:
    return row["duration_buckets"], row["duration_sum"]


def _ended(rows: "dict[Key, Counted]", old: "dict[Key, Counted]") -> Counter[Run]:
    """Return by how much each total has grown since these minutes were counted; none ever falls."""
    grown: Counter[Run] = Counter()
    for key, row in rows.items():
        grown[key[1:]] += max(0, row["count"] - (old[key]["count"] if key in old else 0))
    return grown


def _grown(
    spans: "Callable[[Counted], Spans]", rows: "dict[Key, Counted]", old: "dict[Key, Counted]"
) -> Counter[tuple[str, str]]:
    """Return by how much each bucket of each task, and the sum of it, has grown since these minutes were counted."""
    grown: Counter[tuple[str, str]] = Counter()
    for key, row in rows.items():
        buckets, seconds = spans(row)
        was, before = spans(old[key]) if key in old else ([], 0.0)
        was = was or [0] * len(buckets)
        for n, number in enumerate(buckets):
            grown[row["task"], str(n)] += max(0, number - was[n])
        grown[row["task"], SUM] += max(0, round(1000 * (seconds - before)))
    return grown


def bucket_of(field: str) -> models.Case:
    """Return the index of the bucket in which a column lies, None for none."""
    bounds = [models.When(**{f"{field}__lte": bound}, then=models.Value(n)) for n, bound in enumerate(BUCKETS)]
    longer = models.When(**{f"{field}__isnull": False}, then=models.Value(len(BUCKETS)))
    return models.Case(*bounds, longer, default=None, output_field=models.IntegerField())


class Summed(TypedDict):
    """What a tally says, but for its span and its buckets."""

    at: datetime
    queue: str
    task: str
    outcome: str
    count: int
    wait_sum: float
    wait_max: float
    duration_sum: float
    duration_max: float


class Counted(Summed):
    """What a tally says, but for its span."""

    wait_buckets: list[int]
    duration_buckets: list[int]


class Part(Summed):
    """The runs of a minute whose waits lie in one bucket, and whose durations in one."""

    wait_bucket: int | None
    duration_bucket: int | None


def counts(start: datetime, end: datetime) -> list[Counted]:
    """Count the runs that ended from `start` up to and without `end`, by minute, queue, task and outcome."""
    found: dict[Key, Counted] = {}
    for part in _parts(start, end):
        row = found.setdefault(_key(part), _nothing(part))
        row["count"] += part["count"]
        row["wait_sum"] += part["wait_sum"]
        row["wait_max"] = max(row["wait_max"], part["wait_max"])
        row["duration_sum"] += part["duration_sum"]
        row["duration_max"] = max(row["duration_max"], part["duration_max"])
        if (n := part["wait_bucket"]) is not None:
            row["wait_buckets"][n] += part["count"]
        if (n := part["duration_bucket"]) is not None:
            row["duration_buckets"][n] += part["count"]
    return list(found.values())


def _nothing(part: Part) -> Counted:
    return {
        "at": part["at"], "queue": part["queue"], "task": part["task"], "outcome": part["outcome"], "count": 0,
        "wait_sum": 0.0, "wait_max": 0.0, "duration_sum": 0.0, "duration_max": 0.0,
        "wait_buckets": [0] * (len(BUCKETS) + 1), "duration_buckets": [0] * (len(BUCKETS) + 1),
    }  # fmt: skip


def _parts(start: datetime, end: datetime) -> Iterable[Part]:
    """Count these runs in one pass, by the buckets too."""
    ended = JobRun.objects.order_by().filter(ended_at__gte=start, ended_at__lt=end).annotate(at=TruncMinute("ended_at"))
    buckets = {"wait_bucket": bucket_of("wait"), "duration_bucket": bucket_of("duration")}
    parts = (
        ended.annotate(**buckets)
        .values(*KEY, *buckets)
        .annotate(
            count=models.Count("pk"),
            wait_sum=models.Sum("wait", default=0.0),
            wait_max=models.Max("wait", default=0.0),
            duration_sum=models.Sum("duration", default=0.0),
            duration_max=models.Max("duration", default=0.0),
        )
    )
    return cast(Iterable[Part], parts)


def heights(column: str) -> dict[str, models.Sum]:
    """Return the sums, by name, that add up a group's buckets of `wait` or `duration`; 0 where no row knows them."""
    buckets = {f"{column}_{n}": KT(f"{column}_buckets__{n}") for n in range(len(BUCKETS) + 1)}
    return {name: models.Sum(Cast(bucket, models.IntegerField()), default=0) for name, bucket in buckets.items()}


def heights_of(row: Mapping[str, object], column: str) -> list[int]:
    """Return how many runs lie in each bucket, of a row that was annotated with `heights`."""
    return [cast(int, row[f"{column}_{n}"]) for n in range(len(BUCKETS) + 1)]


def sums(tallies: TallyQuerySet, bucket: str) -> list[Counted]:
    """Add tallies up by the annotation `bucket`, queue, task and outcome."""
    rows = (
        tallies.order_by()
        .values(bucket, "queue", "task", "outcome")
        .annotate(
            **heights("wait"),
            **heights("duration"),
            n=models.Sum("count"),
            w=models.Sum("wait_sum"),
            wm=models.Max("wait_max"),
            d=models.Sum("duration_sum"),
            dm=models.Max("duration_max"),
        )
    )
    return [
        {
            "at": row[bucket],
            "queue": row["queue"],
            "task": row["task"],
            "outcome": row["outcome"],
            "count": row["n"],
            "wait_sum": row["w"],
            "wait_max": row["wm"],
            "duration_sum": row["d"],
            "duration_max": row["dm"],
            "wait_buckets": heights_of(row, "wait"),
            "duration_buckets": heights_of(row, "duration"),
        }
        for row in rows
    ]
