"""The fact sheet: what the model is told, each fact with an id, and the numbers that people see.

Numbers are computed here, never by the model. Private fields (alias, user) are not in it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from statistics import median
from typing import Any

from django.db.models import Max, Min
from django.utils.timezone import now
from django.utils.translation import gettext as _

from products.models import Product, Snapshot

from .llm import clean_text
from .score import Score, listing_score

# Within this share of the competitors' average a price, or a rank, counts as level with it.
PRICE_BAND, RANK_BAND = Decimal("5"), Decimal("10")
LEAST_WITH_DATA = 2


class NotEnoughData(Exception):
    """The report cannot be written; the text says what is missing."""


@dataclass
class Sheet:
    """Facts for the model and numbers for people, made from the same rows."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def add(self, subject: str, name: str, value: Any) -> None:
        """Give one fact the next id; a fact that was not seen is left out."""
        if value not in (None, "", []):
            self.facts.append({"id": f"F{len(self.facts) + 1}", "subject": subject, "name": name, "value": value})

    @property
    def ids(self) -> set[str]:
        """The ids that the model may cite."""
        return {fact["id"] for fact in self.facts}

    def payload(self, task: str) -> dict[str, Any]:
        """Answer the one JSON object that goes into the user message."""
        return {"task": task, "facts": self.facts}


def cache_key(*parts: Any) -> str:
    """Answer a SHA-256 over prompt version, model, schema version and the canonical JSON of the facts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def text(amount: Decimal | None) -> str | None:
    """Write a Decimal for JSON; None stays None."""
    return None if amount is None else f"{amount.normalize():f}"


def comparison_sheet(own: Product, competitors: Sequence[Product]) -> Sheet:
    """Lay out one product and its competitors.

    Raises NotEnoughData when the own product, or all but one competitor, was never seen.
    """
    seen = [product for product in competitors if product.checked_at and product.title]
    if not own.title:
        raise NotEnoughData(_("Your own product has not been seen yet. Refresh it, then ask again."))
    if len(seen) < LEAST_WITH_DATA:
        raise NotEnoughData(
            _("Only %(count)s of the competitors has been seen; a comparison needs at least %(least)s.")
            % {"count": len(seen), "least": LEAST_WITH_DATA}
        )
    sheet = Sheet(numbers={"price": _price(own, seen), "bsr": _bsr(own, seen), "rating": _rating(own, seen)})
    history = _history([own, *seen])
    sheet.numbers["products"] = [_row(product, history.get(product.pk, {})) for product in (own, *competitors)]
    sheet.numbers["no_data"] = [product.asin for product in competitors if product not in seen]
    for product in (own, *seen):
        _describe(sheet, product, "own" if product is own else product.asin)
    for what in ("price", "bsr", "rating"):
        for name, value in sheet.numbers[what].items():
            sheet.add("comparison", f"{what} {name}", value)
    return sheet


def optimization_sheet(product: Product) -> tuple[Sheet, Score]:
    """Lay out one listing and its score. Raises NotEnoughData when the product was never seen."""
    if not product.title:
        raise NotEnoughData(_("This product has not been seen yet. Refresh it, then ask again."))
    score = listing_score(product)
    sheet = Sheet(numbers={"score": score.total, "parts": [vars(part) for part in score.parts]})
    _describe(sheet, product, "own")
    sheet.add("own", "description", clean_text(product.description, 3000))
    sheet.add("own", "images", len(product.images))
    sheet.add("own", "listing score", score.total)
    for part in score.parts:
        if part.points is not None:
            sheet.add("own", f"score of {part.name}", f"{part.points} of {part.most}")
    return sheet, score


def _describe(sheet: Sheet, product: Product, subject: str) -> None:
    sheet.add(subject, "title", clean_text(product.title, 300))
    sheet.add(subject, "brand", clean_text(product.brand, 100))
    sheet.add(subject, "price", product.price and f"{text(product.price)} {product.currency}")
    sheet.add(subject, "list price", product.list_price and f"{text(product.list_price)} {product.currency}")
    sheet.add(subject, "best sellers rank", product.bsr and f"{product.bsr} in {clean_text(product.bsr_category, 100)}")
    sheet.add(subject, "rating", text(product.rating))
    sheet.add(subject, "review count", product.review_count)
    sheet.add(subject, "bought past month, at least", product.bought_past_month)
    sheet.add(subject, "availability", product.availability)
    sheet.add(subject, "buy box seller", clean_text(product.seller, 100))
    for bullet in product.bullets[:20]:
        sheet.add(subject, "bullet", clean_text(bullet, 600))


def _row(product: Product, history: dict[str, Any]) -> dict[str, Any]:
    return {
        "asin": product.asin,
        "marketplace": product.marketplace,
        "title": product.title,
        "price": text(product.price),
        "bsr": product.bsr,
        "bsr_category": product.bsr_category,
        "rating": text(product.rating),
        "review_count": product.review_count,
        "seller": product.seller,
        "fulfilled_by_amazon": product.fulfilled_by_amazon,
        "availability": product.availability,
        "seen_at": product.checked_at and product.checked_at.isoformat(),
        **history,
    }


def _history(products: Sequence[Product]) -> dict[int, dict[str, Any]]:
    """Answer the least and greatest price of the last 30 days by product, in one query."""
    rows = (
        Snapshot.objects.filter(product__in=products, taken_at__gte=now() - timedelta(days=30))
        .order_by()
        .values("product")
        .annotate(low=Min("price"), high=Max("price"))
    )
    return {row["product"]: {"price_low_30d": text(row["low"]), "price_high_30d": text(row["high"])} for row in rows}


def _price(own: Product, competitors: Sequence[Product]) -> dict[str, Any]:
    prices = [product.price for product in competitors if product.price is not None]
    if not prices:
        return {"own": text(own.price)}
    average = sum(prices, Decimal(0)) / len(prices)
    numbers = {
        "own": text(own.price),
        "lowest": text(min(prices)),
        "highest": text(max(prices)),
        "average": text(round(average, 2)),
        "median": text(round(Decimal(median(prices)), 2)),
    }
    if own.price is not None:
        gap = (own.price - average) / average * 100
        position = "competitive" if abs(gap) <= PRICE_BAND else ("higher" if gap > 0 else "lower")
        numbers |= {"gap_percent": text(round(gap, 1)), "position": position}
    return numbers


def _bsr(own: Product, competitors: Sequence[Product]) -> dict[str, Any]:
    """Compare ranks within the own product's category only: ranks of two categories have no common measure."""
    ranks = [product.bsr for product in competitors if product.bsr and product.bsr_category == own.bsr_category]
    if not own.bsr or not ranks:
        return {"own": own.bsr, "category": own.bsr_category or None}
    average = Decimal(sum(ranks)) / len(ranks)
    gap = (own.bsr - average) / average * 100
    position = "competitive" if abs(gap) <= RANK_BAND else ("worse" if gap > 0 else "better")
    return {
        "own": own.bsr,
        "category": own.bsr_category,
        "best": min(ranks),
        "worst": max(ranks),
        "average": str(round(average)),
        "position": position,
    }


def _rating(own: Product, competitors: Sequence[Product]) -> dict[str, Any]:
    rated = [product for product in competitors if product.rating is not None]
    if not rated:
        return {"own": text(own.rating)}
    average = sum((product.rating or Decimal(0) for product in rated), Decimal(0)) / len(rated)
    numbers = {
        "own": text(own.rating),
        "average": text(round(average, 2)),
        "highest": max(rated, key=lambda product: product.rating or 0).asin,
        "lowest": min(rated, key=lambda product: product.rating or 0).asin,
        "most_reviews": max(rated, key=lambda product: product.review_count or 0).asin,
    }
    if own.rating is not None:
        numbers["difference"] = text(round(own.rating - average, 2))
    return numbers
