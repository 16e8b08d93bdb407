"""No state of a scrape run lasts for ever, no clock of a worker starts a second one, and no round is lost."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError
from django.utils.timezone import now

from amazon_pilot.sandbox import store
from notifications.models import Notification
from products import apify
from products.listing import Outcome
from products.models import DaySpending, Product, Round, ScrapeRun
from products.tasks import (
    LEAST_POLLS,
    collect_scrape_run,
    reconcile_scrape_run,
    resume_unfinished,
    start_scrape_run,
    update_due_products,
)
from tests.world import NOON, answer_of, enqueued, listing, run_jobs, see, started_run

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = timedelta(days=2)


def started(product, sandbox):
    run = ScrapeRun.objects.plan([product])
    start_scrape_run(run.pk)
    return run


@pytest.mark.later
@pytest.mark.parametrize(
    ("facts", "cost", "reason"),
    [
        ({"state": "planned"}, Decimal(0), "within a day"),
        ({"state": "planned", "attempts": 1}, None, "within a day"),
        ({"state": "starting", "attempts": 1}, None, "could not be found out"),
        ({"state": "started", "polls": 99, "apify_id": "x"}, None, "could not be read in time"),
    ],
)
def test_every_state_ends_with_a_reason_and_its_products_become_due(lamp, facts, cost, reason):
    run = ScrapeRun.objects.plan([lamp])
    lamp_asked = Product.objects.filter(pk=lamp.pk)
    lamp_asked.ask()
    times = dict.fromkeys(("created_at", "starting_at", "started_at"), now() - LONG_AGO)
    ScrapeRun.objects.filter(pk=run.pk).update(**facts, **times, error="The last word.")

    resume_unfinished()

    run.refresh_from_db()
    assert (run.state, run.cost_usd) == ("failed", cost)
    assert reason in run.error
    assert run.error.endswith("The last word.")
    assert lamp in Product.objects.due()
    assert lamp not in Product.objects.forgotten()


@pytest.mark.parametrize(
    "fault", [{"status": 403}, {"status": 404}, {"breaks": "html"}, {"body": '{"no": "list"}'}], ids=str
)
def test_a_dataset_that_cannot_be_read_ends_the_run_after_its_hour(lamp, sandbox, fault, client, alice):
    store.set_options(run_seconds=0.0)
    run = started(lamp, sandbox)
    sandbox.apify.fail_next(on="items", times=20, **fault)

    ScrapeRun.objects.update(polls=LEAST_POLLS)
    with pytest.raises(apify.ApifyError):
        collect_scrape_run(run.pk)
    ScrapeRun.objects.update(started_at=now() - timedelta(minutes=61))
    assert collect_scrape_run(run.pk).startswith("given up")

    run.refresh_from_db()
    assert (run.state, run.targets.get().outcome) == ("failed", Outcome.MISSING)
    assert "could not be read" in run.error
    assert DaySpending.objects.of(run.created_at.date()) == run.cost_cap_usd
    client.force_login(alice)
    assert "The last look failed" in client.get(lamp.get_absolute_url()).content.decode()


def test_a_bad_moment_at_the_first_question_after_a_long_outage_loses_nothing(lamp, sandbox):
    store.set_options(run_seconds=0.0)
    run = started(lamp, sandbox)
    ScrapeRun.objects.update(started_at=now() - timedelta(hours=9))
    sandbox.apify.fail_next(on="items", breaks="html")

    with pytest.raises(apify.ApifyError):
        collect_scrape_run(run.pk)
    collect_scrape_run(run.pk)

    assert run.snapshots.count() == 1


def test_a_run_that_stays_ready_ends_after_its_hour(lamp, sandbox):
    store.set_options(run_seconds=100_000)
    run = started(lamp, sandbox)
    assert collect_scrape_run(run.pk) == "still running"
    ScrapeRun.objects.update(started_at=now() - timedelta(minutes=61))

    assert collect_scrape_run(run.pk) == "given up"

    run.refresh_from_db()
    assert run.state == "failed"
    assert "READY" in run.error


def test_a_database_that_was_away_loses_no_paid_batch(lamp, monkeypatch, sandbox):
    run = started_run([lamp])

    def away(*_args, **_kwargs):
        raise OperationalError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr("products.models.ingest.insert", away)
        with pytest.raises(OperationalError):
            run.ingest(answer_of(listing(asin=lamp.asin)))

    assert ScrapeRun.objects.get().state == "started"
    run.ingest(answer_of(listing(asin=lamp.asin)))
    assert run.snapshots.count() == 1


@pytest.fixture
def fast_clock(monkeypatch):
    """A worker whose clock is five minutes ahead; the database's is right."""
    for module in ("scrape_run", "product", "ingest"):
        monkeypatch.setattr(f"products.models.{module}.now", lambda: now() + timedelta(minutes=5))
    monkeypatch.setattr("django.utils.timezone.now", lambda right=now: right() + timedelta(minutes=5))


@pytest.mark.later
def test_a_fast_clock_never_takes_a_start_on_its_way_for_lost(lamp, sandbox, fast_clock):
    run = ScrapeRun.objects.plan([lamp])
    run.claim()

    assert list(ScrapeRun.objects.uncertain()) == []
    assert reconcile_scrape_run(run.pk) == "not found yet"

    apify.start_run(run.asins, run.marketplace, ref=run.ref)
    assert reconcile_scrape_run(run.pk).startswith("found")
    run_jobs()
    assert len(sandbox.apify.runs) == 1


def test_a_fast_clock_starts_nothing_before_its_time_and_forgets_nothing_too_soon(lamp, sandbox, fast_clock):
    sandbox.apify.fail_next(status=429)
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    Product.objects.filter(pk=lamp.pk).ask()

    assert list(ScrapeRun.objects.startable()) == []
    assert list(Product.objects.forgotten()) == []


@pytest.mark.later
def test_a_round_that_broke_off_is_made_by_the_next_sweep(lamp, monkeypatch):
    def away(*_args):
        raise OperationalError("the database restarts")

    with monkeypatch.context() as patch:
        patch.setattr("products.models.product.ProductQuerySet.fair_batches", away)
        with pytest.raises(OperationalError):
            update_due_products("daily")
    resume_unfinished()
    assert ("products.tasks.update_due_products", ["daily"]) not in enqueued()

    Round.objects.update(wanted_at=now() - timedelta(minutes=3))
    resume_unfinished()
    assert ("products.tasks.update_due_products", ["daily"]) in enqueued()

    update_due_products("daily")
    assert list(Round.objects.missed()) == []
    assert ("products.tasks.batch_update_products", [[lamp.pk]]) in enqueued()


def test_a_success_revives_what_failures_left_alone_and_its_people_were_told(lamp, alice, client, sandbox):
    Product.objects.filter(pk=lamp.pk).update(failures=3)
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    sandbox.apify.fail_next(on="items", body="[]")
    run_jobs()

    lamp.refresh_from_db()
    client.force_login(alice)
    assert (lamp.monitored, lamp.failures) == (False, 4)
    assert "is left alone" in Notification.objects.of(alice.teams.get()).get().subject
    assert "Left alone" in client.get(lamp.get_absolute_url()).content.decode()

    see(lamp)

    assert (lamp.monitored, lamp.failures) == (True, 0)


def test_what_a_person_left_alone_stays_so(lamp):
    Product.objects.filter(pk=lamp.pk).update(monitored=False)

    see(lamp)

    assert lamp.monitored is False


@pytest.mark.later
def test_a_page_without_a_fact_keeps_the_last_values(lamp, sandbox):
    see(lamp, NOON, title="A lamp")
    bare = json.dumps([{"statusCode": 200, "asin": lamp.asin, "title": "Amazon.com", "price": 0, "features": []}])
    run = started(lamp, sandbox)
    sandbox.apify.fail_next(on="items", body=bare)
    run_jobs()

    lamp.refresh_from_db()
    assert (lamp.title, lamp.availability, lamp.last_outcome) == ("A lamp", "in_stock", Outcome.BLOCKED)
    assert run.targets.get().reason == "no fact"
