"""Failures by cause: how often each came within a while, since when, and whether it is new or has come back."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Trunc
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..core.values import Answer, Text
from ..models import Cause, JobRun, Release
from ..models.cause import QUIET
from .lists import Listing, in_time

MOST = 50  # groups on the page
MOST_RELEASES = 50  # among which that of a cause is looked for


@dataclass(frozen=True)
class Window:
    """One choice of the page: how far back, counted by the database per `kind`, drawn in bars of `step` seconds."""

    back: timedelta
    kind: str
    grain: timedelta
    step: int
    label: Text


WINDOWS = {
    "1h": Window(timedelta(hours=1), "minute", timedelta(minutes=1), 60, gettext_lazy("1 hour")),
    "24h": Window(timedelta(hours=24), "hour", timedelta(hours=1), 3600, gettext_lazy("24 hours")),
    "7d": Window(timedelta(days=7), "hour", timedelta(hours=1), 6 * 3600, gettext_lazy("7 days")),
    "30d": Window(timedelta(days=30), "day", timedelta(days=1), 86_400, gettext_lazy("30 days")),
}


@dataclass
class Group:
    """The failures of one cause; `first_ever` and `before` (the last one before the window) look behind the window."""

    fingerprint: str
    task: str
    exception: str
    count: int
    first: datetime
    last: datetime
    first_ever: datetime
    before: datetime | None
    message: str = ""
    job_id: str = ""
    bars: list[int] = field(default_factory=list)
    quiet_since: datetime | None = None  # when the latest long pause began, where there was one
    back_at: datetime | None = None  # and when it ended
    release: Release | None = None  # of which it is one of the first failures, or which it came back with

    @property
    def is_new(self) -> bool:
        """Whether it was never seen before the window."""
        return self.before is None

    @property
    def is_back(self) -> bool:
        """Whether it came again within the window after at least QUIET without it."""
        return self.quiet_since is not None

    @property
    def columns(self) -> list[tuple[int, int, int]]:
        """Return the bars to draw, each as (x, y, height), 24 high at most; a bar of one failure can still be seen."""
        most = max(self.bars, default=0) or 1
        heights = [max(2, number * 24 // most) if number else 0 for number in self.bars]
        return [(n * 4, 24 - height, height) for n, height in enumerate(heights) if height]

    @property
    def width(self) -> int:
        return len(self.bars) * 4

    @property
    def peak(self) -> int:
        return max(self.bars, default=0)


def groups(window: Window, now: datetime | None = None, only: Collection[str] | None = None) -> Answer:
    """Return {"rows": the groups, "is_cut": whether there are more, "note": what is missing and why}.

    With `only`, some fingerprints, no other cause is looked for.
    """
    now = now or timezone.now()
    since = now - window.back
    listing, rows, is_cut = Listing(), [], False
    with in_time(listing):
        found = list(_grouped(since, only)[: MOST + 1])
        is_cut = len(found) > MOST
        rows = [Group(**{name: row[name] for name in row if name != "sample"}) for row in found[:MOST]]
        _sample(rows, {row["fingerprint"]: row["sample"] for row in found})
        _trend(rows, window, since)
        _released(rows)
    note = _("This took too long, so the list is not complete. Choose a shorter time.") if listing.note else ""
    return {"rows": rows, "is_cut": is_cut, "note": note}


def _grouped(since: datetime, only: Collection[str] | None = None) -> QuerySet[JobRun, Any]:
    # Served by the index failures_by_cause, once per group: it has to hear that the fingerprint is not empty.
    same = JobRun.objects.ended_badly().filter(fingerprint=OuterRef("fingerprint"))
    runs = JobRun.objects.all() if only is None else JobRun.objects.filter(fingerprint__in=only)
    return runs.failure_groups(since).annotate(
        first_ever=Subquery(same.order_by("started_at").values("started_at")[:1]),
        before=Subquery(same.filter(started_at__lt=since).order_by("-started_at").values("started_at")[:1]),
    )


def _sample(rows: list[Group], samples: dict[str, int]) -> None:
    """Give each group the text and the job of its newest failure."""
    newest = JobRun.objects.filter(pk__in=samples.values()).only("fingerprint", "message", "job_id")
    by_cause = {run.fingerprint: run for run in newest}
    for row in rows:
        if run := by_cause.get(row.fingerprint):
            row.message, row.job_id = run.message, run.job_id


def _trend(rows: list[Group], window: Window, since: datetime) -> None:
    """Count each group by minute, hour or day in one query; draw it in bars, and look for a long pause in it."""
    bars = int(window.back.total_seconds()) // window.step
    counted = (
        JobRun.objects.ended_badly()
        .filter(started_at__gte=since, fingerprint__in=[row.fingerprint for row in rows])
        .annotate(moment=Trunc("started_at", window.kind))
        .values_list("fingerprint", "moment")
        .annotate(n=Count("id"))
        .order_by("fingerprint", "moment")
    )
    points: dict[str, list[tuple[datetime, int]]] = {}
    for fingerprint, moment, number in counted:
        points.setdefault(fingerprint, []).append((moment, number))
    for row in rows:
        row.bars = [0] * bars
        last = row.before
        for moment, number in points.get(row.fingerprint, []):
            place = int((moment - since).total_seconds()) // window.step
            row.bars[min(bars - 1, max(0, place))] += number
            began = max(moment, row.first)
            if last is not None and began - last >= QUIET:
                row.quiet_since, row.back_at = last, began
            last = moment + window.grain  # within this minute, hour or day it was still there


def _released(rows: list[Group]) -> None:
    """Note with which release each group is new, or back: the one that was current when its first failure began."""
    releases = list(Release.objects.order_by("-at", "-pk")[:MOST_RELEASES])
    for row in rows:
        began = row.back_at or row.first_ever
        row.release = next((release for release in releases if release.at <= began), None)


def new_causes(release: Release | None, now: datetime | None = None) -> list[str]:
    """Return the fingerprints that are new or back since a release, or within a day where there is none."""
    since = release.at if release else (now or timezone.now()) - QUIET
    return list(Cause.objects.new_since(since).values_list("pk", flat=True)[:MOST])
