"""An own product beside its competitors: each time it becomes dearer or falls behind is told once, and nothing else."""

import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from analysis.models import Comparison, Competitor
from products.listing import Availability
from products.models import Change, Product, Rules, Tracking
from products.models.past import told_of
from products.models.rules import USUAL
from products.preview import preview
from products.ranks import Rank
from products.words import sentence
from tests.products.test_rules import KINDS, SILENT
from tests.world import NOON, answer_of, listing, started_run

LOOKS = 10
# How old a value may be: three of its own team's intervals.
PATIENCE = {"3_daily": timedelta(days=3), "4_weekly": timedelta(days=21)}
RULES = [
    {"rival_percent": Decimal(0)},
    {"rival_percent": Decimal("7.5")},
    {"rival_amount": Decimal(1), "currency": "USD"},
    {"rival_amount": Decimal(0), "currency": "EUR"},  # of another currency: says nothing here
    {"rival_positions": 0},
    {"rival_positions": 10},
    {"rival_percent": Decimal(0), "rearm_minutes": 60 * 50},
]


def test_no_wish_is_without_its_oracle():
    tried = {name for some in (*KINDS.values(), RULES) for rule in some for name in rule}

    assert set(vars(USUAL)) <= tried


def compare(team, own, rivals, **facts):
    comparison = Comparison.objects.create(team=team, product=own, **facts)
    Competitor.objects.bulk_create(
        Competitor(comparison=comparison, product=rival, position=position) for position, rival in enumerate(rivals)
    )
    return comparison


def is_behind(rule, own, rival, at):
    """Say whether what two products showed by a time puts the first behind the second; None where one cannot know."""
    part = "rank" if "rival_positions" in rule else "price"
    sides = [last_of(part, looks, at, patience) for looks, patience in (own, rival)]
    if rule.get("currency") == "EUR":
        return None
    if "gone" in sides:
        return False  # whatever the other side is
    if None in sides:
        return None
    mine, theirs = sides
    if part == "rank":
        if mine[1] != theirs[1]:
            return None
        return mine[0] > theirs[0] + rule["rival_positions"]
    if "rival_amount" in rule:
        return mine > theirs + rule["rival_amount"]
    return mine > theirs * (1 + rule["rival_percent"] / 100)


def last_of(part, looks, at, patience):
    """Return what was seen last: a price, a rank with its category, or that there was no offer."""
    known = [look for look in looks if look is not None and look["at"] >= at - patience]
    seen = [number for number, look in enumerate(known) if look[part] is not None]
    stock = [number for number, look in enumerate(known) if look["stock"] != "unknown"]
    is_gone = stock and known[stock[-1]]["stock"] in ("unavailable", "no_offer")
    if part == "price" and is_gone and (not seen or seen[-1] <= stock[-1]):
        return "gone"
    return known[seen[-1]][part] if seen else None


def expected(rule, own, rivals, times):
    """Say when a rule tells: from what all showed, look by look."""
    told, last = [], None
    for number, at in enumerate(times):
        crossed = False
        for looks, patience in rivals:
            was, is_now = (
                is_behind(rule, (own[0][:upto], own[1]), (looks[:upto], patience), at) for upto in (number, number + 1)
            )
            crossed = crossed or (was is False and is_now is True)
        is_silent = last is not None and at - last < timedelta(minutes=rule.get("rearm_minutes", 0))
        if crossed and not is_silent:
            told.append(at)
            last = at
    return told


def one_look(chance, at):
    """Return what one product shows; None when no answer came."""
    if chance.random() < 0.25:
        return None
    return {
        "at": at,
        "price": None if chance.random() < 0.1 else Decimal(chance.randint(180, 220)) / 10,
        "rank": None if chance.random() < 0.1 else (chance.choice([5, 20, 29, 30, 31, 40]), chance.choice("LLLM")),
        "stock": chance.choice([*["in_stock"] * 6, "low_stock", "unavailable", "no_offer", "unknown"]),
    }


def shown(product, look):
    rank = look["rank"]
    return listing(
        asin=product.asin,
        price=look["price"],
        ranks=(Rank(rank[1], rank[0]),) if rank else (),
        availability=Availability(look["stock"]),
    )


def histories(team, chance, count, start, gaps):
    """Have many products looked at beside competitors they share; return (tracking, rule, rivals), looks and times."""
    Rules.objects.create(team=team, **SILENT)
    own = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(count)])
    others = Product.objects.ensure([("amazon.com", f"B1{number:08}") for number in range(40)])
    Tracking.objects.bulk_create(
        Tracking(team=team, product=one, role="competitor", frequency=chance.choice(list(PATIENCE))) for one in others
    )
    frequencies = dict(Tracking.objects.filter(product__in=others).values_list("product", "frequency"))
    found = []
    for number, product in enumerate(own):
        rule, rivals = RULES[number % len(RULES)], chance.sample(others, 3)
        found.append((Tracking.objects.create(team=team, product=product, **rule), rule, rivals))
        compare(team, product, rivals)
    looks, times, at = {one.pk: [] for one in (*own, *others)}, [], start
    for _turn in range(LOOKS):
        at += timedelta(hours=chance.choice(gaps))
        times.append(at)
        for one in (*own, *others):
            looks[one.pk].append(one_look(chance, at))
        rows = [shown(one, looks[one.pk][-1]) for one in (*own, *others) if looks[one.pk][-1]]
        run, answer = started_run([*own, *others]), answer_of(*rows, at=at)
        run.ingest(answer)
        assert run.ingest(answer) == []
    sides = {pk: (seen, PATIENCE[frequencies.get(pk, "3_daily")]) for pk, seen in looks.items()}
    return found, sides, times


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.long)])
def test_histories_are_told_right_and_nothing_twice(alice, settings, count):
    settings.APIFY_DAILY_BUDGET_USD = Decimal(1000)
    team = alice.teams.get()
    found, sides, times = histories(team, random.Random(9), count, NOON, [1, 20, 24, 30, 71, 73, 100])

    told = Counter(Change.objects.values_list("tracking_id", "seen_at"))
    oracle = Counter(
        (row.pk, at)
        for row, rule, rivals in found
        for at in expected(rule, sides[row.product_id], [sides[rival.pk] for rival in rivals], times)
    )
    rules = {row.pk: str(rule) for row, rule, _rivals in found}
    assert not Counter(rules[pk] for pk, _at in (told - oracle) + (oracle - told))
    assert set(told.values()) == {1}
    assert {rules[pk] for pk, _at in told} == {str(rule) for rule in RULES if rule.get("currency") != "EUR"}


@pytest.mark.later
def test_a_preview_counts_what_was_told(alice, settings):
    settings.APIFY_DAILY_BUDGET_USD = Decimal(1000)
    found, _sides, _times = histories(
        alice.teams.get(), random.Random(8), 35, now() - timedelta(days=39), [20, 24, 100]
    )

    for tracking, rule, _rivals in found:
        tracking = Tracking.objects.select_related("product").get(pk=tracking.pk)
        said = preview([tracking], lambda one: told_of([one])[one.pk])
        real = Change.objects.filter(tracking=tracking, seen_at__gte=now() - timedelta(days=30)).count()
        assert said.total == real, rule
    assert Change.objects.count() > 20


@pytest.fixture
def beside(alice, lamp, competitors):
    """The lamp beside three others, of which it is to be told when one is cheaper."""
    Rules.objects.create(team=alice.teams.get(), rival_percent=0, **SILENT)
    return compare(alice.teams.get(), lamp, competitors[:3])


def prices(products, at, *amounts):
    """Have several products looked at in one run; return what was told."""
    rows = [listing(asin=one.asin, price=Decimal(amount)) for one, amount in zip(products, amounts, strict=True)]
    return started_run(products).ingest(answer_of(*rows, at=at))


@pytest.mark.later
def test_it_is_told_once_and_again_when_it_was_over(beside, lamp, competitors):
    rival, day = competitors[0], timedelta(days=1)
    assert prices([lamp, rival], NOON, 20, 25) == []

    (change,) = prices([rival], NOON + day, 18)
    assert (change.kind, change.before, change.after, change.direction) == ("rival_price", "18", "20.00", "worse")
    assert change.severity == "2_warning"
    assert round(change.percent, 1) == Decimal("11.1")
    assert sentence(change).endswith("price beside a competitor theirs $18.00 → yours $20.00 (+11.1 %)")
    assert prices([rival], NOON + 2 * day, 17) == []
    assert prices([lamp], NOON + 3 * day, 16) == []
    assert len(prices([lamp], NOON + 4 * day, 19)) == 1


@pytest.mark.later
def test_all_that_it_falls_behind_at_once_is_one_line(beside, lamp, competitors):
    prices([lamp, *competitors[:3]], NOON, 10, 12, 15, 30)

    (change,) = prices([lamp], NOON + timedelta(days=1), 20)

    assert (change.before, change.after) == ("12.00", "20")
    assert change.subject == "A lamp (+1)"


@pytest.mark.later
@pytest.mark.parametrize(
    "why",
    ["paused comparison", "paused product", "paused competitor", "removed competitor", "another team's", "not compared",
     "muted", "another marketplace"],
)  # fmt: skip
def test_what_is_not_told(alice, charlie, beside, lamp, competitors, why):
    team = alice.teams.get()
    rival = competitors[0]
    trackings = Tracking.objects.filter(team=team)
    if why == "paused comparison":
        Comparison.objects.update(paused=True)
    elif why == "paused product":
        trackings.filter(product=lamp).update(paused=True)
    elif why == "paused competitor":
        trackings.filter(product=rival).update(paused=True)
    elif why == "removed competitor":
        trackings.filter(product=rival).remove()
    elif why == "another team's":
        Comparison.objects.update(team=charlie.teams.get())
    elif why == "not compared":
        rival = competitors[4]
    elif why == "muted":
        Rules.objects.update(muted_until=NOON + timedelta(days=2))
    elif why == "another marketplace":
        Product.objects.filter(pk=rival.pk).update(marketplace="amazon.de")
        rival.refresh_from_db()
    for turn, amount in enumerate((30, 10)):
        prices([lamp], NOON + timedelta(hours=turn), 20)
        rows = [listing(asin=rival.asin, price=Decimal(amount), currency=rival.currency)]
        started_run([rival]).ingest(answer_of(*rows, at=NOON + timedelta(hours=turn, minutes=1)))

    assert not Change.objects.exists()


@pytest.mark.later
def test_the_number_of_queries_does_not_grow(alice):
    team = alice.teams.get()
    Rules.objects.create(team=team, rival_percent=0)
    counts = []
    for size in (1, 12):
        own = Product.objects.ensure([("amazon.com", f"B2{size:03}{number:05}") for number in range(size)])
        others = Product.objects.ensure([("amazon.com", f"B3{size:03}{number:05}") for number in range(3)])
        Tracking.objects.watch(team, own, "own", "3_daily")
        Tracking.objects.watch(team, others, "competitor", "3_daily")
        for one in own:
            compare(team, one, others)
        prices([*own, *others], NOON, *[10] * size, *[20] * 3)
        with CaptureQueriesContext(connection) as asked:
            assert prices(own, NOON + timedelta(hours=1), *[30] * size)
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_an_amount_needs_its_currency_and_all_is_tried_before(client, alice, beside, lamp, competitors):
    client.force_login(alice)
    for days, own, other in ((5, 20, 25), (3, 20, 18), (1, 20, 25)):
        prices([lamp, competitors[0]], now() - timedelta(days=days), own, other)
    quiet = {**SILENT, "tell_buybox": "False", "tell_availability": "False", "tell_listing": "False"}

    assert client.post("/products/rules/", {"rival_amount": "1"}).status_code == 422
    assert client.post("/products/rules/", {"rival_percent": "-1"}).status_code == 422
    words = {**quiet, "rival_amount": "1", "currency": "USD", "try": "1"}
    tried = client.post("/products/rules/", words).content.decode()
    assert "This would have told you 1 time in 30 days" in tried
    assert "price beside a competitor: 1" in tried.lower()


def test_the_feed_narrows_to_it_and_the_page_shows_it(client, alice, beside, lamp, competitors):
    prices([lamp, competitors[0]], now() - timedelta(days=1), 20, 25)
    prices([lamp], now(), 30)
    client.force_login(alice)

    page = client.get("/changes/?kind=rival_price").content.decode()

    assert "theirs $25.00" in page
    assert "yours $30.00" in page
