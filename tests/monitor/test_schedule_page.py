"""The schedule's page: what fires next and fired last, what did not and why, its buttons, and the next day drawn."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.inspect import unfired
from amazon_pilot.jobs.models import AuditEntry, Fire, JobRun, ScheduleEntry, Silence
from amazon_pilot.jobs.schedule import board, entries, store
from tests.jobs.schedule_world import Clock, at, make_entry, make_scheduler

pytestmark = pytest.mark.django_db
PAGE = "/admin/monitor/schedule"
NOW = at("2026-01-05 12:00")
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _empty_settings(settings):
    settings.SCHEDULE = {}


def fire(outcome, ago, entry="stock", **more):
    planned = NOW - ago
    return Fire.objects.create(
        entry_id=entry, planned_at=planned, decided_at=more.pop("decided_at", planned), outcome=outcome, **more
    )


def cause(row):
    return unfired.causes([row])[0]


# Why something did not fire


def test_a_missed_fire_names_the_silence_of_the_schedulers():
    Silence.objects.note(NOW - timedelta(hours=9), NOW - timedelta(hours=8))
    Silence.objects.note(NOW - timedelta(hours=3, minutes=5), NOW - timedelta(hours=2))
    missed = fire("missed", timedelta(hours=3), decided_at=NOW - timedelta(hours=2))

    assert cause(missed) == "No scheduler ran from 2026-01-05 08:55:00 to 2026-01-05 10:00:00."


@pytest.mark.parametrize(
    ("ago", "is_named"),
    [
        (timedelta(hours=3), True),
        (timedelta(hours=3, seconds=1), False),
        (timedelta(hours=2), True),
        (timedelta(hours=1, minutes=59), False),
    ],
)
def test_a_silence_holds_from_its_first_to_its_last_second(ago, is_named):
    Silence.objects.note(NOW - timedelta(hours=3), NOW - timedelta(hours=2))

    assert ("No scheduler ran" in cause(fire("missed", ago))) is is_named


@pytest.mark.parametrize("late", [0, 1])
def test_a_fire_that_was_looked_at_within_the_grace_gave_way_to_another(settings, late):
    looked_at = NOW - timedelta(hours=3) + settings.SCHEDULE_GRACE + late * SECOND
    missed = fire("missed", timedelta(hours=3), decided_at=looked_at)

    assert ("in its stead" in cause(missed)) is (not late)


def test_a_missed_fire_without_a_known_silence_says_when_it_was_looked_at():
    missed = fire("missed", timedelta(hours=3), decided_at=NOW - timedelta(hours=1))

    assert cause(missed) == "No scheduler looked at it until 2026-01-05 11:00:00."


def test_a_fire_left_out_by_a_pause_names_who_paused_it_then():
    make_entry()
    mia, noah = User.objects.create_user("mia"), User.objects.create_user("noah")
    for who, ago, why in ((mia, 5, "closed"), (noah, 1, "later")):
        line = AuditEntry.objects.record(who, "pause", "schedule entry stock", reason=why)
        AuditEntry.objects.filter(pk=line.pk).update(at=NOW - timedelta(hours=ago))
    left_out = fire("skipped_paused", timedelta(hours=3), note="closed")

    assert cause(left_out) == "Paused by mia since 2026-01-05 07:00:00: “closed”"
    assert cause(fire("skipped_paused", timedelta(hours=9), note="closed")) == "It was paused: “closed”"


@pytest.mark.parametrize(
    ("outcome", "note", "says"),
    [
        ("skipped_overlap", "Job stock-1767603600 had not ended.", "Job stock-1767603600 had not ended."),
        (
            *("skipped_overlap", "On 2026-01-05 job stock-1767603600 had not ended."),
            "On 2026-01-05 job stock-1767603600 had not ended.",
        ),
        ("error", "There is no task x.", "There is no task x."),
        ("missed", "No scheduler sent it for six days.", "No scheduler sent it for six days."),
        ("enqueued", "", ""),
        ("manual", "", ""),
    ],
)
def test_what_the_row_itself_says_is_said(outcome, note, says):
    row = fire(outcome, timedelta(hours=3), note=note)

    assert cause(row) == says
    assert unfired.in_the_way(row) == ("stock-1767603600" if outcome == "skipped_overlap" else "")


def test_a_scheduler_that_comes_back_notes_for_how_long_nobody_looked(redis):
    clock = Clock(NOW)
    make_scheduler(redis, clock).tick()
    clock.forward(seconds=30)
    make_scheduler(redis, clock).tick()
    assert not Silence.objects.exists()

    clock.forward(minutes=17)
    redis.delete(store.LOCK)
    other = make_scheduler(redis, clock, "second")
    other.tick()
    other.tick()

    silence = Silence.objects.get()
    assert (silence.since, silence.until) == (NOW + timedelta(seconds=30), clock.now)


def test_a_clock_that_is_set_is_no_silence(redis):
    clock = Clock(NOW)
    scheduler = make_scheduler(redis, clock)
    scheduler.tick()
    clock.forward(hours=3)  # while no time passed
    scheduler.tick()

    assert not Silence.objects.exists()


def test_causes_of_many_fires_take_two_queries(django_assert_num_queries):
    rows = [fire("skipped_paused", timedelta(minutes=n), note="x") for n in range(30)]

    with django_assert_num_queries(2):
        assert len(unfired.causes(rows)) == 30


# The page


def test_the_page_shows_next_last_lag_outcome_and_what_did_not_fire(admin_client, redis):
    now = timezone.now()
    make_entry("stock", "0 9 * * *", next_at=now + timedelta(hours=1))
    planned = now - timedelta(hours=23)
    Fire.objects.create(
        entry_id="stock", planned_at=planned, decided_at=planned, enqueued_at=planned + timedelta(seconds=2),
        job_id="j1", outcome="enqueued",
    )  # fmt: skip
    JobRun.objects.create(job_id="j1", execution_id="e", task="t", queue="low", outcome="succeeded", started_at=planned,
                          ended_at=planned, duration=3)  # fmt: skip
    missed = now - timedelta(hours=2)
    Fire.objects.create(entry_id="stock", planned_at=missed, decided_at=now, outcome="missed")

    answer = admin_client.get(PAGE)
    text = answer.content.decode()
    (line,) = answer.context["board"]["value"]["lines"]

    assert (line.last.job_id, line.run.outcome, line.unfired_in_all) == ("j1", "succeeded", 1)
    assert "All times on this page are in the zone UTC" in text
    assert "No scheduler looked at it until" in text
    assert reverse("monitor:job", args=["j1"]) in text
    assert "2.0 s" in text


def test_thirty_entries_cost_as_many_queries_as_one(admin_client, redis, django_assert_max_num_queries):
    for n in range(30):
        make_entry(f"entry{n}", next_at=timezone.now() + timedelta(hours=1))
        fire("missed", timedelta(minutes=n), entry=f"entry{n}")
    with django_assert_max_num_queries(30):
        assert admin_client.get(PAGE).status_code == 200


def test_one_broken_entry_hides_no_other(admin_client, redis):
    make_entry("good", next_at=timezone.now())
    make_entry("bad", broken="no such zone")
    ScheduleEntry.objects.create(name="odd", cron="x y", zone="Nowhere/Land", task="t", queue="low")

    text = admin_client.get(PAGE).content.decode()

    for word in ("good", "bad", "odd", "no such zone"):
        assert word in text


@pytest.mark.parametrize(
    ("cron", "ticks", "is_band"),
    [
        ("0 9 * * *", 1, False),
        ("0 * * * *", 23, False),
        ("*/15 * * * *", 95, False),
        ("* * * * *", 0, True),
        ("0 9 1 6 *", 0, False),
    ],
)
def test_the_next_day_is_drawn(cron, ticks, is_band):
    track = board.track(make_entry(cron=cron), NOW)

    assert (len(track.ticks), track.is_band) == (ticks, is_band)
    assert all(0 <= tick.x <= 100 for tick in track.ticks)


def test_what_is_paused_until_a_time_is_drawn_from_then_on():
    entry = make_entry(cron="0 * * * *", paused_at=NOW, paused_until=NOW + timedelta(hours=12, minutes=30))

    assert len(board.track(entry, NOW).ticks) == 11


@pytest.mark.parametrize("day", ["2026-03-28 20:00", "2026-10-24 20:00"])
def test_hours_below_the_timeline_are_those_of_the_viewers_clock_through_a_change(day):
    now = at(day)
    with timezone.override(ZoneInfo("Europe/Berlin")):
        hours = list(board.hours(now))

    assert len(hours) >= 7
    for hour in hours:  # x is rounded to some seconds
        moments = [now + timedelta(days=hour.x / 100, seconds=seconds) for seconds in (-30, 30)]
        assert hour.title in {f"{moment.astimezone(ZoneInfo('Europe/Berlin')):%H}:00" for moment in moments}


def test_a_day_of_a_clock_change_is_told(admin_client, redis):
    make_entry("spring", "30 2 * * *", zone="Europe/Berlin", next_at=datetime(2027, 3, 28, 1, 30, tzinfo=UTC))
    line = board.lines(datetime(2027, 3, 27, 12, tzinfo=UTC))[0]

    assert any(each.note for each in line.coming)


# The buttons


@pytest.fixture
def staff(client):
    def sign_in(*names):
        user = User.objects.create_user("staff", password="x", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=["view_jobrun", "view_scheduleentry", *names]))
        client.force_login(user)
        return client

    return sign_in


def press(client, verb, **words):
    return client.post(f"{PAGE}/stock/{verb}", words, follow=True)


def test_an_entry_is_run_paused_and_resumed_in_its_row(staff, redis, django_capture_on_commit_callbacks):
    make_entry()
    client = staff("operate_schedule")

    with django_capture_on_commit_callbacks(execute=True):
        press(client, "run-now", reason="try it")
        press(client, "pause", reason="closed", minutes="30")
    entry = ScheduleEntry.objects.get()
    assert entry.is_paused
    assert entry.paused_until - timezone.now() < timedelta(minutes=31)
    assert redis.llen("rq:queue:default") == 1
    press(client, "resume")

    assert not ScheduleEntry.objects.get().is_paused
    lines = AuditEntry.objects.order_by("pk").values_list("action", "actor__username", "reason")
    assert list(lines) == [("run now", "staff", "try it"), ("pause", "staff", "closed"), ("resume", "staff", "")]


def test_an_entry_is_edited_in_its_row(staff, redis):
    make_entry()
    client = staff("operate_schedule", "change_scheduleentry")

    press(client, "edit", cron="30 6 * * *", zone="Europe/Berlin", queue="low", reason="earlier")
    wrong = press(client, "edit", cron="30 26 * * *", zone="UTC", queue="low")

    entry = ScheduleEntry.objects.get()
    assert (entry.cron, entry.zone, entry.queue) == ("30 6 * * *", "Europe/Berlin", "low")
    assert "Cron: “26” cannot be read as hour" in wrong.content.decode()
    assert AuditEntry.objects.get().action == "edit"


@pytest.mark.parametrize("verb", ["run-now", "pause", "resume", "edit"])
def test_who_may_not_is_refused_and_nothing_changes(staff, redis, verb):
    make_entry()
    client = staff()

    assert client.post(f"{PAGE}/stock/{verb}", {"reason": "x", "cron": "0 1 * * *"}).status_code == 403
    assert client.get(f"{PAGE}/stock/{verb}").status_code == 405
    assert f"{PAGE}/stock/{verb}" not in client.get(PAGE).content.decode()
    assert not AuditEntry.objects.exists()


def test_an_unknown_entry_is_told(staff, redis):
    answer = press(staff("operate_schedule"), "resume")

    assert "The schedule has no entry stock." in answer.content.decode()


def test_the_pause_asks_for_a_reason(staff, redis):
    make_entry()
    answer = press(staff("operate_schedule"), "pause", reason=" ")

    assert "Say why" in answer.content.decode()
    assert not ScheduleEntry.objects.get().is_paused


def test_pausing_by_the_verb_is_what_the_page_tells(admin_client, redis):
    entry = make_entry()
    entries.pause(entry, User.objects.get(username="admin"), "The shop is closed")

    assert "Paused by admin: “The shop is closed”" in admin_client.get(PAGE).content.decode()
