"""Many rows by one statement: each value arrives as it would one by one, and each row gets its own key."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import Error, connection, transaction
from django.test.utils import CaptureQueriesContext

from products.listing import Rank
from products.models import Product, Snapshot, SnapshotRank
from products.models.product import CONTENT
from products.models.rows import insert, update
from tests.world import NOON, listing, started_run

pytestmark = pytest.mark.django_db

NESTED = {"a": [1, "é", None, True, {"b": "\\u0000 \"'%s"}]}
RAWS: list[Any] = [None, {}, [], NESTED, {"long": "x" * 100_000}, "text", 0]
TEXTS = ["", "plain", "'\"\\", "%s %(a)s {}", "日本語 😀", "line\nbreak\ttab", "null", '{"a": 1}', "\u202e"]


@pytest.fixture
def lamps():
    return Product.objects.ensure([("amazon.com", f"B0ROWS{number:04}") for number in range(40)])


@pytest.mark.parametrize("count", [0, 1, 2, 40])
def test_snapshots_arrive_as_they_were_laid_out_each_with_its_own_key(lamps, count):
    run = started_run(lamps)
    seen = [
        replace(
            listing(asin=product.asin, seller=TEXTS[number % len(TEXTS)], warnings=(TEXTS[-number % len(TEXTS)],)),
            price=Decimal(number + 1) / 100 if number % 3 else None,
            rating=Decimal("4.4") if number % 2 else None,
            fulfilled_by_amazon=(True, False, None)[number % 3],
            review_count=number * 50_000_000,
            raw=RAWS[number % len(RAWS)],
        )
        for number, product in enumerate(lamps[:count])
    ]
    rows = [
        Snapshot.of(one, lamp, run, NOON + timedelta(microseconds=7)) for one, lamp in zip(seen, lamps, strict=False)
    ]

    insert(rows)

    stored = Snapshot.objects.in_bulk([row.pk for row in rows])
    assert len(stored) == count
    for row in rows:
        kept = stored[row.pk]
        for field in Snapshot._meta.concrete_fields:
            assert getattr(kept, field.attname) == getattr(row, field.attname), field.name


def test_ranks_belong_to_their_own_snapshot(lamps):
    run = started_run(lamps)
    seen = [listing(asin=lamp.asin, ranks=(Rank(f"Of {lamp.asin}", 1 + lamp.pk),)) for lamp in lamps]
    rows = [Snapshot.of(one, lamp, run, NOON) for one, lamp in zip(seen, lamps, strict=True)]
    insert(rows)
    insert([rank for row, one in zip(rows, seen, strict=True) for rank in row.ranks_of(one)])

    ranks = SnapshotRank.objects.select_related("snapshot__product")
    assert {rank.category: rank.snapshot.product.asin for rank in ranks} == {
        f"Of {one.asin}": one.asin for one in lamps
    }


def test_an_update_changes_the_named_fields_of_those_rows_alone(lamps):
    changed = lamps[::2]
    for number, lamp in enumerate(changed):
        lamp.title, lamp.bullets, lamp.has_video = TEXTS[number % len(TEXTS)], [TEXTS[-number % len(TEXTS)]], None
        lamp.price, lamp.brand = Decimal("9999999999.99"), "not to be stored"

    update(changed, [name for name in (*CONTENT, "price") if name != "brand"])

    for lamp in lamps:
        kept = Product.objects.get(pk=lamp.pk)
        assert kept.brand == ""
        assert (kept.title, kept.bullets, kept.price) == (lamp.title, lamp.bullets, lamp.price)


@pytest.mark.later
@pytest.mark.parametrize("count", [5, 40])
def test_it_is_one_statement_each_and_none_for_no_row(lamps, count):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite takes only so many values at once")
    run = started_run(lamps)
    rows = [Snapshot.of(listing(asin=lamp.asin), lamp, run, NOON) for lamp in lamps[:count]]
    with CaptureQueriesContext(connection) as asked:
        insert(rows)
        insert([])
        update(lamps[:count], CONTENT)
        update([], CONTENT)
    assert [query["sql"][:6] for query in asked] == ["INSERT", "UPDATE"]


def test_what_a_column_cannot_hold_stores_nothing(lamps):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite holds anything")
    lamps[3].title = "x" * 2001
    with pytest.raises(Error), transaction.atomic():
        update(lamps, CONTENT)
    lamps[3].title = "a\x00"
    with pytest.raises(Error), transaction.atomic():
        update(lamps, CONTENT)
