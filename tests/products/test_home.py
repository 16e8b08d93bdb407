"""The home page reads the user's own rows alone, however many others have."""

import importlib
from datetime import timedelta
from decimal import Decimal

import pytest
from django.apps import apps
from django.db import connection
from django.urls import reverse

from products.models import Change, Product, Tracking
from tests.world import NOON, answer_of, listing, see, started_run


@pytest.fixture
def changes_of_others(charlie):
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(60)])
    Tracking.objects.watch(charlie, products, "own", "3_daily")
    for turn, price in enumerate(("50.00", "20.00")):
        rows = [listing(asin=product.asin, price=Decimal(price)) for product in products]
        started_run(products, f"others{turn}").ingest(answer_of(*rows, at=NOON + timedelta(hours=turn)))
    assert Change.objects.count() == 60


def test_the_newest_changes_are_those_of_the_user(client, alice, lamp, changes_of_others):
    see(lamp, NOON - timedelta(hours=5), price=Decimal("50.00"))
    see(lamp, NOON - timedelta(hours=4), price=Decimal("20.00"))
    client.force_login(alice)

    assert [change.tracking.user for change in Change.objects.newest_of(alice)[:8]] == [alice]
    text = client.get(reverse("products:list")).content.decode()
    assert "B000000001" not in text
    assert text.count("$20.00") >= 1


def test_the_queries_do_not_grow_with_the_changes(client, charlie, changes_of_others, django_assert_max_num_queries):
    client.force_login(charlie)

    with django_assert_max_num_queries(9):
        client.get(reverse("products:list"))


def test_they_are_found_by_an_index_in_their_order(alice, changes_of_others):
    newest = Change.objects.filter(user=alice).order_by("-seen_at", "-pk")[:8]
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE products_change")
            cursor.execute("SET LOCAL enable_seqscan = off")
    plan = newest.explain()

    assert "change_newest_of_user" in plan
    assert "sort" not in plan.lower()
    assert "TEMP B-TREE" not in plan


def test_the_changes_of_an_older_installation_get_their_user(charlie, changes_of_others):
    Change.objects.update(user=None)

    importlib.import_module("products.migrations.0003_name_the_user_of_each_change").name_users(apps, None)

    assert set(Change.objects.values_list("user", flat=True)) == {charlie.pk}
