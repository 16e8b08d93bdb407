"""Where a product stands: what moved since yesterday, how low or good a value is, and who held its buy box."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import F, Max, Min, Window
from django.db.models.functions import RowNumber, TruncDay
from django.utils.timezone import localdate, now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from . import sparks
from .models import Role, Seller, Snapshot, SnapshotRank, Tracking

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
    is_own: bool = False


@dataclass(frozen=True)
class BuyBox:
    """The buy box over some days: the holders, and on how many days nobody was seen to hold it."""

    holders: list[Holder]
    known: int
    unknown: int
    own_days: int | None = None  # None: the team has not said who it is

    @property
    def held(self) -> str:
        """Say on how many of the days with a holder it was oneself; empty for who has not said who he is."""
        if self.own_days is None or not self.known:
            return ""
        words = {"own": self.own_days, "known": self.known, "percent": round(100 * self.own_days / self.known)}
        return _("You held it on %(own)d of %(known)d days on which a holder was seen (%(percent)d %%).") % words

    @property
    def gaps(self) -> str:
        """Say on how many days nobody is known; empty when there is none."""
        text = ngettext("no holder seen on %d day", "no holder seen on %d days", self.unknown)
        return text % self.unknown if self.unknown else ""


def buy_box(tracking: Tracking, start: datetime) -> BuyBox:
    """Return who held the buy box at the end of each day since `start`, in the viewer's zone. Three queries."""
    looks = Snapshot.objects.filter(product=tracking.product_id, taken_at__gte=start).order_by("taken_at")
    place = Window(RowNumber(), partition_by=[TruncDay("taken_at")], order_by=F("taken_at").desc())
    last = looks.exclude(seller="", seller_id="").annotate(place=place).filter(place=1)
    rows = [(at, "", "") for at in looks.values_list("taken_at", flat=True)[:1]]  # from when on days are counted
    rows += last.values_list("taken_at", "seller_id", "seller")
    own = Seller.objects.own(tracking.team_id) if tracking.role == Role.OWN else frozenset()
    return share([(at, key or name) for at, key, name in rows], own, {key or name: name for _at, key, name in rows})


def share(
    looks: Iterable[tuple[datetime, str]], own: Collection[str] = (), names: Mapping[str, str] | None = None
) -> BuyBox:
    """Count the days by their last seen holder; days without a look between the first and today are unknown.

    Holders are told apart by their keys and shown by their `names`; `own` are the keys of who asks.
    """
    days: dict[date, str] = {}
    for at, seller in looks:
        day = localdate(at)
        days[day] = seller or days.get(day, "")
    held = Counter(seller for seller in days.values() if seller)
    known = held.total()
    span = (localdate() - min(days)).days + 1 if days else 0
    shown = names or {}
    holders = [
        Holder(shown.get(key, key), count, round(100 * count / known), key in own)
        for key, count in held.most_common(MOST_HOLDERS)
    ]
    own_days = sum(count for key, count in held.items() if key in own) if own else None
    return BuyBox(holders, known, max(0, span - known), own_days)
