"""The budgets of looks: held to the cent under any concurrency, and shared by users and marketplaces, oldest first."""

import threading
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils.timezone import now

from notifications.models import Notification
from products.models import BudgetUse, DaySpending, PlanningStopped, Product, ScrapeRun, Tracking
from products.models.product import in_turns
from products.tasks import batch_update_products, update_due_products, update_product
from tests.world import answer_of, enqueued, listing, started_run

PLANNERS, EACH = 10, 4


BUDGETS = {
    "APIFY_DAILY_BUDGET_USD": Decimal("0.045"),
    "APIFY_MONTHLY_BUDGET_USD": Decimal("0.045"),
    "APIFY_TEAM_DAILY_BUDGET_USD": Decimal("0.0225"),
    "APIFY_TEAM_MONTHLY_BUDGET_USD": Decimal("0.0225"),
}


def used() -> tuple[Decimal, dict[str, Decimal], dict[str, Decimal]]:
    """Return what all runs may cost, that by budget as the runs say, and as the rows of the budgets do."""
    looks: Counter[str] = Counter()
    for run in ScrapeRun.objects.all():
        looks["all"] += len(run.asins)
        looks.update({f"team {team}": count for team, count in run.shares.items()})
    by_rows = {row.key.rpartition(" ")[0]: Decimal(row.micros) / 1_000_000 for row in BudgetUse.objects.all()}
    by_runs = {key: count * Decimal("0.0015") for key, count in looks.items()}
    return ScrapeRun.objects.spent_usd(now() - timedelta(days=1)), by_runs, by_rows


@pytest.mark.slow
@pytest.mark.parametrize("rounds", [10, pytest.param(100, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", BUDGETS)
@pytest.mark.django_db(transaction=True)
def test_ten_planners_at_once_never_pass_a_budget(alice, charlie, settings, name, rounds):
    setattr(settings, name, BUDGETS[name])
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(PLANNERS * EACH)])
    Tracking.objects.watch(alice.teams.get(), products[: len(products) // 2], "own", "3_daily")
    Tracking.objects.watch(charlie.teams.get(), products[len(products) // 2 :], "own", "3_daily")
    gate, seen, odd = threading.Barrier(PLANNERS, timeout=60), [], []

    def plan(number: int) -> None:
        try:
            for _ in range(rounds):
                gate.wait()
                with suppress(PlanningStopped):
                    ScrapeRun.objects.plan(products[number * EACH : (number + 1) * EACH])
                if gate.wait() == 0:
                    seen.append((*used(), DaySpending.objects.get()))
                    for model in (ScrapeRun, DaySpending, BudgetUse):
                        model.objects.all().delete()
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

    assert (odd, len(seen)) == ([], rounds)
    of_teams = "TEAM" in name
    for spent, by_runs, by_rows, day in seen:
        assert by_runs == by_rows
        assert spent == by_runs["all"] == Decimal(day.micros) / 1_000_000 >= Decimal("0.036")
        assert all(usd <= BUDGETS[name] for key, usd in by_rows.items() if key.startswith("team") or not of_teams)


@pytest.mark.later
@pytest.mark.parametrize("name", ["APIFY_TEAM_DAILY_BUDGET_USD", "APIFY_TEAM_MONTHLY_BUDGET_USD"])
def test_a_team_without_room_is_told_once_and_takes_nobody_elses_place(
    alice, charlie, admin_user, lamp, settings, name, django_capture_on_commit_callbacks
):
    setattr(settings, name, Decimal("0.0030"))
    mine, shared = Product.objects.ensure([("amazon.com", f"B0MINE000{n}") for n in range(3)]), lamp
    Tracking.objects.watch(alice.teams.get(), mine, "own", "3_daily")
    Tracking.objects.watch(charlie.teams.get(), [shared], "own", "3_daily")
    Product.objects.filter(pk=shared.pk).update(checked_at=now() - timedelta(days=3))  # after what was never seen

    for _round in range(3):
        with django_capture_on_commit_callbacks(execute=True):
            update_due_products("daily")
            update_product(shared.pk)
            batch_update_products([product.pk for product in mine])

    (run, other) = ScrapeRun.objects.order_by("pk")
    assert (run.asins, run.shares) == ([shared.asin], {str(alice.teams.get().pk): 1})
    assert (len(other.asins), other.shares) == (1, {str(alice.teams.get().pk): 1})
    notices = Notification.objects.filter(body__contains="budget of $0.0030")
    assert list(notices.values_list("channel__team", flat=True)) == [alice.teams.get().pk]
    assert Notification.objects.filter(channel__user=admin_user, body__contains="Teams have spent").count() == 1

    ScrapeRun.objects.all().delete()
    assert ScrapeRun.objects.plan([shared]).shares == {str(charlie.teams.get().pk): 1}  # whose budget has room


def test_those_whom_the_installations_month_leaves_out_are_told(alice, charlie, admin_user, lamp, settings):
    settings.APIFY_MONTHLY_BUDGET_USD = Decimal("0.0030")
    ScrapeRun.objects.create(marketplace="amazon.com", cost_cap_usd=Decimal("0.0030"))  # before months had rows

    assert "APIFY_MONTHLY_BUDGET_USD" in update_product(lamp.pk)
    update_due_products("daily")

    told = Notification.objects.filter(body__contains="APIFY_MONTHLY_BUDGET_USD").values_list("channel__team")
    assert sorted(told, key=str) == sorted([(alice.teams.get().pk,), (None,)], key=str)


@pytest.mark.django_db(transaction=True)
def test_a_bill_corrects_every_budget_and_rounds_no_share_down(alice, charlie, lamp, competitors):
    Tracking.objects.filter(product__in=competitors[:2]).update(team=charlie.teams.get())
    run = started_run([lamp, *competitors[:2]])

    run.bill(Decimal("0.0010"))
    run.bill(Decimal("0.0010"))

    used = dict(BudgetUse.objects.values_list("key", "micros"))
    of = {who.username: f"team {who.teams.get().pk} {now():%Y-%m}" for who in (alice, charlie)}
    assert (used[of["alice"]], used[of["charlie"]], used[f"all {now():%Y-%m}"]) == (334, 667, 1000)
    lost = started_run(competitors[2:3], apify_id="lost")
    lost.refresh_from_db()
    assert lost.mark_failed("Apify started nothing.", cost_usd=Decimal(0))
    assert dict(BudgetUse.objects.values_list("key", "micros")) == used


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


@pytest.mark.later
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
