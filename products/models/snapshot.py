"""What was seen: one listing of one product, kept for ever by the scrape run that paid for it."""

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from products.listing import Listing

from .product import Product
from .rows import PackedJSONField
from .scrape_run import ScrapeRun


class SnapshotQuerySet(models.QuerySet["Snapshot"]):
    def between(self, start: datetime, end: datetime) -> "SnapshotQuerySet":
        """Keep what was taken from `start` up to and including `end`."""
        return self.filter(taken_at__gte=start, taken_at__lte=end)


class Snapshot(models.Model):
    """One listing, as it was seen. What was not seen is empty and never zero."""

    product = models.ForeignKey(Product, models.CASCADE, related_name="snapshots", verbose_name=_("product"))
    scrape_run = models.ForeignKey(ScrapeRun, models.PROTECT, related_name="snapshots", verbose_name=_("scrape run"))
    taken_at = models.DateTimeField(_("taken at"))
    price = models.DecimalField(_("price"), max_digits=12, decimal_places=2, null=True)
    list_price = models.DecimalField(_("list price"), max_digits=12, decimal_places=2, null=True)
    used_price = models.DecimalField(_("used offer"), max_digits=12, decimal_places=2, null=True)
    currency = models.CharField(_("currency"), max_length=3)
    seller = models.CharField(_("buy box seller"), max_length=200, blank=True)
    seller_id = models.CharField(_("seller's id"), max_length=40, blank=True)
    fulfilled_by_amazon = models.BooleanField(_("fulfilled by Amazon"), null=True)
    availability = models.CharField(_("availability"), max_length=12)
    availability_text = models.CharField(_("availability as shown"), max_length=200, blank=True)
    rating = models.DecimalField(_("rating"), max_digits=2, decimal_places=1, null=True)
    review_count = models.PositiveIntegerField(_("review count"), null=True)
    bought_past_month = models.PositiveIntegerField(_("bought past month, at least"), null=True)
    content_hash = models.CharField(max_length=64, blank=True)
    warnings = models.JSONField(_("warnings"), default=list)
    raw = PackedJSONField(_("item as answered"), null=True, help_text=_("Kept for 30 days, without reviews."))

    objects = SnapshotQuerySet.as_manager()

    class Meta:
        verbose_name = _("snapshot")
        verbose_name_plural = _("snapshots")
        ordering = ["-taken_at"]
        constraints = [
            models.UniqueConstraint(fields=["product", "scrape_run"], name="snapshot_once_per_product_and_run"),
            models.CheckConstraint(condition=Q(price__isnull=True) | Q(price__gt=0), name="snapshot_price_is_positive"),
        ]
        indexes = [
            models.Index(fields=["product", "-taken_at"], name="snapshot_history"),
            models.Index(fields=["taken_at"], name="snapshot_retention"),
        ]

    def __str__(self) -> str:
        return f"{self.product} · {self.taken_at:%Y-%m-%d %H:%M}"

    @classmethod
    def of(cls, listing: Listing, product: Product, run: ScrapeRun, taken_at: datetime) -> "Snapshot":
        """Lay a listing out as a row, unsaved."""
        return cls(
            product=product,
            scrape_run=run,
            taken_at=taken_at,
            price=listing.price,
            list_price=listing.list_price,
            used_price=listing.used_price,
            currency=listing.currency,
            seller=(listing.seller or "")[:200],
            seller_id=(listing.seller_id or "")[:40],
            fulfilled_by_amazon=listing.fulfilled_by_amazon,
            availability=listing.availability,
            availability_text=(listing.availability_text or "")[:200],
            rating=listing.rating,
            review_count=listing.review_count,
            bought_past_month=listing.bought_past_month,
            content_hash=listing.content_hash or "",
            warnings=list(listing.warnings),
            raw=listing.raw,
        )

    def ranks_of(self, listing: Listing) -> "list[SnapshotRank]":
        """Lay the ranks of a listing out as rows of this stored snapshot, unsaved."""
        return [
            SnapshotRank(snapshot_id=self.pk, category=rank.category[:200], position=position, rank=rank.rank)
            for position, rank in enumerate(listing.ranks)
        ]


class SnapshotRank(models.Model):
    """One line of the rank list; the highest position is the sub-category, the rank that sellers watch."""

    snapshot = models.ForeignKey(Snapshot, models.CASCADE, related_name="ranks", verbose_name=_("snapshot"))
    category = models.CharField(_("category"), max_length=200)
    position = models.PositiveSmallIntegerField(_("position on the page"))
    rank = models.PositiveIntegerField(_("rank"))

    class Meta:
        verbose_name = _("rank")
        verbose_name_plural = _("ranks")
        ordering = ["snapshot", "position"]
        constraints = [
            models.UniqueConstraint(fields=["snapshot", "category"], name="rank_once_per_category"),
            models.CheckConstraint(condition=Q(rank__gt=0), name="rank_is_positive"),
        ]

    def __str__(self) -> str:
        return f"#{self.rank} in {self.category}"
