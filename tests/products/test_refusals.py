"""A start that Apify refuses for good: told, asked rarely, and resumed by a button or by a start that works."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils.timezone import now

from notifications.models import Notification
from products.models import DaySpending, Product, ScrapeRun
from products.tasks import resume_unfinished, start_scrape_run, update_product
from tests.world import enqueued, run_jobs

pytestmark = pytest.mark.django_db(transaction=True)
REFUSALS = [
    {"status": 400, "kind": "invalid-input"},
    {"status": 401, "kind": "user-or-token-not-found"},
    {"status": 402, "kind": "not-enough-usage-to-run-paid-actor"},
    {"status": 403, "kind": "actor-is-not-rented"},
    {"status": 404, "kind": "record-not-found"},
    {"status": 413},
]


def minute_by_minute(count: int) -> None:
    """What the schedule does while nobody looks."""
    for _ in range(count):
        Product.objects.exclude(asked_at=None).update(asked_at=now() - timedelta(minutes=2))
        ScrapeRun.objects.filter(state="planned").update(created_at=now() - timedelta(minutes=2))
        resume_unfinished()
        run_jobs()


@pytest.mark.slow
@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: str(fault["status"]))
def test_a_refusal_is_asked_again_rarely_and_told(lamp, sandbox, admin_user, client, alice, fault):
    sandbox.apify.fail_next(times=5, **fault)
    Product.objects.filter(pk=lamp.pk).ask()
    update_product(lamp.pk)
    run_jobs()
    minute_by_minute(5)

    run = ScrapeRun.objects.get()
    assert (run.state, sandbox.count("POST", "/runs")) == ("failed", 1)
    assert DaySpending.objects.get().micros == 0
    assert str(fault["status"]) in Notification.objects.of(None, admin_user).get().subject
    client.force_login(alice)
    for page in (reverse("products:list"), lamp.get_absolute_url(), reverse("notifications:list")):
        assert f"Apify answered {fault['status']}" in client.get(page).content.decode()
    assert reverse("products:resume") not in client.get(reverse("products:list")).content.decode()


@pytest.mark.later
def test_each_refusal_in_a_row_waits_longer(lamp, sandbox):
    waits = []
    for turn in range(5):
        sandbox.apify.fail_next(status=404)
        update_product(lamp.pk)
        run_jobs()
        run = ScrapeRun.objects.first()
        waits.append(round((run.ask_again_at - run.finished_at) / timedelta(hours=1)))
        ScrapeRun.objects.filter(pk=run.pk).update(ask_again_at=now() - timedelta(seconds=1))
        assert sandbox.count("POST", "/runs") == turn + 1

    assert waits == [1, 3, 12, 24, 24]


@pytest.mark.later
def test_runs_planned_before_a_refusal_wait_with_it_and_one_is_tried(lamp, competitors, sandbox):
    runs = [ScrapeRun.objects.plan([product]) for product in (lamp, *competitors)]
    sandbox.apify.fail_next(status=402)
    for run in runs:
        start_scrape_run(run.pk)

    assert sandbox.count("POST", "/runs") == 1
    assert ScrapeRun.objects.filter(state="planned", not_before__gt=now()).count() == 5

    ScrapeRun.objects.filter(stops_planning=True).update(ask_again_at=now() - timedelta(seconds=1))
    ScrapeRun.objects.filter(state="planned").update(not_before=now() - timedelta(seconds=1))
    sandbox.apify.fail_next(status=402)
    for run in runs[1:]:
        start_scrape_run(run.pk)
    assert sandbox.count("POST", "/runs") == 2


@pytest.mark.later
def test_a_start_that_works_ends_the_refusal_and_frees_what_waited(lamp, competitors, sandbox):
    sandbox.apify.fail_next(status=401)
    runs = [ScrapeRun.objects.plan([product]) for product in (lamp, *competitors[:2])]
    for run in runs:
        start_scrape_run(run.pk)
    ScrapeRun.objects.filter(stops_planning=True).update(ask_again_at=now() - timedelta(seconds=1))
    ScrapeRun.objects.filter(pk=runs[1].pk).update(not_before=None)

    start_scrape_run(runs[1].pk)
    run_jobs()
    minute_by_minute(1)

    assert ScrapeRun.objects.refusal() is None
    assert list(ScrapeRun.objects.order_by("pk").values_list("state", flat=True)) == ["failed", "ingested", "ingested"]


def test_a_button_goes_on_for_those_who_may_and_for_nobody_else(lamp, sandbox, client, alice, charlie):
    sandbox.apify.fail_next(status=403)
    update_product(lamp.pk)
    run_jobs()
    client.force_login(charlie)
    assert client.post(reverse("products:resume")).status_code == 403
    alice.user_permissions.add(Permission.objects.get(codename="change_scraperun"))
    client.force_login(alice)
    assert client.get(reverse("products:resume")).status_code == 405
    assert ScrapeRun.objects.refusal()
    assert reverse("products:resume") in client.get(reverse("products:list")).content.decode()

    client.post(reverse("products:resume"))

    assert ScrapeRun.objects.refusal() is None
    assert "planned" in update_product(lamp.pk)


def test_a_refusal_of_an_older_installation_is_tried_again(lamp):
    ScrapeRun.objects.create(
        marketplace="amazon.com",
        cost_cap_usd=Decimal(1),
        state="failed",
        stops_planning=True,
        error="402",
        finished_at=now(),
    )

    assert "planned" in update_product(lamp.pk)
    assert enqueued()
