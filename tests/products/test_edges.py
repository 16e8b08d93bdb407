"""Where a text, a count or an age meets its bound: one before it, at it, one beyond."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db.models import CharField
from django.db.models.functions import Now
from django.utils.timezone import now

from products.listing import Outcome, Rank
from products.models import Frequency, Picture, Product, ScrapeRun, Tracking
from products.models import scrape_run as runs
from products.models.cleanup import WORK, Cleanup, day, week
from products.models.imports import Import
from products.models.product import in_turns
from products.models.rivals import Crossing
from products.models.rules import Told
from products.templatetags.pilot import shown
from products.words import percent
from tests.world import NOON, see

LATER = NOON + timedelta(days=1)
TICK = timedelta(seconds=1)


def widths(row, *names):
    """How many letters of these columns are used, and how many they hold."""
    columns = {field.name: field.max_length for field in row._meta.fields if isinstance(field, CharField)}
    return {name: (len(getattr(row, name)), columns[name]) for name in names or columns}


def test_texts_are_cut_at_what_their_columns_hold_and_not_before(lamp):
    see(lamp, seller="A" * 300, seller_id="1" * 50)
    changes = see(
        lamp, LATER, title="T" * 3000, brand="B" * 300, seller="S" * 300, seller_id="2" * 50,
        availability_text="x" * 300, ranks=(Rank("R" * 300, 7),), content_hash="b" * 64,
    )  # fmt: skip

    look = lamp.snapshots.get(taken_at=LATER)
    for row, names in (
        (lamp, ("title", "brand", "bsr_category", "seller", "seller_id")),
        (look, ("seller", "seller_id", "availability_text")),
        (look.ranks.get(), ("category",)),
        (changes[0], ("before", "after")),
    ):
        assert all(used == most for used, most in widths(row, *names).values()), (row._meta, widths(row, *names))


def test_a_rank_in_a_category_of_a_very_long_name_is_compared_with_its_own(lamp):
    see(lamp, ranks=(Rank("R" * 199 + "a" + "z" * 50, 100),))
    same = see(lamp, LATER, ranks=(Rank("R" * 199 + "a" + "z" * 50, 10),))
    other = see(lamp, LATER + timedelta(days=1), ranks=(Rank("R" * 199 + "b", 100),))

    assert ([change.kind for change in same], other) == (["bsr_change"], [])


@pytest.mark.parametrize(("before", "after"), [(0, 1), (29_999, 30_000), (30_000, 30_000)])
def test_failures_are_counted_one_by_one_as_far_as_the_column_goes(before, after):
    product = Product(failures=before)

    product.note_outcome(Outcome.BAD, NOON)

    assert product.failures == after


@pytest.mark.parametrize(
    ("failures", "rests"), [(0, timedelta(hours=1)), (1, timedelta(hours=6)), (2, timedelta(hours=24)), (3, None)]
)
def test_a_product_rests_longer_after_each_failure_and_is_left_alone_after_the_fourth(failures, rests):
    product = Product(failures=failures)

    product.note_outcome(Outcome.BAD, NOON)

    assert (product.retry_at, product.monitored) == (rests and NOON + rests, rests is not None)


@pytest.mark.parametrize(
    ("price", "list_price", "percent"),
    [("75", "100", "25"), ("100", "100", None), ("101", "100", None), ("10", None, None), (None, "10", None)],
)
def test_a_discount_is_what_a_price_lies_below_the_list_price(price, list_price, percent):
    product = Product(price=price and Decimal(price), list_price=list_price and Decimal(list_price))

    assert product.discount_percent == (percent and Decimal(percent))


def test_each_has_its_turn_before_any_has_a_second_one():
    assert in_turns(["a1", "a2", "a3", "b1", "c1", "b2"], lambda row: row[0]) == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_a_product_that_is_known_is_not_made_again(lamp):
    both = [("amazon.com", "B0LAMP0001"), ("amazon.com", "B0LAMP0002")]

    found = [Product.objects.ensure(both), Product.objects.ensure(both)]

    assert [{product.asin for product in products} for products in found] == [{"B0LAMP0001", "B0LAMP0002"}] * 2
    assert Product.objects.count() == 2


def test_a_batch_holds_all_ids_of_a_site_and_never_two_sites(db):
    Product.objects.ensure([(site, f"B0BATCH{n:03}") for site in ("amazon.com", "amazon.de") for n in range(5)])

    parts = list(Product.objects.order_by("pk").batches(2))

    assert [len(part) for part in parts] == [2, 2, 1, 2, 2, 1]
    assert sorted(pk for part in parts for pk in part) == sorted(Product.objects.values_list("pk", flat=True))
    assert all(Product.objects.filter(pk__in=part).values("marketplace").distinct().count() == 1 for part in parts)


@pytest.mark.parametrize(
    ("frequency", "interval", "promise"),
    [(Frequency.HOURLY, 1, 2), (Frequency.SIX_HOURLY, 6, 9), (Frequency.DAILY, 24, 36), (Frequency.WEEKLY, 168, 192)],
)
def test_a_fact_is_old_after_three_intervals_and_late_after_its_promise(lamp, tracking, frequency, interval, promise):
    Tracking.objects.update(frequency=frequency)
    late = []
    for age in (timedelta(hours=promise), timedelta(hours=promise) + TICK):
        Product.objects.update(checked_at=NOON - age)
        row = Tracking.objects.select_related("product").get()
        late.append((row.is_late(NOON), Tracking.objects.late(NOON).exists()))

    assert (row.patience, late) == (timedelta(hours=3 * interval), [(False, False), (True, True)])


@pytest.mark.parametrize(("age", "is_late"), [(timedelta(hours=1), False), (timedelta(hours=1) + TICK, True)])
def test_the_first_look_is_late_after_an_hour(lamp, age, is_late):
    Tracking.objects.update(created_at=NOON - age)

    row = Tracking.objects.select_related("product").get()
    assert (row.is_late(NOON), Tracking.objects.late(NOON).exists()) == (is_late, is_late)


def test_nothing_is_told_until_the_minute_of_a_mute_and_of_a_pause_between_two():
    told = Told(muted_until=NOON, rearm_minutes=30)

    assert [told.is_muted(at) for at in (NOON - TICK, NOON)] == [True, False]
    assert [told.is_rearming(NOON - timedelta(minutes=30), at) for at in (NOON - TICK, NOON)] == [True, False]
    assert not Told().is_muted(NOON)
    assert not told.is_rearming(None, NOON)
    assert not Told().tell_listing


def test_of_many_competitors_the_name_of_one_stands_for_all():
    def name(more):
        rival = Product(title="x" * 80, asin="B0LAMP0002")
        return Crossing(rival, "rival_price", [], 1, 2, NOON, more).difference(NOON).subject

    assert [name(more).removeprefix("x" * 80) for more in (0, 1, 3)] == ["", " (+1)", " (+3)"]


# Runs


@pytest.mark.parametrize(
    ("state", "facts", "is_over"),
    [
        ("planned", {"created_at": timedelta(hours=24)}, True),
        ("planned", {"created_at": timedelta(hours=23, minutes=59)}, False),
        ("starting", {"starting_at": timedelta(hours=6)}, True),
        ("starting", {"starting_at": timedelta(hours=5, minutes=59)}, False),
        ("started", {"started_at": timedelta(hours=2), "polls": 90}, True),
        ("started", {"started_at": timedelta(hours=2), "polls": 89}, False),
        ("started", {"started_at": timedelta(hours=1, minutes=59), "polls": 90}, False),
        ("started", {"created_at": timedelta(hours=26), "started_at": timedelta(0), "polls": 90}, True),
        ("started", {"created_at": timedelta(hours=25), "started_at": timedelta(0), "polls": 90}, False),
        ("ingested", {"created_at": timedelta(days=9), "starting_at": timedelta(days=9), "polls": 90}, False),
    ],
)
def test_a_state_of_a_run_lasts_only_so_long(lamp, state, facts, is_over):
    run = ScrapeRun.objects.plan([lamp])
    told = {name: Now() - value if isinstance(value, timedelta) else value for name, value in facts.items()}
    ScrapeRun.objects.filter(pk=run.pk).update(state=state, apify_id="a", **told)

    assert ScrapeRun.objects.overdue().exists() is is_over


@pytest.mark.parametrize(
    ("kind", "state", "ages", "is_kept"),
    [
        *(("uncertain", "starting", {"starting_at": seconds}, kept) for seconds, kept in ((65, True), (55, False))),
        *(("unwatched", "started", {"checked_at": seconds}, kept) for seconds, kept in ((125, True), (115, False))),
        *(("unwatched", "started", {"started_at": seconds}, kept) for seconds, kept in ((125, True), (115, False))),
        ("unwatched", "started", {"started_at": 125, "checked_at": 115}, False),
        *(("unbilled", "failed", {"checked_at": seconds}, kept) for seconds, kept in ((3605, True), (3595, False))),
        *(("unbilled", "ingested", {"created_at": hours * 3600, "checked_at": 3605}, kept)
          for hours, kept in ((47.9, True), (48.1, False))),
    ],
)  # fmt: skip
def test_a_run_is_asked_about_again_after_its_time(lamp, kind, state, ages, is_kept):
    run = ScrapeRun.objects.plan([lamp])
    times = {name: Now() - timedelta(seconds=age) for name, age in ages.items()}
    ScrapeRun.objects.filter(pk=run.pk).update(state=state, apify_id="a", **times)

    assert getattr(ScrapeRun.objects, kind)().exists() is is_kept


@pytest.mark.parametrize(("age", "is_lost"), [(timedelta(minutes=3), True), (timedelta(minutes=2, seconds=50), False)])
def test_a_start_is_lost_after_its_time_of_grace(lamp, age, is_lost):
    run = ScrapeRun.objects.plan([lamp])
    ScrapeRun.objects.filter(pk=run.pk).update(state="starting", starting_at=Now() - age)

    assert run.mark_lost() is is_lost
    run.refresh_from_db()
    assert run.state == ("planned" if is_lost else "starting")


@pytest.mark.django_db
@pytest.mark.parametrize(("seconds", "is_broken_off"), [(595, False), (605, True)])
def test_a_clean_up_that_broke_off_is_named_once(seconds, is_broken_off):
    Cleanup.objects.begin()
    one, ended, *_others = Cleanup.objects.all()
    long_ago = Now() - timedelta(seconds=seconds)
    Cleanup.objects.filter(pk=one.pk).update(stepped_at=long_ago)
    Cleanup.objects.filter(pk=ended.pk).update(stepped_at=long_ago, ended_at=Now())

    assert Cleanup.objects.revive() == ([one.kind] if is_broken_off else [])
    assert Cleanup.objects.revive() == []


def test_a_run_is_asked_about_ever_less_often(lamp):
    run, waits = ScrapeRun.objects.plan([lamp]), []
    for _question in range(12):
        waits.append(run.note_poll().total_seconds())
        run.refresh_from_db()

    assert (waits, run.polls) == ([10, 20, 40] + 9 * [60], 12)


def test_busy_answers_are_counted_and_each_waits_longer(lamp):
    run, waits = ScrapeRun.objects.plan([lamp]), []
    for _answer in range(4):
        ScrapeRun.objects.filter(pk=run.pk).update(state="starting", attempts=1)
        waits.append(run.release(OSError("busy")))
        run.refresh_from_db()

    assert [wait.total_seconds() / 60 for wait in waits] == [1, 5, 15, 15]
    assert (run.busy_answers, run.attempts, run.state) == (4, 0, "planned")


def test_planning_that_goes_on_has_no_refusal_behind_it(lamp):
    ScrapeRun.objects.plan([lamp]).mark_failed("no", stops_planning=True)
    before = ScrapeRun.objects.refusal(), ScrapeRun.objects.is_stopped()

    resumed = [ScrapeRun.objects.resume_planning() for _time in range(2)]

    assert (before[0] is None, before[1], resumed) == (False, True, [1, 0])
    assert (ScrapeRun.objects.refusal(), ScrapeRun.objects.is_stopped()) == (None, False)


@pytest.mark.parametrize("is_refusal", [True, False])
def test_a_refusal_alone_keeps_in_mind_that_somebody_asked(lamp, is_refusal):
    run = ScrapeRun.objects.plan([lamp])
    Product.objects.update(asked_at=NOON)

    run.mark_failed("no", stops_planning=is_refusal)

    lamp.refresh_from_db()
    assert lamp.asked_at == (NOON if is_refusal else None)


@pytest.mark.parametrize(
    ("created_at", "counts"),
    [
        (datetime(2026, 6, 1, tzinfo=UTC), (False, True)),
        (datetime(2026, 5, 31, 23, 59, 59, 999999, tzinfo=UTC), (False, False)),
        (datetime(2026, 6, 30, tzinfo=UTC), (True, True)),
        (datetime(2026, 6, 29, 23, 59, 59, 999999, tzinfo=UTC), (False, True)),
    ],
)
def test_days_and_months_of_spending_begin_at_midnight(lamp, settings, monkeypatch, created_at, counts):
    settings.APIFY_USD_PER_RESULT = Decimal(1)
    ScrapeRun.objects.create(marketplace="amazon.com", cost_cap_usd=2, cost_usd=2)
    ScrapeRun.objects.update(created_at=created_at)
    monkeypatch.setattr(runs, "now", lambda: datetime(2026, 6, 30, 23, 59, 59, 999999, tzinfo=UTC))
    rooms = []
    for of_day, of_month in ((3, 99), (99, 3)):
        settings.APIFY_DAILY_BUDGET_USD, settings.APIFY_MONTHLY_BUDGET_USD = Decimal(of_day), Decimal(of_month)
        rooms.append(ScrapeRun.objects.affordable())

    assert rooms == [1 if is_counted else 3 for is_counted in counts]


# What is kept, and how long


@pytest.mark.parametrize(
    ("at", "its_day", "its_week"),
    [
        ("2026-06-01T00:00:00", ("06-01", "06-02"), ("06-01", "06-08")),  # a Monday
        ("2026-06-07T23:59:59.999999", ("06-07", "06-08"), ("06-01", "06-08")),
        ("2026-06-08T00:00:00", ("06-08", "06-09"), ("06-08", "06-15")),
        ("2026-07-01T12:30:30.5", ("07-01", "07-02"), ("06-29", "07-06")),
    ],
)
def test_days_and_weeks_are_utc_s(at, its_day, its_week):
    def midnights(names):
        return tuple(datetime.fromisoformat(f"2026-{name}T00:00:00+00:00") for name in names)

    moment = datetime.fromisoformat(f"{at}+00:00")
    assert (day(moment), week(moment)) == (midnights(its_day), midnights(its_week))


@pytest.mark.parametrize(
    ("kind", "days"), [("raw", 30), ("answers", 30), ("changes", 90), ("targets", 90), ("runs", 730)]
)
def test_each_kind_of_row_has_its_age(kind, days, db):
    old = now() - WORK[kind].until()

    assert abs(old - timedelta(days=days)) < timedelta(seconds=10)
    assert not Cleanup.objects.exists()


@pytest.mark.parametrize(("kind", "days", "period"), [("daily", 91, 1), ("weekly", 365, 7)])
def test_only_whole_periods_are_thinned_out(kind, days, period, db):
    age = now() - WORK[kind].until()

    assert timedelta(days=days) <= age <= timedelta(days=days + period, seconds=10)


@pytest.mark.parametrize(
    ("state", "kind", "age", "is_kept"),
    [
        ("read", "products", timedelta(hours=23, minutes=59), True),
        ("read", "products", timedelta(hours=24, minutes=1), False),
        ("read", "history", timedelta(hours=24, minutes=1), False),
        ("taken", "products", timedelta(days=89, hours=23), True),
        ("taken", "products", timedelta(days=90, hours=1), False),
        ("taken", "history", timedelta(days=99), True),
    ],
)
def test_files_are_forgotten_when_they_were_not_taken_and_later_all_the_same(alice, state, kind, age, is_kept):
    Import.objects.create(team=alice.teams.get(), state=state, kind=kind)
    Import.objects.update(created_at=Now() - age)

    assert Import.objects.prune() == int(not is_kept)


@pytest.mark.parametrize(
    ("attempts", "waits", "counted"),
    [(0, timedelta(minutes=10), 1), (1, timedelta(hours=2), 2), (2, timedelta(days=1), 3), (3, None, 4)],
)
def test_a_picture_that_does_not_come_waits_longer_each_time(lamp, attempts, waits, counted):
    picture = Picture.objects.create(
        product=lamp, source="https://m.media-amazon.com/x.jpg", attempts=attempts, due_at=now()
    )
    picture.claim()
    picture.fail("x" * 300, is_final=False)

    picture.refresh_from_db()
    assert (picture.attempts, len(picture.error)) == (counted, 200)
    assert picture.due_at is None if waits is None else abs(picture.due_at - now() - waits) < timedelta(seconds=20)


@pytest.mark.parametrize(("length", "is_wanted"), [(0, False), (1, True), (500, True), (501, False)])
def test_an_address_of_a_picture_is_as_long_as_the_column(lamp, length, is_wanted):
    assert Picture.objects.want_all([(lamp.pk, "x" * length, None)]) == ([lamp.pk] if is_wanted else [])


def test_what_a_job_had_longer_than_five_minutes_is_left_over_in_parts(alice, settings):
    settings.PICTURES = True
    products = Product.objects.ensure([("amazon.com", f"B0PICT{n:04}") for n in range(5)])
    ages = [timedelta(minutes=4, seconds=50), *[timedelta(minutes=5, seconds=n + 1) for n in range(4)]]
    for product, age in zip(products, ages, strict=True):
        Picture.objects.create(product=product, source="x", due_at=now() - age)

    found = Picture.objects.left_over(3)

    assert [len(part) for part in found] == [3, 1]
    assert products[0].pk not in [pk for part in found for pk in part]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, ""), ("0", "0.0 %"), ("0.04", "0.0 %"), ("-0.04", "0.0 %"), ("-0.06", "-0.1 %"),
        ("0.06", "+0.1 %"), ("-12.34", "-12.3 %"), ("1e4", "+10000.0 %"),
    ],
)  # fmt: skip
def test_what_rounds_to_nought_has_no_sign(value, written):
    assert percent(None if value is None else Decimal(value)) == written


@pytest.mark.parametrize(
    ("title", "most", "written"),
    [("abcde", 0, "abcde"), ("abcde", 5, "abcde"), ("abcde", 4, "abc…"), ("ab de", 4, "ab…"), ("abcde", 1, "…")],
)
def test_a_name_is_cut_where_there_is_no_room_for_all_of_it(title, most, written):
    assert shown(Tracking(product=Product(title=title)), most) == written
