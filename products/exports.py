"""The files that sellers take with them: their list, the history of a product, their changes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from heapq import merge
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from amazon_pilot.http import AuthenticatedRequest

from .giving_out import Cell, Row, give_out, in_chunks, sizes
from .history_import import imported
from .models import Change, Product, Snapshot, SnapshotRank, Tracking
from .watchlist import Wanted
from .words import values

LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@require_safe
@login_required
def products(request: AuthenticatedRequest) -> HttpResponseBase:
    """Give out what this team watches, narrowed as the list is."""
    return give_out(request, "products", product_columns(), product_rows(_narrowed(request)))


def _narrowed(request: AuthenticatedRequest) -> Any:
    # Read apart: joined, a planner that knows too little reads all products for each.
    return Wanted.of(request.GET).rows(request.team).prefetch_related("product", "tags")


def product_columns() -> list[str]:
    """Return the heads of the list's columns; a time's zone stands in its name."""
    return [
        *("ASIN", _("marketplace"), _("alias"), _("role"), _("frequency"), _("paused"), _("tags"), _("title")),
        *(_("brand"), _("currency"), _("price"), _("list price"), _("price seen at (UTC)")),
        *(_("rank"), _("category of the rank"), _("rank seen at (UTC)")),
        *(_("rating"), _("reviews"), _("rating seen at (UTC)"), _("buy box seller"), _("seller's id")),
        *(_("availability"), _("availability seen at (UTC)"), _("bought past month, at least")),
        *(_("last answer at (UTC)"), _("address")),
    ]


def product_rows(trackings: Any) -> Iterator[Row]:
    """Yield a row for each tracking, with what its product showed last."""
    for chunk in in_chunks(trackings):
        for tracking in chunk:
            yield product_row(tracking.product, tracking)


def product_row(product: Product, tracking: Tracking) -> list[Cell]:
    """Return what is known of a product, in the order of the columns."""
    return [
        *(product.asin, product.marketplace, tracking.alias, tracking.role, tracking.frequency.partition("_")[2]),
        *(tracking.paused, ", ".join(tag.name for tag in tracking.tags.all()), product.title, product.brand),
        *(product.currency, product.price, product.list_price, product.price_seen_at),
        *(product.bsr, product.bsr_category, product.bsr_seen_at),
        *(product.rating, product.review_count, product.rating_seen_at, product.seller, product.seller_id),
        *(product.availability, product.availability_seen_at, product.bought_past_month),
        *(product.checked_at, product.amazon_url),
    ]


@require_safe
@login_required
def history(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponseBase:
    """Give out all that was seen of one product, and what this team imported, in the order of time."""
    trackings = Tracking.objects.filter(team=request.team).select_related("product")
    product = get_object_or_404(trackings, product__marketplace=marketplace, product__asin=asin).product
    columns = [
        *(_("seen at (UTC)"), _("source"), _("currency"), _("price"), _("list price"), _("used offer")),
        *(_("rank"), _("category of the rank"), _("all ranks"), _("rating"), _("reviews"), _("buy box seller")),
        *(_("seller's id"), _("availability"), _("bought past month, at least")),
    ]
    rows = history_rows(product, request.team.pk)
    return give_out(request, f"history-{product.marketplace}-{product.asin}", columns, rows)


def history_rows(product: Product, team_id: int) -> Iterator[Row]:
    """Yield what was seen of a product and what this team imported of it, oldest first."""
    days = product.snapshots.values_list("taken_at", flat=True)
    points = imported(product, team_id, LONG_AGO, days.iterator())
    imports = ([point.at, "imported", product.currency, point.price, None, None, point.bsr] for point in points)
    width = 15
    for row in merge(_seen(product), imports, key=lambda row: row[0]):
        yield [*row, *[None] * (width - len(row))]


def _seen(product: Product) -> Iterator[list[Any]]:
    for chunk in snapshots_by_time(product.snapshots.defer("raw")):
        ranks: dict[int, list[SnapshotRank]] = {}
        for rank in SnapshotRank.objects.filter(snapshot__in=chunk).order_by("position"):
            ranks.setdefault(rank.snapshot_id, []).append(rank)
        for snapshot in chunk:
            yield _seen_row(snapshot, ranks.get(snapshot.pk, []))


def _seen_row(snapshot: Snapshot, ranks: list[SnapshotRank]) -> list[Any]:
    best = ranks[-1] if ranks else None  # the sub-category, which sellers watch
    return [
        *(snapshot.taken_at, "seen", snapshot.currency, snapshot.price, snapshot.list_price, snapshot.used_price),
        *(best and best.rank, best and best.category, "; ".join(f"#{rank.rank} {rank.category}" for rank in ranks)),
        *(snapshot.rating, snapshot.review_count, snapshot.seller, snapshot.seller_id, snapshot.availability),
        snapshot.bought_past_month,
    ]


def snapshots_by_time(rows: Any) -> Iterator[list[Snapshot]]:
    """Yield snapshots oldest first, a chunk at a time by their keys."""
    after = Q()
    for size in sizes():
        if not (chunk := list(rows.filter(after).order_by("taken_at", "pk")[:size])):
            return
        yield chunk
        last = chunk[-1]
        after = Q(taken_at__gt=last.taken_at) | Q(taken_at=last.taken_at, pk__gt=last.pk)


@require_safe
@login_required
def changes(request: AuthenticatedRequest) -> HttpResponseBase:
    """Give out the changes that this team was told of, newest first."""
    columns = [
        *(_("seen at (UTC)"), "ASIN", _("marketplace"), _("product"), _("what changed"), _("category")),
        *(_("before"), _("after"), _("currency"), _("percent"), _("direction"), _("severity")),
        *(_("threshold then"), _("seen before at (UTC)")),
    ]
    return give_out(request, "changes", columns, change_rows(request.team))


def change_rows(team: Any) -> Iterator[Row]:
    """Yield a row for each change of a team, newest first."""
    rows = Change.objects.filter(team=team).order_by("-seen_at", "-pk").prefetch_related("tracking__product")
    for chunk in changes_newest_first(rows):
        yield from (_change_row(change) for change in chunk)


def changes_newest_first(rows: Any) -> Iterator[list[Change]]:
    """Yield changes a chunk at a time by their keys."""
    after = Q()
    for size in sizes():
        if not (chunk := list(rows.filter(after)[:size])):
            return
        yield chunk
        last = chunk[-1]
        after = Q(seen_at__lt=last.seen_at) | Q(seen_at=last.seen_at, pk__lt=last.pk)


def _change_row(change: Change) -> list[Cell]:
    product = change.tracking.product
    is_price = change.kind in ("price_change", "rival_price")
    return [
        *(change.seen_at, product.asin, product.marketplace, str(change.tracking), change.get_kind_display()),
        *(change.subject, *_before_and_after(change), product.currency if is_price else "", change.percent),
        *(change.get_direction_display() if change.direction else "", change.get_severity_display()),
        *(change.threshold, change.before_at),
    ]


def _before_and_after(change: Change) -> tuple[Cell, Cell]:
    """Return both values: numbers as numbers, others as a person writes them."""
    try:
        return Decimal(change.before), Decimal(change.after)
    except InvalidOperation:
        before, after = values(change)
        return before, after
