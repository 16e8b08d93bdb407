"""Lists of any length: what they answer against a plain reading of all rows, and what PostgreSQL reads for a page."""

import random
from datetime import timedelta
from decimal import Decimal
from itertools import product as pairs
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from benchmarks.pages import FILLING, TRACKED, explained, nodes, scanned
from products import keyset, watchlist
from products.models import Product, ScrapeRun, Snapshot, Tag, Tracking, tracking
from products.models.position import GONE
from products.models.tracking import Frequency, Role
from products.watchlist import SORTS, STATES, Wanted

COUNT, PER_PAGE = 150, 11
WORDS = ("", "", "amp", "B00000001", "LAMP 3", "ümlaut", "灯", "100%", "_", "zeb", "nothing", "brim")
TITLES = ("", "lamp", "Lamp 3", "a Lämpchen", "台灯", "100% lamp", "the_lamp", "Zebra lamp")


@pytest.fixture
def chance():
    return random.Random(7)


@pytest.fixture
def shop(alice, charlie, chance):
    """Products with gaps and ties in every column, watched by two teams in every way; Alice's rows."""
    sites, team = ("amazon.com", "amazon.de"), alice.teams.get()
    products = Product.objects.ensure([(sites[n % 2], f"B0{n:08}") for n in range(COUNT)])
    ages = [None, timedelta(minutes=5), *(one.promise + timedelta(minutes=m) for one in Frequency for m in (-5, 5))]
    for one in products:
        age = chance.choice(ages)
        one.checked_at = age and now() - age
        one.price = chance.choice([None, Decimal(chance.randint(1, 6))])
        one.bsr, one.review_count = chance.choice([None, chance.randint(1, 9)]), chance.choice([None, 0, 7])
        one.rating = chance.choice([None, Decimal("4.5"), Decimal(3)])
        one.title, one.brand = chance.choice(TITLES), chance.choice(["", "Brimsett"])
        one.availability = chance.choice(["", "in_stock", "no_offer", "unavailable"])
        one.failures, one.monitored = chance.choice([0, 0, 0, 2]), chance.random() > 0.1
    columns = ("checked_at", "price", "bsr", "review_count", "rating", "title", "brand", "availability")
    Product.objects.bulk_update(products, [*columns, "failures", "monitored"])
    tag = Tag.objects.named(team, "Spring")
    for one in products:
        for owner in (team, charlie.teams.get()):
            row = Tracking.objects.create(
                team=owner, product=one, role=chance.choice(Role.values), frequency=chance.choice(Frequency.values),
                paused=chance.random() < 0.15, removed_at=now() if chance.random() < 0.1 else None,
                alias=chance.choice(["", "", "Zebra", "ümlaut", "B0 lamp", "100%"]),
            )  # fmt: skip
            Tracking.everything.filter(pk=row.pk).update(created_at=now() - chance.choice(ages[1:]))
            if owner == team and chance.random() < 0.3:
                tag.put_on([row.pk])
    looked_at(products, chance)
    return Tracking.objects.filter(team=team).select_related("product").prefetch_related("tags", "product__snapshots")


def looked_at(products, chance):
    """Have some seen 20 and 3 days ago, at other prices."""
    for days in (20, 3):
        run = ScrapeRun.objects.create(
            marketplace="amazon.com", ref=uuid4(), asins=[], state="ingested", apify_id=str(days), cost_cap_usd=1
        )
        some = (one for one in products if chance.random() < 0.7)
        Snapshot.objects.bulk_create(
            Snapshot(
                product=one, scrape_run=run, taken_at=now() - timedelta(days=days), currency="USD",
                price=chance.choice([None, Decimal(chance.randint(1, 9))]),
            )
            for one in some
        )  # fmt: skip


def is_wanted(row, wanted):
    one, states = row.product, {
        "": True,
        "late": row.is_late(),
        "gone": row.product.availability in GONE,
        "failing": not row.paused and (row.product.failures > 0 or not row.product.monitored),
        "paused": row.paused,
        "changed": False,
    }  # fmt: skip
    texts = [one.asin, one.title, one.brand, row.alias]
    return (
        states[wanted.state]
        and wanted.role in ("", row.role)
        and wanted.site in ("", one.marketplace)
        and (not wanted.tag or int(wanted.tag) in {tag.pk for tag in row.tags.all()})
        and any(wanted.q.lower() in text.lower() for text in texts)
    )


def moved(row, wanted):
    """Return by which share a price moved since the last look before yesterday, or since the first in thirty days."""
    looks = sorted((look.taken_at, look.price) for look in row.product.snapshots.all() if look.price)
    if not looks or row.product.price is None:
        return None
    earlier = looks[-1 if wanted.sort == "day" else 0][1]
    return (row.product.price - earlier) / earlier


def value(row, wanted):
    one = row.product
    return {
        "name": lambda: (row.alias or one.title[:60] or one.asin).lower(),
        "price": lambda: one.price,
        "day": lambda: moved(row, wanted),
        "month": lambda: moved(row, wanted),
        "rank": lambda: one.bsr,
        "rating": lambda: one.rating,
        "reviews": lambda: one.review_count,
        "seen": lambda: one.checked_at,
        "added": lambda: row.pk,
    }[wanted.sort]()


def expected(rows, wanted):
    """Return the ids that are wanted in their order: by value, what has none last, and by id where values are equal."""
    kept = [(value(row, wanted), row.pk) for row in rows if is_wanted(row, wanted)]
    known = sorted(pair for pair in kept if pair[0] is not None)
    unknown = sorted(pk for found, pk in kept if found is None)
    if SORTS[wanted.sort].is_worked_out:  # ties by id either way
        known.sort(key=lambda pair: (-pair[0] if wanted.falls else pair[0], pair[1]))
    elif wanted.falls:
        known, unknown = known[::-1], unknown[::-1]
    return [pk for _value, pk in known] + unknown


def walked(team, wanted):
    """Return all ids, page by page, and whether the way back shows the same pages."""
    pages, keys, key = [], [], ""
    while not pages or key:
        part = watchlist.slice_of(wanted.rows(team), wanted, key)
        pages.append(part.ids)
        keys.append(part.before)
        key = part.after
    for number in range(len(pages) - 1, 0, -1):
        assert watchlist.slice_of(wanted.rows(team), wanted, keys[number]).ids == pages[number - 1], wanted
    return [pk for page in pages for pk in page]


@pytest.mark.later
@pytest.mark.parametrize(("few", "near"), [(2000, 1000), (5, 1000), (5, 20), (5, 1)])
def test_each_sort_filter_and_search_answers_as_a_plain_reading_does(alice, shop, chance, monkeypatch, few, near):
    """With `few` at 5 nearly everything is too many to be found by its ids, and is met on the way, or beyond it."""
    monkeypatch.setattr(watchlist, "PER_PAGE", PER_PAGE)
    monkeypatch.setattr(tracking, "FEW", few)
    monkeypatch.setattr(keyset, "NEAR", near)
    team, rows, met = alice.teams.get(), list(shop), 0
    roles, sites = ("", *Role.values), ("", "amazon.com", "amazon.de")
    tags = ("", "", str(Tag.objects.get().pk))
    for sort, falls, state in pairs(SORTS, (False, True), ("", *(name for name, _word in STATES))):
        q = "" if chance.random() < 0.3 else chance.choice(WORDS)
        wanted = Wanted(q, chance.choice(roles), chance.choice(tags), chance.choice(sites), state, sort, falls)
        ids, known = expected(rows, wanted), wanted.rows(team).known
        assert known is None or known == min(len(ids), few + 1), wanted
        assert walked(team, wanted) == ids, wanted
        met += len(ids) > PER_PAGE
    assert met > 10  # lists of more than one page


@pytest.mark.later
@pytest.mark.parametrize("place", ["rare", "near", "far", "spread", "ends"])
def test_a_word_is_found_wherever_those_that_have_it_stand(alice, shop, monkeypatch, place):
    """A page is filled from the next rows, or from all that have the word where these have too few of it."""
    monkeypatch.setattr(watchlist, "PER_PAGE", PER_PAGE)
    monkeypatch.setattr(tracking, "FEW", 5)
    monkeypatch.setattr(keyset, "NEAR", 30)
    team, rows = alice.teams.get(), list(shop)
    for name, falls in pairs([name for name, sort in SORTS.items() if sort.column], (False, True)):
        order = expected(rows, Wanted(sort=name, falls=falls))
        last = len(order) - 1
        ids = {
            "rare": order[7::40],
            "near": order[:35],
            "far": order[-35:],
            "spread": order[::3],
            "ends": [*order[:20], *order[last - 20 :]],
        }[place]
        Product.objects.update(brand="")
        Product.objects.filter(pk__in=[row.product_id for row in rows if row.pk in ids]).update(brand="Marked")
        wanted = Wanted(q="arke", sort=name, falls=falls)
        with CaptureQueriesContext(connection) as asked:
            assert walked(team, wanted) == ids, wanted
        pages = 2 * -(-len(ids) // PER_PAGE) - 1
        # Which few have it; the page, and where rows have no value two; and once more where the word is far.
        assert len(asked) <= pages * 4, wanted


def test_what_is_searched_follows_the_product(alice, lamp, tracking):
    team = alice.teams.get()
    for title, brand in (("A lamp", "Brimsett"), ("Another thing", ""), ("", "Zx"), ("100% _wool_", "Brimsett")):
        Product.objects.filter(pk=lamp.pk).update(title=title, brand=brand)
        for words in filter(None, (title, title[2:9], brand[1:], lamp.asin, lamp.asin[3:7].lower())):
            assert list(Wanted(q=words).rows(team)) == [tracking], words
        assert not Wanted(q=f"{title} and more").rows(team)
        assert not Wanted(q="lamp1" if title != "A lamp" else "thing").rows(team)


ADDRESSES = [
    *(f"/products/?sort={sign}{name}" for name, sort in SORTS.items() if sort.column for sign in ("", "-")),
    *(f"/products/?state={state}&sort={sort}" for state, _word in STATES for sort in ("-added", "name", "price")),
    *(f"/products/?q={words}&sort={sort}" for words in ("B000012345", "number", "client+7", "f1c15925", "no+such+thing")
      for sort in ("-added", "name", "price")),
    *(f"/products/?q=client&sort={sign}{name}" for name, sort in SORTS.items() if sort.column for sign in ("", "-")),
    "/comparisons/new/?own=client&q=lient",
    "/products/?role=competitor&sort=name", "/products/?site=amazon.de&sort=rank", "/", "/comparisons/new/?q=f1c15925",
    "/api/v1/products?q=f1c15925", "/products/export/?state=late",
]  # fmt: skip
MOST_READ = 10_000


@pytest.fixture
def agency(db):
    """A team that watches 25,000 products, of which some are late, fail, are out of stock, paused or have its name."""
    user = User.objects.create_user("agency")
    with connection.cursor() as cursor:
        cursor.execute(FILLING[0], {"products": 25_000})
        cursor.execute(TRACKED, {"team": user.teams.get().pk, "each": 1})
        cursor.execute("ANALYZE")
    client = Client(headers={"accept-language": "en"})
    client.force_login(user)
    return client


@pytest.mark.slow
@pytest.mark.skipif(connection.vendor != "postgresql", reason="plans of PostgreSQL")
def test_no_page_of_a_long_list_reads_all_of_it(agency):
    read: dict[str, list[str]] = {}
    numbers = set()
    for address in ADDRESSES:
        with CaptureQueriesContext(connection) as asked:
            answer = agency.get(address)
        assert answer.status_code == 200, address
        numbers.add(len(asked))
        for statement in (query["sql"] for query in asked.captured_queries):
            plan = explained(statement)
            found = [*scanned(plan), *(f"{step['Node Type']} of {rows}" for step, rows in much(plan))]
            if found:
                read.setdefault(address, []).extend([*found, statement[:300]])
    assert not read, "\n".join(f"{address}: {found}" for address, found in read.items())
    assert max(numbers) <= 18, numbers


def much(plan):
    """Yield each step of a plan that has read far more rows than a page has."""
    for step in nodes(plan) if plan else ():
        rows = (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"]
        if rows > MOST_READ:
            yield step, rows


@pytest.mark.skipif(connection.vendor != "postgresql", reason="a setting of PostgreSQL")
@pytest.mark.parametrize(("said", "shown"), [("", "1.1"), ("-c random_page_cost=3", "3")])
def test_a_connection_prefers_indexes_unless_somebody_has_said_what_they_cost(db, monkeypatch, said, shown):
    monkeypatch.setenv("PGOPTIONS", said)
    fresh = connection.copy()
    try:
        with fresh.cursor() as cursor:
            cursor.execute("SHOW random_page_cost")
            assert cursor.fetchone() == (shown,)
    finally:
        fresh.close()
