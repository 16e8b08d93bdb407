"""The sellers' pages: what each shows, to whom, and that a button works only by POST."""

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from django.urls import reverse
from django.utils.timezone import now

from products.charts import thin
from products.models import Frequency, Product, Tracking
from tests.world import NOON, enqueued, see

pytestmark = pytest.mark.both

ONE = ("amazon.com", "B0LAMP0001")


@pytest.fixture
def page(client, alice):
    client.force_login(alice)
    return client


def url(name, *args):
    return reverse(f"products:{name}", args=args or (ONE if name not in ("home", "list", "changes", "add") else ()))


def test_every_page_asks_for_a_login(client, lamp):
    for name in ("home", "list", "changes", "add", "detail", "status", "chart", "edit"):
        assert client.get(url(name)).headers["Location"].startswith("/login/")


def test_the_list_shows_what_alice_watches_in_few_queries(page, lamp, competitors, django_assert_max_num_queries):
    see(lamp, title="A lamp & more")

    with django_assert_max_num_queries(10):
        text = page.get(url("list")).content.decode()

    assert "A lamp &amp; more" in text
    assert "$49.99" in text
    assert text.count('<tr class="mid">') == 6


def test_it_hides_alices_lamp_from_charlie(client, charlie, lamp):
    client.force_login(charlie)

    for name in ("detail", "status", "chart", "edit"):
        assert client.get(url(name)).status_code == 404
    assert client.post(url("refresh")).status_code == 404
    assert lamp.asin not in client.get(url("list")).content.decode()


def test_a_product_shows_not_seen_instead_of_zero(page, lamp):
    see(lamp, ranks=(), rating=None, price=None)

    text = page.get(url("detail")).content.decode()

    assert text.count("not seen") >= 2
    assert "$0" not in text
    assert "#0" not in text


def test_html_in_a_title_is_shown_as_text(page, lamp):
    see(lamp, title="<script>alert(1)</script>")

    assert "<script>alert(1)" not in page.get(url("detail")).content.decode()


def test_refresh_enqueues_once_the_transaction_commits(page, lamp, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        page.post(url("refresh"))
        assert enqueued() == []

    assert enqueued() == [("products.tasks.update_product", [lamp.pk])]


@pytest.mark.django_db(transaction=True)
def test_a_view_that_raises_enqueues_nothing(page, lamp, monkeypatch):
    page.raise_request_exception = False
    monkeypatch.setattr("products.views.redirect", lambda *_: 1 / 0)

    assert page.post(url("refresh")).status_code == 500
    assert enqueued() == []


@pytest.mark.django_db(transaction=True)
def test_a_rollback_enqueues_nothing(page, lamp):
    with transaction.atomic():
        page.post(url("refresh"))
        transaction.set_rollback(True)

    assert enqueued() == []


@pytest.mark.parametrize("name", ["refresh", "remove"])
def test_buttons_reject_get(page, lamp, name):
    assert page.get(url(name)).status_code == 405


def test_products_are_added_by_asin_and_address_and_looked_at_at_once(page, alice, django_capture_on_commit_callbacks):
    text = "b0syn00001\nhttps://www.amazon.de/-/en/Some/dp/B0SYN00006/ref=x"
    with django_capture_on_commit_callbacks(execute=True):
        page.post(url("add"), {"products": text, "marketplace": "amazon.com", "role": "own", "frequency": "1_hourly"})

    assert [(p.marketplace, p.asin) for p in Product.objects.all()] == [
        ("amazon.com", "B0SYN00001"),
        ("amazon.de", "B0SYN00006"),
    ]
    assert set(Tracking.objects.values_list("frequency", flat=True)) == {Frequency.HOURLY}
    assert len(enqueued()) == 2


@pytest.mark.parametrize(
    ("text", "marketplace", "reason"),
    [
        ("B0SYN0001", "amazon.com", "is not an ASIN"),
        ("0306406153", "amazon.com", "check digit"),
        ("https://www.amazon.com.evil.example/dp/B0SYN00001", "amazon.com", "not an address on an Amazon site"),
        ("https://a.co/d/abc", "amazon.com", "Short links"),
        ("javascript:alert(1)//dp/B0SYN00001", "amazon.com", "not an address"),
        ("B0SYN00001", "amazon.xx", "not one of the available choices"),
    ],
)
def test_what_is_not_a_product_gets_a_plain_reason_and_comes_back_alone(page, text, marketplace, reason):
    answer = page.post(
        url("add"),
        {"products": f"B0SYN00002\n{text}", "marketplace": marketplace, "role": "own", "frequency": "3_daily"},
    )

    shown = answer.content.decode()
    assert answer.status_code == 422
    assert reason in shown
    assert text[:40] in shown
    assert ("B0SYN00002" in shown) is (marketplace == "amazon.xx")
    assert Product.objects.count() == (marketplace != "amazon.xx")


def test_the_settings_are_saved_and_a_wrong_threshold_is_refused(page, lamp, tracking):
    data = {
        "alias": "My lamp",
        "role": "own",
        "frequency": "2_six_hourly",
        "price_threshold": "5",
        "bsr_threshold": "40",
        "bsr_unit": "positions",
        "rating_threshold": "0.3",
        "review_threshold": "20",
        "rearm_minutes": "0",
    }
    assert page.post(url("edit"), data).status_code == 302
    assert page.post(url("edit"), data | {"price_threshold": "101"}).status_code == 422

    tracking.refresh_from_db()
    assert (tracking.alias, tracking.price_threshold) == ("My lamp", Decimal("5"))


def test_removing_keeps_the_shared_history(page, lamp):
    see(lamp)

    page.post(url("remove"))

    assert (Tracking.objects.count(), lamp.snapshots.count()) == (0, 1)
    assert page.get(url("detail")).status_code == 404


def test_the_history_has_gaps_and_runs_on_to_now(page, lamp, django_assert_max_num_queries):
    start = now() - timedelta(days=2)
    see(lamp, start)
    see(lamp, start + timedelta(hours=1), price=None, ranks=())

    with django_assert_max_num_queries(10):
        data = json.loads(page.get(url("chart"), {"range": "week"}).content)

    assert data["price"] == [49.99, None, None]
    assert data["bsr"] == [73, None, None]
    assert abs(data["at"][-1] - now().timestamp()) < 60


def test_a_long_history_is_thinned_and_keeps_its_extremes():
    rows = [(NOON + timedelta(hours=n), 10 + (n == 777) * 90) for n in range(8760)]

    kept = thin(rows)

    assert len(kept) <= 1600
    assert max(price for _at, price in kept) == 100
    assert (kept[0], kept[-1]) == (rows[0], rows[-1])


def test_a_spent_budget_is_said_instead_of_promised(page, lamp, settings, django_capture_on_commit_callbacks):
    settings.APIFY_DAILY_BUDGET_USD = Decimal(0)

    with django_capture_on_commit_callbacks(execute=True):
        text = page.post(url("refresh"), follow=True).content.decode()

    assert "APIFY_DAILY_BUDGET_USD" in text
    assert enqueued() == []


def test_every_page_says_that_the_sandbox_plays(page, lamp):
    assert "Sandbox: Apify, OpenAI are played on this machine" in page.get(url("list")).content.decode()
