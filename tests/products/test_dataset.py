"""A dataset's items: what one of them holds never loses the others."""

import json
from decimal import Decimal

import pytest

from products.amazon import MARKETPLACES
from products.dataset import read_items
from products.listing import Outcome, Unread, answers

USA = MARKETPLACES["amazon.com"]
GOOD = '{"statusCode": 200, "asin": "B0SYN00002", "title": "A [lamp], \\"bright\\" {x}", "price": 19.99}'
ODD = {
    "half of a pair": '"\\ud83d"',
    "NUL": '"a\\u0000b"',
    "not a number": "NaN",
    "infinity": "-Infinity",
    "more digits than an int may have": "9" * 5000,
    "more decimals than a field may have": "0." + "1" * 5000,
    "an exponent out of this world": "1e999999999999999999999",
    "a small exponent": "1e-999999999",
    "two thousand lists": "[" * 2000 + "]" * 2000,
    "nine hundred objects": '{"a":' * 900 + "1" + "}" * 900,
    "no JSON": "{'a': nothing}",
    "a byte that is no text": "\\udcff",
}


def dataset(field: str, value: str) -> bytes:
    item = f'{{"statusCode": 200, "asin": "B0SYN00001", "title": "A lamp", "price": 9.99, "{field}": {value}}}'
    return f"[{item}, {GOOD}]".encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "field", ["title", "price", "features", "statusMessage", "url", "buyBoxUsed", "variations", "x"]
)
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_value_never_loses_the_item_beside_it(field, odd):
    odd_one, good = answers(read_items(dataset(field, ODD[odd])), ["B0SYN00001", "B0SYN00002"], marketplace=USA)

    assert (good.outcome, good.price) == (Outcome.OK, Decimal("19.99"))
    assert odd_one.asin == "B0SYN00001"
    assert odd_one.outcome in (Outcome.OK, Outcome.BAD, Outcome.BLOCKED, Outcome.ASIDE)
    json.dumps(odd_one.raw)


def test_an_item_that_is_no_json_is_set_aside_with_its_reason_and_nothing_of_reviewers():
    body = dataset("soldBy", '{"a":' * 2000 + "1" + "}" * 2000 + ', "reviews": [{"userName": "Jo Invented"}]')

    listing = answers(read_items(body), ["B0SYN00001", "B0SYN00002"], marketplace=USA)[0]

    assert (listing.outcome, listing.asin) == (Outcome.ASIDE, "B0SYN00001")
    assert listing.warnings[0].startswith("RecursionError")
    assert "A lamp" in listing.set_aside
    assert "Jo Invented" not in listing.set_aside


@pytest.mark.parametrize("body", [b"", b"<html>", b'{"a": 1}', b'[{"a": 1}', b'[{"a": 1}, {"b"', b"[1]]", b"null"])
def test_a_body_that_is_no_whole_list_is_no_dataset(body):
    with pytest.raises(ValueError, match=r"JSON|a list"):
        read_items(body)


def test_a_piece_is_cut_where_its_own_text_ends():
    pieces = read_items(('[{"a": 1e}, ' + GOOD + ', [1, {"b": [2]}], "x, y", ' + "{'c'}" + "]").encode())

    assert [type(piece) for piece in pieces] == [Unread, dict, list, str, Unread]
