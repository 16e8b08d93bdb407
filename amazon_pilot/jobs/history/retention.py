"""Retention: for how long the engine keeps each kind of row, what the next clean-up deletes, and the clean-up.

Looking counts at most COUNTED rows of a kind; beyond that PostgreSQL's planner says about how many there are, and
elsewhere it is said that there are more.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import Avg, F, Func, IntegerField, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..core.values import Text
from ..models import (
    Alert,
    AuditEntry,
    Batch,
    BulkAction,
    Fire,
    JobRun,
    JobSubject,
    Reading,
    ScheduleEntry,
    Silence,
    Tally,
)
from ..models.expiring import ExpiringQuerySet
from ..models.job_run import Outcome
from ..models.tally import KEPT

TASK = "amazon_pilot.jobs.tasks.cleanup"
COUNTED = 10_000
WEIGHED = 200  # rows, the oldest; their mean stands for the others
# What a row takes beside its values: its header, and in each index its key with a header and some free space.
ROW_BYTES, INDEX_BYTES = 28, 36
SMALL_TABLE = 2**20  # bytes; below it the unused part of the last pages counts more than the rows
LENGTH = {"postgresql": "pg_column_size", "sqlite": "length"}
MOST_DAYS = 3650
BAD = (Outcome.RETRYING, Outcome.FAILED, Outcome.STOPPED, Outcome.LOST)

Rows = ExpiringQuerySet[Any]


@dataclass(frozen=True)
class Kind:
    """One kind of row: its name for scripts and for people, where its rows are, and what decides how long it stays.

    `parts` answers one queryset for each beginning of an index, so that the oldest of each are found at once.
    """

    name: str
    label: Text
    parts: Callable[[], list[Rows]]
    variable: str = ""
    fixed: timedelta = timedelta()
    least: int = 1

    @property
    def days(self) -> int:
        """How many days it is kept: by the setting, or as the charts need it."""
        return int(getattr(settings, self.variable)) if self.variable else self.fixed.days


def runs(*outcomes: Outcome) -> Callable[[], list[Rows]]:
    """Return what asks for the runs that ended so; those that have not ended are in no kind."""
    return lambda: [JobRun.objects.filter(outcome=outcome) for outcome in outcomes]


def span(model: type[Tally] | type[Reading], word: str) -> Callable[[], list[Rows]]:
    """Return what asks for the rows of one span, `minute` or `hour`."""
    return lambda: [model.objects.filter(span=word)]


KINDS = (
    Kind("succeeded", gettext_lazy("Runs that succeeded"), runs(Outcome.SUCCEEDED), "RETENTION_SUCCEEDED_DAYS"),
    Kind("failed", gettext_lazy("Runs that ended otherwise"), runs(*BAD), "RETENTION_FAILED_DAYS"),
    Kind("subjects", gettext_lazy("What jobs were about"), lambda: [JobSubject.objects.all()], "RETENTION_FAILED_DAYS"),
    Kind("batches", gettext_lazy("Batches"), lambda: [Batch.objects.all()], "RETENTION_FAILED_DAYS"),
    Kind("audit", gettext_lazy("Audit"), lambda: [AuditEntry.objects.all()], "RETENTION_AUDIT_DAYS"),
    Kind("fires", gettext_lazy("Fires of the schedule"), lambda: [Fire.objects.all()], "RETENTION_FIRES_DAYS", least=7),
    Kind("alerts", gettext_lazy("Alerts"), lambda: [Alert.objects.all()], "RETENTION_AUDIT_DAYS"),
    Kind(
        "silences",
        gettext_lazy("Silences of the schedulers"),
        lambda: [Silence.objects.all()],
        "RETENTION_FIRES_DAYS",
        least=7,
    ),
    Kind("bulk", gettext_lazy("Bulk actions"), lambda: [BulkAction.objects.all()], "RETENTION_BULK_DAYS"),
    Kind("tally_minutes", gettext_lazy("Counts by minute"), span(Tally, "minute"), fixed=KEPT["minute"]),
    Kind("tally_hours", gettext_lazy("Counts by hour"), span(Tally, "hour"), fixed=KEPT["hour"]),
    Kind("reading_minutes", gettext_lazy("Readings by minute"), span(Reading, "minute"), fixed=KEPT["minute"]),
    Kind("reading_hours", gettext_lazy("Readings by hour"), span(Reading, "hour"), fixed=KEPT["hour"]),
)


def check_retention(app_configs: Sequence[AppConfig] | None, **kwargs: object) -> list[checks.CheckMessage]:
    """Each setting is a whole number of days that is not too small."""
    return [
        checks.Error(
            f"{kind.variable} is {days!r}, which cannot be used.",
            hint=f"Set it to a whole number of days from {kind.least} to {MOST_DAYS}.",
            id="jobs.E004",
        )
        for kind in {kind.variable: kind for kind in reversed(KINDS)}.values()  # some kinds share a setting
        if kind.variable
        and (type(days := getattr(settings, kind.variable)) is not int or not kind.least <= days <= MOST_DAYS)
    ]


# Looking


@dataclass(frozen=True)
class Number:
    """How many rows there are: `exactly`, `about` (by the planner), or `more` than so many."""

    value: int
    how: str = "exactly"

    def __add__(self, other: "Number") -> "Number":
        hows = (self.how, other.how)
        return Number(self.value + other.value, next((how for how in ("more", "about") if how in hows), "exactly"))


@dataclass(frozen=True)
class Doomed:
    """What would be deleted, and about how many bytes that frees; as little as `number`, bytes may be more."""

    number: Number
    bytes: int


@dataclass(frozen=True)
class Line:
    """One kind of row, its size, and what a clean-up does to it; `tried` is the same with another number of days."""

    kind: Kind
    days: int
    rows: Number
    oldest: datetime | None
    doomed: Doomed
    tried_days: int | None = None
    tried: Doomed | None = None


def preview(now: datetime | None = None, days: int | None = None) -> tuple[datetime, datetime | None, list[Line]]:
    """Return as of when it is said, when the next clean-up is planned (None: never), and a line for each kind.

    It is said as of the next clean-up, where one is planned. `days` is tried for each kind whose setting can be changed
    to it. Changes nothing. Raises ValidationError where there are no such days.
    """
    if days is not None and not 1 <= days <= MOST_DAYS:
        raise ValidationError(_("days has to be from 1 to %d.") % MOST_DAYS)
    now = now or timezone.now()
    planned = next_clean_up(now)
    moment = planned or now
    return moment, planned, [line_of(kind, moment, days) for kind in KINDS]


def next_clean_up(now: datetime) -> datetime | None:
    """Return when the schedule cleans up next, None where it does not."""
    entries = ScheduleEntry.objects.filter(task=TASK, broken="", next_at__isnull=False).order_by("next_at")
    times = [entry.next_at for entry in entries if entry.next_at and not entry.is_paused_at(entry.next_at)]
    return max(now, times[0]) if times else None


def line_of(kind: Kind, moment: datetime, days: int | None) -> Line:
    """Look at one kind of row."""
    parts = [(rows, first) for rows in kind.parts() if (first := oldest(rows)) is not None]
    is_tried = days is not None and kind.variable != "" and days >= kind.least
    return Line(
        kind=kind,
        days=kind.days,
        rows=added(number(rows, rows) for rows, _first in parts),
        oldest=min((first for _rows, first in parts), default=None),
        doomed=doomed(parts, moment - timedelta(days=kind.days)),
        tried_days=days if is_tried else None,
        tried=doomed(parts, moment - timedelta(days=days)) if is_tried and days is not None else None,
    )


def added(numbers: Iterator[Number]) -> Number:
    return sum(numbers, Number(0))


def oldest(rows: Rows) -> datetime | None:
    """Return the age column of the oldest row, None where there is none."""
    return rows.order_by(rows.clock).values_list(rows.clock, flat=True).first()


def number(rows: Rows, wider: Rows) -> Number:
    """Count rows; where there are many in `wider`, which holds them and few others, that is what is told.

    `wider` is asked of an index alone, and names no two columns of time: the planner takes conditions for independent
    of each other, so that of what began and ended before a moment it would see a small part.
    """
    if (found := wider.order_by(rows.clock)[: COUNTED + 1].count()) <= COUNTED:
        return Number(found if rows is wider else rows.count())
    if connection.vendor != "postgresql":
        return Number(COUNTED, "more")
    plan = json.loads(wider.order_by().explain(format="json"))
    return Number(max(COUNTED, int(plan[0]["Plan"]["Plan Rows"])), "about")


def doomed(parts: list[tuple[Rows, datetime]], before: datetime) -> Doomed:
    """Return what of some rows is deleted that are from before a moment, given the oldest of each."""
    total, size = Number(0), 0.0
    for rows in (rows for rows, first in parts if first < before):
        expired = rows.expired(before)
        found = number(expired, rows.older(before))
        total, size = total + found, size + found.value * (bytes_of_one(expired) if found.value else 0)
    return Doomed(total, round(size))


def bytes_of_one(rows: Rows) -> float:
    """Return about how many bytes one row takes with its index entries: the mean of the oldest."""
    meta, function = rows.model._meta, LENGTH[connection.vendor]
    sizes = [
        Coalesce(Func(F(field.column), function=function, output_field=IntegerField()), Value(0))
        for field in meta.concrete_fields
    ]
    whole = sum(sizes[1:], start=sizes[0])
    mean = rows.order_by(rows.clock).annotate(whole=whole)[:WEIGHED].aggregate(mean=Avg("whole"))["mean"]
    size = float(mean or 0) + ROW_BYTES
    return size * index_ratio(meta.db_table) or size + INDEX_BYTES * (1 + len(meta.indexes) + len(meta.constraints))


def index_ratio(table: str) -> float:
    """Return how many bytes table and indexes take for each of the table; 0 where a table is small or nobody knows."""
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_table_size(%s::regclass), pg_total_relation_size(%s::regclass)", [table, table])
        rows, whole = cursor.fetchone()
    return float(whole / rows) if rows > SMALL_TABLE else 0


# Deleting


def clean_up(now: datetime | None = None, seconds: float | None = None) -> tuple[Counter[str], bool]:
    """Delete what is kept no longer; returns how many rows of each kind, and False where `seconds` were over first.

    Each step is a transaction with its part of one line of audit, so that a clean-up may be killed at any moment, the
    line is true, and the next one goes on.
    """
    now, end = now or timezone.now(), time.monotonic() + seconds if seconds is not None else None
    deleted: Counter[str] = Counter()
    line: AuditEntry | None = None
    for kind in KINDS:
        for rows in kind.parts():
            steps = rows.prune_in_steps(now - timedelta(days=kind.days))
            while True:
                if end is not None and time.monotonic() >= end:
                    return deleted, False
                with transaction.atomic():
                    if (gone := next(steps, None)) is None:
                        break
                    deleted[kind.name] += gone
                    line = line or AuditEntry.objects.record(None, "prune", "history", count=0)
                    line.count, line.detail = deleted.total(), dict(deleted)
                    line.save(update_fields=["count", "detail"])
    return deleted, True
