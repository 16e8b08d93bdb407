"""Changes: what is compared with what, and whose threshold it crosses."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils import translation

from products.listing import Availability, Rank
from products.models import Change, Product, Tracking, differences
from products.models.change import Difference, Kind, Severity
from products.models.past import Past
from products.models.rules import Told
from tests.world import NOON, answer_of, listing, see, started_run

LATER = NOON + timedelta(days=1)


# Under these a price and a rank are silent, so that one wish is heard alone.
STILL = {"price_threshold": Decimal(100), "bsr_threshold": 10**6, "bsr_unit": "positions"}


def step(kind, before, after, age=timedelta(days=1)):
    numbers = [Decimal(value) if value.replace(".", "").isdigit() else value for value in (before, after)]
    return Difference(Kind(kind), *numbers, NOON, NOON + age)


@pytest.mark.parametrize(
    ("kind", "before", "after", "wishes", "is_told"),
    [
        *(("price_change", "100", after, {"price_threshold": Decimal(10)}, told) for after, told in
          (("110", False), ("110.01", True), ("90", False), ("89.99", True))),
        *(("price_change", "100", after, {"price_threshold": Decimal(10), "price_way": way}, told)
          for way, after, told in
          (("up", "111", True), ("up", "89", False), ("down", "89", True), ("down", "111", False))),
        *(("price_change", *prices, STILL | {"price_below": Decimal(20)}, told) for *prices, told in
          (("20", "19.99", True), ("20.01", "20", False), ("19.99", "19.98", False), ("21", "20", False))),
        *(("price_change", *prices, STILL | {"price_above": Decimal(20)}, told) for *prices, told in
          (("20", "20.01", True), ("19.99", "20", False), ("20.01", "20.02", False))),
        *(("price_change", "30", after, STILL | {"price_lowest_days": 7}, told) for after, told in
          (("25", False), ("24.99", True))),
        *(("bsr_change", "100", after, {"bsr_threshold": 30, "bsr_unit": unit}, told)
          for unit in ("percent", "positions")
          for after, told in (("130", False), ("131", True), ("70", False), ("69", True))),
        *(("bsr_change", "100", after, {"bsr_threshold": 30, "bsr_way": way}, told) for way, after, told in
          (("up", "60", True), ("up", "140", False), ("down", "140", True), ("down", "60", False))),
        *(("bsr_change", *ranks, {"bsr_threshold": 1, "bsr_unit": "positions"}, told) for *ranks, told in
          (("10", "5", False), ("5", "10", False), ("11", "6", True), ("10", "15", True), ("15", "10", True),
           ("11", "7", False), ("96", "100", False), ("95", "100", True))),
        *(("bsr_change", *ranks, STILL | {"bsr_outside": 50}, told) for *ranks, told in
          (("50", "51", True), ("49", "50", False), ("51", "52", False), ("52", "49", False))),
        *(("bsr_change", "90", after, STILL | {"bsr_best_days": 7}, told) for after, told in
          (("40", False), ("39", True))),
        *(("rating_change", "4.4", after, {"rating_threshold": Decimal("0.2")}, told) for after, told in
          (("4.6", True), ("4.5", False), ("4.2", True), ("4.3", False))),
        *(("review_count_change", "1000", after, {"review_threshold": Decimal(10)}, told) for after, told in
          (("1100", False), ("1101", True), ("900", False), ("899", True))),
        *(("availability_change", *words, {"tell_availability": False, "tell_back": True}, told) for *words, told in
          (("unavailable", "in_stock", True), ("no_offer", "low_stock", True), ("low_stock", "in_stock", False),
           ("in_stock", "unavailable", False), ("unavailable", "no_offer", False))),
        *((kind, "one", "another", {wish: is_so}, is_so) for kind, wish in
          (("buybox_change", "tell_buybox"), ("listing_change", "tell_listing"),
           ("availability_change", "tell_availability")) for is_so in (True, False)),
    ],
)  # fmt: skip
def test_each_wish_has_its_edge(kind, before, after, wishes, is_told):
    past = Past()
    past.prices[7, 7], past.ranks[7, 7] = Decimal(25), 40

    reasons = step(kind, before, after).reasons(Tracking(product_id=7), Told(**wishes), past)

    assert bool(reasons) is is_told


@pytest.mark.parametrize(
    ("kind", "is_told_late"), [("price_change", False), ("buybox_change", False), ("buybox_lost", True)]
)
def test_a_value_of_three_intervals_ago_is_the_oldest_that_is_compared(kind, is_told_late):
    told, last = Told(price_threshold=Decimal(0)), timedelta(days=3)
    found = [step(kind, "1", "2", age).reasons(Tracking(), told, Past()) for age in (last, last + timedelta(seconds=1))]

    assert [bool(reasons) for reasons in found] == [True, is_told_late]


@pytest.mark.parametrize(
    ("kind", "before", "after", "direction", "severity"),
    [
        *(("price_change", "100", after, way, severity) for after, way, severity in
          (("80", "down", "3_critical"), ("80.01", "down", "2_warning"), ("90", "down", "2_warning"),
           ("90.01", "down", "1_info"), ("109.99", "up", "1_info"), ("110", "up", "2_warning"),
           ("120", "up", "3_critical"))),
        *(("bsr_change", "100", after, way, severity) for after, way, severity in
          (("50", "better", "3_critical"), ("51", "better", "2_warning"), ("70", "better", "2_warning"),
           ("71", "better", "1_info"), ("99", "better", "1_info"), ("101", "worse", "1_info"),
           ("130", "worse", "2_warning"), ("150", "worse", "3_critical"))),
        *(("rating_change", "4.4", after, way, severity) for after, way, severity in
          (("4.3", "down", "2_warning"), ("4.5", "up", "1_info"), ("3", "down", "2_warning"), ("5", "up", "1_info"))),
        *(("review_count_change", "100", after, way, "1_info") for after, way in (("99", "down"), ("101", "up"))),
        *(("availability_change", "in_stock", after, "", severity) for after, severity in
          (("unavailable", "3_critical"), ("no_offer", "1_info"), ("low_stock", "1_info"))),
        ("buybox_change", "A", "B", "", "2_warning"),
        ("buybox_new_seller", "A", "B", "", "2_warning"),
        ("buybox_lost", "A", "B", "", "3_critical"),
        ("buybox_won", "A", "B", "", "1_info"),
        ("listing_change", "a", "b", "", "1_info"),
        ("rival_price", "9", "10", "worse", "2_warning"),
        ("rival_rank", "9", "10", "worse", "2_warning"),
        # A step of nothing, which is never told, is neither good nor bad news.
        ("bsr_change", "100", "100", "worse", "1_info"),
        ("rating_change", "4.4", "4.4", "down", "1_info"),
    ],
)  # fmt: skip
def test_each_step_has_its_direction_and_severity(kind, before, after, direction, severity):
    difference = step(kind, before, after)

    assert (difference.direction, difference.severity) == (direction, severity)


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

    said = [change.threshold for change in changes if change.kind == "bsr_change"]
    assert said == (["30 %" if unit == "percent" else "30"] if told else [])


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


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_what_changed_and_how_grave_it_is_are_named_in_the_readers_language(language):
    with translation.override(language):
        for kind in Kind:
            assert Change(kind=kind).get_kind_display() == str(kind.label)
        for severity in Severity:
            assert Change(severity=severity).get_severity_display() == str(severity.label)
        assert Change(kind="earlier").get_kind_display() == "earlier"
