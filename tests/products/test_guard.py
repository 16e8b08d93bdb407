"""The guard of the buy box: each loss, return and new seller is told once, as what it is, and to whom it concerns."""

import random
from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import localdate, now
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.models import Channel, Notification
from products import home
from products.charts import history
from products.models import Change, Product, Role, Seller, Tracking
from products.standing import share
from tests.world import NOON, answer_of, listing, see, started_run

LOOKS = 12
# What is seen in a buy box: (id, name). Amazon itself has no id; two sellers have the same name; None was not seen.
OWN = [("A1OWN", "We"), ("A2OWN", "We, too")]
ALLOWED = [("A3PARTNER", "Partner"), (None, "Amazon.com")]
STRANGERS = [("A4", "Rival"), ("A5", "Rival"), ("A6", "Third"), (None, "No id")]
UNSEEN = (None, None)
WEIGHTS = [3, 1, 1, 1, 2, 1, 1, 1, 2]


def key_of(seller):
    return seller[0] or seller[1]


def known_sellers(team, *, also_allowed=True):
    for is_own, some in ((True, OWN), (False, ALLOWED if also_allowed else [])):
        for seller in some:
            Seller.objects.create(team=team, key=key_of(seller), name=seller[1], is_own=is_own)


def expected(looks, role, knows):
    """Say what is told of one product: by the plain words of the guard, from the looks alone."""
    told, last, last_at, past = [], None, None, []
    own, allowed = {key_of(one) for one in OWN}, {key_of(one) for one in ALLOWED}
    for at, seller in looks:
        if seller is None or seller == UNSEEN:
            continue
        new = key_of(seller)
        if last is not None and new != last:
            is_fresh = at - last_at <= timedelta(days=3)  # looked at daily: three intervals
            what = None
            if role == Role.COMPETITOR:
                what = ("buybox_change", "1_info") if is_fresh else None
            elif not knows:
                what = ("buybox_change", "2_warning") if is_fresh else None
            elif last in own and new not in own:
                what = ("buybox_lost", "3_critical")
            elif last not in own and new in own:
                what = ("buybox_won", "1_info")
            elif (
                new in own
                or new in allowed
                or any(who == new and at - then <= timedelta(days=90) for then, who in past)
            ):
                what = ("buybox_change", "1_info") if is_fresh else None
            else:
                what = ("buybox_new_seller", "2_warning")
            if what:
                told.append((at, *what))
        last, last_at = new, at
        past.append((at, new))
    return told


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_histories_are_told_right_and_nothing_twice(alice, charlie, settings, count):
    settings.APIFY_DAILY_BUDGET_USD = Decimal(1000)
    chance = random.Random(17)
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(count)])
    knows, does_not = alice.teams.get(), charlie.teams.get()
    known_sellers(knows)
    roles = {product.pk: chance.choice([Role.OWN, Role.OWN, Role.COMPETITOR]) for product in products}
    Tracking.objects.bulk_create(
        Tracking(team=team, product=product, role=roles[product.pk])
        for team in (knows, does_not)
        for product in products
    )
    looks = {product.pk: [] for product in products}
    at = NOON - timedelta(days=200)
    for _look in range(LOOKS):
        at += timedelta(hours=chance.choice([1, 20, 24, 71, 72, 73, 24 * 30, 24 * 91]))
        one_look(products, looks, at, chance)

    told = Counter(
        (change.tracking.team_id, change.tracking.product_id, change.seen_at, change.kind, change.severity)
        for change in Change.objects.select_related("tracking")
    )
    oracle = Counter(
        (team.pk, product.pk, *what)
        for team in (knows, does_not)
        for product in products
        for what in expected(looks[product.pk], roles[product.pk], team == knows)
    )
    assert told == oracle
    assert set(told.values()) == {1}
    assert {kind for _team, _product, _at, kind, _severity in told} == {
        *("buybox_change", "buybox_lost", "buybox_won", "buybox_new_seller"),
    }


def one_look(products: list[Product], looks: dict, at: datetime, chance: random.Random) -> None:
    """Have all products looked at once; some answers are missing, and some show no seller. It arrives twice."""
    rows = []
    for product in products:
        seller = chance.choices([*OWN, *ALLOWED, *STRANGERS, UNSEEN], WEIGHTS)[0]
        if chance.random() < 0.1:
            looks[product.pk].append((at, None))
            continue
        looks[product.pk].append((at, seller))
        rows.append(listing(asin=product.asin, seller=seller[1], seller_id=seller[0]))
    run, answer = started_run(products), answer_of(*rows, at=at)
    changes = run.ingest(answer)
    assert run.ingest(answer) == []
    Notification.objects.draft_changes(changes[:20])
    Notification.objects.draft_changes(changes[:20])
    apps = Channel.objects.filter(kind="app").values("pk")
    assert Notification.objects.filter(channel__in=apps, change__in=changes).count() == len(changes[:20])


@pytest.mark.parametrize(
    ("before", "after", "kind", "severity", "is_lost"),
    [
        (OWN[0], STRANGERS[0], "buybox_lost", "3_critical", True),
        (OWN[0], ALLOWED[0], "buybox_lost", "3_critical", True),
        (OWN[0], ALLOWED[1], "buybox_lost", "3_critical", True),
        (OWN[0], ("A9FAKE", OWN[0][1]), "buybox_lost", "3_critical", True),  # under our name
        (STRANGERS[0], OWN[0], "buybox_won", "1_info", False),
        (OWN[0], OWN[1], "buybox_change", "1_info", False),
        (STRANGERS[0], ALLOWED[1], "buybox_change", "1_info", False),
        (ALLOWED[0], STRANGERS[2], "buybox_new_seller", "2_warning", False),
        (STRANGERS[0], STRANGERS[1], "buybox_new_seller", "2_warning", False),
    ],
)
def test_what_a_change_of_hands_is(alice, lamp, before, after, kind, severity, is_lost):
    known_sellers(alice.teams.get())
    see(lamp, NOON, seller=before[1], seller_id=before[0])

    (change,) = see(lamp, NOON + timedelta(days=1), seller=after[1], seller_id=after[0])

    assert (change.kind, change.severity) == (kind, severity)
    assert change.before != change.after
    assert home.is_lost(change) == is_lost


def test_a_loss_is_told_however_late_it_is_seen(alice, lamp):
    known_sellers(alice.teams.get())
    see(lamp, NOON, seller="We", seller_id="A1OWN")

    (change,) = see(lamp, NOON + timedelta(days=60), seller="Rival", seller_id="A4")

    assert change.kind == "buybox_lost"


def test_what_one_team_knows_is_told_to_no_other(alice, charlie, lamp):
    Tracking.objects.create(team=charlie.teams.get(), product=lamp)
    known_sellers(charlie.teams.get())
    see(lamp, NOON, seller="We", seller_id="A1OWN")

    changes = see(lamp, NOON + timedelta(days=1), seller="Rival", seller_id="A4")

    assert {change.tracking.team.name: change.kind for change in changes} == {
        "alice": "buybox_change",
        "charlie": "buybox_lost",
    }


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["", "a", "b", "x", "y"])), max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_share_of_days_counts_gaps_as_gaps(looks):
    today = localdate()
    timed = sorted(
        (datetime(today.year, today.month, today.day, 12).astimezone() - timedelta(days=days, minutes=-number), who)
        for number, (days, who) in enumerate(looks)
    )

    found = share(timed, {"a", "b"})

    days = {}
    for at, who in timed:
        days.setdefault(localdate(at), []).append(who)
    last = [next((who for who in reversed(seen) if who), "") for seen in days.values()]
    assert found.own_days == sum(who in ("a", "b") for who in last)
    assert found.known == sum(bool(who) for who in last)
    assert sum(holder.days for holder in found.holders if holder.is_own) == found.own_days
    assert share(timed).own_days is None


def test_the_chart_and_the_page_say_who_held_it(alice, client, lamp):
    for days, seller, key in ((4, "We", "A1OWN"), (3, None, None), (2, "Rival", "A4"), (1, "We", "A1OWN")):
        see(lamp, now() - timedelta(days=days), seller=seller, seller_id=key)
    tracking = Tracking.objects.select_related("product").get()
    assert history(lamp, "month", tracking)["own"] == []
    client.force_login(alice)
    assert "Say which sellers you are" in client.get(lamp.get_absolute_url()).content.decode()
    known_sellers(alice.teams.get())

    assert history(lamp, "month", tracking)["own"] == [True, None, False, True, True]
    assert "You held it on 2 of 3 days" in client.get(lamp.get_absolute_url()).content.decode()
    tracking.role = Role.COMPETITOR
    assert history(lamp, "month", tracking)["own"] == []


@pytest.fixture
def page(client, alice, lamp):
    see(lamp, seller="Brimsett <Trading>", seller_id="S1")
    client.force_login(alice)
    return client


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("A1B2C3D4", "A1B2C3D4"),
        ("  A1B2C3D4 ", "A1B2C3D4"),
        ("https://www.amazon.de/sp?ie=UTF8&seller=A1B2C3D4&asin=B0", "A1B2C3D4"),
        ("https://www.amazon.com/s?me=A1B2C3D4", "A1B2C3D4"),
        ("Amazon.com", "Amazon.com"),
        ("https://www.amazon.com/dp/B0LAMP0001", None),
        ("", None),
        ("x" * 201, None),
    ],
)
def test_a_seller_is_named_by_id_or_address(page, alice, typed, key):
    answer = page.post("/products/sellers/", {"key": typed, "name": "", "is_own": "own"})

    assert answer.status_code == (302 if key else 422)
    assert [seller.key for seller in Seller.objects.filter(team=alice.teams.get())] == ([key] if key else [])


def test_who_is_in_the_buy_box_now_is_offered_and_what_was_said_last_counts(page, alice):
    assert "Brimsett &lt;Trading&gt;" in page.get("/products/sellers/").content.decode()

    for is_own in ("allowed", "own", "own"):
        page.post("/products/sellers/", {"key": "S1", "name": "Brimsett", "is_own": is_own})

    seller = Seller.objects.get()
    assert (seller.is_own, seller.team) == (True, alice.teams.get())
    assert "In the buy boxes of your products now" not in page.get("/products/sellers/").content.decode()
    page.post(f"/products/sellers/{seller.pk}/forget/")
    assert not Seller.objects.exists()


def test_a_look_asks_about_sellers_only_where_a_buy_box_changed_hands(alice, lamp):
    known_sellers(alice.teams.get())
    see(lamp)
    with CaptureQueriesContext(connection) as quiet:
        see(lamp, NOON + timedelta(hours=1), price=Decimal("20.00"))
    with CaptureQueriesContext(connection) as changed:
        see(lamp, NOON + timedelta(hours=2), seller="Rival", seller_id="A4")

    assert not [query for query in quiet if "products_seller" in query["sql"]]
    assert len([query for query in changed if "products_seller" in query["sql"]]) == 1


def test_every_kind_of_the_guard_is_a_mark_of_the_chart():
    script = (Path(home.__file__).parent.parent / "static" / "charts.js").read_text()

    assert all(kind in script for kind in ("buybox_change", "buybox_lost", "buybox_won", "buybox_new_seller"))
