"""Changes: what is compared with what, and whose threshold it crosses."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User

from products.listing import Availability, Rank
from products.models import Change, Product, Tracking, differences
from tests.world import NOON, answer_of, listing, see, started_run

LATER = NOON + timedelta(days=1)


def kinds(changes):
    return {change.kind for change in changes}


def test_the_first_look_is_no_change(lamp):
    assert see(lamp) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [("100.00", "110.00", False), ("49.99", "44.99", True), ("49.99", "45.00", False), ("100", "110.01", True)],
)
def test_a_price_fires_only_beyond_its_threshold(lamp, before, after, told):
    see(lamp, price=Decimal(before))

    changes = see(lamp, LATER, price=Decimal(after))

    assert ("price_change" in kinds(changes)) is told


def test_a_price_change_says_how_far_and_how_bad(lamp):
    see(lamp, price=Decimal("100"))

    (change,) = see(lamp, LATER, price=Decimal("75"))

    assert (change.before, change.after, change.percent) == ("100.00", "75", Decimal("-25.000"))
    assert (change.direction, change.severity, change.threshold) == ("down", "3_critical", "10.00 %")


@pytest.mark.parametrize(
    ("before", "after", "unit", "told"),
    [
        (73, 95, "percent", True),
        (73, 95, "positions", False),
        (73, 104, "positions", True),
        (1, 2, "percent", False),
        (8, 3, "percent", False),
        (9, 13, "percent", False),
        (100, 130, "percent", False),
    ],
)
def test_a_rank_fires_by_percent_or_positions_and_never_in_the_noise(lamp, tracking, before, after, unit, told):
    Tracking.objects.update(bsr_unit=unit, bsr_threshold=30)
    see(lamp, ranks=(Rank("Tools", 900), Rank("Desk Lamps", before)))

    changes = see(lamp, LATER, ranks=(Rank("Tools", 5), Rank("Desk Lamps", after)))

    assert ("bsr_change" in kinds(changes)) is told


def test_a_smaller_rank_is_better(lamp):
    see(lamp, ranks=(Rank("Desk Lamps", 100),))

    (change,) = see(lamp, LATER, ranks=(Rank("Desk Lamps", 40),))

    assert (change.direction, change.subject) == ("better", "Desk Lamps")


def test_a_rank_in_another_category_is_not_comparable(lamp):
    see(lamp, ranks=(Rank("Desk Lamps", 100),))

    assert see(lamp, LATER, ranks=(Rank("Floor Lamps", 10),)) == []


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        ({"rating": Decimal("4.2")}, "rating_change"),
        ({"review_count": 1101}, "review_count_change"),
        ({"seller": "Somebody", "seller_id": "S2"}, "buybox_change"),
        ({"availability": Availability.UNAVAILABLE}, "availability_change"),
    ],
)
def test_each_kind_has_a_step_that_makes_it_fire(lamp, facts, kind):
    see(lamp)

    assert kinds(see(lamp, LATER, **facts)) == {kind}


def test_new_content_fires_only_when_asked_for(lamp):
    see(lamp)
    assert see(lamp, LATER, content_hash="b" * 64) == []

    Tracking.objects.update(tell_listing=True)

    assert kinds(see(lamp, LATER + timedelta(hours=1), content_hash="c" * 64)) == {"listing_change"}


def test_a_price_that_was_not_seen_fires_neither_going_nor_coming(lamp):
    see(lamp)
    gone = see(lamp, LATER, price=None)
    back = see(lamp, LATER + timedelta(hours=1))

    assert (kinds(gone), kinds(back)) == (set(), set())
    assert lamp.price == Decimal("49.99")
    assert lamp.price_seen_at == LATER + timedelta(hours=1)


def test_a_price_that_was_not_seen_keeps_its_last_value_and_age(lamp):
    see(lamp)

    see(lamp, LATER, price=None)

    assert (lamp.price, lamp.price_seen_at) == (Decimal("49.99"), NOON)
    assert lamp.snapshots.get(taken_at=LATER).price is None


def test_a_value_older_than_three_intervals_is_not_compared(lamp):
    see(lamp, price=Decimal("100"))

    assert see(lamp, NOON + timedelta(days=3, minutes=1), price=Decimal("50")) == []


def test_two_users_hear_of_their_own_thresholds(lamp, charlie):
    Tracking.objects.create(team=charlie.teams.get(), product=lamp, price_threshold=Decimal("50"))
    see(lamp, price=Decimal("100"))

    changes = see(lamp, LATER, price=Decimal("80"))

    assert [change.tracking.team.name for change in changes] == ["alice"]


@pytest.mark.later
def test_the_same_matter_stays_silent_until_it_is_rearmed(lamp):
    Tracking.objects.update(rearm_minutes=120)
    see(lamp, price=Decimal("100"))
    first = see(lamp, LATER, price=Decimal("80"))
    second = see(lamp, LATER + timedelta(hours=1), price=Decimal("100"))
    third = see(lamp, LATER + timedelta(hours=3), price=Decimal("80"))

    assert [len(first), len(second), len(third)] == [1, 0, 1]


def test_two_currencies_are_never_compared(lamp):
    see(lamp)

    with pytest.raises(ValueError, match="EUR cannot be compared with USD"):
        differences(lamp, listing(currency="EUR"), LATER)


def test_an_older_answer_that_arrives_late_changes_nothing_newer(lamp):
    see(lamp, LATER, price=Decimal("60"))

    changes = see(lamp, NOON, price=Decimal("10"))

    assert changes == []
    assert lamp.price == Decimal("60.00")
    assert lamp.snapshots.count() == 2


def batch(alice: User, count: int) -> list[Product]:
    products = Product.objects.ensure([("amazon.com", f"B0BATCH{number:03}") for number in range(count)])
    Tracking.objects.watch(alice.teams.get(), products, "own", "3_daily")
    started_run(products).ingest(answer_of(*(listing(asin=product.asin) for product in products)))
    return products


@pytest.mark.later
def test_changes_are_held_when_the_page_itself_seems_broken(alice):
    products = batch(alice, 10)
    run = started_run(products)
    listings = [
        listing(asin=product.asin, price=None if number < 4 else Decimal("10"), ranks=())
        for number, product in enumerate(products)
    ]

    changes = run.ingest(answer_of(*listings, at=LATER))

    run.refresh_from_db()
    assert (changes, run.changes_held, Change.objects.count()) == ([], True, 0)
    assert run.snapshots.count() == 0


@pytest.mark.later
def test_ingesting_costs_the_same_number_of_queries_for_one_and_for_forty(alice, django_assert_max_num_queries):
    products = batch(alice, 40)
    run = started_run(products)

    with django_assert_max_num_queries(17):
        changes = run.ingest(answer_of(*(listing(asin=p.asin, price=Decimal("10")) for p in products), at=LATER))

    assert len(changes) == 40
