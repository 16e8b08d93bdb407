"""The history of a product as columns for drawing: steps, gaps where nothing was seen, and not too many points."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .history_import import with_imported
from .models import Change, Product, Role, Seller, SnapshotRank, Tracking
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


def thin(found: Iterable[Any], most: int = MOST_POINTS) -> list[Any]:
    """Keep at most `most` rows, and of each bucket the first, the last and those with the least and greatest price."""
    rows = list(found)
    if len(rows) <= most:
        return rows
    size = -(-len(rows) * 4 // most)
    kept: dict[datetime, Any] = {}
    for start in range(0, len(rows), size):
        bucket = rows[start : start + size]
        priced = sorted((row for row in bucket if row["price"] is not None), key=lambda row: row["price"])
        for row in (bucket[0], bucket[-1], *priced[:1], *priced[-1:]):
            kept[row["taken_at"]] = row
    return [kept[at] for at in sorted(kept)]


def history(product: Product, span: str, tracking: Tracking) -> dict[str, Any]:
    """Return the columns for one range of `RANGES`: times in epoch seconds, and None where a value was not seen.

    `own` says of each time whether who watches held the buy box: None where nobody was seen, empty for who has not said
    who he is. The last values run on to now, as sellers know it. Five queries, whatever the number of snapshots.
    """
    team_id = tracking.team_id
    mine = Seller.objects.own(team_id) if tracking.role == Role.OWN else frozenset()
    start = now() - RANGES[span]
    own = product.snapshots.filter(taken_at__gte=start).order_by("taken_at")
    columns = ("id", "taken_at", "price", "list_price", "rating", "review_count", "availability", "seller", "seller_id")
    rows = thin(with_imported(list(own.values(*columns)), product, team_id, start))
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
            {"at": int(change.seen_at.timestamp()), "kind": change.kind, "label": change.get_kind_display()}
            for change in changes[:MOST_CHANGES]
        ],
    }


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
