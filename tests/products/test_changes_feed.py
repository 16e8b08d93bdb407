"""The feed of changes: filters, keys, and acknowledging one, some or all that were shown."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.timezone import now

from notifications.models import Notification
from products import feed
from products.models import Change, Product, Severity, Tag, Tracking
from tests.world import answer_of, listing, see, started_run

pytestmark = pytest.mark.both


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


@pytest.fixture
def many(alice):
    """A price change of each of 120 products, 40 of them competitors'."""
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(120)])
    Tracking.objects.watch(alice.teams.get(), products[:80], "own", "3_daily")
    Tracking.objects.watch(alice.teams.get(), products[80:], "competitor", "3_daily")
    for turn in range(2):
        rows = [
            listing(asin=product.asin, price=Decimal(100 - turn * (12 if number % 2 else 40)))
            for number, product in enumerate(products)
        ]
        for start in (0, 100):
            run = started_run(products[start : start + 100], f"run{turn}{start}")
            run.ingest(answer_of(*rows[start : start + 100], at=now() - timedelta(hours=3 - turn)))
    assert Change.objects.count() == 120
    return list(Change.objects.newest_of(alice.teams.get()))


def shown(client, **query) -> list[Change]:
    return client.get(reverse("products:changes"), query).context["changes"]


def acknowledge(client, **form):
    return client.post(reverse("products:acknowledge"), form)


def test_keys_lead_through_all_newest_first_and_back(page, many):
    walked, key, pages = [], "", []
    while True:
        context = page.get(reverse("products:changes"), {"page": key}).context
        pages.append(context["changes"])
        walked += context["changes"]
        if not (key := context["part"].after):
            break
    assert walked == many
    back = page.get(reverse("products:changes"), {"page": context["part"].before}).context
    assert back["changes"] == pages[-2]


def test_the_queries_do_not_grow(page, many, alice):
    with CaptureQueriesContext(connection) as full:
        assert len(shown(page)) == feed.PER_PAGE
    Change.objects.exclude(pk=many[0].pk).delete()
    with CaptureQueriesContext(connection) as one:
        assert len(shown(page)) == 1
    assert len(full) == len(one) <= 7


def test_each_filter_keeps_what_it_says(page, alice, many):
    tag = Tag.objects.named(alice.teams.get(), "Spring")
    tag.put_on([many[0].tracking_id])
    Change.objects.filter(pk=many[1].pk).acknowledge()

    assert {change.severity for change in shown(page, severity="3_critical")} == {Severity.CRITICAL}
    assert {change.tracking.role for change in shown(page, role="competitor")} == {"competitor"}
    assert shown(page, tag=tag.pk) == [many[0]]
    assert shown(page, tracking=many[2].tracking_id) == [many[2]]
    assert shown(page, state="done") == [many[1]]
    assert many[1] not in shown(page, state="open")
    assert not shown(page, kind="bsr_change")
    assert len(shown(page, severity="odd", kind="odd", tag="1;", tracking="x", state="?")) == feed.PER_PAGE


def test_one_is_acknowledged_and_what_was_told_of_it_is_read(page, many):
    Notification.objects.draft_changes(many[:2])
    assert acknowledge(page, id=many[0].pk).status_code == 302

    assert list(Change.objects.exclude(acknowledged_at=None)) == [many[0]]
    assert set(Notification.objects.exclude(read_at=None).values_list("change", flat=True)) == {many[0].pk}


def test_htmx_gets_nothing_in_the_rows_place(page, many):
    answer = page.post(reverse("products:acknowledge"), {"id": many[0].pk}, headers={"HX-Request": "true"})

    assert (answer.status_code, answer.content) == (200, b"")


def test_all_that_the_filter_shows_are_acknowledged(page, many):
    acknowledge(page, role="competitor", until=now().isoformat())

    assert set(Change.objects.exclude(acknowledged_at=None).values_list("tracking__role", flat=True)) == {"competitor"}
    assert Change.objects.exclude(acknowledged_at=None).count() == 40


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    [{}, {"until": "soon"}, {"until": "2026-01-01T00:00:00"}, {"id": "x"}, {"until": "9999-99-99T00:00:00+00:00"}],
)
def test_a_form_that_does_not_say_what_was_shown_acknowledges_nothing(page, many, form):
    assert acknowledge(page, **form).status_code == 302
    assert not Change.objects.exclude(acknowledged_at=None).exists()


def test_nobody_sees_or_acknowledges_anothers(client, charlie, many):
    client.force_login(charlie)
    assert not shown(client)
    assert not shown(client, tracking=many[0].tracking_id)
    acknowledge(client, id=many[0].pk)
    acknowledge(client, until=now().isoformat())

    assert not Change.objects.exclude(acknowledged_at=None).exists()


def test_acknowledging_twice_keeps_the_first_time(page, many):
    acknowledge(page, id=many[0].pk)
    first = Change.objects.get(pk=many[0].pk).acknowledged_at
    acknowledge(page, id=many[0].pk)

    assert Change.objects.get(pk=many[0].pk).acknowledged_at == first


def test_get_acknowledges_nothing(page, many):
    assert page.get(reverse("products:acknowledge"), {"id": many[0].pk}).status_code == 405


def test_what_was_removed_is_not_in_the_feed(page, lamp, tracking):
    see(lamp, now() - timedelta(hours=2), price=Decimal("50.00"))
    see(lamp, now() - timedelta(hours=1), price=Decimal("20.00"))
    assert len(shown(page)) == 1
    Tracking.objects.remove()

    assert not shown(page)
