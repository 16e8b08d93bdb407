"""How an invented product changes with time: pure functions of the product and the instant, the same in every process.

Prices move by small steps every four minutes, by slow waves over hours and days, and by offers: each hour the products
of one slot are a fifth cheaper, and no slot has its turn twice within four hours, so that at any time some product of
the first twelve costs more than 10 % less than four hours before.
"""

import hashlib
import math
from datetime import UTC, datetime
from decimal import Decimal

from amazon_pilot.sandbox.assortment import PRODUCTS, Product
from products.amazon import MARKETPLACES

MINUTE, HOUR, DAY = 60, 3600, 86_400
SLOTS = 12
OFFER = 0.75
OPENED = datetime(2026, 1, 1, tzinfo=UTC)
INDEX = {product.asin: number for number, product in enumerate(PRODUCTS)}


def chance(*parts: object) -> float:
    """Answer a number from 0 to 1 that depends on `parts` alone."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48


def wave(product: Product, name: str, at: datetime, period: int) -> float:
    """Answer a smooth number from -1 to 1 that takes a new direction every `period` seconds."""
    place, within = divmod(at.timestamp(), period)
    before, after = (2 * chance(product.asin, name, place + step) - 1 for step in (0, 1))
    return before + (after - before) * (1 - math.cos(math.pi * within / period)) / 2


def has_offer(product: Product, at: datetime) -> bool:
    """Whether the product has its hour; each slot has it twice a day, at hours that move from day to day."""
    hours = int(at.timestamp() // HOUR)
    index = INDEX.get(product.asin, int(chance(product.asin) * SLOTS))
    return (hours + hours // 24 * 5) % SLOTS == index % SLOTS


def price(product: Product, at: datetime) -> Decimal:
    """Answer what the new offer costs, in the decimals of the marketplace's currency."""
    weeks = (at.timestamp() / DAY + 6 * chance(product.asin, "level")) // 6
    level = 1.13 if chance(product.asin, "level", weeks) < 0.25 else 1.0
    drift = 0.03 * wave(product, "week", at, 3 * DAY) + 0.01 * wave(product, "hours", at, 6 * HOUR)
    step = 0.006 * (2 * chance(product.asin, "step", at.timestamp() // (4 * MINUTE)) - 1)
    amount = float(product.price) * level * (1 + drift + step) * (OFFER if has_offer(product, at) else 1)
    exponent = MARKETPLACES[product.domain].exponent
    return Decimal(repr(amount)).quantize(Decimal(1).scaleb(-exponent))


def ranks(product: Product, at: datetime) -> tuple[int, int]:
    """Answer the ranks in the main and in the narrowest category; an offer and its next hour sell better."""
    push = 0.55 if has_offer(product, at) else 1.0
    swing = math.exp(0.35 * wave(product, "rank", at, 2 * DAY) + 0.08 * wave(product, "rank hour", at, HOUR))
    return max(1, round(product.rank * swing * push)), max(1, round(product.sub_rank * swing * push))


def rating(product: Product, at: datetime) -> Decimal:
    """Answer the stars, which move by a tenth now and then."""
    moved = product.rating + Decimal(round(wave(product, "stars", at, 30 * DAY)) * 0.1).quantize(Decimal("0.1"))
    return min(Decimal("5.0"), moved)


def review_count(product: Product, at: datetime) -> int:
    """Answer the number of reviews, which only grows."""
    days = (at - OPENED).total_seconds() / DAY
    return max(0, product.reviews + int(days * (0.5 + product.bought / 400)))


def seller(product: Product, at: datetime) -> str:
    """Answer who holds the buy box: mostly the first seller, another one for some half days."""
    block = at.timestamp() // (12 * HOUR)
    if chance(product.asin, "box", block) < 0.85:
        return product.sellers[0]
    return product.sellers[int(chance(product.asin, "winner", block) * len(product.sellers))]


def pieces_left(product: Product, at: datetime) -> int | None:
    """Answer how many pieces the page says are left; None when it does not say, 0 when there is no offer at all."""
    block = at.timestamp() // (8 * HOUR)
    if product.trap == "fitful" and chance(product.asin, "gone", block) < 0.3:
        return 0
    scarcity = 0.7 if product.trap == "scarce" else 0.04
    return 1 + int(chance(product.asin, "left", block) * 15) if chance(product.asin, "few", block) < scarcity else None


def bought_past_month(product: Product, at: datetime) -> int | None:
    """Answer the lower bound that the page shows, rounded as Amazon rounds it; None when it shows none."""
    if product.trap == "silent":
        return None
    number = product.bought * (1 + 0.4 * wave(product, "bought", at, 20 * DAY))
    unit = 1000 if number >= 1000 else 100 if number >= 100 else 50
    return int(number // unit * unit) or None
