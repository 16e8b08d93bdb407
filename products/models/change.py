"""A difference between what a product remembers and what was seen now, when it crossed somebody's threshold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Max, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from products.listing import Availability, Listing

from .position import GONE
from .product import Product
from .rules import Told, Unit, Way
from .tracking import Tracking

if TYPE_CHECKING:
    from accounts.models import Team

    from .past import Past
    from .snapshot import Snapshot

# Ranks near the top, and steps of a few places, move all day: 1 to 2 would be +100 %.
RANK_NOISE_TOP, RANK_NOISE_STEP = 10, 5
LARGEST_PERCENT = Decimal("999999999")  # what the column holds; from rank 10 to two thousand million is more
TOLD_AVAILABILITY = frozenset(
    (Availability.IN_STOCK, Availability.LOW_STOCK, Availability.UNAVAILABLE, Availability.NO_OFFER)
)


class Kind(models.TextChoices):
    PRICE = "price_change", _("price")
    BSR = "bsr_change", _("best sellers rank")
    RATING = "rating_change", _("rating")
    REVIEWS = "review_count_change", _("review count")
    BUYBOX = "buybox_change", _("buy box")
    BUYBOX_LOST = "buybox_lost", _("buy box lost")
    BUYBOX_WON = "buybox_won", _("buy box won back")
    BUYBOX_NEW = "buybox_new_seller", _("new seller in the buy box")
    AVAILABILITY = "availability_change", _("availability")
    LISTING = "listing_change", _("listing")
    RIVAL_PRICE = "rival_price", _("price beside a competitor")
    RIVAL_RANK = "rival_rank", _("rank beside a competitor")


# What is told of who holds the buy box of a listing that is one's own, by Guard.told.
GUARDED = (Kind.BUYBOX_LOST, Kind.BUYBOX_WON, Kind.BUYBOX_NEW)
# The competitor's value stands before, the own one after.
BESIDE = (Kind.RIVAL_PRICE, Kind.RIVAL_RANK)


class Severity(models.TextChoices):
    """The values sort by severity, so that "at least" is a comparison."""

    INFO = "1_info", _("info")
    WARNING = "2_warning", _("warning")
    CRITICAL = "3_critical", _("critical")


class Direction(models.TextChoices):
    UP = "up", _("up")
    DOWN = "down", _("down")
    BETTER = "better", _("better")
    WORSE = "worse", _("worse")
    NONE = "", _("other")


@dataclass(frozen=True)
class Difference:
    """One fact before and after, with its age; nobody's thresholds are in it yet."""

    kind: Kind
    before: object
    after: object
    before_at: datetime
    seen_at: datetime
    subject: str = ""
    holders: tuple[str, str] = ("", "")  # of the buy box, by their keys
    gravity: Severity | None = None  # for this team, where it is not the usual one

    @property
    def step(self) -> Decimal:
        """After less before, for the kinds that are numbers."""
        return Decimal(str(self.after)) - Decimal(str(self.before))

    @property
    def percent(self) -> Decimal | None:
        """The step in percent of the value before, unrounded; None for the kinds that are words."""
        if self.kind not in (Kind.PRICE, Kind.BSR, Kind.REVIEWS, *BESIDE):
            return None
        return self.step / Decimal(str(self.before)) * 100

    @property
    def direction(self) -> Direction:
        """Where it went; a smaller rank is a better one."""
        if self.kind in BESIDE:
            return Direction.WORSE
        if self.kind == Kind.BSR:
            return Direction.BETTER if self.step < 0 else Direction.WORSE
        if self.kind in (Kind.PRICE, Kind.RATING, Kind.REVIEWS):
            return Direction.UP if self.step > 0 else Direction.DOWN
        return Direction.NONE

    @property
    def severity(self) -> Severity:
        if self.gravity:
            return self.gravity
        size = abs(self.percent or Decimal(0))
        if self.kind == Kind.PRICE:
            return _graded(size, 20, 10)
        if self.kind == Kind.BSR:
            return _graded(size, 50, 30)
        if self.kind == Kind.RATING:
            return Severity.WARNING if self.step < 0 else Severity.INFO
        if self.kind == Kind.BUYBOX_LOST or (self.kind == Kind.AVAILABILITY and self.after == Availability.UNAVAILABLE):
            return Severity.CRITICAL
        return Severity.WARNING if self.kind in (Kind.BUYBOX, Kind.BUYBOX_NEW, *BESIDE) else Severity.INFO

    def reasons(self, tracking: Tracking, told: Told, past: "Past") -> list[str]:
        """Return why this team is told of it, in words that stay true when the rules change; empty if it is not.

        A step of exactly the threshold is not told, except a rating's.

        A value before that is older than three of the team's intervals tells of another time and is not compared; but
        who holds the own buy box is a state, and its loss is told however late it is seen.
        """
        if self.seen_at - self.before_at > tracking.patience and self.kind not in GUARDED:
            return []
        match self.kind:
            case Kind.PRICE:
                found = self._price(told, past.lowest(tracking.product_id, told.price_lowest_days))
            case Kind.BSR:
                found = self._rank(told, past.best(tracking.product_id, told.bsr_best_days))
            case Kind.RATING:
                found = [(abs(self.step) >= told.rating_threshold, f"{told.rating_threshold}")]
            case Kind.REVIEWS:
                found = [(abs(self.percent or Decimal(0)) > told.review_threshold, f"{told.review_threshold} %")]
            case Kind.AVAILABILITY:
                is_back = self.before in GONE and self.after in (Availability.IN_STOCK, Availability.LOW_STOCK)
                found = [(told.tell_availability or (told.tell_back and is_back), "")]
            case Kind.LISTING:
                found = [(told.tell_listing, "")]
            case _:
                found = [(told.tell_buybox, "")]
        return [word for is_so, word in found if is_so]

    def _price(self, told: Told, lowest: Decimal | None) -> list[tuple[bool, str]]:
        before, after = Decimal(str(self.before)), Decimal(str(self.after))
        below, above = told.price_below, told.price_above
        is_moved = abs(self.percent or Decimal(0)) > told.price_threshold and told.price_way in (
            Way.ANY,
            self.direction,
        )
        return [
            (is_moved, f"{told.price_threshold} %"),
            (below is not None and before >= below > after, f"< {below}"),
            (above is not None and before <= above < after, f"> {above}"),
            (lowest is not None and after < lowest, f"min {told.price_lowest_days} d"),
        ]

    def _rank(self, told: Told, best: int | None) -> list[tuple[bool, str]]:
        before, after = int(str(self.before)), int(str(self.after))
        is_percent, outside = told.bsr_unit == Unit.PERCENT, told.bsr_outside
        size = abs(self.percent or Decimal(0)) if is_percent else abs(self.step)
        way = Way.UP if self.direction == Direction.BETTER else Way.DOWN
        is_moved = size > told.bsr_threshold and told.bsr_way in (Way.ANY, way) and not _is_noise(before, after)
        return [
            (is_moved, f"{told.bsr_threshold} {'%' if is_percent else ''}".strip()),
            (outside is not None and before <= outside < after, f"> #{outside}"),
            (best is not None and after < best, f"best {told.bsr_best_days} d"),
        ]


def _graded(size: Decimal, critical: int, warning: int) -> Severity:
    if size >= critical:
        return Severity.CRITICAL
    return Severity.WARNING if size >= warning else Severity.INFO


def differences(product: Product, listing: Listing, seen_at: datetime) -> list[Difference]:
    """Compare a listing with what the product remembers; a side that was not seen is never a difference.

    Raises ValueError when the two are in different currencies.
    """
    if listing.currency != product.currency:
        raise ValueError(f"{product.asin}: a price in {listing.currency} cannot be compared with {product.currency}.")
    return [
        Difference(kind, before, after, before_at, seen_at, *more)
        for kind, before, after, before_at, *more in _compared(product, listing)
        if before_at and before_at < seen_at and before != after
    ]


def _compared(product: Product, listing: Listing) -> Iterator[tuple[Any, ...]]:
    """Yield each pair of facts as a Difference takes them, those that are equal and those never seen before as well."""
    if product.price and listing.price:
        yield Kind.PRICE, product.price, listing.price, product.price_seen_at
    if product.bsr:
        for rank in listing.ranks:
            if rank.category[:200] == product.bsr_category:
                yield Kind.BSR, product.bsr, rank.rank, product.bsr_seen_at, rank.category
    if product.rating and listing.rating:
        yield Kind.RATING, product.rating, listing.rating, product.rating_seen_at
    if product.review_count and listing.review_count:
        yield Kind.REVIEWS, product.review_count, listing.review_count, product.review_count_seen_at
    if listing.seller and _seller_changed(product, listing):
        holders = (product.seller_id or product.seller, listing.seller_id or listing.seller)
        names = (product.seller, listing.seller[:200])
        if names[0] == names[1]:  # two sellers of one name
            names = (f"{names[0]} ({holders[0]})", f"{names[1]} ({holders[1]})")
        yield Kind.BUYBOX, *names, product.seller_seen_at, "", holders
    if product.availability in TOLD_AVAILABILITY and listing.availability in TOLD_AVAILABILITY:
        before_at = product.availability_seen_at
        yield Kind.AVAILABILITY, product.availability, str(listing.availability.value), before_at
    if product.content_hash and listing.content_hash and not listing.is_localised:
        yield Kind.LISTING, product.content_hash, listing.content_hash, product.content_seen_at


def _is_noise(before: int, after: int) -> bool:
    return (before <= RANK_NOISE_TOP and after <= RANK_NOISE_TOP) or abs(after - before) < RANK_NOISE_STEP


def _seller_changed(product: Product, listing: Listing) -> bool:
    """Compare ids; the names decide only when both ids are missing, as they are when Amazon itself sells."""
    if product.seller_id or listing.seller_id:
        return product.seller_id != (listing.seller_id or "")
    return product.seller != listing.seller


class ChangeQuerySet(models.QuerySet["Change"]):
    def newest_of(self, team: "Team | Any") -> "ChangeQuerySet":
        """Keep what this team was told of, newest first, with all that a line about it shows."""
        mine = self.filter(team=team, tracking__removed_at=None)
        return mine.select_related("tracking__product").order_by("-seen_at", "-pk")

    def acknowledge(self) -> int:
        """Note that their team has seen these; return how many were new."""
        return self.filter(acknowledged_at=None).update(acknowledged_at=now())

    def last_told(self, trackings: list[int]) -> dict[tuple[int, str], datetime]:
        """Answer when each kind of change was last found, by (tracking id, kind)."""
        rows = self.filter(tracking_id__in=trackings).values_list("tracking_id", "kind").annotate(Max("seen_at"))
        return {(tracking, kind): seen_at for tracking, kind, seen_at in rows}


KINDS, SEVERITIES = dict(Kind.choices), dict(Severity.choices)


class Change(models.Model):
    """One difference that crossed one team's threshold."""

    tracking = models.ForeignKey(Tracking, models.CASCADE, related_name="changes", verbose_name=_("tracking"))
    # The tracking's team once more, so that a team's newest are found without reading those of all others.
    team = models.ForeignKey(
        "accounts.Team", models.CASCADE, null=True, related_name="+", verbose_name=_("team"), db_index=False
    )
    snapshot = models.ForeignKey(
        "products.Snapshot", models.CASCADE, related_name="changes", verbose_name=_("snapshot")
    )
    kind = models.CharField(_("what changed"), max_length=20, choices=Kind)
    subject = models.CharField(_("category"), max_length=200, blank=True)
    before = models.CharField(_("before"), max_length=200)
    after = models.CharField(_("after"), max_length=200)
    percent = models.DecimalField(_("percent"), max_digits=12, decimal_places=3, null=True)
    direction = models.CharField(_("direction"), max_length=6, choices=Direction, blank=True)
    severity = models.CharField(_("severity"), max_length=10, choices=Severity)
    threshold = models.CharField(_("threshold then"), max_length=100, blank=True)
    before_at = models.DateTimeField(_("seen before at"))
    seen_at = models.DateTimeField(_("seen at"))
    acknowledged_at = models.DateTimeField(_("acknowledged at"), null=True, blank=True)

    objects = ChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        ordering = ["-seen_at", "-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["tracking", "kind", "snapshot"], name="change_once_per_tracking_and_snapshot"
            )
        ]
        indexes = [
            models.Index(fields=["tracking", "kind", "-seen_at"], name="change_last_told"),
            models.Index(fields=["-seen_at"], name="change_newest_first"),
            models.Index(fields=["team", "-seen_at", "-id"], name="change_newest_of_team"),
            # The feed by one severity or kind, and what waits to be acknowledged.
            models.Index(fields=["team", "severity", "-seen_at", "-id"], name="change_of_team_by_severity"),
            models.Index(fields=["team", "kind", "-seen_at", "-id"], name="change_of_team_by_kind"),
            models.Index(
                fields=["team", "-seen_at", "-id"], name="change_open_of_team", condition=Q(acknowledged_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tracking}: {self.get_kind_display()} {self.before} → {self.after}"

    # Django's own ways write all choices in the reader's language to find one; lists ask three times a row.
    def get_kind_display(self) -> str:  # type: ignore[no-redef]
        """Return what changed, in the reader's language."""
        return str(KINDS.get(self.kind, self.kind))

    def get_severity_display(self) -> str:  # type: ignore[no-redef]
        """Return how grave it is, in the reader's language."""
        return str(SEVERITIES.get(self.severity, self.severity))

    @classmethod
    def of(
        cls,
        difference: Difference,
        tracking: Tracking,
        snapshot: "Snapshot",
        seen_at: datetime,
        reasons: Sequence[str] = (),
    ) -> "Change":
        """Lay a difference out as this team's row, unsaved."""
        return cls(
            tracking=tracking,
            team_id=tracking.team_id,
            snapshot=snapshot,
            kind=difference.kind,
            subject=difference.subject[:200],
            before=str(difference.before)[:200],
            after=str(difference.after)[:200],
            percent=None if (percent := difference.percent) is None else round(min(percent, LARGEST_PERCENT), 3),
            direction=difference.direction,
            severity=difference.severity,
            threshold=" · ".join(filter(None, reasons))[:100],
            before_at=difference.before_at,
            seen_at=seen_at,
        )
