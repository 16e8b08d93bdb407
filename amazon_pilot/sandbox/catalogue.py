"""The sandbox's Amazon: what the product actor would return for an ASIN at an instant, as a pure function.

Besides the assortment every valid ASIN has a product, invented from its letters. Some endings ask for a failure:
404 is not found, CAP a captcha page without a title, 503 a page that Amazon refused, VAR the page of another variant.
"""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from amazon_pilot.sandbox import drift
from amazon_pilot.sandbox.assortment import PRODUCTS, Product
from amazon_pilot.sandbox.page import ENGLISH, KEYS, LANGUAGES
from products.amazon import MARKETPLACES, product_address

__all__ = ["PRODUCTS", "Product", "item", "product"]

BY_KEY = {(known.domain, known.asin): known for known in PRODUCTS}
FIRST_WORDS = ("Alder", "Birk", "Corvin", "Dorwin", "Elmet", "Farrow", "Gorse", "Hollin")
LAST_WORDS = ("field", "mere", "stead", "wick", "holm", "ford", "combe", "gate")


def product(asin: str, domain: str) -> Product:
    """Answer the product of an ASIN on a marketplace: one of the assortment, else one invented from its letters."""
    known = BY_KEY.get((domain, asin))
    if known:
        return known
    template = PRODUCTS[int(drift.chance(asin, "template") * 16)]
    brand = _pick(FIRST_WORDS, asin, "first") + _pick(LAST_WORDS, asin, "last")
    factor = Decimal(repr(0.6 + 1.2 * drift.chance(asin, "price")))
    if MARKETPLACES[domain].exponent == 0:
        factor *= 150
    return replace(
        template,
        asin=asin,
        domain=domain,
        brand=brand,
        title=template.title.replace(template.brand, brand),
        price=template.price * factor,
        list_price=template.list_price * factor,
        rank=1 + int(template.rank * 3 * drift.chance(asin, "rank")),
        sub_rank=1 + int(template.sub_rank * 3 * drift.chance(asin, "rank")),
        reviews=int(template.reviews * 2 * drift.chance(asin, "reviews")),
        sellers=(f"{brand} Invented Store", *template.sellers[1:]),
        variants=(),
        trap="",
    )


def _pick(words: tuple[str, ...], *parts: object) -> str:
    return words[int(drift.chance(*parts) * len(words))]


def item(asin: str, domain: str, at: datetime) -> dict[str, Any]:
    """Answer the actor's item for an ASIN on a marketplace at an instant, with the actor's 40 keys in its order.

    Prices are numbers with 0 for "none", whole ones without decimals, as the actor writes them. The words of a page are
    those of its marketplace's language: German, Japanese, else English.
    """
    if asin.endswith("404"):
        return _nothing(asin, domain, 404, "NOT_FOUND")
    if asin.endswith("503"):
        return _nothing(asin, domain, 503, "SERVICE_UNAVAILABLE") | {"asin": asin}
    if asin.endswith("CAP"):
        return _nothing(asin, domain, 200, "FOUND") | {"asin": asin, "title": ""}
    if asin.endswith("VAR"):
        asin = f"{asin[:-3]}000"
    return _page(product(asin, domain), at)


def _nothing(asin: str, domain: str, status: int, message: str) -> dict[str, Any]:
    lists = (
        "features imageUrlList videoeUrlList reviews productSpecification variations bookVariations "
        "categoriesExtended importantInformation aboutProduct globalReviews"
    )
    return _in_order(
        {"statusCode": status, "statusMessage": message, "url": product_address(domain, asin)}
        | {"countReview": 0, "productRating": "", "retailPrice": 0, "price": 0, "shippingPrice": 0}
        | {name: [] for name in lists.split()}
        | {"deal": False, "prime": False, "used": False}
    )


def _page(shown: Product, at: datetime) -> dict[str, Any]:
    words = LANGUAGES.get("zh" if shown.trap == "localised" else shown.domain.rpartition(".")[2], ENGLISH)
    left = drift.pieces_left(shown, at)
    offer = _offer(shown, at, words, left)
    main_rank, sub_rank = drift.ranks(shown, at)
    stars, reviews = drift.rating(shown, at), drift.review_count(shown, at)
    images = [f"https://images.example/{shown.asin}-{number}.jpg" for number in range(1, shown.images + 1)]
    return _in_order(
        {
            "statusCode": 200,
            "statusMessage": "FOUND",
            "url": _address(shown),
            "title": _title(shown, at),
            "manufacturer": words["store"].format(brand=shown.brand),
            "countReview": reviews,
            "productRating": words["stars"].format(stars=_localised(stars, words)),
            "asin": shown.asin,
            "features": list(shown.bullets),
            "imageUrlList": images,
            "videoeUrlList": [f"https://video.example/{shown.asin}.m3u8"] if shown.images > 6 else [],
            "productDescription": shown.description and f"Visit the Store Visit the Store {shown.description}",
            "productDetails": _details(shown, words, main_rank, sub_rank, stars, reviews),
            "reviews": _reviews(shown),
            "productSpecification": [],
            "mainImage": {"imageUrl": images[0], "imageResolution": "679 x 679"},
            "variations": _variations(shown),
            "bookVariations": [],
            "categoriesExtended": [
                {"name": name, "url": f"/b/ref=dp_bc_{number}?node=90000{number}", "node": f"90000{number}"}
                for number, name in enumerate(shown.category, 1)
            ],
            "importantInformation": [],
            "buyBoxUsed": _used_offer(shown, at),
            "aboutProduct": [{"name": words["brand"], "value": f"\u200e{shown.brand}"}],
            "globalReviews": [],
            "used": False,
            "pastSales": _past_sales(shown, at),
        }
        | offer
    )


def _offer(shown: Product, at: datetime, words: dict[str, str], left: int | None) -> dict[str, Any]:
    if left == 0:
        return {"warehouseAvailability": "", "retailPrice": 0, "price": 0, "shippingPrice": 0, "deal": False}
    price = drift.price(shown, at)
    seller = drift.seller(shown, at)
    is_amazon = seller.startswith("Amazon")
    saving = int(100 - 100 * price / shown.list_price) if shown.list_price > price else 0
    return {
        "soldBy": seller,
        "fulfilledBy": seller if is_amazon or shown.trap == "merchant" else "Amazon",
        "sellerId": None if is_amazon else f"A0SBX{int(drift.chance(seller) * 16**8):08X}",
        "warehouseAvailability": words["in stock"] if left is None else words["left"].format(left=left),
        "retailPrice": _number(shown.list_price.quantize(price)),
        "price": _number(price),
        "shippingPrice": 0,
        "priceShippingInformation": words["delivery"].format(day=at.day),
        "priceSaving": f"-{saving}%" if saving else None,
        "minimalQuantity": "1",
        "deal": drift.has_offer(shown, at),
        "prime": shown.trap != "merchant",
    }


def _number(amount: Decimal) -> int | float:
    return int(amount) if amount == int(amount) else float(amount)


def _address(shown: Product) -> str:
    if shown.trap == "localised":
        return f"https://www.{shown.domain}/-/zh_TW/%E4%BF%9D%E6%BA%AB%E6%9D%AF/dp/{shown.asin}?th=1&psc=1"
    return product_address(shown.domain, shown.asin)


def _title(shown: Product, at: datetime) -> str:
    is_other = shown.trap == "renamed" and at.toordinal() // 2 % 2
    return f"{shown.title}, New Lid" if is_other else shown.title


def _details(
    shown: Product, words: dict[str, str], main_rank: int, sub_rank: int, stars: Decimal, reviews: int
) -> list[dict[str, str]] | None:
    if shown.trap == "no rank":
        return None
    main, sub = shown.category[0], shown.category[-1]
    ranks = words["ranks"].format(
        main=main, sub=sub, main_rank=_localised(main_rank, words), sub_rank=_localised(sub_rank, words)
    )
    said = words["reviews"].format(stars=_localised(stars, words), reviews=_localised(reviews, words))
    return [
        {"name": "ASIN", "value": shown.asin},
        {"name": words["beside"], "value": "1"},
        {"name": words["reviews label"], "value": said},
        {"name": words["rank label"], "value": ranks},
    ]


def _localised(number: Decimal | int, words: dict[str, str]) -> str:
    text = f"{number:,}"
    return text.translate(str.maketrans(",.", ".,")) if words["marks"] == ".," else text


def _reviews(shown: Product) -> list[dict[str, Any]]:
    """Answer a review such as the actor sends, invented person and all: what is stored must not hold it."""
    person = {"userName": "Invented Reviewer", "profilePath": "/gp/profile/invented", "text": "An invented review."}
    return [person | {"rating": "5.0 out of 5 stars", "title": f"About {shown.asin}"}]


def _variations(shown: Product) -> list[dict[str, Any]]:
    values = [
        {
            "value": f"Model {number}",
            "dpUrl": "",
            "selected": asin == shown.asin,
            "available": True,
            "price": 0,
            "imageUrl": f"https://images.example/swatch-{asin}.jpg",
            "asin": asin,
        }
        for number, asin in enumerate(shown.variants, 1)
    ]
    return [{"variationName": "style_name", "values": values}] if values else []


def _used_offer(shown: Product, at: datetime) -> dict[str, Any] | None:
    if shown.trap != "used":
        return None
    return {
        "condition": "Used - Like New",
        "packageCondition": "",
        "soldBy": "Second Shelf Invented",
        "fulfilledBy": "Amazon",
        "sellerId": "A0SBXSHELF2",
        "warehouseAvailability": "",
        "retailPrice": 0,
        "price": _number((drift.price(shown, at) * Decimal("0.7")).quantize(Decimal("0.01"))),
    }


def _past_sales(shown: Product, at: datetime) -> str | None:
    number = drift.bought_past_month(shown, at)
    if number is None or shown.domain != "amazon.com":
        return None
    return f"{number // 1000}K+ bought in past month" if number >= 1000 else f"{number}+ bought in past month"


def _in_order(values: dict[str, Any]) -> dict[str, Any]:
    return {key: values.get(key) for key in KEYS}
