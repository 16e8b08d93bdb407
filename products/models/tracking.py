"""One team's interest in a product: private, with what this team wants to hear of it."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import connection, models
from django.db.models import OuterRef, Q, Subquery, Value
from django.db.models.functions import Lower, Upper
from django.db.models.lookups import Contains
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .rows import among
from .rules import Wishes

if TYPE_CHECKING:
    from accounts.models import Team

    from .product import Product

# How long a removed tracking can be had back before it is deleted with its changes.
UNDO = timedelta(hours=1)
# How long the first data of a new product may take; it comes within a minute where all is well.
FIRST_LOOK = timedelta(hours=1)
# So many rows are sorted by anything in no time, and each may be looked at for what no index knows.
FEW = 2000
# Between two looks, by the first sign of their frequency.
INTERVALS = {"1": timedelta(hours=1), "2": timedelta(hours=6), "3": timedelta(days=1), "4": timedelta(days=7)}


class Frequency(models.TextChoices):
    """How often a product is looked at. The values sort by frequency, so the least of several is the most frequent."""

    HOURLY = "1_hourly", _("hourly")
    SIX_HOURLY = "2_six_hourly", _("every six hours")
    DAILY = "3_daily", _("daily")
    WEEKLY = "4_weekly", _("weekly")

    @property
    def interval(self) -> timedelta:
        """The time between two looks."""
        return INTERVALS[self[0]]

    @property
    def promise(self) -> timedelta:
        """The age from which a fact is late: the interval, and what a round at a fixed hour may add to it."""
        hours = {"1": 2, "2": 9, "3": 36, "4": 8 * 24}[self[0]]
        return timedelta(hours=hours)


class Role(models.TextChoices):
    OWN = "own", _("own product")
    COMPETITOR = "competitor", _("competitor")


class TrackingQuerySet(models.QuerySet["Tracking"]):
    # Both are forgotten with the next condition: how many rows it has, at most one more than FEW, and the rows before
    # a condition that many meet, with `fits`, whether each meets it.
    known: int | None = None
    before: "TrackingQuerySet | None" = None

    def watch(self, team: "Team | Any", products: "Sequence[Product]", role: str, frequency: str) -> int:
        """Have `team` watch `products`; return how many are new. What it watches already stays as it was set.

        What it had removed a moment ago comes back as it was.
        """
        back = Tracking.everything.filter(team=team, product__in=products).restore()
        known = set(self.filter(team=team, product__in=products).values_list("product", flat=True))
        rows = [
            Tracking(team=team, product=product, role=role, frequency=frequency)
            for product in products
            if product.pk not in known
        ]
        Tracking.objects.bulk_create(rows, ignore_conflicts=True)
        return len(rows) + back

    def remove(self) -> datetime:
        """Watch these no more; return the instant, by which `restore` finds them for an hour."""
        at = now()
        self.update(removed_at=at)
        return at

    def restore(self) -> int:
        """Watch removed ones again, with all that belonged to them; return how many."""
        return self.filter(removed_at__isnull=False).update(removed_at=None)

    def purge(self, *, older_than: timedelta = UNDO, batch: int = 500) -> int:
        """Delete what was removed long ago with its changes, in small batches; return how many trackings."""
        gone = 0
        old = self.filter(removed_at__lt=now() - older_than)
        while ids := list(old.values_list("pk", flat=True)[:batch]):
            gone += self.filter(pk__in=ids).delete()[1].get("products.Tracking", 0)
        return gone

    def late(self, at: datetime | None = None) -> "TrackingQuerySet":
        """Keep what should have been seen again by now, by the frequency that its team chose."""
        return self.narrowed(late_when(at))

    def failing(self) -> "TrackingQuerySet":
        """Keep what is left alone, or whose last look failed."""
        return self.narrowed(FAILING)

    def late_or_failing(self, at: datetime | None = None) -> "TrackingQuerySet":
        """Keep what is late or fails."""
        return self.narrowed([*late_when(at, (True,)), *FAILING])

    def matching(self, words: str) -> "TrackingQuerySet":
        """Keep what has these words in its ASIN, title, brand or alias; SQLite asks each row for them in any case."""
        kept = self.narrowed(matching_when(words))
        if kept.known == FEW + 1 and connection.vendor == "postgresql":
            kept.before = self.annotate(fits=has(words))
        return kept

    def narrowed(self, conditions: "Sequence[Q]") -> "TrackingQuerySet":
        """Keep what meets one of these, whatever it is sorted by. One query now, for the ids of what few rows meet.

        Few are found by indexes and then taken by their ids. What more rows meet is asked of each row in the order of
        the list, and the next that fits is near; words are found by an index of another table, and asked of the first
        rows alone (`before`).
        """
        found = self.order_by().first_of(conditions, FEW + 1)
        counts, left = Counter(number for number, _pk in found), FEW
        few: set[int] = set()
        for number in sorted(range(len(conditions)), key=lambda one: counts[one]):
            left -= counts[number]
            few |= {number} if left >= 0 else set()
        many = (one for number, one in enumerate(conditions) if number not in few)
        ids = list({pk for number, pk in found if number in few})
        kept = self.filter(reduce(or_, many, Q(pk__in=among(ids) if ids else [])))
        if any(count > FEW for count in counts.values()):
            kept.known = FEW + 1
        elif len(few) == len(conditions):
            kept.known = min(len(ids), FEW + 1)
        return kept

    def first_of(self, conditions: "Sequence[Q]", most: int, *columns: str) -> list[Any]:
        """Return for the first so many rows that meet each condition its number, their ids and these columns.

        An index serves each condition; put as one, all rows would be read.
        """
        parts: list[Any] = [self.filter(one)[:most] for one in conditions]
        if not connection.features.supports_slicing_ordering_in_compound:  # SQLite: within another question
            parts = [self.model.everything.filter(pk__in=part.values("pk")) for part in parts]
        first, *others = (
            part.annotate(number=Value(number)).values_list("number", "pk", *columns)
            for number, part in enumerate(parts)
        )
        return list(first.union(*others, all=True) if others else first)


def late_when(at: datetime | None = None, monitored: "Sequence[bool]" = (True, False)) -> list[Q]:
    """Return the ways to be late at an instant, for what is or is not monitored, each as an index knows it."""
    at, looked_at = at or now(), Q(paused=False, product__monitored__in=monitored)
    seen = [looked_at & Q(frequency=one, product__checked_at__lt=at - one.promise) for one in Frequency]
    return [*seen, looked_at & Q(product__checked_at=None, created_at__lt=at - FIRST_LOOK)]


FAILING = [Q(paused=False, product__monitored=False), Q(paused=False, product__failures__gt=0)]


def matching_when(words: str) -> list[Q]:
    """Return the ways to have these words; PostgreSQL finds parts of a text by an index, SQLite reads each row."""
    alias = Q(alias__gt="", alias__icontains=words)
    if connection.vendor == "postgresql":
        texts = apps.get_model("products", "SearchText").objects.filter(text__contains=Upper(Value(words)))
        return [alias, Q(product__in=texts.values("product"))]
    found = Q(product__title__icontains=words) | Q(product__brand__icontains=words)
    return [alias | found | Q(product__asin__icontains=words)]


def has(words: str) -> Q:
    """Return the same question as one row answers by itself: no plan of PostgreSQL looks for all that have them."""
    alias, *others = matching_when(words)
    if not others:
        return alias
    text = apps.get_model("products", "SearchText").objects.filter(product=OuterRef("product")).values("text")
    return alias | Q(Contains(Subquery(text), Upper(Value(words))))


class WatchedManager(models.Manager.from_queryset(TrackingQuerySet)):  # type: ignore[misc]
    """Trackings but for the removed ones, which wait for their undo."""

    def get_queryset(self) -> TrackingQuerySet:
        """Leave out what was removed."""
        return super().get_queryset().filter(removed_at=None)


class Tracking(Wishes):
    """One team's interest in one product, with what it is to be told of it where that differs. Nobody else sees it."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="trackings", verbose_name=_("team"))
    product = models.ForeignKey("products.Product", models.CASCADE, related_name="trackings", verbose_name=_("product"))
    role = models.CharField(_("role"), max_length=10, choices=Role, default=Role.OWN)
    frequency = models.CharField(_("looked at"), max_length=12, choices=Frequency, default=Frequency.DAILY)
    alias = models.CharField(_("your name for it"), max_length=100, blank=True)
    paused = models.BooleanField(_("paused"), default=False)
    tags = models.ManyToManyField("products.Tag", verbose_name=_("tags"), related_name="trackings", blank=True)
    created_at = models.DateTimeField(_("added at"), auto_now_add=True)
    removed_at = models.DateTimeField(_("removed at"), null=True, blank=True, editable=False)

    objects = WatchedManager()
    everything = TrackingQuerySet.as_manager()

    class Meta:
        verbose_name = _("tracking")
        verbose_name_plural = _("trackings")
        constraints = [
            models.UniqueConstraint(fields=["team", "product"], name="tracking_once_per_team"),
            models.CheckConstraint(
                condition=Q(price_threshold__gte=0, price_threshold__lte=100),
                name="tracking_price_threshold_is_percent",
            ),
        ]
        indexes = [
            models.Index(fields=["product", "paused", "frequency"], name="tracking_decides_frequency"),
            # Which of a team's are late, by their frequency.
            models.Index(fields=["team", "frequency"], name="tracking_of_team_by_frequency"),
            # A long list by the team's own names, and what it has paused.
            models.Index("team", Lower("alias"), "id", name="tracking_by_alias", condition=Q(alias__gt="")),
            models.Index(fields=["team", "id"], name="tracking_paused", condition=Q(paused=True)),
            models.Index(fields=["team", "role", "id"], name="tracking_of_team_by_role"),
            models.Index(fields=["removed_at"], name="tracking_removed", condition=Q(removed_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.alias or str(self.product)

    @property
    def patience(self) -> timedelta:
        """How old the value before may be for a comparison: three intervals; an older one tells of another time."""
        return Frequency(self.frequency).interval * 3

    def is_late(self, at: datetime | None = None) -> bool:
        """Whether it should have been seen again by now; asks nobody."""
        if self.paused:
            return False
        at, seen = at or now(), self.product.checked_at
        return self.created_at < at - FIRST_LOOK if seen is None else seen < at - Frequency(self.frequency).promise
