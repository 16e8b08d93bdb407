"""What rules would have told in the last thirty days: its looks are gone through once more by the same code.

Only the newest products are gone through, so that a page waits for a bounded number of looks.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any

from django.utils.timezone import now

from .availability import Availability
from .listing import Listing, Outcome
from .models import Guard, Kind, Product, Snapshot, Told, Tracking, differences
from .models.past import Past
from .models.rivals import crossings, rivals_of
from .ranks import Rank

SPAN, MARGIN = timedelta(days=30), timedelta(days=40)
MOST_PRODUCTS, MOST_LOOKS = 20, 15_000


class Remembered(Past):
    """Records of one product among the looks that were gone through."""

    def __init__(self) -> None:
        super().__init__()
        self.at: datetime = now()
        self.seen_prices: list[tuple[datetime, Decimal]] = []
        self.seen_ranks: list[tuple[datetime, int]] = []

    def lowest(self, product: int, days: int | None) -> Decimal | None:
        """Return the lowest price of the days before."""
        return self._least(self.seen_prices, days)

    def best(self, product: int, days: int | None) -> int | None:
        """Return the best rank of the days before."""
        return self._least(self.seen_ranks, days)

    def _least(self, seen: Sequence[tuple[datetime, Any]], days: int | None) -> Any:
        if not days or not seen or seen[0][0] > self.at - timedelta(days=days):
            return None
        return min((value for at, value in seen if at >= self.at - timedelta(days=days)), default=None)


@dataclass
class Preview:
    """How often each kind of change would have been told, and of how many products."""

    kinds: Counter[str] = field(default_factory=Counter)
    products: int = 0

    @property
    def total(self) -> int:
        return self.kinds.total()

    @property
    def lines(self) -> list[tuple[Any, int]]:
        """Return each kind in words with its count, the most frequent first."""
        return [(Kind(kind).label, count) for kind, count in self.kinds.most_common()]


def preview(trackings: Sequence[Tracking], told: Callable[[Tracking], Told]) -> Preview:
    """Go through the looks of some trackings, each with its product, and count what these wishes would tell."""
    found, since = Preview(products=len(trackings)), now() - SPAN
    rivals = rivals_of(trackings)
    for tracking in trackings:
        wishes = told(tracking)
        reach = max(wishes.price_lowest_days or 0, wishes.bsr_best_days or 0)
        looks = Snapshot.objects.filter(
            product=tracking.product_id, taken_at__gte=since - timedelta(days=reach) - MARGIN
        )
        newest = looks.defer("raw").prefetch_related("ranks").order_by("-taken_at")[: MOST_LOOKS // len(trackings)]
        guard = Guard.of([tracking.team_id], [], now())
        found.kinds += tellings(tracking, list(reversed(newest)), wishes, guard, since)
        found.kinds += beside_rivals(tracking, rivals.get(tracking.pk, []), wishes, since, MOST_LOOKS // len(trackings))
    return found


def beside_rivals(
    own: Tracking, rivals: Sequence[Tracking], told: Told, since: datetime, most: int
) -> Counter[str]:  # fmt: skip
    """Count what the looks at a product and its competitors would have told of them side by side."""
    if not rivals or not told.minds_rivals:
        return Counter()
    memories = {
        one.product_id: Product(pk=one.product_id, marketplace=one.product.marketplace) for one in (own, *rivals)
    }
    looks = Snapshot.objects.filter(product__in=memories, taken_at__gte=since - MARGIN).defer("raw")
    newest = looks.prefetch_related("ranks").order_by("-taken_at", "-pk")[:most]
    last: dict[str, datetime] = {}
    counts: Counter[str] = Counter()
    for at, some in groupby(reversed(newest), key=lambda look: look.taken_at):
        was = {pk: memory.position for pk, memory in memories.items()}
        for look in some:
            memories[look.product_id].remember(listing_of(look), at)
        stands = {pk: memory.position for pk, memory in memories.items()}
        for one in crossings(own, rivals, told, at, was, stands):
            if not told.is_rearming(last.get(one.kind), at):
                last[one.kind] = at
                counts[one.kind] += at >= since
    return +counts


def tellings(
    tracking: Tracking, looks: Sequence[Snapshot], told: Told, guard: Guard, since: datetime
) -> Counter[str]:  # fmt: skip
    """Count what the looks at one product would have told since an instant, oldest look first."""
    memory, past = Product(pk=tracking.product_id, marketplace=tracking.product.marketplace), Remembered()
    last: dict[str, datetime] = {}
    counts: Counter[str] = Counter()
    for look in looks:
        listing, past.at = listing_of(look), look.taken_at
        for one in (guard.told(each, tracking) for each in differences(memory, listing, look.taken_at)):
            if told.is_rearming(last.get(one.kind), look.taken_at) or not one.reasons(tracking, told, past):
                continue
            last[one.kind] = look.taken_at
            counts[one.kind] += look.taken_at >= since
        memory.remember(listing, look.taken_at)
        _note(past, guard, memory, look, listing)
    return +counts


def _note(past: Remembered, guard: Guard, memory: Product, look: Snapshot, listing: Listing) -> None:
    if listing.price is not None:
        past.seen_prices.append((look.taken_at, listing.price))
    if listing.ranks:
        past.seen_ranks.append((look.taken_at, listing.ranks[-1].rank))
    if listing.seller:
        guard.held.add((memory.pk, listing.seller_id or listing.seller))


def listing_of(look: Snapshot) -> Listing:
    """Return a stored look as the listing that it was, as far as changes are made of it."""
    ranks = sorted(look.ranks.all(), key=lambda rank: rank.position)
    return Listing(
        asin=None,
        outcome=Outcome.OK,
        price=look.price,
        currency=look.currency,
        seller=look.seller or None,
        seller_id=look.seller_id or None,
        availability=Availability(look.availability),
        rating=look.rating,
        review_count=look.review_count,
        ranks=tuple(Rank(rank.category, rank.rank) for rank in ranks),
        content_hash=look.content_hash or None,
    )
