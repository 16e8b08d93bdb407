"""The breaker: a batch in which too much vanished at once changes nothing, and waits until a person decides."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils.timezone import now

from amazon_pilot.jobs.models import AuditEntry
from notifications.models import Notification
from products.listing import Listing, Outcome
from products.models import Change, Product, ScrapeRun, Snapshot, Tracking, held
from products.tasks import collect_scrape_run
from tests.world import LISTING, NOON, answer_of, enqueued, listing, started_run

LATER = NOON + timedelta(days=1)


@pytest.fixture
def boss(db):
    return User.objects.create_superuser("boss", password="x")


def known(alice, count=10):
    """Products whose prices and ranks are known."""
    products = Product.objects.ensure([("amazon.com", f"B0BATCH{number:03}") for number in range(count)])
    Tracking.objects.watch(alice.teams.get(), products, "own", "3_daily")
    started_run(products).ingest(answer_of(*(listing(asin=product.asin) for product in products)))
    return list(Product.objects.order_by("asin"))


def broken(products, lost, what):
    """The listings of a run in which the first `lost` products show no price or no rank, and all a new title."""
    gone = {"price": {"price": None}, "rank": {"ranks": ()}, "both": {"price": None, "ranks": ()}}[what]
    return [
        listing(asin=product.asin, title="Changed", **(gone if number < lost else {"price": Decimal("10.00")}))
        for number, product in enumerate(products)
    ]


@pytest.fixture
def batch(alice, boss):
    products = known(alice)
    run = started_run(products)
    run.ingest(answer_of(*broken(products, 4, "both"), at=LATER))
    return run


@pytest.mark.parametrize("what", ["price", "rank", "both"])
@pytest.mark.parametrize(("lost", "is_held"), [(0, False), (3, False), (4, True), (10, True)])
def test_a_batch_that_lost_more_than_three_in_ten_changes_nothing(alice, what, lost, is_held):
    products = known(alice)
    run = started_run(products)
    before = list(Product.objects.values("price", "bsr", "title", "price_seen_at", "rating"))

    changes = run.ingest(answer_of(*broken(products, lost, what), at=LATER))

    run.refresh_from_db()
    assert run.changes_held == is_held
    assert run.snapshots.exists() != is_held
    if is_held:
        assert (changes, Change.objects.count()) == ([], 0)
        assert list(Product.objects.values("price", "bsr", "title", "price_seen_at", "rating")) == before
        assert set(run.targets.values_list("outcome", flat=True)) == {Outcome.HELD}


@pytest.mark.later
def test_what_is_held_is_not_fetched_again_at_once(batch):
    assert set(Product.objects.values_list("checked_at", flat=True)) == {LATER}
    assert set(Product.objects.values_list("failures", flat=True)) == {0}


@pytest.mark.later
def test_others_of_the_batch_are_noted_as_ever(alice):
    products = known(alice, 11)
    run = started_run(products)
    odd = replace(listing(asin=products[-1].asin), outcome=Outcome.NOT_FOUND)

    run.ingest(answer_of(*broken(products[:-1], 5, "price"), odd, at=LATER))

    assert run.targets.get(asin=products[-1].asin).outcome == Outcome.NOT_FOUND
    assert Product.objects.get(pk=products[-1].pk).failures == 1


@pytest.mark.parametrize(
    "facts",
    [{}, {"price": None, "ranks": ()}, {"warnings": ("a",), "used_price": Decimal("1.10")}, {"raw": {"a": [1, "é"]}}],
)
def test_a_listing_comes_back_as_it_was(facts):
    one: Listing = replace(LISTING, **facts)

    assert held.read(held.written(one)) == one


@pytest.fixture
def desk(client, boss):
    client.force_login(boss)
    return client


@pytest.mark.later
def test_operators_are_told_and_led_to_the_page(alice, boss, sandbox, monkeypatch):
    products = known(alice)
    run = started_run(products)
    monkeypatch.setattr(
        "products.tasks.apify.fetch_run", lambda *words: answer_of(*broken(products, 4, "price"), at=now())
    )

    collect_scrape_run(run.pk)

    notice = Notification.objects.get(channel__user=boss)
    assert notice.path == reverse("products:held")
    assert "please decide" in notice.body


def test_the_page_shows_before_and_after_in_few_queries(desk, batch, django_assert_max_num_queries):
    with django_assert_max_num_queries(8):
        text = desk.get(reverse("products:held")).content.decode()

    assert "$49.99 → –" in " ".join(text.split())
    assert "73 → –" in " ".join(text.split())
    assert "$49.99 → $10.00" in " ".join(text.split())


def test_release_takes_it_for_true(desk, batch, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        desk.post(reverse("products:release", args=[batch.pk]))
    again = desk.post(reverse("products:release", args=[batch.pk]), follow=True)

    assert Snapshot.objects.filter(scrape_run=batch).count() == 10
    assert Change.objects.filter(kind="price_change").count() == 6
    assert set(batch.targets.values_list("outcome", flat=True)) == {Outcome.OK}
    assert AuditEntry.objects.filter(action="release").count() == 1
    assert "decided on this batch already" in again.content.decode()
    assert Notification.objects.filter(change__isnull=False).count() == 6
    assert enqueued() == []  # alice reads on these pages alone


@pytest.mark.parametrize(("length", "kept"), [(499, 499), (500, 500), (501, 500)])
def test_the_reason_of_a_discarded_batch_fits_its_rows(batch, length, kept):
    held.discard(ScrapeRun.objects.get(pk=batch.pk), "Z" * length)

    assert set(batch.targets.values_list("reason", flat=True)) == {"Z" * kept}


def test_discard_forgets_it(desk, batch):
    desk.post(reverse("products:discard", args=[batch.pk]))

    assert not Snapshot.objects.filter(scrape_run=batch).exists()
    assert not batch.targets.exclude(answer="").exists()
    assert set(Product.objects.values_list("price", flat=True)) == {Decimal("49.99")}
    assert AuditEntry.objects.filter(action="discard").count() == 1
    assert held.release(ScrapeRun.objects.get(pk=batch.pk)) is None
    assert "No batch waits" in desk.get(reverse("products:held")).content.decode()


def test_a_late_release_changes_nothing_that_was_seen_after_it(desk, batch, alice):
    products = list(Product.objects.order_by("asin"))
    newest = LATER + timedelta(hours=1)
    started_run(products).ingest(
        answer_of(*(listing(asin=p.asin, price=Decimal("20.00")) for p in products), at=newest)
    )
    told = Change.objects.count()

    desk.post(reverse("products:release", args=[batch.pk]))

    assert set(Product.objects.values_list("price", flat=True)) == {Decimal("20.00")}
    assert Change.objects.count() == told


def test_only_those_who_may_change_runs_decide(client, alice, batch):
    client.force_login(alice)
    addresses = [reverse("products:release", args=[batch.pk]), reverse("products:discard", args=[batch.pk])]
    assert client.get(reverse("products:held")).status_code == 403
    assert [client.post(address).status_code for address in addresses] == [403, 403]

    alice.user_permissions.add(Permission.objects.get(codename="change_scraperun"))
    assert [client.get(address).status_code for address in addresses] == [405, 405]
    assert client.post(addresses[1]).status_code == 302
