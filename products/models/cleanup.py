"""How far the clean-up of each kind has come: it goes through the rows once, in their order in time, a bounded step at
a time. A step and the mark of how far it came are one transaction, so that it goes on where it was killed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .change import Change
from .scrape_run import OPEN, RunTarget, ScrapeRun
from .snapshot import Snapshot, SnapshotRank

# Of rows to a step: what keeps each statement far below a second, also on a machine with other work.
STEP, RUNS_STEP = 1000, 10
# A round that was begun and took no step for so long was broken off.
BROKEN_OFF = timedelta(minutes=10)

FIRST = datetime(2000, 1, 1, tzinfo=UTC)

Place = tuple[datetime, int]


def day(at: datetime) -> tuple[datetime, datetime]:
    """Return the UTC day of an instant, as its beginning and its end."""
    start = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return start, start + timedelta(days=1)


def week(at: datetime) -> tuple[datetime, datetime]:
    """Return the UTC week of an instant, from Monday to Monday."""
    start = day(at)[0] - timedelta(days=at.weekday())
    return start, start + timedelta(days=7)


@dataclass(frozen=True)
class Work:
    """One kind: which rows, by which time, from which age on, and what is done to a step of them.

    `act` takes the keys of a step and returns how many rows it emptied or deleted. With `period` all but the newest row
    of a product in each such period are acted on. It does not overtake the kind `behind`.
    """

    rows: "type[models.Model]"
    time: str
    older_than: timedelta
    act: Callable[[list[int]], int]
    step: int = STEP
    period: Callable[[datetime], tuple[datetime, datetime]] | None = None
    behind: str = ""

    def until(self) -> datetime:
        """Return the instant before which rows are old enough; whole periods only."""
        old = now() - self.older_than
        ahead = Cleanup.objects.filter(kind=self.behind, ended_at=None).first() if self.behind else None
        if ahead:
            old = min(old, (ahead.reached_at or FIRST) - timedelta(days=1))
        return self.period(old)[0] if self.period else old

    def next_step(self, after: Place | None) -> list[Place]:
        """Return the places of the next rows, at most a step and within one period; empty at the end."""
        rows = self._from(after).filter(**{f"{self.time}__lt": self.until()}).order_by(self.time, "pk")
        found = list(rows.values_list(self.time, "pk")[: self.step])
        if self.period and found:
            end = self.period(found[0][0])[1]
            found = [place for place in found if place[0] < end]
        return found

    def doomed(self, places: Sequence[Place]) -> list[int]:
        """Return the keys of those places on which the kind acts."""
        keys = [key for _at, key in places]
        if not self.period:
            return keys
        later = Q(**{f"{self.time}__gt": OuterRef(self.time)}) | Q(
            **{self.time: OuterRef(self.time)}, pk__gt=OuterRef("pk")
        )
        same = {"product": OuterRef("product"), f"{self.time}__lt": self.period(places[0][0])[1]}
        newer = self._rows().filter(later, **same, **{f"{self.time}__gte": OuterRef(self.time)})
        return list(self._rows().filter(Exists(newer), pk__in=keys).values_list("pk", flat=True))

    def _rows(self) -> "QuerySet[Any]":
        return self.rows._default_manager.order_by()

    def _from(self, after: Place | None) -> "QuerySet[Any]":
        if after is None:
            return self._rows()
        at, key = after
        beyond = Q(**{f"{self.time}__gt": at}) | Q(**{self.time: at}, pk__gt=key)
        return self._rows().filter(beyond, **{f"{self.time}__gte": at})


def forget_raw(keys: list[int]) -> int:
    """Empty the raw item of these snapshots."""
    return Snapshot.objects.filter(pk__in=keys, raw__isnull=False).update(raw=None)


def delete_snapshots(keys: list[int]) -> int:
    """Delete snapshots with what hangs on them; returns how many."""
    SnapshotRank.objects.filter(snapshot__in=keys).delete()
    Change.objects.filter(snapshot__in=keys).delete()
    doomed = Snapshot.objects.filter(pk__in=keys)
    return doomed._raw_delete(doomed.db)  # Django would read each row with its raw item first


def delete_changes(keys: list[int]) -> int:
    """Delete changes with their notifications; returns how many."""
    return Change.objects.filter(pk__in=keys).delete()[1].get("products.Change", 0)


def forget_answers(runs: list[int]) -> int:
    """Empty the answers that runs had set aside."""
    return RunTarget.objects.filter(scrape_run__in=runs).exclude(answer="").update(answer="")


def delete_targets(runs: list[int]) -> int:
    """Delete what became of each ASIN in runs that have ended; their snapshots stay."""
    return RunTarget.objects.filter(scrape_run__in=runs).exclude(outcome="pending").delete()[0]


def delete_runs(runs: list[int]) -> int:
    """Delete ended runs that no snapshot needs any more."""
    ended = ScrapeRun.objects.filter(pk__in=runs, snapshots=None).exclude(state__in=OPEN)
    return ended.delete()[1].get("products.ScrapeRun", 0)


class Kind(models.TextChoices):
    RAW = "raw", _("raw items after 30 days")
    ANSWERS = "answers", _("answers set aside after 30 days")
    CHANGES = "changes", _("changes after 90 days")
    TARGETS = "targets", _("outcomes of runs after 90 days")
    DAILY = "daily", _("snapshots after 90 days, but for one a day")
    WEEKLY = "weekly", _("snapshots after a year, but for one a week")
    RUNS = "runs", _("scrape runs after two years")


MONTH, QUARTER, YEAR = timedelta(days=30), timedelta(days=90), timedelta(days=365)
# Changes go before the snapshots they speak of.
WORK = {
    Kind.RAW: Work(Snapshot, "taken_at", MONTH, forget_raw),
    Kind.ANSWERS: Work(ScrapeRun, "created_at", MONTH, forget_answers, RUNS_STEP),
    Kind.CHANGES: Work(Change, "seen_at", QUARTER, delete_changes, STEP // 2),
    Kind.TARGETS: Work(ScrapeRun, "created_at", QUARTER, delete_targets, RUNS_STEP),
    Kind.DAILY: Work(Snapshot, "taken_at", QUARTER + timedelta(days=1), delete_snapshots, STEP, day),
    Kind.WEEKLY: Work(Snapshot, "taken_at", YEAR, delete_snapshots, STEP, week),
    Kind.RUNS: Work(ScrapeRun, "created_at", 2 * YEAR, delete_runs, RUNS_STEP, behind=Kind.WEEKLY),
}


class CleanupQuerySet(models.QuerySet["Cleanup"]):
    def begin(self) -> None:
        """Begin a round of every kind; what an earlier one did not reach is part of it."""
        Cleanup.objects.bulk_create([Cleanup(kind=kind) for kind in WORK], ignore_conflicts=True)
        self.update(begun_at=Now(), stepped_at=Now(), ended_at=None, seen=0, gone=0)

    def revive(self) -> list[str]:
        """Return the kinds whose round broke off; each is named once in a while."""
        lost = self.filter(begun_at__isnull=False, ended_at=None, stepped_at__lte=Now() - BROKEN_OFF)
        return [kind for kind in lost.values_list("kind", flat=True) if lost.filter(kind=kind).update(stepped_at=Now())]


class Cleanup(models.Model):
    """One kind of clean-up: the place up to which it is done, and what its last round found."""

    kind = models.CharField(_("what goes"), max_length=10, choices=Kind, unique=True)
    reached_at = models.DateTimeField(_("done up to"), null=True)
    reached_id = models.BigIntegerField(default=0)
    begun_at = models.DateTimeField(_("begun at"), null=True)
    stepped_at = models.DateTimeField(_("last step at"), null=True)
    ended_at = models.DateTimeField(_("ended at"), null=True)
    seen = models.BigIntegerField(_("rows looked at"), default=0)
    gone = models.BigIntegerField(_("rows deleted or emptied"), default=0)

    objects = CleanupQuerySet.as_manager()

    class Meta:
        verbose_name = _("clean-up")
        verbose_name_plural = _("clean-ups")
        ordering = ["pk"]

    def __str__(self) -> str:
        return str(Kind(self.kind).label)

    @property
    def place(self) -> Place | None:
        """The last row that is done, by its time and key; None before the first."""
        return None if self.reached_at is None else (self.reached_at, self.reached_id)

    def step(self) -> bool:
        """Take one step and commit; False when nothing is left, or when another job took it."""
        work = WORK[Kind(self.kind)]
        places = work.next_step(self.place)
        with transaction.atomic():
            if not places:
                self._unmoved().update(ended_at=Now())
                return False
            at, key = places[-1]
            if not self._unmoved().update(
                reached_at=at, reached_id=key, stepped_at=Now(), seen=F("seen") + len(places)
            ):
                return False
            gone = work.act(doomed) if (doomed := work.doomed(places)) else 0
            Cleanup.objects.filter(pk=self.pk).update(gone=F("gone") + gone)
        self.reached_at, self.reached_id = at, key
        return True

    def preview(self) -> tuple[int, int]:
        """Return how many rows the next round would look at, and how many it would delete or empty; writes nothing."""
        work, place, seen, gone = WORK[Kind(self.kind)], self.place, 0, 0
        while places := work.next_step(place):
            place, seen, gone = places[-1], seen + len(places), gone + len(work.doomed(places))
        return seen, gone

    def _unmoved(self) -> "QuerySet[Cleanup]":
        return Cleanup.objects.filter(pk=self.pk, reached_at=self.reached_at, reached_id=self.reached_id)
