"""A difference between what a product remembers and what was seen now, when it crossed somebody's threshold."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.db.models import Max, Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from products.listing import Availability, Listing

from .product import Product
from .tracking import Tracking, Unit

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from .snapshot import Snapshot

# Ranks near the top, and steps of a few places, move all day: 1 to 2 would be +100 %.
RANK_NOISE_TOP, RANK_NOISE_STEP = 10, 5
LARGEST_PERCENT = Decimal("999999999")  # what the column holds; from rank 10 to two thousand million is more
TOLD_AVAILABILITY = (
    Availability.IN_STOCK,
    Availability.LOW_STOCK,
    Availability.UNAVAILABLE,
    Availability.NO_OFFER,
)


class Kind(models.TextChoices):
    PRICE = "price_change", _("price")
    BSR = "bsr_change", _("best sellers rank")
    RATING = "rating_change", _("rating")
    REVIEWS = "review_count_change", _("review count")
    BUYBOX = "buybox_change", _("buy box")
    AVAILABILITY = "availability_change", _("availability")
    LISTING = "listing_change", _("listing")


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

    @property
    def step(self) -> Decimal:
        """After less before, for the kinds that are numbers."""
        return Decimal(str(self.after)) - Decimal(str(self.before))

    @property
    def percent(self) -> Decimal | None:
        """The step in percent of the value before, unrounded; None for the kinds that are words."""
        if self.kind not in (Kind.PRICE, Kind.BSR, Kind.REVIEWS):
            return None
        return self.step / Decimal(str(self.before)) * 100

    @property
    def direction(self) -> Direction:
        """Where it went; a smaller rank is a better one."""
        if self.kind == Kind.BSR:
            return Direction.BETTER if self.step < 0 else Direction.WORSE
        if self.kind in (Kind.PRICE, Kind.RATING, Kind.REVIEWS):
            return Direction.UP if self.step > 0 else Direction.DOWN
        return Direction.NONE

    @property
    def severity(self) -> Severity:
        size = abs(self.percent or Decimal(0))
        if self.kind == Kind.PRICE:
            return _graded(size, 20, 10)
        if self.kind == Kind.BSR:
            return _graded(size, 50, 30)
        if self.kind == Kind.RATING:
            return Severity.WARNING if self.step < 0 else Severity.INFO
        if self.kind == Kind.AVAILABILITY and self.after == Availability.UNAVAILABLE:
            return Severity.CRITICAL
        return Severity.WARNING if self.kind == Kind.BUYBOX else Severity.INFO

    def crosses(self, tracking: Tracking) -> bool:
        """Tell whether this user asked to hear of it. A step of exactly the threshold is not told, except a rating's.

        A value before that is older than three of the user's intervals tells of another time and is not compared.
        """
        if self.seen_at - self.before_at > tracking.patience:
            return False
        size = abs(self.percent or Decimal(0))
        match self.kind:
            case Kind.PRICE:
                return size > tracking.price_threshold
            case Kind.BSR:
                return (abs(self.step) if tracking.bsr_unit == Unit.POSITIONS else size) > tracking.bsr_threshold
            case Kind.RATING:
                return abs(self.step) >= tracking.rating_threshold
            case Kind.REVIEWS:
                return size > tracking.review_threshold
            case Kind.BUYBOX:
                return tracking.tell_buybox
            case Kind.AVAILABILITY:
                return tracking.tell_availability
            case _:
                return tracking.tell_listing


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
    return [one for one in _compared(product, listing, seen_at) if one.before != one.after and one.before_at < seen_at]


def _compared(product: Product, listing: Listing, seen_at: datetime) -> Iterator[Difference]:
    if product.price and product.price_seen_at and listing.price:
        yield Difference(Kind.PRICE, product.price, listing.price, product.price_seen_at, seen_at)
    if product.bsr and product.bsr_seen_at:
        for rank in listing.ranks:
            if rank.category[:200] == product.bsr_category and not _is_noise(product.bsr, rank.rank):
                yield Difference(Kind.BSR, product.bsr, rank.rank, product.bsr_seen_at, seen_at, rank.category)
    if product.rating and product.rating_seen_at and listing.rating:
        yield Difference(Kind.RATING, product.rating, listing.rating, product.rating_seen_at, seen_at)
    if product.review_count and product.review_count_seen_at and listing.review_count:
        before_at = product.review_count_seen_at
        yield Difference(Kind.REVIEWS, product.review_count, listing.review_count, before_at, seen_at)
    if product.seller_seen_at and listing.seller and _seller_changed(product, listing):
        yield Difference(Kind.BUYBOX, product.seller, listing.seller, product.seller_seen_at, seen_at)
    if product.availability_seen_at and {product.availability, listing.availability} <= {*TOLD_AVAILABILITY}:
        before_at = product.availability_seen_at
        yield Difference(Kind.AVAILABILITY, product.availability, str(listing.availability.value), before_at, seen_at)
    if product.content_seen_at and product.content_hash and listing.content_hash and not listing.is_localised:
        before_at = product.content_seen_at
        yield Difference(Kind.LISTING, product.content_hash, listing.content_hash, before_at, seen_at)


def _is_noise(before: int, after: int) -> bool:
    return (before <= RANK_NOISE_TOP and after <= RANK_NOISE_TOP) or abs(after - before) < RANK_NOISE_STEP


def _seller_changed(product: Product, listing: Listing) -> bool:
    """Compare ids; the names decide only when both ids are missing, as they are when Amazon itself sells."""
    if product.seller_id or listing.seller_id:
        return product.seller_id != (listing.seller_id or "")
    return product.seller != listing.seller


class ChangeQuerySet(models.QuerySet["Change"]):
    def newest_of(self, user: "User | Any") -> "ChangeQuerySet":
        """Keep what this user was told of, newest first, with all that a line about it shows."""
        mine = self.filter(user=user, tracking__removed_at=None)
        return mine.select_related("tracking__product").order_by("-seen_at", "-pk")

    def acknowledge(self) -> int:
        """Note that their user has seen these; return how many were new."""
        return self.filter(acknowledged_at=None).update(acknowledged_at=now())

    def last_told(self, trackings: list[int]) -> dict[tuple[int, str], datetime]:
        """Answer when each kind of change was last found, by (tracking id, kind)."""
        rows = self.filter(tracking_id__in=trackings).values_list("tracking_id", "kind").annotate(Max("seen_at"))
        return {(tracking, kind): seen_at for tracking, kind, seen_at in rows}


class Change(models.Model):
    """One difference that crossed one user's threshold."""

    tracking = models.ForeignKey(Tracking, models.CASCADE, related_name="changes", verbose_name=_("tracking"))
    # The tracking's user once more, so that a user's newest are found without reading those of all others.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+", verbose_name=_("user"), db_index=False
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
    threshold = models.CharField(_("threshold then"), max_length=20, blank=True)
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
            models.Index(fields=["user", "-seen_at", "-id"], name="change_newest_of_user"),
            # The feed by one severity or kind, and what waits to be acknowledged.
            models.Index(fields=["user", "severity", "-seen_at", "-id"], name="change_of_user_by_severity"),
            models.Index(fields=["user", "kind", "-seen_at", "-id"], name="change_of_user_by_kind"),
            models.Index(
                fields=["user", "-seen_at", "-id"], name="change_open_of_user", condition=Q(acknowledged_at=None)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tracking}: {self.get_kind_display()} {self.before} → {self.after}"

    @classmethod
    def of(cls, difference: Difference, tracking: Tracking, snapshot: "Snapshot", seen_at: datetime) -> "Change":
        """Lay a difference out as this user's row, unsaved."""
        return cls(
            tracking=tracking,
            user_id=tracking.user_id,
            snapshot=snapshot,
            kind=difference.kind,
            subject=difference.subject[:200],
            before=str(difference.before)[:200],
            after=str(difference.after)[:200],
            percent=None if (percent := difference.percent) is None else round(min(percent, LARGEST_PERCENT), 3),
            direction=difference.direction,
            severity=difference.severity,
            threshold=_threshold(difference.kind, tracking),
            before_at=difference.before_at,
            seen_at=seen_at,
        )


def _threshold(kind: Kind, tracking: Tracking) -> str:
    """The threshold in words that stay true when the user changes it later."""
    return {
        Kind.PRICE: f"{tracking.price_threshold} %",
        Kind.BSR: f"{tracking.bsr_threshold} {'%' if tracking.bsr_unit == Unit.PERCENT else ''}".strip(),
        Kind.RATING: f"{tracking.rating_threshold}",
        Kind.REVIEWS: f"{tracking.review_threshold} %",
    }.get(kind, "")
