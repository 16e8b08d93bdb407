"""The invented products: the same for everybody at the same instant, and never the same for long."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from amazon_pilot.sandbox import catalogue, drift
from amazon_pilot.sandbox.page import KEYS
from products.amazon import MARKETPLACES, parse_asin
from products.listing import Outcome, normalise

NOON = datetime(2026, 3, 4, 12, 1, tzinfo=UTC)
FIRST_TWELVE = catalogue.PRODUCTS[:12]
HOURS = [NOON + timedelta(hours=hour) for hour in range(24 * 14)]


def listing(asin, domain="amazon.com", at=NOON):
    return normalise(catalogue.item(asin, domain, at), marketplace=MARKETPLACES[domain], asked=asin)


def test_there_are_enough_products_to_compare_on_three_sites():
    on_com = [product for product in catalogue.PRODUCTS if product.domain == "amazon.com"]

    assert len(on_com) >= 16
    assert len({product.category[-1] for product in on_com}) >= 2
    assert {product.domain for product in catalogue.PRODUCTS} == {"amazon.com", "amazon.de", "amazon.co.jp"}
    assert all(parse_asin(product.asin) == product.asin for product in catalogue.PRODUCTS)
    assert len({product.asin for product in catalogue.PRODUCTS}) == len(catalogue.PRODUCTS)


@pytest.mark.parametrize("product", catalogue.PRODUCTS, ids=lambda product: product.asin)
def test_every_item_has_the_actors_keys_and_reads_as_a_listing(product):
    item = catalogue.item(product.asin, product.domain, NOON)
    seen = listing(product.asin, product.domain)

    assert tuple(item) == KEYS
    assert len(KEYS) == 40
    assert seen.outcome is Outcome.OK
    assert seen.brand == product.brand
    assert seen.rating == drift.rating(product, NOON)
    assert seen.review_count == drift.review_count(product, NOON)
    assert [rank.rank for rank in seen.ranks] == list(drift.ranks(product, NOON))
    assert [rank.category for rank in seen.ranks] == [product.category[0], product.category[-1]]
    assert seen.price in (None, drift.price(product, NOON))
    assert all(".example/" in image for image in seen.images)
    assert "Invented Reviewer" not in str(seen.raw)


def test_an_item_depends_on_the_asin_and_the_instant_alone():
    first, again = (catalogue.item("B0LAMP0001", "amazon.com", NOON) for _ in range(2))

    assert first == again
    assert first != catalogue.item("B0LAMP0001", "amazon.com", NOON + timedelta(days=1))


def test_a_price_moves_a_little_every_few_minutes():
    product = FIRST_TWELVE[0]
    prices = [drift.price(product, NOON + timedelta(minutes=4 * step)) for step in range(14)]

    moves = [abs(after - before) / before for before, after in pairwise(prices)]
    assert sum(move > 0 for move in moves) >= 11
    assert max(moves) < Decimal("0.02")


@pytest.mark.later
def test_at_any_hour_some_product_of_the_first_twelve_moved_by_more_than_a_tenth_in_four_hours():
    for hour in HOURS:
        before = {product: drift.price(product, hour - timedelta(hours=4)) for product in FIRST_TWELVE}
        moves = [abs(drift.price(product, hour) / price - 1) for product, price in before.items()]

        assert max(moves) > Decimal("0.10"), hour


def test_an_offer_moves_the_rank_by_more_than_thirty_percent():
    moves = []
    for product in FIRST_TWELVE:
        for hour in HOURS:
            if drift.has_offer(product, hour):
                before, after = drift.ranks(product, hour - timedelta(hours=4))[1], drift.ranks(product, hour)[1]
                moves.append((before - after) / before)

    assert sum(move > 0.3 for move in moves) > len(moves) * 0.8


@pytest.mark.slow
def test_over_weeks_everything_that_is_watched_changes():
    days = [NOON + timedelta(days=day) for day in range(28)]
    seen = [listing(product.asin, product.domain, day) for product in catalogue.PRODUCTS for day in days]

    assert {"in_stock", "low_stock", "no_offer"} <= {one.availability for one in seen}
    assert len({one.seller for one in seen if one.asin == "B0LAMP0001"}) > 1
    assert len({one.rating for one in seen if one.asin == "B0LAMP0001"}) > 1
    assert len({one.content_hash for one in seen if one.asin == "B0FLASK006"}) == 2
    counts = [one.review_count for one in seen if one.asin == "B0LAMP0001"]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_valid_unknown_asin_has_a_product_of_its_own():
    one, other = listing("B0UNKNOWN1"), listing("B0UNKNOWN2")

    assert (one.outcome, other.outcome) == (Outcome.OK, Outcome.OK)
    assert one.title != other.title
    assert one.price != other.price


@pytest.mark.parametrize("domain", MARKETPLACES)
def test_an_unknown_asin_has_a_price_in_the_decimals_of_any_site(domain):
    seen = listing("B0UNKNOWN1", domain)

    assert seen.price is not None
    assert seen.currency == MARKETPLACES[domain].currency
    assert seen.price.as_tuple().exponent == -MARKETPLACES[domain].exponent
    assert len(seen.ranks) == 2


@pytest.mark.parametrize(
    ("asin", "outcome"),
    [
        ("B0DEMOS404", Outcome.NOT_FOUND),
        ("B0DEMOS503", Outcome.BLOCKED),
        ("B0DEMOSCAP", Outcome.BAD),
        ("B0DEMOSVAR", Outcome.MISMATCH),
    ],
)
def test_an_ending_asks_for_a_failure(asin, outcome):
    assert listing(asin).outcome is outcome


def test_the_traps_of_the_actor_are_among_the_products():
    seen = {product.asin: listing(product.asin, product.domain) for product in catalogue.PRODUCTS}

    assert seen["B0LAMP0005"].used_price < seen["B0LAMP0005"].price
    assert (seen["B0LAMP0006"].seller, seen["B0LAMP0006"].seller_id) == ("Amazon.com", None)
    assert seen["B0FLASK008"].is_localised
    assert seen["B0FLASK005"].bought_past_month is None
    assert seen["B0FLASK003"].fulfilled_by_amazon is False
    assert seen["B0LAMP0003"].list_price is None
    assert seen["B0LAMP0007"].variants == ("B0LAMP0007", "B0LAMP0008")
