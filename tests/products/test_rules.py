"""Rules: each kind tells what it says, once; whose word counts; silence; and a preview that is what would have been."""

import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from products.listing import Availability
from products.models import Change, Product, Rules, Tag, Tracking
from products.models.past import told_of
from products.models.rules import USUAL
from products.preview import preview
from products.ranks import Rank
from tests.world import NOON, answer_of, listing, see, started_run

# PostgreSQL, where each step asks a server, tries fewer of the same.
HISTORIES, LOOKS, PATIENCE = 1000 if connection.vendor == "sqlite" else 100, 12, timedelta(days=3)
# Under these nothing of what a history does is told, so that a product's one rule is heard alone.
SILENT = {
    "price_threshold": 100,
    "bsr_threshold": 10**8,
    "bsr_unit": "positions",
    "rating_threshold": 4,
    "review_threshold": 9999,
    "tell_buybox": False,
    "tell_availability": False,
    "tell_listing": False,
}
KINDS = {
    "percent": [{"price_threshold": Decimal(n), "price_way": way} for n in (5, 20) for way in ("any", "up", "down")],
    "below": [{"price_below": Decimal(n), "currency": "USD"} for n in (18, 20)],
    "above": [{"price_above": Decimal(n), "currency": "USD"} for n in (20, 22)],
    "foreign": [
        {"price_below": Decimal(20), "currency": "EUR"},
        {"price_above": Decimal(20), "price_below": Decimal(20), "currency": "JPY"},
    ],
    "lowest": [{"price_lowest_days": 7}, {"price_lowest_days": 30}],
    "rank percent": [{"bsr_threshold": 20, "bsr_unit": "percent", "bsr_way": way} for way in ("any", "up", "down")],
    "rank positions": [{"bsr_threshold": 8, "bsr_unit": "positions", "bsr_way": way} for way in ("any", "up", "down")],
    "outside": [{"bsr_outside": 50}, {"bsr_outside": 60}],
    "best": [{"bsr_best_days": 7}, {"bsr_best_days": 30}],
    "rating": [{"rating_threshold": Decimal("0.2")}],
    "reviews": [{"review_threshold": Decimal(10)}],
    "buy box": [{"tell_buybox": True}],
    "availability": [{"tell_availability": True}],
    "back": [{"tell_back": True}],
    "listing": [{"tell_listing": True}],
    "several of price": [
        {
            "price_threshold": Decimal(25),
            "price_below": Decimal(18),
            "price_above": Decimal(22),
            "currency": "USD",
            "price_lowest_days": 7,
        },
    ],
    "several of rank": [{"bsr_threshold": 25, "bsr_unit": "positions", "bsr_outside": 50, "bsr_best_days": 7}],
    "rearm": [{"price_threshold": Decimal(5), "rearm_minutes": 60 * 30}],
    "mute": [{"price_threshold": Decimal(5), "muted_until": NOON + timedelta(days=5)}],
}


def told_by(kind, rule, looks):
    """Say when a rule tells, from the looks alone: a plain reading of its words."""
    part = {
        **dict.fromkeys(("percent", "below", "above", "foreign", "lowest", "rearm", "mute"), "price"),
        **dict.fromkeys(("rank percent", "rank positions", "outside", "best", "several of rank"), "rank"),
        "several of price": "price",
        "buy box": "seller",
        "back": "availability",
        "listing": "content",
    }.get(kind, kind)
    told, last, last_at, seen = [], None, None, []
    for look in looks:
        at, value = look["at"], look.get(part)
        if value is None:
            continue
        if last is not None and value != last and at - last_at <= PATIENCE and says(kind, rule, last, value, at, seen):
            silent = kind == "rearm" and told and at - told[-1] < timedelta(minutes=rule["rearm_minutes"])
            if not silent and not (kind == "mute" and at < rule["muted_until"]):
                told.append(at)
        last, last_at = value, at
        seen.append((at, value))
    return told


def says(kind, rule, last, value, at, seen):
    """Tell whether a step from one value to another is what a rule names."""
    if kind == "several of price":
        return any(says(one, rule, last, value, at, seen) for one in ("percent", "below", "above", "lowest"))
    if kind == "several of rank":
        return any(says(one, rule, last, value, at, seen) for one in ("rank positions", "outside", "best"))
    if kind in ("percent", "rearm", "mute"):
        way = {"up": value > last, "down": value < last}.get(rule.get("price_way", "any"), True)
        return way and abs(value - last) * 100 > rule["price_threshold"] * last
    if kind == "below":
        return value < rule["price_below"] <= last
    if kind == "above":
        return last <= rule["price_above"] < value
    if kind == "foreign":
        return False
    if kind in ("lowest", "best"):
        since = at - timedelta(days=rule["price_lowest_days" if kind == "lowest" else "bsr_best_days"])
        return seen[0][0] <= since and any(then >= since for then, _one in seen) and all(
            value < one for then, one in seen if then >= since
        )  # fmt: skip
    if kind.startswith("rank"):
        if abs(value - last) < 5 or (value <= 10 and last <= 10):
            return False
        way = {"up": value < last, "down": value > last}.get(rule.get("bsr_way", "any"), True)
        size = abs(value - last) * (1 if rule["bsr_unit"] == "positions" else Decimal(100) / last)
        return way and size > rule["bsr_threshold"]
    if kind == "outside":
        return last <= rule["bsr_outside"] < value
    if kind == "rating":
        return abs(value - last) >= rule["rating_threshold"]
    if kind == "reviews":
        return Decimal(abs(value - last)) * 100 / last > 10
    if kind == "back":
        return last in ("unavailable", "no_offer") and value in ("in_stock", "low_stock")
    return True


def one_look(chance, at):
    """Return what one product shows at a time; a part of it may not be seen."""

    def seen(value):
        return None if chance.random() < 0.06 else value

    return {
        "at": at,
        "price": seen(Decimal(chance.randint(160, 240)) / 10),
        "rank": seen(chance.choice([3, 7, 9, 12, 30, 45, 48, 50, 51, 53, 60, 61, 64, 80])),
        "rating": seen(Decimal(chance.randint(40, 46)) / 10),
        "reviews": seen(chance.choice([90, 95, 100, 110, 120])),
        "availability": seen(chance.choice(["in_stock", "low_stock", "unavailable", "no_offer"])),
        "content": chance.choice("ab") * 64,
        "seller": seen(chance.choice(["S1", "S2", "S3"])),
    }


def shown(product, look):
    return listing(
        asin=product.asin,
        price=look["price"],
        ranks=(Rank("Desk Lamps", look["rank"]),) if look["rank"] else (),
        rating=look["rating"],
        review_count=look["reviews"],
        availability=Availability(look["availability"] or "unknown"),
        content_hash=look["content"],
        seller=look["seller"] and f"Seller {look['seller']}",
        seller_id=look["seller"],
    )


def histories(team, chance, count, start, gaps):
    """Have many products looked at, each under a rule that it says itself or a tag does; return them with their looks.

    Where both say something, the product's own word counts.
    """
    Rules.objects.create(team=team, **SILENT)
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(count)])
    rules = [(kind, rule) for kind, some in KINDS.items() for rule in some]
    tags = []
    for number, (_kind, rule) in enumerate(rules):
        tags.append(Tag.objects.create(team=team, name=f"tag {number}"))
        Rules.objects.create(team=team, tag=tags[-1], **rule)
    found = []
    for number, product in enumerate(products):
        chosen = number % len(rules)
        kind, rule = rules[chosen]
        by = chance.choice(["itself", "tag", "both"])
        tracking = Tracking.objects.create(team=team, product=product, **(rule if by != "tag" else {}))
        if by == "tag":
            tags[chosen].put_on([tracking.pk])
        elif by == "both" and kind == "percent":
            tags[0 if chosen else 1].put_on([tracking.pk])
        found.append((tracking, kind, rule, []))
    at = start
    for _turn in range(LOOKS):
        at += timedelta(hours=chance.choice(gaps))
        rows = []
        for tracking, _kind, _rule, looks in found:
            looks.append(one_look(chance, at))
            rows.append(shown(tracking.product, looks[-1]))
        run, answer = started_run(products), answer_of(*rows, at=at)
        run.ingest(answer)
        assert run.ingest(answer) == []
    return found


@pytest.mark.slow
def test_each_kind_of_rule_tells_what_it_says_and_nothing_twice(alice, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal(1000)
    found = histories(alice.teams.get(), random.Random(5), HISTORIES, NOON, [1, 20, 24, 30, 71, 72, 73, 100])

    told = Counter(Change.objects.values_list("tracking_id", "seen_at"))
    oracle = Counter((row.pk, at) for row, kind, rule, looks in found for at in told_by(kind, rule, looks))
    kinds = {row.pk: (kind, rule) for row, kind, rule, _looks in found}
    wrong = Counter(str(kinds[pk]) for pk, _at in (told - oracle) + (oracle - told))
    assert not wrong
    assert set(told.values()) == {1}
    heard = {kinds[pk][0] for pk, _at in told}
    assert heard == set(KINDS) - {"foreign"}


@pytest.mark.slow
def test_a_preview_counts_what_was_told(alice, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal(1000)
    begun = now() - timedelta(days=45)
    found = histories(alice.teams.get(), random.Random(6), 90, begun, [20, 24, 71, 100])

    for tracking, kind, rule, _looks in found:
        if kind == "mute":
            continue
        tracking.product.refresh_from_db()
        said = preview([tracking], lambda one: told_of([one])[one.pk])
        real = Change.objects.filter(tracking=tracking, seen_at__gte=now() - timedelta(days=30)).count()
        assert said.total == real, (kind, rule)


@pytest.mark.parametrize("levels", [(), ("team",), ("tag",), ("product",), ("team", "tag"), ("team", "tag", "product")])
def test_the_most_particular_word_counts(alice, lamp, tracking, levels):
    team = alice.teams.get()
    tag = Tag.objects.named(team, "a")
    tag.put_on([tracking.pk])
    if "team" in levels:
        Rules.objects.create(team=team, price_threshold=1, tell_listing=True)
    if "tag" in levels:
        Rules.objects.create(team=team, tag=tag, price_threshold=2)
    if "product" in levels:
        Tracking.objects.update(price_threshold=3)

    told = told_of([Tracking.objects.select_related("product").get()])[tracking.pk]

    assert told.price_threshold == {"team": 1, "tag": 2, "product": 3}.get(levels[-1] if levels else "", Decimal(10))
    assert told.tell_listing == ("team" in levels)
    assert told.bsr_threshold == USUAL.bsr_threshold


def test_anothers_rules_say_nothing(alice, charlie, lamp, tracking):
    Rules.objects.create(team=charlie.teams.get(), price_threshold=1)

    assert told_of([Tracking.objects.select_related("product").get()])[tracking.pk] == USUAL


@pytest.mark.later
def test_the_number_of_queries_does_not_grow_with_rules_and_products(alice):
    team = alice.teams.get()
    Rules.objects.create(team=team, price_lowest_days=7)
    counts = []
    for size in (1, 20):
        products = Product.objects.ensure([("amazon.com", f"B1{size:03}{number:05}") for number in range(size)])
        Tracking.objects.watch(team, products, "own", "3_daily")
        for turn in range(2):
            rows = [listing(asin=one.asin, price=Decimal(50 - 20 * turn)) for one in products]
            run = started_run(products)
            with CaptureQueriesContext(connection) as asked:
                run.ingest(answer_of(*rows, at=NOON + timedelta(hours=turn)))
        counts.append(len(asked))
    assert counts[0] == counts[1]


@pytest.fixture
def page(client, alice, lamp):
    for days, price in ((7, "50"), (5, "30"), (3, "31"), (1, "20")):
        see(lamp, now() - timedelta(days=days), price=Decimal(price))
    client.force_login(alice)
    return client


def test_rules_are_tried_before_they_are_kept(page, alice):
    tried = page.post("/products/rules/", {"price_below": "25", "currency": "USD", "try": "1"}).content.decode()

    assert "This would have told you 2 times in 30 days" in tried  # both by percent, the second below 25 as well
    assert not Rules.objects.exists()
    page.post("/products/rules/", {"price_threshold": "50"})
    assert Rules.objects.get(team=alice.teams.get()).price_threshold == 50
    only = page.post("/products/rules/", {"price_threshold": "90", "try": "1"}).content.decode()
    assert "This would have told you 0 times in 30 days" in only


@pytest.mark.parametrize(
    "words",
    [{"price_threshold": "101"}, {"price_below": "20"}, {"price_below": "0", "currency": "USD"}, {"bsr_outside": "0"},
     {"bsr_unit": "percent"}, {"price_lowest_days": "8"}, {"muted_until": "soon"}, {"tell_buybox": "perhaps"}],
)  # fmt: skip
def test_what_is_no_rule_is_refused(page, words):
    answer = page.post("/products/rules/", words)

    assert answer.status_code == 422
    assert "errorlist" in answer.content.decode()
    assert not Rules.objects.exists()


def test_a_tag_has_rules_of_its_own(page, alice, tracking):
    tag = Tag.objects.named(alice.teams.get(), "Spring")
    tag.put_on([tracking.pk])
    assert "Spring" in page.get("/products/rules/").content.decode()

    page.post(f"/products/rules/{tag.pk}/", {"tell_buybox": "False"})

    assert tag.rules.tell_buybox is False
    assert told_of([Tracking.objects.select_related("product").get()])[tracking.pk].tell_buybox is False


def test_a_product_is_snoozed_and_heard_again(page, lamp):
    path = f"/products/{lamp.marketplace}/{lamp.asin}/snooze/"
    page.post(path, {"for": "day"})
    assert "You hear nothing of this product" in page.get(lamp.get_absolute_url()).content.decode()
    assert see(lamp, now(), price=Decimal("90")) == []

    page.post(path)

    assert [change.kind for change in see(lamp, now() + timedelta(minutes=1), price=Decimal("20"))] == ["price_change"]
    assert "You hear nothing of this product" not in page.get(lamp.get_absolute_url()).content.decode()


def test_the_usual_rules_tell_of_every_change_at_once_and_of_nothing_that_was_not_asked_for():
    assert not USUAL.is_silent(NOON, NOON)
    assert {name: value for name, value in vars(USUAL).items() if value and value is not True} == {
        "price_threshold": 10, "bsr_threshold": 30, "rating_threshold": Decimal("0.2"), "review_threshold": 10,
        "price_way": "any", "bsr_way": "any", "bsr_unit": "percent",
    }  # fmt: skip
    assert {name for name, value in vars(USUAL).items() if value is True} == {"tell_buybox", "tell_availability"}
