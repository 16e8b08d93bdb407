"""The fact sheet: what the model is told, each fact with an id, and the numbers that people see.

Numbers are computed here, never by the model. Private fields (alias, team) are not in it.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from statistics import median
from typing import Any

from django.db.models import Max, Min
from django.utils.timezone import now
from django.utils.translation import gettext as _

from products.listing import Availability
from products.models import Product, Snapshot

from .score import Score, listing_score
from .texts import clean_text, storable

# Within this share of the competitors' median a price, or a rank, counts as level with it.
PRICE_BAND, RANK_BAND = Decimal("5"), Decimal("10")
LEAST_WITH_DATA = 2
# A figure seen so much earlier than the newest of its kind says nothing beside it.
LATE = timedelta(days=7)
GONE = (Availability.UNAVAILABLE, Availability.NO_OFFER)


class NotEnoughData(Exception):
    """The report cannot be written; the text says what is missing."""


@dataclass
class Sheet:
    """Facts for the model and numbers for people, made from the same rows."""

    facts: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, Any] = field(default_factory=dict)

    def add(self, subject: str, name: str, value: Any) -> None:
        """Give one fact the next id; a fact that was not seen is left out."""
        value = storable(value)
        if value not in (None, "", []):
            self.facts.append({"id": f"F{len(self.facts) + 1}", "subject": subject, "name": name, "value": value})

    @property
    def ids(self) -> set[str]:
        """The ids that the model may cite."""
        return {fact["id"] for fact in self.facts}

    def payload(self, task: str) -> dict[str, Any]:
        """Return the one JSON object that goes into the user message."""
        return {"task": task, "facts": self.facts}


def cache_key(*parts: Any) -> str:
    """Return a SHA-256 over prompt version, model, schema version and the canonical JSON of the facts."""
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
    everyone = (own, *seen)
    priced, ranked = _current("price", everyone), _current("bsr", everyone)
    rated = _late("rating", everyone, [product for product in everyone if product.rating is not None])
    sheet = Sheet(numbers={"price": _price(own, priced), "bsr": _bsr(own, ranked), "rating": _rating(own, rated)})
    history = _history(everyone)
    sheet.numbers["products"] = [
        _row(product, history.get(product.pk, {}))
        | {"is_gone": product.availability in GONE, "counts": {"price": product in priced, "bsr": product in ranked}}
        for product in (own, *competitors)
    ]
    sheet.numbers["no_data"] = [product.asin for product in competitors if product not in seen]
    sheet.numbers["gone"] = [product.asin for product in everyone if product.availability in GONE]
    sheet.numbers["late"] = [
        product.asin
        for product in everyone
        if product.price and product not in priced and product.availability not in GONE
    ]
    for product in everyone:
        _describe(sheet, product, "own" if product is own else product.asin)
        if product not in priced and product.price:
            sheet.add("own" if product is own else product.asin, "price is not current", "left out of the comparison")
    for what in ("price", "bsr", "rating"):
        for name, value in sheet.numbers[what].items():
            sheet.add("comparison", f"{what} {name}", value)
    return sheet


def _current(what: str, products: Sequence[Product]) -> list[Product]:
    """Keep products whose price or rank can be set beside the others': there is an offer, and it is not long past."""
    return _late(what, products, [product for product in products if product.availability not in GONE])


def _late(what: str, products: Sequence[Product], kept: list[Product]) -> list[Product]:
    times = [seen for product in products if (seen := getattr(product, f"{what}_seen_at"))]
    limit = max(times, default=now()) - LATE
    return [product for product in kept if (seen := getattr(product, f"{what}_seen_at")) is None or seen >= limit]


def _place(own: Any, others: Sequence[Any], better: "Callable[[Any, Any], bool]") -> dict[str, int]:
    """Return the own place among all, the best being 1, and how many others share it."""
    return {
        "place": 1 + sum(better(other, own) for other in others),
        "of": 1 + len(others),
        "shared_with": sum(other == own for other in others),
    }


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
        "title": storable(product.title),
        "price": text(product.price),
        "bsr": product.bsr,
        "bsr_category": storable(product.bsr_category),
        "rating": text(product.rating),
        "review_count": product.review_count,
        "seller": storable(product.seller),
        "fulfilled_by_amazon": product.fulfilled_by_amazon,
        "availability": product.availability,
        **{f"{what}_seen_at": _iso(getattr(product, f"{what}_seen_at")) for what in ("price", "bsr", "rating")},
        **history,
    }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _history(products: Sequence[Product]) -> dict[int, dict[str, Any]]:
    """Return the least and greatest price of the last 30 days by product, in one query."""
    rows = (
        Snapshot.objects.filter(product__in=products, taken_at__gte=now() - timedelta(days=30))
        .order_by()
        .values("product")
        .annotate(low=Min("price"), high=Max("price"))
    )
    return {row["product"]: {"price_low_30d": text(row["low"]), "price_high_30d": text(row["high"])} for row in rows}


def _price(own: Product, current: Sequence[Product]) -> dict[str, Any]:
    prices = [product.price for product in current if product is not own and product.price is not None]
    if not prices:
        return {"own": text(own.price)}
    middle = Decimal(median(prices))
    numbers: dict[str, Any] = {
        "own": text(own.price),
        "lowest": text(min(prices)),
        "highest": text(max(prices)),
        "average": text(round(sum(prices, Decimal(0)) / len(prices), 2)),
        "median": text(round(middle, 2)),
    }
    if own.price is not None and own in current:
        gap = (own.price - middle) / middle * 100
        position = "competitive" if abs(gap) <= PRICE_BAND else ("higher" if gap > 0 else "lower")
        numbers |= {"gap_percent": text(round(gap, 1)), "position": position}
        numbers |= _place(own.price, prices, lambda other, mine: other < mine)
    return numbers


def _bsr(own: Product, current: Sequence[Product]) -> dict[str, Any]:
    """Compare ranks within the own product's category only: ranks of two categories have no common measure."""
    category = own.bsr_category
    ranks = [
        product.bsr for product in current if product is not own and product.bsr and product.bsr_category == category
    ]
    if not own.bsr or not category or not ranks or own not in current:
        return {"own": own.bsr, "category": category or None}
    middle = Decimal(median(ranks))
    gap = (own.bsr - middle) / middle * 100
    position = "competitive" if abs(gap) <= RANK_BAND else ("worse" if gap > 0 else "better")
    return {
        "own": own.bsr,
        "category": category,
        "best": min(ranks),
        "worst": max(ranks),
        "median": text(middle.quantize(Decimal(1), ROUND_HALF_UP)),
        "position": position,
        **_place(own.bsr, ranks, lambda other, mine: other < mine),
    }


def _rating(own: Product, current: Sequence[Product]) -> dict[str, Any]:
    """Compare stars; a product that is out of stock keeps its buyers' judgement, and counts."""
    rated = [product for product in current if product is not own]
    stars = [product.rating for product in rated if product.rating is not None]
    if not stars:
        return {"own": text(own.rating)}
    middle = Decimal(median(stars))
    numbers: dict[str, Any] = {
        "own": text(own.rating),
        "median": text(round(middle, 2)),
        "highest": max(rated, key=lambda product: product.rating or 0).asin,
        "lowest": min(rated, key=lambda product: product.rating or 0).asin,
    }
    if counted := [product for product in rated if product.review_count is not None]:
        numbers["most_reviews"] = max(counted, key=lambda product: product.review_count or 0).asin
    if own.rating is not None and own in current:
        numbers["difference"] = text(round(own.rating - middle, 2))
        numbers |= _place(own.rating, stars, lambda other, mine: other > mine)
    return numbers
