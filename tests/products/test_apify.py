"""The door to Apify: one request per start, every failure by its name, and prices that are never a float."""

import time
from decimal import Decimal
from uuid import uuid4

from products import apify
from products.listing import Outcome

COM = "amazon.com"
LAMPS = ["B0LAMP0001", "B0LAMP0002", "B0LAMP0003"]


def ended(receipt, asins=LAMPS, domain=COM):
    """The answer once the run has ended, asking as a job would."""
    for _ in range(100):
        answer = apify.fetch_run(receipt.apify_id, domain, asins)
        if answer is None or not answer.is_running:
            return answer
        time.sleep(0.02)
    raise AssertionError("the run did not end")


def test_a_run_is_started_and_its_items_become_listings(sandbox):
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())

    answer = ended(receipt)

    assert (answer.succeeded, answer.status) == (True, "SUCCEEDED")
    assert [(listing.asin, listing.outcome) for listing in answer.listings] == [(asin, Outcome.OK) for asin in LAMPS]
    assert all(isinstance(listing.price, Decimal) for listing in answer.listings)
    assert answer.cost_usd == Decimal("0.0045")
    assert answer.finished_at > receipt.started_at
