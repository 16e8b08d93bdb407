"""Choosing what to compare: found by a part of a name, a few at a time, with and without script, among thousands."""

import re

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from playwright.sync_api import expect

from analysis.models import Comparison
from analysis.picking import MOST_FOUND
from products.models import Product, Role, Tracking

ADDRESS = "/comparisons/new/"


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def many(alice, lamp):
    """Three hundred competitors on two marketplaces beside the own lamp."""
    sites = [("amazon.com", 200), ("amazon.de", 100)]
    identities = [(site, f"B0MANY{number:04}") for site, count in sites for number in range(count)]
    products = Product.objects.ensure(identities)
    for product in products:
        product.title = f"Thing {product.asin[-4:]} of {product.marketplace}"
    Product.objects.bulk_update(products, ["title"])
    Tracking.objects.watch(alice.teams.get(), products, Role.COMPETITOR, "3_daily")
    return products


def boxes(answer, name="competitors") -> dict[str, bool]:
    """Return which values the page offers under a name, and whether each is chosen."""
    found = re.findall(rf'<input type="\w+" name="{name}" value="(\d+)"( checked)?', answer.content.decode())
    return {value: bool(checked) for value, checked in found}


def test_a_few_are_offered_of_many(page, many):
    answer = page.get(ADDRESS)

    assert len(boxes(answer)) == MOST_FOUND
    assert "There are more" in answer.content.decode()


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("0042", 2),
        ("b0many0042", 2),
        ("THING 0042 OF AMAZON.DE", 1),
        ("nothing such", 0),
        ("%", 0),
        ("_", 0),
        ("  ", 12),
    ],
)
def test_a_part_of_the_title_or_the_asin_finds_it(page, many, words, count):
    assert len(boxes(page.get(ADDRESS, {"q": words}))) == count


def test_what_is_chosen_stays_through_searches_and_its_marketplace_is_kept_to(page, many, lamp):
    chosen = [str(many[0].pk), str(many[7].pk)]
    answer = page.get(ADDRESS, {"product": lamp.pk, "competitors": chosen, "q": "0042"})

    assert boxes(answer, "product") == {str(lamp.pk): True}
    assert boxes(answer) == {**dict.fromkeys(chosen, True), str(many[42].pk): False}


@pytest.mark.parametrize("asked", ["", "x", "-1", "9" * 30, str(2**63 - 1), "1.5", "٣"])
def test_odd_keys_choose_nothing(page, many, asked):
    answer = page.get(ADDRESS, {"product": asked, "competitors": [asked] * 50})

    assert answer.status_code == 200
    assert not any((boxes(answer) | boxes(answer, "product")).values())


def test_another_team_s_are_neither_found_nor_chosen(page, many, charlie):
    theirs = Product.objects.ensure([("amazon.com", "B0THEIRS01")])
    Tracking.objects.watch(charlie.teams.get(), theirs, Role.COMPETITOR, "3_daily")

    assert not boxes(page.get(ADDRESS, {"q": "B0THEIRS01", "competitors": theirs[0].pk}))


def test_it_works_without_script(page, many, lamp):
    """A search by its button keeps the form, and the form is sent with what was found."""
    first = page.post(ADDRESS, {"product": lamp.pk, "q": "0042", "name": "Mine", "find": ""})
    assert first.status_code == 200
    assert 'value="Mine"' in first.content.decode()
    assert not Comparison.objects.exists()
    wanted = {"product": lamp.pk, "competitors": [many[n].pk for n in (42, 3, 5)], "name": "Mine"}

    too_few = page.post(ADDRESS, wanted | {"competitors": wanted["competitors"][:2]})
    assert too_few.status_code == 422
    assert sum(boxes(too_few).values()) == 2
    page.post(ADDRESS, wanted)

    comparison = Comparison.objects.get()
    members = comparison.members.order_by("position").values_list("product", flat=True)
    assert (comparison.name, comparison.product, set(members)) == ("Mine", lamp, set(wanted["competitors"]))


@pytest.mark.parametrize("query", [{}, {"q": "00"}])
def test_its_queries_do_not_grow_with_what_is_watched(page, many, alice, lamp, query, django_assert_num_queries):
    with CaptureQueriesContext(connection) as asked:
        page.get(ADDRESS, {"product": lamp.pk} | query)
    few = Tracking.objects.filter(team=alice.teams.get(), product__in=many[20:])
    few.remove()
    with django_assert_num_queries(len(asked)):
        page.get(ADDRESS, {"product": lamp.pk} | query)


@pytest.fixture
def desk(transactional_db, chromium, live_server, client, alice):
    client.force_login(alice)
    context = chromium.new_context(base_url=live_server.url, viewport={"width": 1280, "height": 900}, locale="en-GB")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    yield context.new_page()
    context.close()


@pytest.mark.browser
@pytest.mark.slow
def test_it_is_chosen_by_typing_with_the_keyboard_alone(desk, many, lamp, transactional_db):
    page = desk
    page.goto(f"{reverse('analysis:compare')}?product={lamp.pk}")
    for number in (42, 3, 5):
        page.focus("#seek-q")
        page.keyboard.press("Control+A")
        page.keyboard.type(f"thing {number:04}")
        box = page.locator(f"#picks-competitors input[value='{many[number].pk}']")
        box.focus()
        page.keyboard.press("Space")
        expect(box).to_be_checked()
    expect(page.locator("#picks-competitors input:checked")).to_have_count(3)
    page.get_by_role("button", name="Compare").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#report")).to_be_visible()
    assert Comparison.objects.get().members.count() == 3
