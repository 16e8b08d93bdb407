"""The list: by keys, whatever it is sorted by; filters; bulk actions; removal and its undo."""

import json
import math
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now
from hypothesis import given, settings
from hypothesis import strategies as st

from products import sparks, watchlist
from products.models import Change, Product, Tag, Tracking
from products.models.tracking import UNDO
from products.tasks import cleanup
from tests.world import see

pytestmark = pytest.mark.both

COUNT = 110


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def shop(alice):
    """Many products with gaps and ties in every column."""
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(COUNT)])
    Tracking.objects.watch(alice.teams.get(), products, "own", "3_daily")
    for number, product in enumerate(products):
        product.price = None if number % 5 == 0 else Decimal(number % 7 + 1)
        product.bsr = None if number % 4 == 0 else number % 9 + 1
        product.rating = None if number % 3 == 0 else Decimal(number % 5 + 1)
        product.review_count = number % 11 or None
        product.title = "" if number % 6 == 0 else f"thing {number % 10}"
        product.checked_at = None if number % 8 == 0 else now() - timedelta(hours=number)
    columns = ["price", "bsr", "rating", "review_count", "title", "checked_at"]
    Product.objects.bulk_update(products, columns)
    Tracking.objects.filter(product__in=products[:20]).update(alias="Zebra")
    return products


def listed(client, **query) -> str:
    return client.get(reverse("products:list"), query).content.decode()


def asins(text: str) -> list[str]:
    return re.findall(r'class="under one">(\w{10})', text)


def key_of(text: str, word: str) -> str:
    found = re.search(rf'href="\?([^"]*)">(?:<svg.*?</svg>\s*)?\s*{word}', text)
    return QueryDict(found[1].replace("&amp;", "&"))["page"] if found else ""


@pytest.mark.slow
def test_every_sort_leads_through_all_rows_once_and_back(page, shop):
    for sort in [f"{sign}{name}" for name in watchlist.SORTS for sign in ("", "-")]:
        walked, key, texts = [], "", []
        while not texts or key:
            texts.append(listed(page, sort=sort, page=key))
            walked += asins(texts[-1])
            key = key_of(texts[-1], "Next page")
        assert len(walked) == len(set(walked)) == COUNT, sort
        assert len(texts) == math.ceil(COUNT / watchlist.PER_PAGE)
        back = listed(page, sort=sort, page=key_of(texts[-1], "Previous page"))
        assert asins(back) == asins(texts[-2]), sort
        assert asins(listed(page, sort=sort, page=key_of(back, "Previous page"))) == asins(texts[-3]), sort


@pytest.mark.slow
def test_a_sort_is_that_of_its_column_with_the_unknown_last(page, shop):
    for sort in ("price", "-price", "rank", "-rank", "rating", "-rating", "reviews", "-reviews", "seen", "-seen"):
        texts, key = [], ""
        while not texts or key:
            texts.append(listed(page, sort=sort, page=key))
            key = key_of(texts[-1], "Next page")
        column = watchlist.SORTS[sort.removeprefix("-")].column.removeprefix("product__")
        known = dict(Product.objects.values_list("asin", column))
        values = [known[asin] for text in texts for asin in asins(text)]
        seen = [value for value in values if value is not None]
        assert values[: len(seen)] == sorted(seen, reverse=sort.startswith("-")), sort


def test_the_queries_do_not_grow_with_the_page(page, alice, shop):
    with CaptureQueriesContext(connection) as many:
        assert len(asins(listed(page))) == watchlist.PER_PAGE
    Tracking.everything.filter(team=alice.teams.get()).exclude(product=shop[1]).delete()
    with CaptureQueriesContext(connection) as one:
        assert len(asins(listed(page))) == 1
    assert len(many) <= max(len(one), 10)


def test_what_is_found_by_its_ids_is_not_counted_once_more(page, shop):
    Product.objects.update(availability="unavailable")
    with CaptureQueriesContext(connection) as all_of_it:
        listed(page)
    with CaptureQueriesContext(connection) as gone:
        text = listed(page, state="gone")
    assert f"{COUNT} products" in text
    assert len(gone) == len(all_of_it) + 1  # which they are


ODD_KEYS = (
    "x", "[]", "[1]", '["NaN", 1, 0]', '["1e999", 1, 0]', f'["1", {10**30}, 0]', "[{}, 1, 0]", "[" * 5000,
    '["", 1, 1]', "[null, -1, 1]",
)  # fmt: skip


@pytest.mark.slow
def test_a_key_that_nobody_gave_out_is_a_page_all_the_same(page, lamp, competitors):
    for key in ODD_KEYS:
        for sort in ("price", "name", "seen", "rank", "day"):
            assert len(asins(listed(page, sort=sort, page=key))) >= 5, (key, sort)


@pytest.mark.slow
def test_a_very_long_list_is_sorted_by_its_columns_alone(page, shop, monkeypatch):
    monkeypatch.setattr(watchlist, "MOST_COUNTED", COUNT - 1)

    text = listed(page)
    assert f"{COUNT - 1} products and more" in " ".join(text.split())
    newest = Product.objects.order_by("-trackings__pk").values_list("asin", flat=True)[: watchlist.PER_PAGE]
    assert asins(text) == list(newest) == asins(listed(page, sort="day"))
    assert "sort=price" in text
    assert "sort=-day" not in text


def test_search_finds_parts_of_asin_title_brand_and_alias(page, alice, shop):
    named = sum(product.title == "thing 7" for product in Product.objects.all())
    for words, found in (
        ("0000", COUNT), ("b000000109", 1), ("zeb", 20), ("thing 7", named), ("nothing", 0), ("100%", 0), ("_", 0)
    ):  # fmt: skip
        assert watchlist.Wanted(q=words).rows(alice.teams.get()).count() == found, words
        assert len(asins(listed(page, q=words))) == min(found, watchlist.PER_PAGE), words


def test_filters_keep_what_they_say(page, alice, lamp, competitors):
    see(lamp, now() - timedelta(hours=2), price=Decimal("50.00"))
    see(lamp, now() - timedelta(hours=1), price=Decimal("20.00"))
    Product.objects.filter(pk=competitors[0].pk).update(availability="no_offer")
    Product.objects.filter(pk=competitors[1].pk).update(checked_at=now() - timedelta(days=3))
    Product.objects.filter(pk=competitors[2].pk).update(failures=1)
    Tracking.objects.filter(product=competitors[3]).update(paused=True)
    tag = Tag.objects.named(alice.teams.get(), "Spring")
    tag.put_on([Tracking.objects.get(product=competitors[4]).pk])

    for query, product in (
        ({"role": "own"}, lamp), ({"state": "changed"}, lamp), ({"state": "gone"}, competitors[0]),
        ({"state": "late"}, competitors[1]), ({"state": "failing"}, competitors[2]),
        ({"state": "paused"}, competitors[3]), ({"tag": tag.pk}, competitors[4]),
    ):  # fmt: skip
        assert asins(listed(page, **query)) == [product.asin], query
    assert len(asins(listed(page, site="amazon.com", role="odd", tag="x", state="odd"))) == 6
    assert not asins(listed(page, site="amazon.de"))


def test_anothers_tag_filters_nothing_in(page, alice, charlie, lamp, tracking):
    tag = Tag.objects.named(charlie.teams.get(), "Spring")
    tag.put_on([tracking.pk])

    assert not asins(listed(page, tag=tag.pk))


def do(client, rows, what, **more):
    return client.post(reverse("products:bulk"), {"id": [row.pk for row in rows], "do": what} | more)


def test_the_chosen_are_changed_and_no_others(page, alice, lamp, competitors):
    chosen = list(Tracking.objects.filter(product__in=competitors[:3]))
    for what, column, value in (
        ("pause", "paused", True), ("resume", "paused", False), ("frequency:4_weekly", "frequency", "4_weekly"),
        ("role:own", "role", "own"),
    ):  # fmt: skip
        do(page, chosen, what)
        assert set(Tracking.objects.filter(pk__in=[row.pk for row in chosen]).values_list(column, flat=True)) == {value}
    assert set(Tracking.objects.filter(product__in=competitors[3:]).values_list("role", flat=True)) == {"competitor"}


def test_tags_are_given_and_taken_whatever_their_case(page, alice, lamp, tracking):
    do(page, [tracking], "tag", tag="  Spring   sale ")
    do(page, [tracking], "tag", tag="spring SALE")
    assert list(tracking.tags.values_list("name", flat=True)) == ["Spring sale"]
    assert '<span class="chip">Spring sale</span>' in listed(page)

    do(page, [tracking], "untag", tag="SPRING sale")
    assert not tracking.tags.exists()


@pytest.mark.parametrize("what", ["", "odd", "frequency:odd", "role:", "tag", "frequency:1_hourly:x"])
def test_what_nobody_does_changes_nothing_and_says_so(page, tracking, what):
    before = Tracking.objects.values().get()
    answer = page.post(reverse("products:bulk"), {"id": tracking.pk, "do": what}, follow=True)

    assert Tracking.objects.values().get() == before
    assert 'class="said warning"' in answer.content.decode()


def test_another_users_products_are_out_of_reach(client, charlie, tracking):
    client.force_login(charlie)
    for what in ("pause", "remove", "tag"):
        do(client, [tracking], what, tag="x")

    tracking.refresh_from_db()
    assert (tracking.paused, tracking.removed_at) == (False, None)
    assert not tracking.tags.exists()


@pytest.mark.parametrize("page_after", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", ""])
def test_a_form_leads_to_no_other_site(page, tracking, page_after):
    answer = do(page, [tracking], "pause", next=page_after)

    assert answer.headers["Location"].partition("?")[0] == reverse("products:list")


def test_a_removal_is_taken_back_with_all_that_belonged_to_it(page, alice, lamp, tracking):
    see(lamp, now() - timedelta(hours=2), price=Decimal("50.00"))
    see(lamp, now() - timedelta(hours=1), price=Decimal("20.00"))
    Tag.objects.named(alice.teams.get(), "x").put_on([tracking.pk])
    before = Tracking.objects.values().get()

    removed = do(page, [tracking], "remove").headers["Location"]
    assert not asins(listed(page))
    assert page.get(lamp.get_absolute_url()).status_code == 404
    assert not Product.objects.due().exists()
    text = page.get(removed).content.decode()
    assert "1 product is no longer watched." in text
    page.post(reverse("products:restore"), {"removed": removed.split("=")[1]})

    assert Tracking.objects.values().get() == before
    assert (Change.objects.count(), tracking.tags.count()) == (1, 1)
    assert asins(listed(page)) == [lamp.asin]


def test_an_undo_has_an_hour_and_the_clean_up_ends_it(page, alice, tracking):
    removed = do(page, [tracking], "remove").headers["Location"].split("=")[1]
    Tracking.everything.update(removed_at=now() - UNDO - timedelta(minutes=1))
    late = Tracking.everything.get().removed_at

    page.post(reverse("products:restore"), {"removed": removed})
    page.post(reverse("products:restore"), {"removed": str(int(late.timestamp() * 10**6))})
    assert not Tracking.objects.exists()

    assert "removed trackings: 1" in cleanup()
    assert not Tracking.everything.exists()


def test_nobody_takes_back_anothers_removal(client, page, charlie, tracking):
    removed = do(page, [tracking], "remove").headers["Location"].split("=")[1]
    client.force_login(charlie)
    client.post(reverse("products:restore"), {"removed": removed})

    assert not Tracking.objects.exists()


def test_what_is_added_again_comes_back_as_it_was(alice, lamp, tracking):
    Tracking.objects.update(alias="My lamp")
    Tracking.objects.remove()

    assert Tracking.objects.watch(alice.teams.get(), [lamp], "competitor", "4_weekly") == 1
    assert Tracking.objects.get().alias == "My lamp"


def test_the_figures_beside_a_product_are_those_of_its_snapshots(page, lamp, tracking):
    for days, price in ((20, "40.00"), (3, "50.00"), (0, "45.00")):
        see(lamp, now() - timedelta(days=days), price=Decimal(price))

    row = sparks.rows([tracking.__class__.objects.select_related("product").get()])[0]

    assert (row.price_day.percent, row.price_month.percent) == (Decimal(-10), Decimal("12.5"))
    assert row.rank_day.is_none
    assert "−" not in row.past.price_line()
    assert row.past.price_line().startswith("M")
    assert "<svg" in listed(page)


prices = st.lists(st.one_of(st.none(), st.decimals(1, 1000, places=2)), max_size=40)


@pytest.mark.later
@settings(max_examples=200, deadline=None)
@given(prices)
def test_a_line_stays_in_its_frame_and_breaks_where_nothing_was_seen(values):
    start = now() - timedelta(days=30)
    line = sparks.path([(start + timedelta(hours=18 * n), value) for n, value in enumerate(values)])

    assert re.fullmatch(r"(M\d+ \d+|H\d+|V\d+)*", line)
    assert all(int(x) <= sparks.WIDTH for x in re.findall(r"[MH](\d+)", line))
    assert all(int(y) <= sparks.HEIGHT for y in re.findall(r"(?:M\d+ |V)(\d+)", line))
    seen = [value is not None for value in values]
    assert line.count("M") == sum(one and not (n and seen[n - 1]) for n, one in enumerate(seen))


def test_a_key_is_written_as_it_is_read():
    from products.keyset import Key, decimal, read_key

    for value in (None, Decimal("1.50"), Decimal("0.01")):
        assert read_key(str(Key(value, 7, is_back=True)), decimal) == Key(value, 7, is_back=True)
    assert json.loads(str(Key(None, 7))) == [None, 7, 0]
