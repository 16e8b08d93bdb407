"""Where a product stands: what moved since yesterday, how low or good a value is, and who held its buy box."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Max, Min
from django.utils.timezone import localdate, now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import sparks
from .models import Product, Snapshot, SnapshotRank, Tracking

LOOK_BACK = timedelta(days=90)
LEAST_DAYS = 3  # a value is no record among one or two days
MOST_HOLDERS = 5


@dataclass
class Standing:
    """The sentences beside a product's price and rank; empty where nothing can be said."""

    row: sparks.Row
    price: str = ""
    rank: str = ""


def standing(tracking: Tracking) -> Standing:
    """Return how the last values of a product compare with its last ninety days. Four queries."""
    row = sparks.rows([tracking])[0]
    product, since = tracking.product, now() - LOOK_BACK
    looks = Snapshot.objects.filter(product=product, taken_at__gte=since, price__isnull=False).order_by()
    prices = looks.aggregate(least=Min("price"), most=Max("price"), first=Min("taken_at"))
    lines = SnapshotRank.objects.filter(
        snapshot__product=product, snapshot__taken_at__gte=since, category=product.bsr_category
    )
    ranks = lines.order_by().aggregate(least=Min("rank"), most=Max("rank"), first=Min("snapshot__taken_at"))
    price = record(product.price, prices, _("lowest in %d days"), _("highest in %d days"))
    rank = record(product.bsr, ranks, _("best in %d days"), _("worst in %d days"))
    return Standing(row, price, rank)


def record(value: Decimal | int | None, known: dict[str, Any], least: str, most: str) -> str:
    """Say that a value is the least or the greatest of the days that are known; nothing when it never moved."""
    if value is None or known["first"] is None or known["least"] == known["most"]:
        return ""
    days = (localdate() - localdate(known["first"])).days + 1
    if days < LEAST_DAYS:
        return ""
    if value <= known["least"]:
        return least % days
    return most % days if value >= known["most"] else ""


@dataclass(frozen=True)
class Holder:
    """Who held the buy box at the end of how many of the days on which anybody was seen to hold it."""

    seller: str
    days: int
    percent: int


@dataclass(frozen=True)
class BuyBox:
    """The buy box over some days: the holders, and on how many days nobody was seen to hold it."""

    holders: list[Holder]
    known: int
    unknown: int

    @property
    def gaps(self) -> str:
        """Say on how many days nobody is known; empty when there is none."""
        text = ngettext("no holder seen on %d day", "no holder seen on %d days", self.unknown)
        return text % self.unknown if self.unknown else ""


def buy_box(product: Product, start: datetime) -> BuyBox:
    """Return who held the buy box at the end of each day since `start`, in the viewer's zone. One query."""
    looks = Snapshot.objects.filter(product=product, taken_at__gte=start).order_by("taken_at")
    return share(looks.values_list("taken_at", "seller"))


def share(looks: Iterable[tuple[datetime, str]]) -> BuyBox:
    """Count the days by their last seen holder; days without a look between the first and today are unknown."""
    days: dict[date, str] = {}
    for at, seller in looks:
        day = localdate(at)
        days[day] = seller or days.get(day, "")
    held = Counter(seller for seller in days.values() if seller)
    known = held.total()
    span = (localdate() - min(days)).days + 1 if days else 0
    holders = [Holder(seller, count, round(100 * count / known)) for seller, count in held.most_common(MOST_HOLDERS)]
    return BuyBox(holders, known, max(0, span - known))
