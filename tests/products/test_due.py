"""Due: the most frequent active tracking decides, and a day is the marketplace's own."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from products.models import Frequency, Product, Tracking
from products.tasks import update_due_products
from tests.world import enqueued

AT = datetime(2026, 6, 1, 16, tzinfo=UTC)


def due(*frequencies, at=AT):
    return list(Product.objects.due(*frequencies, at=at))


def checked(product, ago):
    Product.objects.filter(pk=product.pk).update(checked_at=AT - ago)


def test_a_product_never_seen_is_due(lamp):
    assert due("3_daily") == [lamp]
    assert due("1_hourly") == []


def test_the_most_frequent_active_tracking_decides(lamp, charlie):
    hourly = Tracking.objects.create(team=charlie.teams.get(), product=lamp, frequency=Frequency.HOURLY)
    checked(lamp, timedelta(hours=1))
    assert due("1_hourly") == [lamp]

    hourly.paused = True
    hourly.save()

    assert due("1_hourly") == []


def test_a_product_that_nobody_watches_is_not_due(lamp):
    Tracking.objects.all().delete()

    assert due() == []


@pytest.mark.parametrize(
    ("frequency", "ago", "is_due"),
    [
        (Frequency.HOURLY, timedelta(minutes=45), False),
        (Frequency.HOURLY, timedelta(minutes=55), True),
        (Frequency.SIX_HOURLY, timedelta(hours=5), False),
        (Frequency.SIX_HOURLY, timedelta(hours=6), True),
        (Frequency.DAILY, timedelta(hours=8), False),
        (Frequency.DAILY, timedelta(hours=10), True),
        (Frequency.WEEKLY, timedelta(days=6), False),
        (Frequency.WEEKLY, timedelta(days=7), True),
        # To the second.
        (Frequency.HOURLY, timedelta(minutes=49, seconds=59), False),
        (Frequency.HOURLY, timedelta(minutes=50), True),
        (Frequency.SIX_HOURLY, timedelta(hours=5, minutes=29, seconds=59), False),
        (Frequency.SIX_HOURLY, timedelta(hours=5, minutes=30), True),
        (Frequency.DAILY, timedelta(hours=9), False),
        (Frequency.DAILY, timedelta(hours=9, seconds=1), True),
        (Frequency.WEEKLY, timedelta(days=6, hours=9), False),
        (Frequency.WEEKLY, timedelta(days=6, hours=9, seconds=1), True),
    ],
)
def test_each_frequency_has_its_time(lamp, frequency, ago, is_due):
    """AT is 09:00 in Los Angeles, so its day began nine hours ago."""
    Tracking.objects.update(frequency=frequency)
    checked(lamp, ago)

    assert due(frequency) == ([lamp] if is_due else [])


@pytest.mark.parametrize(
    ("facts", "is_due"),
    [
        ({"retry_at": AT}, True),
        ({"retry_at": AT + timedelta(seconds=1)}, False),
        ({"monitored": False}, False),
        ({"checked_at": None}, True),
    ],
)
def test_a_product_that_rests_is_due_again_at_its_time(lamp, facts, is_due):
    checked(lamp, timedelta(days=2))
    Product.objects.update(**facts)

    assert due("3_daily") == ([lamp] if is_due else [])


@pytest.mark.slow
@pytest.mark.parametrize("day", [datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)])
def test_a_daily_product_is_looked_at_once_on_days_of_23_and_25_hours(lamp, day):
    looks, at = [], day
    while at < day + timedelta(days=3):
        if due("3_daily", at=at):
            looks.append(at)
            Product.objects.update(checked_at=at)
        at += timedelta(minutes=30)

    local_days = [at.astimezone(ZoneInfo("America/Los_Angeles")).date() for at in looks]
    assert local_days == sorted(set(local_days))
    assert len(looks) == 4


def test_a_resting_and_an_unmonitored_product_are_not_due(lamp):
    Product.objects.update(retry_at=AT + timedelta(minutes=1))
    assert due() == []
    Product.objects.update(retry_at=None, monitored=False)
    assert due() == []


def test_a_round_enqueues_a_batch_per_hundred_of_a_marketplace(
    alice, django_assert_max_num_queries, django_capture_on_commit_callbacks
):
    asins = [("amazon.com", f"B0{number:08}") for number in range(150)] + [("amazon.de", "B0SYN00001")]
    Tracking.objects.watch(alice.teams.get(), Product.objects.ensure(asins), "own", "3_daily")

    with django_assert_max_num_queries(14), django_capture_on_commit_callbacks(execute=True):
        answer = update_due_products("daily")

    sizes = sorted(len(args[0]) for _name, args in enqueued())
    assert (answer, sizes) == ("151 products in 3 batches", [1, 50, 100])
