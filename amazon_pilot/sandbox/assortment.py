"""The invented products of the sandbox, kept in assortment.json. They exist nowhere else, nor do their sellers.

The first sixteen are sold on amazon.com in two categories, so that one's own lamp can be compared with competing lamps;
the others show the marks of German and Japanese pages. Some titles break Amazon's rules on purpose.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Product:
    """One invented product. `price`, `rank` and `sub_rank` are the middle of their drift, `reviews` begin 2026.

    `trap` says what is special about its items: `no rank` (no product details), `amazon` (Amazon sells it itself),
    `merchant` (not shipped by Amazon), `scarce` (hardly in stock), `used` (a used offer beside the new one),
    `localised` (a page in Chinese), `silent` (the page does not say how many were bought), `fitful` (without an offer
    now and then), `renamed` (its title changes every other day).
    """

    asin: str
    domain: str
    brand: str
    title: str
    category: tuple[str, ...]
    price: Decimal
    list_price: Decimal
    rank: int
    sub_rank: int
    rating: Decimal
    reviews: int
    bought: int
    bullets: tuple[str, ...]
    images: int
    description: str | None
    sellers: tuple[str, ...]
    trap: str = ""
    variants: tuple[str, ...] = ()


def read(row: dict[str, Any]) -> Product:
    """Answer the product that a row of assortment.json describes."""
    decimals = {name: Decimal(row[name]) for name in ("price", "list_price", "rating")}
    lists = {name: tuple(row.get(name, ())) for name in ("category", "bullets", "sellers", "variants")}
    return Product(**(row | decimals | lists))


PRODUCTS = tuple(read(row) for row in json.loads((Path(__file__).parent / "assortment.json").read_text("utf-8")))
