"""Single fields of an actor item: each function answers what was seen, or None for an absent or unexpected value."""

import re
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

LARGEST_COUNT = 2_000_000_000
BRAND_NAMES = ("brand", "brand name", "marke", "marque", "品牌", "ブランド")
BRAND_FRAMES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"Visit the (.+) Store",
        r"(?:Brand|Marke|Marque|品牌|ブランド)\s*[:：]\s*(.+)",
        r"Besuche den (.+)-Store",
        r"(.+)のストアを表示",
    )
)
CURRENCY_SIGNS = {"$": {"USD", "CAD"}, "€": {"EUR"}, "£": {"GBP"}, "¥": {"JPY"}, "円": {"JPY"}}
CURRENCY_WORD = re.compile(r"\b(USD|EUR|GBP|JPY|CAD|AUD|CHF|CNY|HKD|INR|MXN|PLN|SEK|SGD|TWD)\b|[$€£¥円]")
CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Kept of the raw item. A list of what to keep, since an unknown key could hold what reviewers wrote.
RAW_KEYS = (
    "statusCode",
    "statusMessage",
    "url",
    "title",
    "manufacturer",
    "countReview",
    "productRating",
    "asin",
    "soldBy",
    "fulfilledBy",
    "sellerId",
    "warehouseAvailability",
    "retailPrice",
    "price",
    "priceRange",
    "shippingPrice",
    "priceShippingInformation",
    "priceSaving",
    "features",
    "imageUrlList",
    "videoeUrlList",
    "productDescription",
    "productDetails",
    "minimalQuantity",
    "productSpecification",
    "mainImage",
    "variations",
    "bookVariations",
    "categoriesExtended",
    "deliveryMessage",
    "importantInformation",
    "buyBoxUsed",
    "aboutProduct",
    "deal",
    "prime",
    "used",
    "pastSales",
    "error",
    "#error",
    "inputUrl",
    "parentAsin",
    "bestSellersRank",
    "currency",
)


def text(raw: Any, limit: int = 2000) -> str | None:
    """Answer a text without control characters (PostgreSQL refuses NUL) and outer blanks, cut at `limit`."""
    if not isinstance(raw, str):
        return None
    return CONTROLS.sub("", raw).strip()[:limit].strip() or None


def texts(raw: Any, most: int) -> tuple[str, ...]:
    """Answer the texts of a list, without empty ones, at most `most`."""
    found = [text(value) for value in raw] if isinstance(raw, list) else []
    return tuple(value for value in found if value)[:most]


def mappings(raw: Any) -> list[Mapping[str, Any]]:
    """Answer the objects of a list; anything else in it is passed over."""
    return [value for value in raw if isinstance(value, Mapping)] if isinstance(raw, list) else []


def names(raw: Any) -> tuple[str, ...]:
    """Answer the `name` of each object of a list, such as the breadcrumb of categories."""
    return texts([value.get("name") for value in mappings(raw)], 20)


def flag(raw: Any) -> bool | None:
    """Answer a truth value."""
    return raw if isinstance(raw, bool) else None


def holds_any(raw: Any) -> bool | None:
    """Whether a list holds anything."""
    return bool(raw) if isinstance(raw, list) else None


def rating(raw: Any) -> Decimal | None:
    """Answer the stars, 1.0 to 5.0, from "4.4 out of 5 stars" in the languages of our sites.

    The first number counts, except in Japanese, which names the scale first: "5つ星のうち4.3".
    """
    if isinstance(raw, bool) or not isinstance(raw, (str, int, float, Decimal)):
        return None
    plain = unicodedata.normalize("NFKC", str(raw))
    numbers = [Decimal(found.replace(",", ".")) for found in re.findall(r"\d+(?:[.,]\d+)?", plain)]
    if len(numbers) > 1 and "つ星" in plain and numbers[0] == 5:
        numbers = numbers[1:]
    if not numbers or not 1 <= numbers[0] <= 5:
        return None
    return numbers[0].quantize(Decimal("0.1"))


def count(raw: Any) -> int | None:
    """Answer a number of reviews, from a number or from "1,234 ratings" with any mark for thousands."""
    if isinstance(raw, bool):
        return None
    if isinstance(raw, (int, Decimal, float)):
        return int(raw) if 0 <= raw <= LARGEST_COUNT and raw == int(raw) else None
    # Digits with a letter right behind them are an abbreviation ("1.2K"), which no page uses for this number.
    found = re.match(r"\s*(\d{1,3}(?:[.,\s]\d{3})+|\d+)(?![\d.,]*\w)", raw) if isinstance(raw, str) else None
    return int(re.sub(r"\D", "", found[1])) if found and len(found[1]) < 14 else None


def bought_past_month(raw: Any) -> int | None:
    """Answer the lower bound in "10K+ bought in past month"; other languages are not read."""
    found = re.match(r"\s*(\d+(?:\.\d+)?)(K|M)?\+? bought in past month", raw) if isinstance(raw, str) else None
    if found is None:
        return None
    number = int(Decimal(found[1]) * {None: 1, "K": 1_000, "M": 1_000_000}[found[2]])
    return number if number <= LARGEST_COUNT else None


def is_by_amazon(raw: Any) -> bool | None:
    """Whether Amazon ships it; None without an offer."""
    shipper = text(raw)
    return shipper.lower().startswith("amazon") if shipper else None


def brand(about: Any, manufacturer: Any) -> str | None:
    """Answer the brand: the row named so in `aboutProduct`, else `manufacturer` without the words around it.

    The actor's `manufacturer` is the line under the title ("Visit the X Store"), not a manufacturer.
    """
    for row in mappings(about):
        label, value = text(row.get("name")), text(row.get("value"), 200)
        if label and value and _plain(label).lower() in BRAND_NAMES:
            return _plain(value) or None
    line = text(manufacturer, 200)
    if line is None:
        return None
    frames = (frame.fullmatch(line) for frame in BRAND_FRAMES)
    return next((found[1].strip() for found in frames if found), line)


def _plain(value: str) -> str:
    return re.sub("[\u200e\u200f]", "", value).strip(" :：")


def other_currency(item: Mapping[str, Any], currency: str) -> str | None:
    """Answer the currency that any field shows when it is not `currency`; then the price cannot be trusted.

    Amazon may show prices in the visitor's currency. The item has no currency of its own, so a sign gives it away.
    """
    shown = [item.get("currency"), item.get("priceShippingInformation"), item.get("deliveryMessage")]
    prices = (item.get("price"), item.get("retailPrice"))
    shown += [price.get("currency") if isinstance(price, Mapping) else price for price in prices]
    for value in shown:
        for found in CURRENCY_WORD.finditer(unicodedata.normalize("NFKC", value)) if isinstance(value, str) else ():
            if currency not in CURRENCY_SIGNS.get(found[0], {found[0]}):
                return found[0]
    return None


def without_reviews(item: Mapping[str, Any]) -> dict[str, Any]:
    """Answer what may be kept of the item: nothing that a reviewer wrote or is called by, decimals as text."""
    kept = {key: storable(item[key]) for key in RAW_KEYS if key in item}
    insights = item.get("reviewInsights")
    if isinstance(insights, Mapping):
        kept["reviewInsights"] = {"summary": text(insights.get("summary")), "banner": text(insights.get("banner"))}
    return kept


def storable(value: Any) -> Any:
    """Answer a value that fits a JSON column: decimals as text, as a float loses cents, and no control characters."""
    if isinstance(value, Mapping):
        return {CONTROLS.sub("", str(key)): storable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    if isinstance(value, (Decimal, float)):
        return str(value)
    return CONTROLS.sub("", value) if isinstance(value, str) else value
