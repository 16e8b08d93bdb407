"""Alice's shop: her kettle, four competitors, and Charlie, who sees none of it."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import django_rq
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from rq.registry import ScheduledJobRegistry

from amazon_pilot.jobs.core.registry import TASKS
from products.apify import Receipt, RunAnswer
from products.listing import Availability, Listing, Outcome, Rank
from products.models import Frequency, Product, Role, ScrapeRun, Tracking

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

LISTING = Listing(
    asin="B0LAMP0001",
    outcome=Outcome.OK,
    title="A lamp",
    brand="Brimsett",
    bullets=("Bright.", "Small."),
    images=("https://images.example/1.jpg",),
    price=Decimal("49.99"),
    currency="USD",
    seller="Brimsett Trading",
    seller_id="S1",
    fulfilled_by_amazon=True,
    availability=Availability.IN_STOCK,
    rating=Decimal("4.4"),
    review_count=1000,
    ranks=(Rank("Tools", 1204), Rank("Desk Lamps", 73)),
    content_hash="a" * 64,
)


def listing(**facts: Any) -> Listing:
    """A listing that differs from the usual one in these facts."""
    return replace(LISTING, **facts)


def answer_of(*listings: Listing, at: datetime = NOON, **facts: Any) -> RunAnswer:
    """What Apify says of a run that ended with these listings."""
    cost = Decimal("0.0015") * len(listings)
    return replace(RunAnswer(False, True, "SUCCEEDED", "", listings, cost, at), **facts)


def started_run(products: Iterable[Product], apify_id: str = "") -> ScrapeRun:
    """A run of these products that Apify works on."""
    run = ScrapeRun.objects.plan(list(products))
    assert run is not None
    run.mark_started(Receipt(apify_id or f"run{run.pk}", "data", NOON))
    return run


def see(product: Product, at: datetime = NOON, **facts: Any) -> list[Any]:
    """Have a product looked at once, and answer the changes."""
    changes = started_run([product]).ingest(answer_of(listing(asin=product.asin, **facts), at=at))
    product.refresh_from_db()
    return changes


def enqueued() -> list[tuple[str, list[Any]]]:
    """What waits in the queues, most important first, as (task, arguments)."""
    queues = [django_rq.get_queue(name) for name in settings.QUEUE_WEIGHTS]
    return [(str(job.func_name), list(job.args)) for queue in queues for job in queue.jobs]


def delayed() -> list[tuple[str, list[Any]]]:
    """What waits for its time, as (task, arguments)."""
    found = []
    for name in settings.QUEUE_WEIGHTS:
        queue = django_rq.get_queue(name)
        found += [queue.fetch_job(job_id) for job_id in ScheduledJobRegistry(queue=queue).get_job_ids(cleanup=False)]
    return [(str(job.func_name), list(job.args)) for job in found if job]


def run_jobs(*, also_delayed: bool = True, limit: int = 100) -> list[str]:
    """Run what waits, here and now, until nothing is left; answer the tasks in their order."""
    ran: list[str] = []
    while len(ran) < limit:
        jobs = enqueued() or (delayed() if also_delayed else [])
        if not jobs:
            return ran
        django_rq.get_connection().flushdb()
        for name, args in jobs:
            TASKS[name].function(*args)
            ran.append(name.rsplit(".", 1)[-1])
    raise AssertionError(f"jobs without end: {ran}")


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", "alice@example.com", "alice-password")


@pytest.fixture
def charlie(db: None) -> User:
    return User.objects.create_user("charlie", "charlie@example.com", "charlie-password")


@pytest.fixture
def lamp(alice: User) -> Product:
    """Alice's own lamp, tracked daily."""
    product = Product.objects.create(marketplace="amazon.com", asin="B0LAMP0001")
    Tracking.objects.create(team=alice.teams.get(), product=product, role=Role.OWN)
    return product


@pytest.fixture
def tracking(lamp: Product) -> Tracking:
    return lamp.trackings.get()


@pytest.fixture
def competitors(alice: User) -> list[Product]:
    """Five competing lamps that Alice watches, not yet seen."""
    products = Product.objects.ensure([("amazon.com", f"B0LAMP000{number}") for number in range(2, 7)])
    Tracking.objects.watch(alice.teams.get(), products, Role.COMPETITOR, Frequency.DAILY)
    return products
