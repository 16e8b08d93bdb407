"""How rows are written in answers."""

from typing import Any

from products.models import Change, Frequency, Product, Snapshot, Tracking

FREQUENCIES = {choice.value.partition("_")[2]: choice.value for choice in Frequency}


def product(tracking: Tracking) -> dict[str, Any]:
    """Write what a user watches."""
    row: Product = tracking.product
    same = (
        *("marketplace", "asin", "title", "brand", "currency", "price", "list_price", "price_seen_at", "rating"),
        *("rating_seen_at", "review_count", "review_count_seen_at", "seller", "seller_id", "seller_seen_at"),
        *("availability", "availability_seen_at", "bought_past_month", "checked_at"),
    )
    return {name: getattr(row, name) for name in same} | {
        "url": row.amazon_url,
        "alias": tracking.alias,
        "role": tracking.role,
        "frequency": tracking.frequency.partition("_")[2],
        "paused": tracking.paused,
        "rank": row.bsr,
        "rank_category": row.bsr_category,
        "rank_seen_at": row.bsr_seen_at,
        "price_threshold": tracking.price_threshold,
        "rank_threshold": tracking.bsr_threshold,
        "rank_threshold_unit": tracking.bsr_unit or None,
        "rating_threshold": tracking.rating_threshold,
        "review_threshold": tracking.review_threshold,
    }


def point(snapshot: Snapshot) -> dict[str, Any]:
    """Write one look; its ranks are read with it."""
    ranks = list(snapshot.ranks.all())
    same = ("currency", "price", "list_price", "used_price", "rating", "review_count", "seller", "seller_id")
    return {name: getattr(snapshot, name) for name in same} | {
        "at": snapshot.taken_at,
        "source": "seen",
        "rank": ranks[-1].rank if ranks else None,
        "rank_category": ranks[-1].category if ranks else "",
        "availability": snapshot.availability,
    }


def imported_point(row: Any, currency: str) -> dict[str, Any]:
    """Write one point that the user brought from a file."""
    nothing = dict.fromkeys(("list_price", "used_price", "rating", "review_count"))
    words = dict.fromkeys(("rank_category", "seller", "seller_id", "availability"), "")
    found = {"at": row.at, "source": "imported", "currency": currency, "price": row.price, "rank": row.bsr}
    return nothing | words | found


def change(row: Change) -> dict[str, Any]:
    """Write one change that the user was told of."""
    same = ("subject", "before", "after", "percent", "direction", "seen_at", "before_at")
    return {name: getattr(row, name) for name in same} | {
        "id": row.pk,
        "marketplace": row.tracking.product.marketplace,
        "asin": row.tracking.product.asin,
        "kind": row.kind,
        "severity": row.severity.partition("_")[2],
    }


def member(row: Product) -> dict[str, Any]:
    """Write one product of a comparison."""
    return {"marketplace": row.marketplace, "asin": row.asin, "title": row.title}


def comparison(row: Any) -> dict[str, Any]:
    """Write a comparison; its members are read with it."""
    return {
        "id": row.pk,
        "name": row.name,
        "paused": row.paused,
        "created_at": row.created_at,
        "product": member(row.product),
        "competitors": [member(one.product) for one in row.members.all()],
    }


def report_head(row: Any) -> dict[str, Any]:
    """Write a report without its text."""
    same = ("kind", "version", "state", "error", "created_at", "completed_at")
    return {name: getattr(row, name) for name in same} | {
        "id": row.pk,
        "comparison": row.comparison_id,
        "marketplace": row.product.marketplace,
        "asin": row.product.asin,
    }


def report(row: Any) -> dict[str, Any]:
    """Write a report with its numbers, text and suggestions."""
    return report_head(row) | {
        "numbers": row.numbers,
        "content": row.content,
        "suggestions": [suggestion(one) for one in row.suggestions.all()],
    }


def suggestion(row: Any) -> dict[str, Any]:
    """Write one suggestion."""
    same = ("category", "priority", "title", "reason", "proposed_text", "proposed_price", "currency", "state")
    return {name: getattr(row, name) for name in same} | {
        "id": row.pk,
        "impact": row.impact_score,
        "steps": row.action_items,
    }
