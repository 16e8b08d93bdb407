"""A scrape run: paid once, whatever is lost on the way."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils.timezone import now

from amazon_pilot.sandbox import store
from notifications.models import Notification
from products import apify
from products.listing import Outcome
from products.models import PlanningStopped, Product, RunTarget, ScrapeRun, Snapshot, Tracking
from products.tasks import (
    collect_scrape_run,
    plan_and_start,
    reconcile_scrape_run,
    resume_unfinished,
    start_scrape_run,
    update_product,
)
from tests.world import NOON, answer_of, delayed, enqueued, listing, run_jobs, started_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def planned(lamp):
    return ScrapeRun.objects.plan([lamp])


def age(run: ScrapeRun, **ago: timedelta) -> ScrapeRun:
    """Let a run look as if its steps had happened longer ago."""
    ScrapeRun.objects.filter(pk=run.pk).update(**{name: now() - span for name, span in ago.items()})
    run.refresh_from_db()
    return run


@pytest.mark.later
def test_a_product_goes_from_planned_to_a_snapshot(lamp, sandbox):
    update_product(lamp.pk)
    run_jobs()

    run, snapshot = ScrapeRun.objects.get(), Snapshot.objects.get()
    assert (run.state, run.cost_usd, len(sandbox.apify.runs)) == ("ingested", Decimal("0.0015"), 1)
    assert (snapshot.product, snapshot.scrape_run, snapshot.currency) == (lamp, run, "USD")
    assert snapshot.price > 0
    assert "reviews" not in snapshot.raw


def test_planning_joins_an_open_run_that_holds_the_product(lamp, competitors):
    first = ScrapeRun.objects.plan([lamp, competitors[0]])

    assert ScrapeRun.objects.plan([lamp]) is None
    second = ScrapeRun.objects.plan([lamp, competitors[0], competitors[1]])

    assert (first.asins, second.asins) == (["B0LAMP0001", "B0LAMP0002"], ["B0LAMP0003"])


def test_the_database_refuses_a_product_in_two_open_runs(planned, lamp):
    other = ScrapeRun.objects.create(marketplace="amazon.com", cost_cap_usd=1)

    with pytest.raises(IntegrityError), transaction.atomic():
        RunTarget.objects.create(scrape_run=other, product=lamp, asin=lamp.asin)


def test_a_rollback_plans_and_enqueues_nothing(lamp):
    with transaction.atomic():
        plan_and_start(Product.objects.filter(pk=lamp.pk))
        transaction.set_rollback(True)

    assert (ScrapeRun.objects.count(), enqueued()) == (0, [])


def test_a_second_job_for_the_same_run_asks_nothing(planned, sandbox):
    start_scrape_run(planned.pk)
    start_scrape_run(planned.pk)

    assert len(sandbox.apify.runs) == 1


def test_a_claim_refuses_to_hide_in_a_transaction(planned):
    with transaction.atomic(), pytest.raises(RuntimeError):
        planned.claim()


@pytest.mark.later
def test_a_lost_answer_leaves_the_run_starting_and_is_found_again(planned, sandbox):
    sandbox.apify.lose_next_answer()

    start_scrape_run(planned.pk)
    planned.refresh_from_db()
    assert (planned.state, len(sandbox.apify.runs)) == ("starting", 1)
    run_jobs()

    planned.refresh_from_db()
    assert (planned.state, len(sandbox.apify.runs)) == ("ingested", 1)


@pytest.mark.later
@pytest.mark.parametrize("fault", [{"status": 502, "commits": True}, {"breaks": "json", "commits": True}])
def test_an_answer_that_says_nothing_certain_is_never_paid_twice(planned, sandbox, fault):
    sandbox.apify.fail_next(**fault)

    start_scrape_run(planned.pk)
    run_jobs()

    planned.refresh_from_db()
    assert (planned.state, len(sandbox.apify.runs)) == ("ingested", 1)


@pytest.mark.later
def test_a_crash_between_intent_and_answer_is_reconciled(planned, sandbox):
    planned.claim()
    planned.refresh_from_db()
    apify.start_run(planned.asins, planned.marketplace, ref=planned.ref)
    age(planned, starting_at=timedelta(minutes=2))

    resume_unfinished()
    run_jobs()

    planned.refresh_from_db()
    assert (planned.state, planned.attempts, len(sandbox.apify.runs)) == ("ingested", 1, 1)


def test_a_start_that_never_arrived_is_asked_again_after_the_grace_time(planned, sandbox):
    planned.claim()
    age(planned, starting_at=timedelta(minutes=1))
    reconcile_scrape_run(planned.pk)
    planned.refresh_from_db()
    assert planned.state == "starting"

    age(planned, starting_at=timedelta(minutes=4))
    reconcile_scrape_run(planned.pk)

    planned.refresh_from_db()
    assert planned.state == "planned"
    assert ("products.tasks.start_scrape_run", [planned.pk]) in enqueued()


@pytest.mark.later
def test_a_start_lost_three_times_fails_and_its_product_is_due_again(planned, lamp, sandbox):
    ScrapeRun.objects.update(state="starting", attempts=3, starting_at=now() - timedelta(minutes=5))

    reconcile_scrape_run(planned.pk)

    planned.refresh_from_db()
    assert (planned.state, planned.targets.get().outcome) == ("failed", Outcome.MISSING)
    assert lamp in Product.objects.due()


def test_a_busy_apify_is_asked_again_later(planned, sandbox):
    sandbox.apify.fail_next(status=429)

    start_scrape_run(planned.pk)

    planned.refresh_from_db()
    assert (planned.state, planned.attempts, len(sandbox.apify.runs)) == ("planned", 0, 0)
    assert planned.not_before > now()
    assert delayed() == [("products.tasks.start_scrape_run", [planned.pk])]
    assert not planned.claim()


def test_a_refusal_of_the_account_stops_planning_until_an_operator_resumes_it(planned, lamp, sandbox):
    sandbox.apify.fail_next(status=402)

    start_scrape_run(planned.pk)

    planned.refresh_from_db()
    assert (planned.state, planned.stops_planning) == ("failed", True)
    assert "refused our account" in update_product(lamp.pk)
    assert ScrapeRun.objects.count() == 1


def test_a_spent_budget_plans_nothing_and_says_why(lamp, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal("0.001")

    with pytest.raises(PlanningStopped, match="APIFY_DAILY_BUDGET_USD"):
        ScrapeRun.objects.plan([lamp])


@pytest.mark.later
def test_partial_items_of_a_failed_run_are_kept_since_they_are_paid(lamp, competitors, sandbox):
    sandbox.apify.end_next("FAILED", items=1)
    run = ScrapeRun.objects.plan([lamp, *competitors])

    start_scrape_run(run.pk)
    run_jobs()

    run.refresh_from_db()
    assert (run.state, run.snapshots.count()) == ("failed", 1)
    assert run.targets.filter(outcome="missing").count() == 5
    assert run.error.startswith("FAILED")


def test_a_run_that_still_works_occupies_no_slot_and_is_asked_again(lamp, sandbox):
    store.set_options(run_seconds=30)
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    collect_scrape_run(run.pk)

    run.refresh_from_db()
    assert (run.state, run.polls) == ("started", 1)
    assert ("products.tasks.collect_scrape_run", [run.pk]) in delayed()


def test_a_run_that_nobody_asks_about_is_picked_up(lamp):
    run = age(started_run([lamp]), started_at=timedelta(minutes=5))

    resume_unfinished()

    assert ("products.tasks.collect_scrape_run", [run.pk]) in enqueued()


def test_a_run_that_apify_forgot_fails_in_the_end(lamp, sandbox):
    run = started_run([lamp], "unknown")
    ScrapeRun.objects.update(started_at=now() - timedelta(minutes=21))

    assert collect_scrape_run(run.pk) == "vanished"


def test_ingesting_twice_changes_nothing(lamp):
    run = started_run([lamp])
    answer = answer_of(listing(asin=lamp.asin))
    run.ingest(answer)

    assert run.ingest(answer) == []
    assert Snapshot.objects.count() == 1


@pytest.mark.later
def test_a_failing_product_rests_and_is_left_alone_in_the_end(lamp, competitors):
    other = competitors[0]
    for turn in range(4):
        run = started_run([lamp, other], f"turn{turn}")
        missing = listing(asin=lamp.asin, outcome=Outcome.BLOCKED, price=None)
        run.ingest(answer_of(missing, listing(asin=other.asin), at=NOON + timedelta(days=turn)))
        lamp.refresh_from_db()
        if turn < 3:
            assert lamp.retry_at == NOON + timedelta(days=turn) + timedelta(hours=(1, 6, 24)[turn])

    other.refresh_from_db()
    assert (lamp.monitored, lamp.failures, other.failures, other.snapshots.count()) == (False, 4, 0, 4)
    assert lamp.price is None


def test_a_page_not_found_twice_is_unavailable(lamp):
    for turn in range(2):
        gone = listing(asin=lamp.asin, outcome=Outcome.NOT_FOUND, price=None)
        started_run([lamp], f"t{turn}").ingest(answer_of(gone, at=NOON + timedelta(hours=turn)))

    lamp.refresh_from_db()
    assert (lamp.availability, lamp.snapshots.count()) == ("unavailable", 0)


def test_operators_are_told_of_held_changes(admin_user, lamp):
    Notification.objects.tell_operators("The page changed.")

    assert Notification.objects.of(None, admin_user).get().subject == "The page changed."


def test_the_same_asin_on_two_marketplaces_is_two_products(alice):
    com, de = Product.objects.ensure([("amazon.com", "B0SYN00001"), ("amazon.de", "B0SYN00001")])

    assert com != de
    assert list(Product.objects.batches(100)) == [[com.pk], [de.pk]]


@pytest.mark.later
def test_a_product_tracked_by_ten_users_is_planned_once(lamp, django_user_model):
    users = [django_user_model.objects.create(username=f"user{number}") for number in range(10)]
    Tracking.objects.bulk_create(Tracking(team=user.teams.get(), product=lamp) for user in users)

    assert list(Product.objects.due()) == [lamp]
    assert ScrapeRun.objects.plan(list(Product.objects.due())).asins == [lamp.asin]


def test_a_reference_is_unique():
    assert len({uuid.UUID(str(ScrapeRun().ref)) for _ in range(3)}) == 3
