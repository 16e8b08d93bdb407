"""parse_asin, parse_address and parse_money: what a person or the actor may write, and what is refused."""

from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from products.amazon import (
    MARKETPLACES,
    AddressError,
    ASINError,
    parse_address,
    parse_asin,
    parse_money,
    product_address,
)


@pytest.mark.parametrize(
    ("text", "asin"),
    [
        ("B0SYN00001", "B0SYN00001"),
        (" b0syn00001 ", "B0SYN00001"),
        ("0306406152", "0306406152"),
        ("123456789X", "123456789X"),
        ("123456789x", "123456789X"),
    ],
)
def test_an_asin_is_accepted_in_any_case_and_with_blanks(text, asin):
    assert parse_asin(text) == asin


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0306406153", "check digit"),
        ("SOUNDBOARD", "ten characters"),
        ("B0SYN0001", "ten characters"),
        ("B0SYN000012", "ten characters"),
        ("B0SYN0000Ä", "ten characters"),
        ("B0SYN٠٠٠٠١", "ten characters"),
        ("", "ten characters"),
    ],
)
def test_a_text_that_is_no_asin_is_refused_with_the_reason(text, reason):
    with pytest.raises(ASINError, match=reason):
        parse_asin(text)


@pytest.mark.parametrize(
    ("address", "domain"),
    [
        ("https://www.amazon.de/-/en/Some-Title/dp/B0SYN00001/ref=x?y=1", "amazon.de"),
        ("https://www.amazon.com/-/zh_TW/%E7%84%A1/dp/B0SYN00001?th=1", "amazon.com"),
        ("amazon.co.jp/gp/product/B0SYN00001", "amazon.co.jp"),
        ("https://www.amazon.co.uk/gp/aw/d/b0syn00001#reviews", "amazon.co.uk"),
        ("http://smile.amazon.ca/exec/obidos/ASIN/B0SYN00001/", "amazon.ca"),
        (" HTTPS://WWW.AMAZON.FR/dp/B0SYN00001 ", "amazon.fr"),
    ],
)
def test_every_form_of_address_becomes_the_canonical_one(address, domain):
    marketplace, asin = parse_address(address)

    assert (marketplace.domain, asin) == (domain, "B0SYN00001")
    assert product_address(domain, asin) == f"https://www.{domain}/dp/B0SYN00001?th=1&psc=1"


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("https://www.amazon.com/dp/B0SYN000012", "names no product"),
        ("https://www.amazon.com/product-reviews/B0SYN00001", "names no product"),
        ("https://www.amazon.com/", "names no product"),
        ("https://www.amazon.com.evil.example/dp/B0SYN00001", "Known sites"),
        ("https://evil.example/dp/B0SYN00001", "Known sites"),
        ("https://evil.example/www.amazon.com/dp/B0SYN00001", "Known sites"),
        ("https://amazon.com@evil.example/dp/B0SYN00001", "Known sites"),
        ("https://user@amazon.com/dp/B0SYN00001", "Known sites"),
        ("https://amazon.com:8080/dp/B0SYN00001", "Known sites"),
        ("https://amazon.com:port/dp/B0SYN00001", "Known sites"),
        ("https://amazon.com./dp/B0SYN00001", "Known sites"),
        ("https://аmazon.com/dp/B0SYN00001", "Known sites"),
        ("https://amazon.cn/dp/B0SYN00001", "Known sites"),
        ("https://[::1/dp/B0SYN00001", "Known sites"),
        ("javascript://amazon.com/dp/B0SYN00001", "Known sites"),
        ("file://amazon.com/dp/B0SYN00001", "Known sites"),
        ("https://evil.example\\@amazon.com/dp/B0SYN00001", "blank or a control"),
        ("https://amazon.com/dp/B0SYN\n00001", "blank or a control"),
        ("https://a.co/d/abc", "Short links"),
        ("https://amzn.to/abc", "Short links"),
        ("", "Known sites"),
    ],
)
def test_an_address_that_is_not_a_product_of_a_known_site_is_refused(address, reason):
    with pytest.raises(AddressError, match=reason):
        parse_address(address)


def test_an_address_with_a_wrong_check_digit_is_refused():
    with pytest.raises(ValueError, match="check digit"):
        parse_address("https://www.amazon.com/dp/0306406153")


@pytest.mark.parametrize(
    ("raw", "currency", "amount"),
    [
        (0, "USD", None),
        (None, "USD", None),
        ("", "USD", None),
        (True, "USD", None),
        (Decimal("23.49"), "USD", "23.49"),
        ("23.49", "USD", "23.49"),
        (19, "EUR", "19.00"),
        (Decimal("2980"), "JPY", "2980"),
        (2980, "JPY", "2980"),
        (-1, "USD", None),
        ("NaN", "USD", None),
        (Decimal("NaN"), "USD", None),
        ("Infinity", "USD", None),
        ("1e12", "USD", None),
        (10_000_000, "USD", None),
        ("0.001", "USD", None),
        ({"value": Decimal("99.99"), "currency": "$"}, "USD", "99.99"),
        ({"value": {"value": 1}}, "USD", None),
        ("19,99", "EUR", None),
        ("$19.99", "USD", None),
        ([19], "USD", None),
    ],
)
def test_money_is_an_amount_in_the_decimals_of_its_currency_or_nothing(raw, currency, amount):
    parsed = parse_money(raw, currency)

    assert parsed is None if amount is None else str(parsed) == amount


def test_an_amount_in_a_currency_of_no_marketplace_is_an_error():
    with pytest.raises(KeyError):
        parse_money(19, "XYZ")


def test_each_marketplace_has_a_real_time_zone_and_its_own_id():
    assert all(ZoneInfo(site.zone) for site in MARKETPLACES.values())
    assert len({site.marketplace_id for site in MARKETPLACES.values()}) == len(MARKETPLACES) == 23
