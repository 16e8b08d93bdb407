"""Whole items and runs that went wrong once: each of tests/data/cases/items.json through the sandbox, and siblings."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core import mail
from django.utils.timezone import now

from amazon_pilot.sandbox import store
from notifications.models import Channel, ChannelKind, Notification
from products import apify
from products.models import Change, Product, ScrapeRun
from products.tasks import collect_scrape_run, resume_unfinished, update_product
from tests.world import run_jobs, see

pytestmark = pytest.mark.django_db(transaction=True)
CASES = json.loads((Path(__file__).parents[1] / "data" / "cases" / "items.json").read_text())
EMPTY: dict[str, Any] = {"statusCode": 200, "asin": "B0LAMP0001", "url": "https://www.amazon.com/dp/B0LAMP0001"}
# What stands where a product's title should: on a page without a product, and on one that asks whether one is a robot.
SAYS_NOTHING = [
    "Amazon.com", "Amazon.de", "Amazon.co.jp", "Robot Check", "Bot Check", "Sorry! Something went wrong!",
    "Tut uns leid!", "Désolé, une erreur s'est produite", "ご迷惑をおかけしています！", "抱歉！出错了",
    "503 - Service Unavailable", "Enter the characters you see below", "Geben Sie die Zeichen unten ein",
    "Page Not Found", "عذراً", "क्षमा करें",
]  # fmt: skip


def serve(sandbox: Any, item: dict[str, Any]) -> None:
    """Have the next dataset hold one item and nothing else."""
    sandbox.apify.fail_next(on="items", body=json.dumps([item]))


def test_every_case_has_its_test():
    tested = {name.rpartition("_")[2].upper() for name in globals() if name.startswith("test_case_")}

    assert {case["id"] for case in CASES} == tested
    assert {case["asked"][0] for case in CASES} == {"B0SYN00001"}


@pytest.mark.later
@pytest.mark.parametrize("title", SAYS_NOTHING)
@pytest.mark.parametrize("empty", [{}, {"price": 0, "features": [], "productDetails": [], "countReview": 0}])
def test_case_of_a_page_that_says_nothing_i2(lamp, sandbox, title, empty):
    see(lamp, at=now() - timedelta(hours=1), price=Decimal("19.90"), title="A lamp")
    serve(sandbox, EMPTY | {"title": title} | empty)

    update_product(lamp.pk)
    run_jobs()

    lamp.refresh_from_db()
    assert (lamp.title, lamp.price, lamp.last_outcome) == ("A lamp", Decimal("19.90"), "blocked")
    assert (lamp.failures, Change.objects.count()) == (1, 0)


@pytest.mark.later
@pytest.mark.parametrize("break_", ["\r\n", "\n", "\r", "\u2028", "\x0b", "\x00\n"])
def test_case_of_a_title_with_a_header_in_it_i3(lamp, alice, sandbox, break_):
    Channel.objects.create(team=alice.teams.get(), kind=ChannelKind.EMAIL, address="alice@example.com")
    title = f"Lamp{break_}Bcc: x@example.com"
    see(lamp, at=now() - timedelta(hours=1), price=Decimal("10.00"), title=title.replace("\0", ""))
    serve(sandbox, EMPTY | {"title": title, "price": 14.0, "warehouseAvailability": "In Stock"})

    update_product(lamp.pk)
    run_jobs()

    assert [(message.to, message.bcc) for message in mail.outbox] == [(["alice@example.com"], [])]
    assert len(mail.outbox[0].subject.splitlines()) == 1
    assert "\nBcc:" not in mail.outbox[0].message().as_string()
    assert set(Notification.objects.values_list("state", flat=True)) == {"sent"}


def test_case_of_an_actor_that_is_not_there_i4(lamp, sandbox, admin_user):
    sandbox.apify.fail_next(status=404, kind="record-not-found", times=9)
    update_product(lamp.pk)
    run_jobs()

    for _minute in range(5):
        Product.objects.filter(pk=lamp.pk).update(asked_at=now() - timedelta(minutes=2))
        resume_unfinished()
        run_jobs()

    assert (ScrapeRun.objects.get().state, sandbox.count("POST", "/runs")) == ("failed", 1)
    assert "404" in Notification.objects.of(None, admin_user).get().subject


@pytest.mark.later
@pytest.mark.parametrize("status", [403, 404, 410, 500])
def test_case_of_a_dataset_that_cannot_be_read_i5(lamp, sandbox, status):
    sandbox.apify.fail_next(status=status, on="items", times=30)
    store.set_options(run_seconds=0)
    run = ScrapeRun.objects.plan([lamp])
    run.claim()
    run.mark_started(apify.start_run(run.asins, run.marketplace, ref=run.ref))
    ScrapeRun.objects.update(started_at=now() - timedelta(hours=2), polls=5)
    for _ in range(3):
        try:
            collect_scrape_run(run.pk)
        except apify.ApifyError:
            continue

    run.refresh_from_db()
    assert run.state == "failed"
    assert str(status) in run.error
    lamp.refresh_from_db()
    assert lamp.asked_at is None
