"""What is sold: one ASIN on one marketplace, with the last good value of each fact and when it was seen."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from itertools import zip_longest
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from django.db import models
from django.db.models import F, Min, Q, Value
from django.db.models.functions import Coalesce, Left, Lower, Now, NullIf
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from products.amazon import MARKETPLACES, Marketplace, product_address
from products.listing import Availability, Listing, Outcome

from .position import GONE, Position
from .tracking import Frequency

if TYPE_CHECKING:
    from accounts.models import Team

    from .spending import Purses

Row = TypeVar("Row")
MOST_FAILURES = 30_000  # what the column holds
# What a seller writes.
CONTENT = ("title", "brand", "bullets", "description", "images", "has_video", "categories", "content_hash")
NAME_LENGTH = 60  # of a title, as a list is sorted
SORTED = ("price", "bsr", "rating", "review_count", "checked_at")
# How long a product rests after its first, second and third failure in a row; after the fourth it is left alone.
BACKOFF = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))


def sort_name(path: str = "") -> Lower:
    """Return a product's name as lists are sorted by it: the beginning of its title, else its ASIN."""
    return Lower(Coalesce(NullIf(Left(f"{path}title", NAME_LENGTH), Value("")), f"{path}asin"))


def day_start(marketplace: Marketplace, at: datetime) -> datetime:
    """Answer the instant at which the marketplace's current local day began: days of 23 and 25 hours exist."""
    zone = ZoneInfo(marketplace.zone)
    return datetime.combine(at.astimezone(zone).date(), time.min, zone).astimezone(UTC)


def in_turns(rows: Sequence[Row], group: Callable[[Row], Hashable]) -> list[Row]:
    """Answer `rows` in an order in which each group has its first before any has its second."""
    turns: Counter[Hashable] = Counter()
    numbered = []
    for row in rows:
        turns[group(row)] += 1
        numbered.append((turns[group(row)], row))
    return [row for _turn, row in sorted(numbered, key=itemgetter(0))]


def _cut(sites: dict[str, list[int]], size: int) -> Iterator[list[int]]:
    for ids in sites.values():
        yield from (ids[start : start + size] for start in range(0, len(ids), size))


class ProductQuerySet(models.QuerySet["Product"]):
    def tracked_by(self, team: "Team | Any") -> "ProductQuerySet":
        """Keep what this team watches."""
        return self.filter(trackings__team=team, trackings__removed_at=None)

    def ensure(self, identities: Sequence[tuple[str, str]]) -> "list[Product]":
        """Answer the products with these (marketplace, ASIN), in this order, adding those that are new."""
        Product.objects.bulk_create(
            [Product(marketplace=site, asin=asin) for site, asin in identities], ignore_conflicts=True
        )
        sites: dict[str, list[str]] = {}
        for site, asin in identities:
            sites.setdefault(site, []).append(asin)
        rows = (self.filter(marketplace=site, asin__in=asins) for site, asins in sites.items())
        found = {(product.marketplace, product.asin): product for some in rows for product in some}
        return [found[identity] for identity in identities]

    def ask(self) -> int:
        """Note that somebody wants these looked at now; answer how many. The note lasts until Apify has answered."""
        return self.update(asked_at=Now())

    def forgotten(self) -> "ProductQuerySet":
        """Keep what was asked for more than a minute ago and is in no open run: its job was lost on the way."""
        asked = self.filter(asked_at__lte=Now() - timedelta(minutes=1), monitored=True)
        return asked.exclude(targets__outcome="pending")

    def just_given_up(self) -> "ProductQuerySet":
        """Keep what the last look had left alone."""
        return self.filter(monitored=False, failures=len(BACKOFF) + 1)

    def due(self, *frequencies: str, at: datetime | None = None) -> "ProductQuerySet":
        """Keep monitored products whose most frequent active tracking is one of `frequencies` and whose time has come.

        A product that failed rests until `retry_at`; one with an open scrape run is already being looked at.
        """
        at = at or now()
        rested = self.filter(Q(retry_at=None) | Q(retry_at__lte=at), monitored=True).exclude(targets__outcome="pending")
        active = Q(trackings__paused=False, trackings__removed_at=None)
        watched = rested.annotate(interval=Min("trackings__frequency", filter=active))
        due = watched.filter(Q(checked_at=None) | _time_has_come(at), interval__in=frequencies or Frequency.values)
        return due.order_by("marketplace", F("checked_at").asc(nulls_first=True))

    def batches(self, size: int) -> Iterator[list[int]]:
        """Yield lists of at most `size` ids, each of one marketplace: a scrape run serves one site."""
        sites: dict[str, list[int]] = {}
        for pk, site in self.values_list("pk", "marketplace"):
            sites.setdefault(site, []).append(pk)
        yield from _cut(sites, size)

    def fair_batches(self, size: int, most: int, purses: "Purses") -> Iterator[list[int]]:
        """Yield batches of at most `most` products in all, each team's and each site's oldest in turn.

        A product counts for the team that pays for it; those for which nobody has room are left out. The batches of the
        sites alternate.
        """
        oldest = self.order_by(F("checked_at").asc(nulls_first=True), "pk")
        found = oldest.values_list("pk", "marketplace")
        rows = [(pk, site, purses.payers[pk]) for pk, site in found if purses.pay(pk)]
        rows = in_turns(in_turns(rows, lambda row: row[1:]), lambda row: row[2])
        sites: dict[str, list[int]] = {}
        for pk, site, _payer in rows[:most]:
            sites.setdefault(site, []).append(pk)
        turns = zip_longest(*(list(_cut({site: ids}, size)) for site, ids in sites.items()))
        yield from (batch for turn in turns for batch in turn if batch)


def _time_has_come(at: datetime) -> Q:
    """Hourly and six-hourly count elapsed time, less a slack for the run itself; days and weeks count local dates."""
    come = Q(interval=Frequency.HOURLY, checked_at__lte=at - timedelta(minutes=50))
    come |= Q(interval=Frequency.SIX_HOURLY, checked_at__lte=at - timedelta(hours=5, minutes=30))
    for domain, marketplace in MARKETPLACES.items():
        today = day_start(marketplace, at)
        come |= Q(interval=Frequency.DAILY, marketplace=domain, checked_at__lt=today)
        come |= Q(interval=Frequency.WEEKLY, marketplace=domain, checked_at__lt=today - timedelta(days=6))
    return come


class Product(models.Model):
    """One ASIN on one marketplace. Its facts are shared by all who track it; a fact that was never seen is None."""

    marketplace = models.CharField(
        _("marketplace"), max_length=20, choices=[(domain, domain) for domain in MARKETPLACES]
    )
    asin = models.CharField("ASIN", max_length=10)
    created_at = models.DateTimeField(_("added at"), auto_now_add=True)

    title = models.CharField(_("title"), max_length=2000, blank=True)
    brand = models.CharField(_("brand"), max_length=200, blank=True)
    bullets = models.JSONField(_("bullets"), default=list, blank=True)
    description = models.TextField(_("description"), blank=True)
    images = models.JSONField(_("images"), default=list, blank=True)
    # A mark of the bytes that are kept of the first of them (Picture); empty where there are none.
    picture = models.CharField(max_length=12, blank=True, default="", db_default="", editable=False)
    has_video = models.BooleanField(_("has a video"), null=True)
    categories = models.JSONField(_("categories"), default=list, blank=True)
    content_hash = models.CharField(max_length=64, blank=True, editable=False)
    content_seen_at = models.DateTimeField(_("content seen at"), null=True, blank=True)

    price = models.DecimalField(_("price"), max_digits=12, decimal_places=2, null=True, blank=True)
    list_price = models.DecimalField(_("list price"), max_digits=12, decimal_places=2, null=True, blank=True)
    price_seen_at = models.DateTimeField(_("price seen at"), null=True, blank=True)

    bsr = models.PositiveIntegerField(_("best sellers rank"), null=True, blank=True)
    bsr_category = models.CharField(_("category of the rank"), max_length=200, blank=True)
    bsr_seen_at = models.DateTimeField(_("rank seen at"), null=True, blank=True)

    rating = models.DecimalField(_("rating"), max_digits=2, decimal_places=1, null=True, blank=True)
    rating_seen_at = models.DateTimeField(_("rating seen at"), null=True, blank=True)
    review_count = models.PositiveIntegerField(_("review count"), null=True, blank=True)
    review_count_seen_at = models.DateTimeField(_("review count seen at"), null=True, blank=True)

    seller = models.CharField(_("buy box seller"), max_length=200, blank=True)
    seller_id = models.CharField(_("buy box seller's id"), max_length=40, blank=True)
    fulfilled_by_amazon = models.BooleanField(_("fulfilled by Amazon"), null=True)
    seller_seen_at = models.DateTimeField(_("seller seen at"), null=True, blank=True)
    availability = models.CharField(_("availability"), max_length=12, choices=Availability, blank=True)
    availability_seen_at = models.DateTimeField(_("availability seen at"), null=True, blank=True)
    bought_past_month = models.PositiveIntegerField(_("bought past month, at least"), null=True, blank=True)

    monitored = models.BooleanField(_("monitored"), default=True, help_text=_("Off: nothing is fetched for anyone."))
    asked_at = models.DateTimeField(_("asked for at"), null=True, blank=True)
    checked_at = models.DateTimeField(_("last answer at"), null=True, blank=True)
    failures = models.PositiveSmallIntegerField(_("failures in a row"), default=0)
    retry_at = models.DateTimeField(_("rests until"), null=True, blank=True)
    last_outcome = models.CharField(_("last outcome"), max_length=10, choices=Outcome, blank=True)

    objects = ProductQuerySet.as_manager()
    was: Position | None = None  # before what was remembered last, in memory alone

    class Meta:
        verbose_name = _("product")
        verbose_name_plural = _("products")
        ordering = ["marketplace", "asin"]
        constraints = [
            models.UniqueConstraint(fields=["marketplace", "asin"], name="product_once_per_marketplace"),
            models.CheckConstraint(condition=Q(price__isnull=True) | Q(price__gt=0), name="product_price_is_positive"),
            models.CheckConstraint(condition=Q(bsr__isnull=True) | Q(bsr__gt=0), name="product_bsr_is_positive"),
        ]
        indexes = [
            models.Index(fields=["monitored", "checked_at"], name="product_due"),
            # What fails, for the page of each morning.
            models.Index(fields=["failures"], name="product_failing", condition=Q(failures__gt=0)),
            # What is out of stock, for the page of each morning and the list.
            models.Index(fields=["availability"], name="product_gone", condition=Q(availability__in=GONE)),
            models.Index(fields=["asked_at"], name="product_asked_for", condition=Q(asked_at__isnull=False)),
            # The first rows of a long list, by each column that it is sorted by.
            *(models.Index(fields=[column], name=f"product_by_{column}") for column in SORTED),
            models.Index(sort_name(), name="product_by_name"),
        ]

    def __str__(self) -> str:
        return self.title[:80] or f"{self.asin} ({self.marketplace})"

    def get_absolute_url(self) -> str:
        return reverse("products:detail", args=[self.marketplace, self.asin])

    @property
    def site(self) -> Marketplace:
        """The marketplace with its currency and zone."""
        return MARKETPLACES[self.marketplace]

    @property
    def currency(self) -> str:
        """The ISO currency of every price of this product: it follows from the marketplace."""
        return self.site.currency

    @property
    def amazon_url(self) -> str:
        """The canonical page on Amazon."""
        return product_address(self.marketplace, self.asin)

    @property
    def image(self) -> str:
        """The main image's address, or an empty text."""
        return self.images[0] if self.images else ""

    @property
    def picture_url(self) -> str:
        """The address of the picture on this site, another one for each picture; empty without one."""
        if not self.picture:
            return ""
        return f"{reverse('products:picture', args=[self.marketplace, self.asin])}?v={self.picture}"

    @property
    def position(self) -> Position:
        """Where it stands now, to be laid beside another."""
        return Position(
            marketplace=self.marketplace,
            price=self.price,
            price_at=self.price_seen_at,
            availability=self.availability,
            availability_at=self.availability_seen_at,
            rank=self.bsr,
            category=self.bsr_category,
            rank_at=self.bsr_seen_at,
        )

    @property
    def content(self) -> tuple[Any, ...]:
        """What a seller writes, as it is known."""
        return tuple(getattr(self, name) for name in CONTENT)

    @property
    def discount_percent(self) -> Decimal | None:
        """How far the price lies below the list price, in percent, or None."""
        if self.price is None or not self.list_price or self.list_price <= self.price:
            return None
        return (self.list_price - self.price) / self.list_price * 100

    def remember(self, listing: Listing, seen_at: datetime) -> None:
        """Take over what the listing shows, unsaved; what it does not show keeps its last value and age.

        An older listing that arrives late changes nothing that was seen after it.
        """
        self.was = self.position
        if listing.price is not None and self._is_newer("price", seen_at):
            self.price, self.list_price = listing.price, listing.list_price
        if listing.ranks and self._is_newer("bsr", seen_at):
            self.bsr, self.bsr_category = listing.ranks[-1].rank, listing.ranks[-1].category[:200]
        if listing.rating is not None and self._is_newer("rating", seen_at):
            self.rating = listing.rating
        if listing.review_count is not None and self._is_newer("review_count", seen_at):
            self.review_count = listing.review_count
        if listing.seller and self._is_newer("seller", seen_at):
            self.seller, self.seller_id = listing.seller[:200], (listing.seller_id or "")[:40]
            self.fulfilled_by_amazon = listing.fulfilled_by_amazon
        if listing.availability != Availability.UNKNOWN and self._is_newer("availability", seen_at):
            self.availability = listing.availability
        if listing.bought_past_month is not None:
            self.bought_past_month = listing.bought_past_month
        if not listing.is_localised and self._is_newer("content", seen_at):
            self._remember_content(listing)
        elif not self.title:
            self.title = (listing.title or "")[:2000]

    def _is_newer(self, part: str, seen_at: datetime) -> bool:
        last = getattr(self, f"{part}_seen_at")
        if last is not None and seen_at < last:
            return False
        setattr(self, f"{part}_seen_at", seen_at)
        return True

    def _remember_content(self, listing: Listing) -> None:
        self.title = (listing.title or self.title)[:2000]
        self.brand = (listing.brand or self.brand)[:200]
        self.bullets = list(listing.bullets) or self.bullets
        self.description = listing.description or self.description
        self.images = list(listing.images) or self.images
        self.has_video = listing.has_video if listing.has_video is not None else self.has_video
        self.categories = list(listing.categories) or self.categories
        self.content_hash = listing.content_hash or self.content_hash

    @property
    def is_given_up(self) -> bool:
        """Whether failures in a row had it left alone; a look that succeeds revives it."""
        return self.failures > len(BACKOFF)

    def note_outcome(self, outcome: Outcome, at: datetime) -> None:
        """Count failures in a row, unsaved: the product rests 1 h, 6 h, 24 h, and is then left alone.

        A page that was not found twice in a row is unavailable.
        """
        self.last_outcome, self.asked_at = outcome, None
        self.checked_at = max(at, self.checked_at or at)
        if outcome == Outcome.OK:
            # Only failures had it left alone; what a person left alone has none.
            self.monitored = self.monitored or self.is_given_up
            self.failures, self.retry_at = 0, None
            return
        self.failures = min(self.failures + 1, MOST_FAILURES)
        if outcome == Outcome.NOT_FOUND and self.failures >= 2:
            self.availability, self.availability_seen_at = Availability.UNAVAILABLE, at
        if self.is_given_up:
            self.monitored, self.retry_at = False, None
        else:
            self.retry_at = at + BACKOFF[self.failures - 1]


class SearchText(models.Model):
    """What a search on PostgreSQL looks through: a product's ASIN, title and brand in capitals, kept by triggers.

    It stands beside the product, each look at which writes its row anew into all indexes; these words seldom change.
    SQLite looks through the products themselves, and nothing is kept here.
    """

    product = models.OneToOneField(Product, models.CASCADE, primary_key=True, related_name="searched")
    text = models.TextField()

    def __str__(self) -> str:
        return self.text[:80]
