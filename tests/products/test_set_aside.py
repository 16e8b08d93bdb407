"""What one item holds never loses the paid batch it came with: it is stored, or set aside alone with its reason."""

import json
import random
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from products.listing import Outcome, Rank
from products.models import Change, Cleanup, DaySpending, Product, ScrapeRun, Snapshot, Tracking
from products.tasks import bill_scrape_run, collect_scrape_run, resume_unfinished, start_scrape_run
from tests.world import NOON, answer_of, listing, run_jobs, see, started_run

pytestmark = pytest.mark.django_db(transaction=True)

ITEM = json.loads((Path(__file__).parents[1] / "data" / "apify_items.json").read_text())[0]
ODD = [
    '"\\ud83d"',
    '"a\\u0000b\\udc00"',
    "NaN",
    "-Infinity",
    "1e400",
    "-1e-400",
    "9" * 5000,
    "1e999999999999999999999",
    "[" * 2000 + "]" * 2000,
    '{"a":' * 2000 + "1" + "}" * 2000,
    '{"a":' * 400 + "1" + "}" * 400,
    "true",
    "null",
    "[]",
    "{}",
    '[null, 1, {"name": 5, "value": []}]',
    '[{"name": "Best Sellers Rank", "value": "#99999999999999999999 in \\ud83d"}]',
    '{"value": {"value": 1}}',
    '"' + "x" * 100_000 + '"',
    "12",
    "-1",
    '"\\u202e\\uffff"',
    '{"\\ud83d": "\\u0000"}',
]


def batch(texts: list[str]) -> str:
    return f"[{', '.join(texts)}]"


def item(asin: str, **changes: str) -> str:
    """One item as text, with some fields written as they are given."""
    fields = {key: json.dumps(value) for key, value in ITEM.items()} | {"asin": json.dumps(asin)} | changes
    fields["url"] = changes.get("url", json.dumps(f"https://www.amazon.com/dp/{asin}"))
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in fields.items()) + "}"


@pytest.fixture
def lamps(alice):
    products = Product.objects.ensure([("amazon.com", f"B0LAMP000{number}") for number in range(8)])
    Tracking.objects.watch(alice.teams.get(), products, "own", "3_daily")
    return products


def play(sandbox, products, body) -> ScrapeRun:
    run = ScrapeRun.objects.plan(products)
    assert run is not None
    start_scrape_run(run.pk)
    sandbox.apify.fail_next(on="items", body=body)
    run_jobs()
    run.refresh_from_db()
    return run


@pytest.mark.later
@pytest.mark.parametrize("seed", range(6))
def test_the_other_items_of_a_batch_are_always_stored(lamps, sandbox, seed):
    draw = random.Random(seed)
    hostile = {name: draw.choice(ODD) for name in draw.sample(sorted(set(ITEM) - {"asin"}), 12)}

    run = play(
        sandbox, lamps, batch([item(lamp.asin, **(hostile if place == 3 else {})) for place, lamp in enumerate(lamps)])
    )

    stored = set(run.snapshots.values_list("product__asin", flat=True))
    assert run.state == "ingested"
    assert {lamp.asin for lamp in lamps} - stored <= {lamps[3].asin}
    assert not run.targets.filter(outcome="pending").exists()


@pytest.mark.slow
@pytest.mark.parametrize("odd", range(len(ODD)))
def test_every_field_at_once_may_be_odd(lamps, sandbox, odd):
    names = sorted(set(ITEM) - {"asin", "statusCode"})
    texts = [item(lamps[0].asin, **dict.fromkeys(names, ODD[odd])), *(item(lamp.asin) for lamp in lamps[1:])]

    run = play(sandbox, lamps, batch(texts))

    assert (run.state, run.snapshots.exclude(product=lamps[0]).count()) == ("ingested", 7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "facts",
    [
        {"title": "half \ud83d"},
        {"seller": "\udc00"},
        {"ranks": (Rank("A", 5), Rank("A", 6))},
        {"ranks": (Rank("Lamps", 0),)},
        {"price": Decimal("-1")},
        {"rating": Decimal("123456")},
        {"currency": "EUR"},
        {"price": "dear"},
    ],
    ids=str,
)
def test_a_listing_that_cannot_be_stored_is_set_aside_alone_and_its_last_values_stay(lamps, facts):
    for lamp in lamps:
        see(lamp, title="Before")
    run = started_run(lamps, "hostile")
    listings = [listing(asin=lamp.asin, title="After") for lamp in lamps]
    listings[5] = replace(listings[5], **facts)

    run.ingest(answer_of(*listings, at=NOON + timedelta(hours=1)))

    run.refresh_from_db()
    aside = run.targets.get(product=lamps[5])
    lamps[5].refresh_from_db()
    assert (run.state, run.snapshots.count()) == ("ingested", 7)
    assert (aside.outcome, bool(aside.reason)) == (Outcome.ASIDE, True)
    assert (lamps[5].title, lamps[5].failures, lamps[5].last_outcome) == ("Before", 1, Outcome.ASIDE)
    assert set(Product.objects.exclude(pk=lamps[5].pk).values_list("title", flat=True)) == {"After"}


@pytest.mark.later
@pytest.mark.parametrize("facts", [{"raw": {"a": "\ud83d"}}, {"bullets": ("\x00\ud83d",)}], ids=str)
def test_what_one_database_takes_and_the_other_does_not_loses_nobody_else(lamps, facts):
    listings = [listing(asin=lamp.asin) for lamp in lamps]

    run = started_run(lamps)
    run.ingest(answer_of(replace(listings[0], **facts), *listings[1:]))

    assert run.snapshots.exclude(product=lamps[0]).count() == 7
    assert run.targets.get(product=lamps[0]).outcome in (Outcome.OK, Outcome.ASIDE)


@pytest.mark.later
def test_the_widest_step_that_a_column_can_take_is_told_and_can_be_read(lamps):
    started_run(lamps, "small").ingest(
        answer_of(*(listing(asin=lamp.asin, price=Decimal("0.01"), ranks=(Rank("A", 11),)) for lamp in lamps))
    )
    large = [
        listing(asin=lamp.asin, price=Decimal("9999999"), ranks=(Rank("A", 2_000_000_000),), review_count=2_000_000_000)
        for lamp in lamps
    ]

    started_run(lamps, "large").ingest(answer_of(*large, at=NOON + timedelta(hours=1)))

    assert {change.percent for change in Change.objects.filter(kind="price_change")} == {Decimal("999999999.000")}
    assert Snapshot.objects.count() == 16


def test_an_end_in_the_far_future_is_not_believed(lamps):
    run = started_run(lamps)
    run.ingest(answer_of(*(listing(asin=lamp.asin) for lamp in lamps[:5]), at=NOON.replace(year=9999)))

    assert run.snapshots.count() == 5
    assert run.snapshots.filter(taken_at__gt=now() + timedelta(hours=2)).count() == 0


def test_an_operator_finds_what_was_set_aside_and_why(lamps, sandbox, admin_client):
    deep = '{"a":' * 2000 + "1" + "}" * 2000
    run = play(sandbox, lamps, batch([item(lamps[0].asin, soldBy=deep), *(item(lamp.asin) for lamp in lamps[1:])]))

    target = run.targets.get(outcome=Outcome.ASIDE)
    page = admin_client.get(f"/admin/products/scraperun/{run.pk}/change/").content.decode()
    listed = admin_client.get("/admin/products/runtarget/?outcome=set_aside").content.decode()
    assert "RecursionError" in target.reason
    assert "RecursionError" in page
    assert ITEM["title"] in page
    assert target.asin in listed


def test_answers_set_aside_are_forgotten_after_their_time(lamps):
    run = started_run(lamps)
    run.targets.update(answer="what was said")
    ScrapeRun.objects.update(created_at=now() - timedelta(days=31))

    Cleanup.objects.begin()
    row = Cleanup.objects.get(kind="answers")
    while row.step():
        pass
    assert set(run.targets.values_list("answer", flat=True)) == {""}


@pytest.mark.later
@pytest.mark.parametrize("count", [10, 100])
def test_a_batch_takes_a_constant_number_of_statements(alice, count):
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(count)])
    Tracking.objects.watch(alice.teams.get(), products, "own", "3_daily")
    for turn, price in enumerate(("50.00", "20.00")):
        run = started_run(products, f"turn{turn}")
        answer = answer_of(
            *(listing(asin=product.asin, price=Decimal(price)) for product in products), at=NOON + timedelta(hours=turn)
        )
        with CaptureQueriesContext(connection) as queries:
            changes = run.ingest(answer)

    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    # SQLite takes a thousand values a statement, so a hundred products go in by parts.
    assert len(changes) == count
    assert len(statements) <= (20 if connection.vendor == "postgresql" or count == 10 else 40)


@pytest.mark.later
def test_a_bill_of_zero_is_unknown_until_apify_has_said(lamps, sandbox):
    run = ScrapeRun.objects.plan(lamps)
    start_scrape_run(run.pk)
    time.sleep(0.1)
    sandbox.apify.fail_next(on="get", cost_usd=0.0, commits=True)
    collect_scrape_run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.cost_usd, DaySpending.objects.of(run.created_at.date())) == (
        "ingested",
        None,
        run.cost_cap_usd,
    )
    ScrapeRun.objects.update(checked_at=now() - timedelta(hours=2), cost_cap_usd=Decimal("0.5"))
    DaySpending.objects.update(micros=500_000)

    assert list(ScrapeRun.objects.unbilled()) == [run]
    resume_unfinished()
    bill_scrape_run(run.pk)
    bill_scrape_run(run.pk)

    run.refresh_from_db()
    assert run.cost_usd == Decimal("0.0120")
    assert DaySpending.objects.of(run.created_at.date()) == Decimal("0.0120")
    assert list(ScrapeRun.objects.unbilled()) == []
    assert Snapshot.objects.count() == 8
