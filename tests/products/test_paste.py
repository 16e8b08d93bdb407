"""What sellers paste: every shape is taken, or its line is named with the reason, and good lines are never lost."""

import json
import time
from pathlib import Path

import pytest
from django.urls import reverse

from products.amazon import MARKETPLACES
from products.forms import AddProductsForm, read_paste
from products.models import Product, Tracking

CASES = json.loads((Path(__file__).parents[1] / "data" / "cases" / "paste.json").read_text())
ONE = [("amazon.com", "B0SYN00001")]


@pytest.mark.parametrize(
    "case", [case for case in CASES if isinstance(case["expected"], list)], ids=lambda case: case["id"]
)
def test_a_paste_that_was_refused_is_taken(case):
    found, wrong = read_paste(case["paste"], "amazon.com")

    assert ([list(identity) for identity in found], wrong) == (case["expected"], [])


@pytest.mark.parametrize(
    "text",
    [
        "https://www.amazon.com/sspa/click?ie=UTF8&spc=x&url=%2FSome%2Fdp%2FB0SYN00001%2Fref%3Dsr",
        "https://www.amazon.com/gp/aw/d/B0SYN00001?psc=1",
        "https://m.amazon.com/dp/B0SYN00001",
        "www.amazon.com/dp/B0SYN00001.",
        "amazon.com/dp/B0SYN00001",
        "https://www.amazon.com/DP/b0syn00001/",
        "https://www.amazon.com/gp/product/glance/B0SYN00001",
        "https://www.amazon.com/exec/obidos/tg/detail/-/B0SYN00001/103-1",
        "https://www.amazon.com/Some-Name/dp/B0SYN00001#customerReviews",
        "https://www.amazon.com/dp/B0SYN00001;jsessionid=1",
        "<https://www.amazon.com/dp/B0SYN00001>",
        "(https://www.amazon.com/dp/B0SYN00001)",
        "Look at this: https://www.amazon.com/dp/B0SYN00001, it is nice",
        "‎B0SYN00001‏",
        "B0SYN00001,My lamp,own",
        "“B0SYN00001”",
        "B0SYN00001;B0SYN00001",
        "ASIN\tTitle\nB0SYN00001\tDesk lamp 2",
        "\r\n\r\nB0SYN00001\r\n",
        "b0syn00001",
    ],
)
def test_siblings_of_those_are_taken(text):
    assert read_paste(text, "amazon.com") == (ONE, [])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("979-10-90636-07-1", "without an ISBN-10"),
        ("978-0-306-40615-8", "check digit"),
        ("0-306-40615-3", "check digit"),
        ("https://www.amazon.com/s?k=lamp", "names no product"),
        ("https://www.amazon.com.evil.example/dp/B0SYN00001", "not an address on an Amazon site"),
        ("https://www.amazon.com/gp/x?url=https://evil.example/dp/B0SYN00001", "names no product"),
        ("https://www.amazon.com/gp/x?url=//evil.example/dp/B0SYN00001", "names no product"),
        ("https://a.co/d/abc", "Short links"),
        ("B0SYN0001", "is not an ASIN"),
        ("SOUNDBOARD", "is not an ASIN"),
        ("a lamp", "is not an ASIN"),
        ("B0SYN00001 B0SYN0002", "is not an ASIN"),
        ("B0SYN٠٠٠٠١", "is not an ASIN"),
    ],
)
def test_a_wrong_line_is_named_with_its_number_and_reason_and_loses_no_other(text, reason):
    found, wrong = read_paste(f"B0SYN00002\n{text}\nB0SYN00003", "amazon.com")

    assert [line for line, _reason in wrong] == [text]
    assert wrong[0][1].startswith("Line 2, ")
    assert reason in wrong[0][1]
    assert {("amazon.com", "B0SYN00002"), ("amazon.com", "B0SYN00003")} <= set(found)
    assert not any("evil" in site for site, _asin in found)


@pytest.mark.parametrize("domain", MARKETPLACES)
def test_each_of_the_23_sites_is_offered_and_its_addresses_are_read(domain):
    assert read_paste(f"https://www.{domain}/dp/B0SYN00001", "amazon.com")[0] == [(domain, "B0SYN00001")]
    assert (domain, domain) in AddProductsForm.base_fields["marketplace"].choices


@pytest.fixture
def post(client, alice):
    client.force_login(alice)
    words = {"marketplace": "amazon.com", "role": "own", "frequency": "3_daily"}
    return lambda text: client.post(reverse("products:add"), {"products": text, **words}, follow=True)


def test_99_good_lines_are_added_and_the_bad_one_comes_back(post):
    answer = post("\n".join([*(f"B0{number:08}" for number in range(99)), "nonsense"]))

    shown = answer.content.decode()
    assert (answer.status_code, Tracking.objects.count()) == (422, 99)
    assert "99 products added" in shown
    assert "Line 100, “nonsense”" in shown
    assert "B000000001" not in shown


@pytest.mark.slow
@pytest.mark.parametrize("size", [2000, pytest.param(10_000, marks=pytest.mark.long)])
def test_of_each_hundred_lines_97_are_added_in_few_queries(post, size, django_assert_max_num_queries):
    lines = [f"B0{number:08}" if number % 100 > 2 else f"wrong{number}" for number in range(size)]
    good = size * 97 // 100

    # SQLite takes a thousand values a statement, so the rows go in by some dozens; PostgreSQL needs far fewer.
    with django_assert_max_num_queries(40 + size * 9 // 100):
        answer = post("\n".join(lines))

    assert (answer.status_code, Tracking.objects.count(), Product.objects.count()) == (422, good, good)
    assert f"And {size * 3 // 100 - 50} more lines." in answer.content.decode()


@pytest.mark.parametrize(
    "text", ["a." * 500_000, "a-" * 500_000, "B0" * 500_000, "/" * 1_000_000, "1" * 1_000_000, "((" * 500_000]
)
def test_a_hostile_line_takes_no_time(text):
    began = time.process_time()

    assert read_paste(text, "amazon.com")[0] == []
    assert time.process_time() - began < 2


def test_ten_thousand_asins_on_one_line_are_taken():
    assert len(read_paste(",".join(f"B0{number:08}" for number in range(10_000)), "amazon.com")[0]) == 10_000


def test_repeated_lines_count_once(post):
    post("\n".join(f"B0{number % 50:08}" for number in range(101)))

    assert Tracking.objects.count() == 50


def test_adding_what_is_watched_promises_nothing(post, lamp):
    assert "You watch all of these already." in post(lamp.asin).content.decode()
