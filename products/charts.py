"""The history of a product as columns for drawing: steps, gaps where nothing was seen, and not too many points."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from operator import itemgetter
from typing import Any

from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .history_import import imported_rows
from .models import Change, Product, Role, Seller, Snapshot, SnapshotRank, Tracking
from .models.change import KINDS
from .models.rows import among

RANGES = {
    "week": timedelta(days=7),
    "month": timedelta(days=30),
    "quarter": timedelta(days=90),
    "year": timedelta(days=365),
    "all": timedelta(days=36500),
}
RANGE_NAMES = {
    "week": _("7 days"),
    "month": _("30 days"),
    "quarter": _("90 days"),
    "year": _("1 year"),
    "all": _("all"),
}
MOST_POINTS, MOST_CHANGES, MOST_CATEGORIES = 1500, 200, 4
PRICE = itemgetter(1)
COLUMNS = ("id", "taken_at", "price", "list_price", "rating", "review_count", "availability", "seller", "seller_id")


def thin(found: Iterable[Any], most: int = MOST_POINTS) -> list[Any]:
    """Keep at most `most` rows, and of each bucket the first, the last and those with the least and greatest price.

    A row begins with its time and its price.
    """
    rows = list(found)
    if len(rows) <= most:
        return rows
    size = -(-len(rows) * 4 // most)
    kept: dict[datetime, Any] = {}
    for start in range(0, len(rows), size):
        bucket = rows[start : start + size]
        priced = [row for row in bucket if row[1] is not None]
        least_and_most = (min(priced, key=PRICE), max(reversed(priced), key=PRICE)) if priced else ()
        for row in (bucket[0], bucket[-1], *least_and_most):
            kept[row[0]] = row
    return [kept[at] for at in sorted(kept)]


def history(product: Product, span: str, tracking: Tracking) -> dict[str, Any]:
    """Return the columns for one range of `RANGES`: times in epoch seconds, and None where a value was not seen.

    `own` says of each time whether who watches held the buy box: None where nobody was seen, empty for who has not said
    who he is. The last values run on to now, as sellers know it. Six queries, whatever the number of snapshots.
    """
    team_id = tracking.team_id
    mine = Seller.objects.own(team_id) if tracking.role == Role.OWN else frozenset()
    start = now() - RANGES[span]
    rows = _shown(product, team_id, start)
    if rows:
        rows.append(rows[-1] | {"taken_at": now()})
    ranks = _ranks(product, rows)
    sellers = list(dict.fromkeys(row["seller"] for row in rows if row["seller"]))
    changes = Change.objects.filter(team=team_id, tracking__product=product, seen_at__gte=start)
    return {
        "currency": product.currency,
        "category": product.bsr_category,
        "at": [int(row["taken_at"].timestamp()) for row in rows],
        "price": [_number(row["price"]) for row in rows],
        "list_price": [_number(row["list_price"]) for row in rows],
        "bsr": ranks.get(product.bsr_category, [None] * len(rows)),
        "ranks": [{"category": category, "values": values} for category, values in ranks.items()],
        "rating": [_number(row["rating"]) for row in rows],
        "reviews": [row["review_count"] for row in rows],
        "sellers": sellers,
        "seller": [sellers.index(row["seller"]) if row["seller"] else None for row in rows],
        "own": [_is_held(row, mine) for row in rows] if mine else [],
        "imported": [row["id"] is None for row in rows],
        "unavailable": [row["availability"] in ("unavailable", "no_offer") for row in rows],
        "changes": [
            {"at": int(seen_at.timestamp()), "kind": kind, "label": str(KINDS.get(kind, kind))}
            for seen_at, kind in changes.values_list("seen_at", "kind")[:MOST_CHANGES]
        ],
    }


def _shown(product: Product, team_id: int, start: datetime) -> list[dict[str, Any]]:
    """Return the rows that are drawn, in the order of time; only these looks are read with all their columns."""
    own = product.snapshots.filter(taken_at__gte=start).order_by("taken_at")
    looks = list(own.values_list("taken_at", "price", "pk"))
    points = imported_rows(product, team_id, start, (at for at, *_more in looks))
    both = [*looks, *((at, point["price"], None) for at, point in points.items())]
    drawn = thin(sorted(both, key=itemgetter(0)) if points else looks)
    ids = [pk for _at, _price, pk in drawn if pk is not None]
    rows = {row["id"]: row for row in Snapshot.objects.filter(pk__in=among(ids)).order_by().values(*COLUMNS)}
    return [points[at] if pk is None else rows[pk] for at, _price, pk in drawn if pk is None or pk in rows]


def _is_held(row: dict[str, Any], mine: frozenset[str]) -> bool | None:
    return (row.get("seller_id") or row["seller"]) in mine if row["seller"] else None


def _ranks(product: Product, rows: list[Any]) -> dict[str, list[int | None]]:
    """Return the column of each category, that of the product's own rank first, then those seen most often."""
    lines = SnapshotRank.objects.filter(snapshot__in=among([row["id"] for row in rows if row["id"]]))
    found: dict[str, dict[int, int]] = {}
    for snapshot, category, rank in lines.order_by().values_list("snapshot_id", "category", "rank"):
        found.setdefault(category, {})[snapshot] = rank
    names = sorted(found, key=lambda name: (name != product.bsr_category, -len(found[name])))
    if product.bsr_category not in names and any(row.get("bsr") for row in rows):
        names.insert(0, product.bsr_category)  # what was imported is the product's own rank
    return {
        name: [_rank(row, found.get(name, {}), name == product.bsr_category) for row in rows]
        for name in names[:MOST_CATEGORIES]
    }


def _rank(row: Any, found: dict[int, int], is_own: bool) -> int | None:
    return found.get(row["id"]) or (row.get("bsr") if is_own else None)


def _number(value: Decimal | None) -> float | None:
    """A pixel's height needs no cents: only drawing reads this, never a comparison or a sum."""
    return None if value is None else float(value)
