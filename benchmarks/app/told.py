"""A look at one product whose listing the benchmark has made up, and waits that are shorter than the product's own."""

from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction

from amazon_pilot.jobs import Backoff
from notifications import models, transports
from notifications.tasks import send_notification
from products.apify import RunAnswer
from products.listing import Availability, Listing, Outcome
from products.models import ScrapeRun
from products.tasks import tell_changes


def keep(run_id: int, price: str, at: str) -> str:
    """Store what a run saw and write to those who asked, in one transaction, as the product does."""
    run = ScrapeRun.objects.get(pk=run_id)
    listing = Listing(
        asin=run.asins[0], outcome=Outcome.OK, title="A lamp\r\nBcc: everybody@example.com", price=Decimal(price),
        currency="USD", availability=Availability.IN_STOCK,
    )  # fmt: skip
    answer = RunAnswer(False, True, "SUCCEEDED", "", (listing,), Decimal("0.0015"), datetime.fromisoformat(at))
    with transaction.atomic():
        changes = run.ingest(answer)
        tell_changes(changes)
    return f"{len(changes)} changes"


def hurry(pace: float) -> None:
    """Divide what the product waits for by `pace`, here and in every process that calls this."""
    models.STALE = max(models.STALE / pace, timedelta(seconds=15))
    transports.WEBHOOK_SECONDS = max(1, int(transports.WEBHOOK_SECONDS / pace))
    assert send_notification.retry is not None
    send_notification.retry = Backoff(attempts=send_notification.retry.attempts, first=30 / pace, cap=3600 / pace)
