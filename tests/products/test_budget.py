"""The day's budget: held to the cent under any concurrency, and shared by users and marketplaces, oldest first."""

import threading
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils.timezone import now

from products.models import DaySpending, PlanningStopped, Product, ScrapeRun, Tracking
from products.models.product import in_turns
from products.tasks import update_due_products
from tests.world import answer_of, enqueued, listing, started_run

PLANNERS, ROUNDS, EACH = 10, 100, 4


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_ten_planners_at_once_never_pass_the_budget(settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal("0.045")
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(PLANNERS * EACH)])
    gate, seen, odd = threading.Barrier(PLANNERS, timeout=60), [], []

    def plan(number: int) -> None:
        try:
            for _ in range(ROUNDS):
                gate.wait()
                with suppress(PlanningStopped):
                    ScrapeRun.objects.plan(products[number * EACH : (number + 1) * EACH])
                if gate.wait() == 0:
                    seen.append((ScrapeRun.objects.spent_usd(now() - timedelta(days=1)), DaySpending.objects.get()))
                    ScrapeRun.objects.all().delete()
                    DaySpending.objects.all().delete()
                gate.wait()
        except Exception as error:
            odd.append(error)
            gate.abort()
        finally:
            connection.close()

    threads = [threading.Thread(target=plan, args=(number,)) for number in range(PLANNERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (odd, len(seen)) == ([], ROUNDS)
    assert max(spent for spent, _day in seen) <= settings.APIFY_DAILY_BUDGET_USD
    assert all(spent == Decimal(day.micros) / 1_000_000 for spent, day in seen)
    assert min(spent for spent, _day in seen) >= Decimal("0.036")


@pytest.mark.django_db(transaction=True)
def test_a_bill_corrects_what_was_reserved_and_an_older_installation_goes_on(lamp, competitors, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal("0.01")
    ScrapeRun.objects.create(marketplace="amazon.com", cost_cap_usd=Decimal("0.005"))  # planned before days had rows

    run = started_run([lamp, *competitors[:2]])
    day = run.created_at.date()
    assert DaySpending.objects.of(day) == Decimal("0.0095")
    with pytest.raises(PlanningStopped, match="APIFY_DAILY_BUDGET_USD"):
        ScrapeRun.objects.plan(competitors[2:])

    run.ingest(answer_of(listing(asin=lamp.asin), cost_usd=Decimal("0.0015")))
    run.ingest(answer_of(listing(asin=lamp.asin), cost_usd=Decimal("0.0015")))

    assert DaySpending.objects.of(day) == Decimal("0.0065") == ScrapeRun.objects.spent_usd(now() - timedelta(days=1))


@pytest.mark.django_db(transaction=True)
def test_a_plan_takes_what_the_budget_has_room_for_oldest_first(lamp, competitors, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal("0.0030")
    Product.objects.filter(pk__in=[lamp.pk, *(product.pk for product in competitors[:3])]).update(checked_at=now())
    Product.objects.filter(pk=lamp.pk).update(checked_at=now() - timedelta(days=9))
    Product.objects.filter(pk=competitors[4].pk).update(checked_at=now() - timedelta(days=8))

    run = ScrapeRun.objects.plan(list(Product.objects.all()))

    assert run.asins == sorted([competitors[3].asin, lamp.asin])
    assert run.cost_cap_usd == Decimal("0.0030")


def test_users_and_marketplaces_share_what_is_left(alice, charlie, settings, django_capture_on_commit_callbacks):
    settings.APIFY_DAILY_BUDGET_USD = Decimal("0.0300")
    many = [("amazon.com", f"B0{number:08}") for number in range(150)] + [("amazon.in", f"B1{n:08}") for n in range(9)]
    Tracking.objects.watch(alice.teams.get(), Product.objects.ensure(many), "own", "3_daily")
    few = Product.objects.ensure([("amazon.de", f"B2{number:08}") for number in range(5)])
    Tracking.objects.watch(charlie.teams.get(), few, "own", "3_daily")

    with django_capture_on_commit_callbacks(execute=True):
        assert update_due_products("daily") == "20 products in 3 batches"

    sites = {}
    for _name, (ids,) in enqueued():
        site = Product.objects.get(pk=ids[0]).marketplace
        sites[site] = len(ids)
    assert sites == {"amazon.com": 8, "amazon.in": 7, "amazon.de": 5}


def test_each_group_has_its_turn():
    assert in_turns(["a1", "a2", "a3", "b1", "c1", "c2"], lambda row: row[0]) == ["a1", "b1", "c1", "a2", "c2", "a3"]
