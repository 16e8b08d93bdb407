"""Where a product stands: records among its last ninety days, and days of the buy box, with gaps counted as gaps."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from django.utils import timezone
from django.utils.timezone import localdate, now
from hypothesis import given, settings
from hypothesis import strategies as st

from products.models import Snapshot, Tracking
from products.ranks import Rank
from products.standing import buy_box, record, share, standing
from tests.world import see


def look_back(lamp, prices):
    for days, price in enumerate(prices):
        see(lamp, now() - timedelta(days=len(prices) - 1 - days), price=price and Decimal(price))
    return standing(Tracking.objects.select_related("product").get())


@pytest.mark.later
@pytest.mark.parametrize(
    ("prices", "said"),
    [
        (["50", "40", "45", "39"], "lowest in 4 days"),
        (["50", "40", "45", "51"], "highest in 4 days"),
        (["50", "40", "45", "45"], ""),
        (["50", "50", "50", "50"], ""),
        (["50", "40"], ""),
        (["50", "40", "45", None], ""),
        ([None, None, None], ""),
    ],
)
def test_a_price_is_a_record_only_among_days_that_are_known(lamp, prices, said):
    assert look_back(lamp, prices).price == said


@pytest.mark.later
def test_a_small_rank_is_a_good_one(lamp):
    for days, rank in ((5, 100), (4, 80), (0, 40)):
        see(lamp, now() - timedelta(days=days), ranks=(Rank("Desk Lamps", rank),))

    found = standing(Tracking.objects.select_related("product").get())
    assert found.rank == "best in 6 days"
    assert (found.row.rank_day.percent, found.row.rank_day.tone) == (Decimal(-50), "good")


def test_a_value_that_is_not_known_has_no_record():
    assert record(None, {"first": now(), "least": 1, "most": 2}, "%d", "%d") == ""
    assert record(Decimal(1), {"first": None, "least": None, "most": None}, "%d", "%d") == ""


@pytest.mark.later
def test_an_old_price_is_no_record_of_ninety_days(lamp):
    see(lamp, now() - timedelta(days=200), price=Decimal(10))

    assert look_back(lamp, ["50", "40", "45", "39"]).price == "lowest in 4 days"


holders = st.sampled_from(["", "Alice", "Rival", "Third"])


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
@pytest.mark.parametrize("seed", range(4))
def test_the_database_tells_the_days_as_counting_every_look_does(lamp, zone, seed):
    random, start = Random(seed), now() - timedelta(days=12)
    for hours in sorted(random.sample(range(14 * 24), 30), reverse=True):
        holder = random.choice(["", "Alice", "Rival"])
        see(lamp, now() - timedelta(hours=hours), seller=holder, seller_id=holder and random.choice(["", holder[0]]))
    looks = Snapshot.objects.filter(taken_at__gte=start).order_by("taken_at")

    with timezone.override(zone):
        found = buy_box(Tracking.objects.get(), start)
        expected = share((at, key or name) for at, key, name in looks.values_list("taken_at", "seller_id", "seller"))

    days = {holder.seller: holder.days for holder in expected.holders}
    names = {"A": "Alice", "R": "Rival"}
    assert (found.known, found.unknown) == (expected.known, expected.unknown)
    assert sorted(holder.days for holder in found.holders) == sorted(days.values())
    assert {holder.seller for holder in found.holders} == {names.get(key, key) for key in days}


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60 * 24), holders), max_size=80))
def test_the_shares_are_those_of_an_independent_count(looks):
    """`looks` are hours back from now, with the seller that was seen, or none."""
    end = now()
    rows = sorted((end - timedelta(hours=hours), seller) for hours, seller in looks)
    found = share(rows)

    last = {localdate(at): seller for at, seller in rows if seller}
    assert found.known == len(last)
    assert {holder.seller: holder.days for holder in found.holders} == dict(Counter(last.values()))
    days = (localdate() - localdate(rows[0][0])).days + 1 if rows else 0
    assert found.unknown == days - len(last)
    assert abs(sum(holder.percent for holder in found.holders) - (100 if last else 0)) <= len(found.holders)
