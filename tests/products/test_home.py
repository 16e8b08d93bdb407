"""The page of each morning: the user's own rows alone, however many others have, grouped, counted, acknowledged."""

import random
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.urls import reverse
from django.utils.timezone import now

from analysis.models import ModelCall
from products import home, sparks
from products.listing import Availability, Outcome, Rank
from products.models import Change, Frequency, Product, ScrapeRun, Tracking
from products.watchlist import Wanted
from tests.world import NOON, answer_of, listing, see, started_run

pytestmark = pytest.mark.both

RECENT = timedelta(hours=3)


@pytest.fixture
def changes_of_others(charlie):
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(60)])
    Tracking.objects.watch(charlie.teams.get(), products, "own", "3_daily")
    for turn, price in enumerate(("50.00", "20.00")):
        rows = [listing(asin=product.asin, price=Decimal(price)) for product in products]
        started_run(products, f"others{turn}").ingest(answer_of(*rows, at=now() - RECENT + timedelta(hours=turn)))
    assert Change.objects.count() == 60


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


def morning(client) -> str:
    return client.get(reverse("products:home")).content.decode()


def cheaper(product, **facts):
    """Have a product seen at $50.00, and an hour later otherwise."""
    see(product, now() - RECENT, price=Decimal("50.00"))
    return see(product, now() - RECENT + timedelta(hours=1), **({"price": Decimal("20.00")} | facts))


def test_the_changes_are_those_of_the_user(page, alice, lamp, changes_of_others):
    cheaper(lamp)

    text = morning(page)
    assert [change.tracking.team for change in Change.objects.newest_of(alice.teams.get())[:8]] == [alice.teams.get()]
    assert "B000000001" not in text
    assert "$50.00 → <strong>$20.00</strong>" in text


@pytest.mark.parametrize("count", [1, 30])
def test_the_queries_do_not_grow_with_what_happened(client, charlie, count, django_assert_max_num_queries):
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(count)])
    Tracking.objects.watch(charlie.teams.get(), products, "own", "3_daily")
    for turn, price in enumerate(("50.00", "20.00")):
        rows = [listing(asin=product.asin, price=Decimal(price)) for product in products]
        started_run(products, f"run{turn}").ingest(answer_of(*rows, at=now() - RECENT + timedelta(hours=turn)))
    client.force_login(charlie)

    with django_assert_max_num_queries(18):
        text = morning(client)
    assert text.count('class="told"') == min(count, home.MOST_GROUPS)


@pytest.mark.later
@pytest.mark.parametrize("is_whole", [False, True])
def test_the_newest_are_found_by_an_index_in_their_order(alice, changes_of_others, is_whole):
    newest = Change.objects.filter(team=alice.teams.get()).order_by("-seen_at", "-pk")[:8]
    if is_whole:  # as the page asks
        open_ = Change.objects.newest_of(alice.teams.get()).filter(
            seen_at__gte=sparks.yesterday(), acknowledged_at=None
        )
        newest = open_[: home.MOST_CHANGES]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE")  # what other tests left behind counts as well
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off")
    plan = newest.explain()

    assert "change_newest_of_team" in plan or "change_open_of_team" in plan
    assert "sort" not in plan.lower()
    assert "TEMP B-TREE" not in plan


def test_a_quiet_night_is_one_calm_line(page, lamp):
    see(lamp, now() - RECENT)

    assert "Nothing crossed your thresholds since yesterday" in morning(page)


def test_a_user_without_products_is_asked_to_add_some(page):
    text = morning(page)

    assert "You watch no product yet" in text
    assert "Nothing crossed" not in text


@pytest.mark.parametrize(
    ("role", "facts", "is_lost"),
    [
        ("own", {"seller": "Rival", "seller_id": "S9"}, True),
        ("own", {"availability": Availability.UNAVAILABLE}, True),
        ("own", {"ranks": (Rank("Desk Lamps", 200),)}, True),
        ("own", {"ranks": (Rank("Desk Lamps", 20),)}, False),
        ("own", {"price": Decimal("20.00")}, False),
        ("competitor", {"seller": "Rival", "seller_id": "S9"}, False),
        ("competitor", {"availability": Availability.UNAVAILABLE}, False),
    ],
)
def test_what_is_lost_is_ones_own_buy_box_stock_or_rank(page, lamp, tracking, role, facts, is_lost):
    Tracking.objects.filter(pk=tracking.pk).update(role=role)
    changes = cheaper(lamp, **({"price": Decimal("50.00")} | facts))
    assert changes

    assert any(home.is_lost(change) for change in Change.objects.newest_of(tracking.team)) is is_lost
    assert ('<span class="chip bad">lost</span>' in morning(page)) is is_lost


def test_a_buy_box_that_comes_back_was_not_lost(page, alice, lamp):
    for hours, seller in ((50, "Us"), (40, "Us"), (3, "Rival"), (1, "Us")):
        see(lamp, now() - timedelta(hours=hours), seller=seller, seller_id=seller)
    changes = list(Change.objects.newest_of(alice.teams.get()).filter(kind="buybox_change"))

    usual = home.usual_holders(changes)
    assert usual == {lamp.pk: "Us"}
    assert [(change.after, home.is_lost(change, usual[lamp.pk])) for change in changes] == [
        ("Us", False),
        ("Rival", True),
    ]


def test_what_was_lost_comes_first_and_one_product_is_one_group(page, alice, lamp, competitors):
    cheaper(competitors[0])
    cheaper(lamp, seller="Rival", seller_id="S9")

    groups = home.grouped(Change.objects.newest_of(alice.teams.get()))

    assert [group.tracking.product for group in groups] == [lamp, competitors[0]]
    assert [change.kind for change in groups[0].changes] == ["price_change", "buybox_change"]


def test_acknowledging_all_leaves_what_came_after_the_page(page, alice, lamp):
    cheaper(lamp)
    shown = now() - timedelta(minutes=90)
    see(lamp, now() - timedelta(hours=1), price=Decimal("50.00"))

    form = {"since": sparks.yesterday().isoformat(), "until": shown.isoformat()}
    page.post(reverse("products:acknowledge"), form)

    assert [change.acknowledged_at is None for change in Change.objects.order_by("seen_at")] == [False, True]


def test_yesterday_began_where_the_viewer_is(page, lamp):
    page.cookies["zone"] = "Pacific/Auckland"
    start = page.get(reverse("products:home")).context["since"]

    assert start.utcoffset() in (timedelta(hours=12), timedelta(hours=13))
    assert (start.hour, start.minute) == (0, 0)
    assert timedelta(days=1) <= now() - start <= timedelta(days=2, hours=1)


@pytest.mark.parametrize(
    ("frequency", "hours", "is_late"),
    [
        ("1_hourly", 1.5, False), ("1_hourly", 2.5, True), ("2_six_hourly", 8, False), ("2_six_hourly", 10, True),
        ("3_daily", 35, False), ("3_daily", 37, True), ("4_weekly", 24 * 7, False), ("4_weekly", 24 * 9, True),
    ],
)  # fmt: skip
def test_what_is_older_than_promised_is_late_with_a_reason(page, lamp, tracking, frequency, hours, is_late):
    Product.objects.update(checked_at=now() - timedelta(hours=hours))
    Tracking.objects.update(frequency=frequency)
    tracking.refresh_from_db()

    assert list(Tracking.objects.late()) == ([tracking] if is_late else [])
    assert tracking.is_late() is is_late
    assert ("No look was made in time" in morning(page)) is is_late


def test_a_paused_product_is_never_late_and_a_new_one_has_an_hour(lamp, tracking):
    assert not tracking.is_late()
    Tracking.objects.update(created_at=now() - timedelta(hours=2))
    tracking.refresh_from_db()
    assert tracking.is_late()
    assert Tracking.objects.late().count() == 1
    Tracking.objects.update(paused=True)
    tracking.refresh_from_db()
    assert not tracking.is_late()
    assert not Tracking.objects.late()


def test_each_kind_of_trouble_has_its_reason(page, lamp):
    for facts, words in (
        ({"failures": 1, "last_outcome": Outcome.BLOCKED}, "The last look failed"),
        ({"failures": 4, "last_outcome": Outcome.BLOCKED, "monitored": False}, "four looks in a row failed"),
        ({"failures": 0, "monitored": False}, "An operator has this product left alone"),
    ):
        Product.objects.update(**{"checked_at": now()} | facts)
        assert words in morning(page), facts


def test_cost_is_shown_to_whoever_may_see_it(page, alice, lamp):
    see(lamp, now())
    assert "Cost of looks" not in morning(page)

    alice.user_permissions.add(Permission.objects.get(codename="view_scraperun"))
    text = morning(page)
    assert "Cost of looks" in text
    assert f"${ScrapeRun.objects.spent_usd(now() - timedelta(days=1)):.2f}" in text


def test_each_sees_what_the_own_reports_cost(page, alice, charlie, lamp):
    ModelCall.objects.create(team=charlie.teams.get(), purpose="x", model="m", cost_usd=Decimal("0.30"))
    assert "Cost of your reports" not in morning(page)
    ModelCall.objects.create(team=alice.teams.get(), purpose="x", model="m", cost_usd=Decimal("0.20"))

    assert "$0.20" in morning(page)


def test_old_changes_are_not_of_this_morning(page, lamp):
    see(lamp, NOON - timedelta(hours=5), price=Decimal("50.00"))
    see(lamp, NOON - timedelta(hours=4), price=Decimal("20.00"))

    assert "What changed" not in morning(page)


@pytest.mark.later
def test_what_is_late_or_fails_is_found_by_its_parts(alice, charlie):
    """The page asks part by part, as an index serves each; the answer is that of the plain conditions."""
    chance = random.Random(4)
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(400)])
    ages = [None, timedelta(minutes=30), *(one.promise + timedelta(minutes=m) for one in Frequency for m in (-1, 1))]
    for product in products:
        age = chance.choice(ages)
        product.checked_at = age and now() - age
        product.failures, product.monitored = chance.choice([0, 0, 0, 2]), chance.random() > 0.1
    Product.objects.bulk_update(products, ["checked_at", "failures", "monitored"])
    for product in products:
        one = Tracking.objects.create(
            team=chance.choice([alice, charlie]).teams.get(), product=product, paused=chance.random() < 0.1,
            frequency=chance.choice(Frequency.values), removed_at=now() if chance.random() < 0.05 else None,
        )  # fmt: skip
        Tracking.everything.filter(pk=one.pk).update(created_at=now() - chance.choice(ages[1:]))

    mine = Tracking.objects.filter(team=alice.teams.get())
    active = [row for row in mine.select_related("product") if not row.paused]
    late = {row.pk for row in active if row.is_late()}
    failing = {row.pk for row in active if row.product.failures or not row.product.monitored}
    assert {row.pk for row in mine.late()} == late
    assert {row.pk for row in mine.failing()} == failing
    not_looked_at = {row.pk for row in active if not row.product.monitored}
    assert {row.pk for row in mine.late_or_failing()} == (late - not_looked_at) | failing
    assert 50 < len(late | failing) < 190
    for state, expected in (("late", late), ("failing", failing)):
        assert {row.pk for row in Wanted(state=state).rows(alice.teams.get())} == expected
