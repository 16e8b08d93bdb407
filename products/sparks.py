"""The last thirty days of the products on one page: lines as small as a word, and what moved since yesterday.

One query for a page, whatever the number of looks: the last snapshot of each day, with its rank.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from decimal import Decimal
from functools import cached_property

from django.db.models import F, OuterRef, Subquery, Window
from django.db.models.functions import RowNumber, TruncDay
from django.utils.timezone import get_current_timezone, localdate, make_aware, now

from .models import Product, Snapshot, SnapshotRank, Tracking
from .models.position import GONE

MONTH = timedelta(days=30)
WIDTH, HEIGHT, EDGE = 96, 28, 3


def yesterday() -> datetime:
    """Return the instant at which yesterday began where the viewer is."""
    return make_aware(datetime.combine(localdate() - timedelta(days=1), time.min), get_current_timezone())


@dataclass
class Move:
    """Where a value stands beside an earlier one; a smaller rank is a better one."""

    before: Decimal
    after: Decimal
    smaller_is_better: bool = False

    @property
    def percent(self) -> Decimal:
        """Return the step in percent of the value before."""
        return (self.after - self.before) / self.before * 100

    @property
    def is_none(self) -> bool:
        return self.after == self.before

    @property
    def tone(self) -> str:
        """Return whether a rank went the right way; a price has no right way."""
        if not self.smaller_is_better or self.is_none:
            return ""
        return "good" if self.after < self.before else "bad"


@dataclass
class Past:
    """What one product showed at the end of each of the last days, oldest first; None where nothing was seen."""

    prices: list[tuple[datetime, Decimal | None]] = field(default_factory=list)
    ranks: list[tuple[datetime, Decimal | None]] = field(default_factory=list)

    def price_line(self) -> str:
        """Return the steps of the price as the path of an SVG, 96 by 28; empty when there is nothing to draw."""
        return path(self.prices)

    def rank_line(self) -> str:
        """Return the steps of the rank, the best on top."""
        return path([(at, None if value is None else -value) for at, value in self.ranks])


@dataclass
class Row:
    """A tracking as the pages list it: with its past, and what moved since yesterday and in thirty days."""

    tracking: Tracking
    past: Past
    since: datetime

    @property
    def product(self) -> Product:
        return self.tracking.product

    @cached_property
    def is_late(self) -> bool:
        return self.tracking.is_late()

    @property
    def is_gone(self) -> bool:
        return self.product.availability in GONE

    @cached_property
    def price_day(self) -> Move | None:
        return _move(self.past.prices, self.product.price, before=self.since)

    @cached_property
    def price_month(self) -> Move | None:
        return _move(self.past.prices, self.product.price)

    @cached_property
    def rank_day(self) -> Move | None:
        return _move(self.past.ranks, self.product.bsr, before=self.since, smaller_is_better=True)

    @cached_property
    def rank_month(self) -> Move | None:
        return _move(self.past.ranks, self.product.bsr, smaller_is_better=True)


def rows(trackings: Sequence[Tracking]) -> list[Row]:
    """Return the rows of a page, in its order; the products come with the trackings."""
    found, since = pasts([tracking.product for tracking in trackings]), yesterday()
    return [Row(tracking, found[tracking.product_id], since) for tracking in trackings]


def pasts(products: Iterable[Product]) -> dict[int, Past]:
    """Return the past of each product by its id."""
    found = {product.pk: Past() for product in products}
    for product, at, price, rank in _last_of_each_day(list(found)) if found else ():
        past = found[product]
        past.prices.append((at, price))
        past.ranks.append((at, None if rank is None else Decimal(rank)))
    return found


def _last_of_each_day(products: list[int]) -> Iterable[tuple[int, datetime, Decimal | None, int | None]]:
    """Return product, instant, price and rank among its kind, in the order of time."""
    recent = Snapshot.objects.filter(product__in=products, taken_at__gte=now() - MONTH).order_by()
    place = Window(RowNumber(), partition_by=[F("product"), TruncDay("taken_at")], order_by=F("taken_at").desc())
    # A look has a category once, so its rank needs no order, which would be that of the looks.
    lines = SnapshotRank.objects.filter(snapshot=OuterRef("pk"), category=OuterRef("product__bsr_category")).order_by()
    last = recent.annotate(place=place, rank=Subquery(lines.values("rank")[:1])).filter(place=1).order_by("taken_at")
    return last.values_list("product_id", "taken_at", "price", "rank")


def _move(
    points: list[tuple[datetime, Decimal | None]],
    value: Decimal | int | None,
    *,
    before: datetime | None = None,
    smaller_is_better: bool = False,
) -> Move | None:
    """Compare with the last value seen before an instant, or with the oldest; None when there is none to compare."""
    if value is None:
        return None
    seen = [(at, one) for at, one in points if one]
    earlier = [one for at, one in seen if at < before] if before else [one for _at, one in seen[:1]]
    return Move(earlier[-1], Decimal(value), smaller_is_better) if earlier else None


def path(points: list[tuple[datetime, Decimal | None]]) -> str:
    """Return the path of a step line, with a gap wherever nothing was seen; it runs on to today."""
    values = [value for _at, value in points if value is not None]
    if not values:
        return ""
    x, y = _across(points[0][0]), _down(min(values), max(values))
    parts: list[str] = []
    last: Decimal | None = None
    for at, value in points:
        if value == last:
            continue  # the line runs on
        if value is not None:
            parts.append(f"M{x(at)} {y(value)}" if last is None else f"H{x(at)}V{y(value)}")
        else:
            parts.append(f"H{x(at)}")
        last = value
    return "".join(parts) + (f"H{WIDTH}" if last is not None else "")


def _across(first: datetime) -> Callable[[datetime], int]:
    end = now()
    start = min(first, end - MONTH)
    began, each = start.timestamp(), WIDTH / (end - start).total_seconds()
    return lambda at: max(0, min(WIDTH, round((at.timestamp() - began) * each)))


def _down(least: Decimal, most: Decimal) -> Callable[[Decimal], int]:
    """A line that never moves lies in the middle."""
    if least == most:
        return lambda _value: HEIGHT // 2
    return lambda value: HEIGHT - EDGE - round((value - least) / (most - least) * (HEIGHT - 2 * EDGE))
