"""What holds for every value, drawn at random: no field grows, lies or raises."""

import re
import time
from decimal import Decimal
from typing import Any

import pytest
from babel.numbers import format_decimal
from hypothesis import given, settings
from hypothesis import strategies as st

from products import fields
from products.amazon import MARKETPLACES, parse_money
from products.availability import parse_availability
from products.ranks import parse_ranks

LANGUAGES = sorted({language for site in MARKETPLACES.values() for language in site.languages})
WHOLE = st.integers(0, 99_999_999)
TEXT = st.text(st.characters(codec=None), max_size=60)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.decimals() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
POSITIVE = ("in stock", "auf lager", "en stock", "disponible", "disponibile", "disponível", "op voorraad", "i lager")
NEGATIVE = ("not", "nicht", "pas", "no", "non", "não", "niet", "inte", "nie", "brak", "sin", "sem", "geen", "kein")


@pytest.mark.slow
@given(number=WHOLE, language=st.sampled_from([*LANGUAGES, "en_IN"]))
@settings(max_examples=300, deadline=None)
def test_a_count_is_what_the_language_of_a_site_writes(number, language):
    shown = format_decimal(number, locale=language)

    assert fields.count(f"{shown} ratings") == number
    assert fields.count(shown) == number


@pytest.mark.slow
@given(number=st.decimals(0, 9999, places=1), language=st.sampled_from(LANGUAGES))
@settings(max_examples=300, deadline=None)
def test_a_number_with_decimals_never_grows_into_a_count(number, language):
    """One decimal is never a group of three, so such a text is unknown unless it is whole."""
    read = fields.count(format_decimal(number, format="#,##0.0", locale=language))

    assert read is None or read <= number


@pytest.mark.slow
@given(number=st.decimals(Decimal("0.01"), 99_999, places=2), language=st.sampled_from(LANGUAGES))
@settings(max_examples=300, deadline=None)
def test_an_amount_is_read_as_itself_or_not_at_all(number, language):
    for shown in (str(number), format_decimal(number, format="#,##0.00", locale=language)):
        assert parse_money(shown, "USD") in (None, number)


@pytest.mark.slow
@given(number=st.decimals(0, 9_999_999, places=3))
@settings(max_examples=300, deadline=None)
def test_an_amount_never_moves_by_more_than_the_noise_of_a_float(number):
    for currency in ("USD", "JPY"):
        read = parse_money(number, currency)
        assert read is None or abs(read - number) < Decimal("0.000001")


@pytest.mark.later
@given(number=st.integers(1, 9_999_999), language=st.sampled_from([*LANGUAGES, "en_IN"]))
@settings(max_examples=200, deadline=None)
def test_a_rank_is_what_the_language_of_a_site_writes(number, language):
    ranks = parse_ranks(f"#{format_decimal(number, locale=language)} in Lamps")

    assert [rank.rank for rank in ranks] in ([number], [])


@given(st.sampled_from(POSITIVE), st.sampled_from(NEGATIVE), st.booleans(), st.sampled_from(["", ".", " …"]))
def test_no_sentence_with_a_denial_is_in_stock(positive, negative, before, end):
    sentence = f"{negative} {positive}{end}" if before else f"{positive}, {negative}{end}"

    assert parse_availability(sentence, has_price=True) != "in_stock"


@pytest.mark.slow
@given(JSON)
@settings(max_examples=400, deadline=None)
def test_no_value_makes_a_reader_fail(value: Any):
    for read in (fields.text, fields.rating, fields.count, fields.bought_past_month, fields.flag):
        read(value)
    for currency in ("USD", "JPY"):
        amount = parse_money(value, currency)
        assert amount is None or 0 < amount < 10_000_000
    stars = fields.rating(value)
    assert stars is None or 1 <= stars <= 5
    assert fields.brand(value, value) is None or isinstance(fields.brand(value, value), str)


@pytest.mark.slow
@given(JSON)
@settings(max_examples=300, deadline=None)
def test_what_is_stored_holds_no_sign_that_a_database_refuses(value: Any):
    shown = repr(fields.storable(value)) + fields.shown_text({"title": value}) + fields.shown_text(str(value))

    assert not re.search("[\x00\ud800-\udfff]", shown)


@pytest.mark.parametrize("scale", ["5 stars", "5 Sterne", "5"])
@pytest.mark.parametrize("words", ["out of {}", "von {}", "of {}", "/{}"])
def test_the_scale_alone_is_no_rating(words, scale):
    assert fields.rating(words.format(scale)) is None


@pytest.mark.parametrize(
    "piece",
    ["(", "((a)", "#1 in ", "1 in a ", "1位 ", "a - 1位", "에서 1위", " içinde 1", "100 (top", "1,", "1 ", " : "],
)
@pytest.mark.parametrize("start", ["", "#5 in ", "a - "])
def test_a_hostile_text_of_ranks_takes_no_time(start, piece):
    began = time.process_time()

    parse_ranks(start + piece * 20_000)

    assert time.process_time() - began < 0.5
