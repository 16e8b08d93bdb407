"""What the looks before this one say of a product: its lowest price and its best rank in so many days.

A record is one among days that are known: where the looks do not reach so far back, there is none.
"""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Min

from .product import Product
from .rules import Rules, Told, Wishes, resolved
from .snapshot import Snapshot, SnapshotRank
from .tracking import Tracking


class Past:
    """Records by product and number of days, read for a batch at once.

    Each number of days asked for is two queries, and the categories of the ranks one.
    """

    def __init__(self) -> None:
        self.prices: dict[tuple[int, int], Decimal] = {}
        self.ranks: dict[tuple[int, int], int] = {}

    def lowest(self, product: int, days: int | None) -> Decimal | None:
        """Return the lowest price of the days before; None where it is not asked for, or not known for so long."""
        return self.prices.get((product, days)) if days else None

    def best(self, product: int, days: int | None) -> int | None:
        """Return the best rank of the days before, likewise."""
        return self.ranks.get((product, days)) if days else None

    @classmethod
    def of(cls, products: Collection[int], told: Iterable[Told], at: datetime) -> "Past":
        """Read what these wishes need to know about the time before an instant."""
        past, wishes = cls(), list(told)
        for days in {one.price_lowest_days for one in wishes if one.price_lowest_days}:
            past._read_prices(products, days, at)
        if spans := {one.bsr_best_days for one in wishes if one.bsr_best_days}:
            mains = dict(Product.objects.filter(pk__in=products).exclude(bsr=None).values_list("pk", "bsr_category"))
            for days in spans:
                past._read_ranks(mains, days, at)
        return past

    def _read_prices(self, products: Collection[int], days: int, at: datetime) -> None:
        since = at - timedelta(days=days)
        looks = Snapshot.objects.filter(product__in=products, taken_at__lt=at, price__isnull=False).order_by()
        known = set(looks.filter(taken_at__lte=since).values_list("product", flat=True).distinct())
        least = looks.filter(taken_at__gte=since, product__in=known).values_list("product").annotate(Min("price"))
        self.prices |= {(product, days): price for product, price in least}

    def _read_ranks(self, mains: dict[int, str], days: int, at: datetime) -> None:
        """Read the best ranks in the category in which each product's rank is told.

        That is chosen here: joined with the products, a database may begin with all ranks of a category.
        """
        since = at - timedelta(days=days)
        ranks = SnapshotRank.objects.filter(snapshot__product__in=mains, snapshot__taken_at__lt=at).order_by()
        lines: Any = ranks.values_list("snapshot__product", "category")
        known = set(lines.filter(snapshot__taken_at__lte=since).distinct()) & set(mains.items())
        best = lines.filter(snapshot__taken_at__gte=since).annotate(Min("rank"))
        self.ranks |= {(product, days): rank for product, main, rank in best if (product, main) in known}


def told_of(trackings: Collection[Tracking]) -> dict[int, Told]:
    """Return what is told of each tracking, by its id; each comes with its product. Two queries, or three with tags."""
    teams = {tracking.team_id for tracking in trackings}
    rules = {(one.team_id, one.tag_id): one for one in Rules.objects.filter(team__in=teams)}
    tags: dict[int, list[Wishes]] = {}
    if with_rules := [tag for _team, tag in rules if tag]:
        through = Tracking.tags.through.objects.filter(tag__in=with_rules, tracking__in=[one.pk for one in trackings])
        for key, tag, team in through.order_by("tag__name").values_list("tracking", "tag", "tag__team"):
            tags.setdefault(key, []).append(rules[team, tag])
    found = {}
    for tracking in trackings:
        of_team = rules.get((tracking.team_id, None))
        levels: list[Wishes] = [tracking, *tags.get(tracking.pk, []), *([of_team] if of_team else [])]
        found[tracking.pk] = resolved(levels, tracking.product.currency)
    return found
