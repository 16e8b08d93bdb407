"""cron: what a line means, and when it fires next in a zone."""

from datetime import datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest

from amazon_pilot.jobs.core import cron
from tests.jobs import oracle
from tests.jobs.schedule_world import at

ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Shanghai", "America/St_Johns", "UTC")


def fires(text: str, zone: str, start: str, end: str) -> list[str]:
    """Answer the fires from start to end, all as the clock of the zone reads, with the offset."""
    found, moment, last = [], at(start, zone) - timedelta(seconds=1), at(end, zone)
    while (moment := cron.next_fire(cron.parse(text), ZoneInfo(zone), moment)) < last:
        found.append(moment.astimezone(ZoneInfo(zone)).strftime("%d %H:%M %z"))
    return found


def test_a_time_that_does_not_exist_fires_once_at_the_next_valid_moment():
    found = fires("30 2 * * *", "America/New_York", "2026-03-07", "2026-03-10")

    assert found == ["07 02:30 -0500", "08 03:00 -0400", "09 02:30 -0400"]


def test_several_times_in_one_gap_fire_once_together():
    found = fires("*/15 2,3 * * *", "America/New_York", "2026-03-08", "2026-03-09")

    assert found == ["08 03:00 -0400", "08 03:15 -0400", "08 03:30 -0400", "08 03:45 -0400"]


def test_a_time_that_comes_twice_fires_the_first_time():
    found = fires("30 1 * * *", "America/New_York", "2026-10-31", "2026-11-03")

    assert found == ["31 01:30 -0400", "01 01:30 -0400", "02 01:30 -0500"]


def test_a_gap_of_half_an_hour_moves_a_fire_to_its_end():
    assert fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", "2026-10-05") == ["04 02:30 +1100"]


def test_a_repeated_half_hour_fires_the_first_time():
    assert fires("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", "2026-04-06") == ["05 01:45 +1100"]


@pytest.mark.parametrize(("day", "count"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-06-01", 24)])
def test_an_hourly_entry_fires_every_real_hour(day, count):
    start = at(day, "America/New_York")
    end = at(str(datetime.fromisoformat(day) + timedelta(days=1)), "America/New_York")

    moments = cron.next_fires(cron.parse("@hourly"), ZoneInfo("America/New_York"), start - timedelta(seconds=1), 30)

    assert moments[:count] == [start + timedelta(hours=n) for n in range(count)]
    assert moments[count] == end


def test_every_quarter_of_an_hour_is_kept_through_both_changes():
    for day in ("2026-03-08", "2026-11-01"):
        start = at(day, "America/New_York")
        moments = cron.next_fires(cron.parse("*/15 * * * *"), ZoneInfo("America/New_York"), start, 100)
        assert moments == [start + timedelta(minutes=15 * n) for n in range(1, 101)]


def test_six_hourly_fires_four_times_on_a_short_and_on_a_long_day():
    for day, next_day in (("2026-03-08", "2026-03-09"), ("2026-11-01", "2026-11-02")):
        hours = [found[3:8] for found in fires("0 */6 * * *", "America/New_York", day, next_day)]
        assert hours == ["00:00", "06:00", "12:00", "18:00"]


def test_a_midnight_that_does_not_exist_fires_at_one():
    assert fires("0 0 * * *", "America/Havana", "2026-03-08 01:00", "2026-03-08 12:00") == ["08 01:00 -0400"]


def test_the_next_fire_is_later_than_the_last_one_also_within_the_repeated_hour():
    second_half_past_one = at("2026-11-01 01:30", "America/New_York") + timedelta(hours=1)

    following = cron.next_fire(cron.parse("45 1 * * *"), ZoneInfo("America/New_York"), second_half_past_one)

    assert following == at("2026-11-02 01:45", "America/New_York")


@pytest.mark.parametrize("before", [0.25, 0.5, 0.75, 1, 1.5, 2, 86_400])
@pytest.mark.parametrize("after", [0, 0.25, 0.75, 1, 3600])
def test_a_change_of_clocks_is_found_to_the_second(before, after):
    change = at("2026-03-08 03:00", "America/New_York")
    early, late = change - timedelta(seconds=before), change + timedelta(seconds=after)

    found = cron.change_between(early, late, ZoneInfo("America/New_York"))

    assert change <= found < change + timedelta(seconds=1.001)


CHANGES = [
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-04-05"),  # by half an hour
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Asia/Shanghai", "2026-02-28"),  # never
]
LINES = ("*/20 * * * *", "30 * * * *", "0,30 0-5 * * *", "15 2 * * *", "45 1 * * 0,6", "0 */6 * * *")


@pytest.mark.parametrize(("zone", "day"), CHANGES)
@pytest.mark.parametrize("line", LINES)
def test_lines_agree_with_a_walk_through_each_minute_of_the_days_around_a_change(zone, day, line):
    start = at(day, zone) - timedelta(days=1)
    end = start + timedelta(days=3)

    found = cron.next_fires(cron.parse(line), ZoneInfo(zone), start - timedelta(seconds=1), 250)

    assert [moment for moment in found if moment < end] == oracle.fires({"": line}, zone, start, end)[""]


@pytest.mark.later
@pytest.mark.parametrize("zone", [ZONES[0], *(pytest.param(zone, marks=pytest.mark.long) for zone in ZONES[1:])])
def test_random_lines_agree_with_a_walk_through_every_minute_of_a_year(zone):
    random = Random(zone)
    lines = {str(number): random_line(random) for number in range(12)}
    start, end = at("2026-01-15", zone), at("2026-12-15", zone)

    expected = oracle.fires(lines, zone, start, end)

    for name, line in lines.items():
        found, moment = [], start - timedelta(seconds=1)
        while (moment := cron.next_fire(cron.parse(line), ZoneInfo(zone), moment)) < end:
            found.append(moment)
        assert found == expected[name], (line, zone)


def random_line(random: Random) -> str:
    """Make a line, often one whose times fall into the hours in which clocks change."""
    return " ".join(
        (
            random.choice(["0", "30", "59", "5,35", "10-50/20", "*/20"]),
            random.choice(["*", "0", "1", "2", "0,2", "1-3", "*/2", "1-5/2", "9-17", "23"]),
            random.choice(["*", "*", "1", "15", "28-31", "*/2"]),
            random.choice(["*", "*", "3", "4,10,11"]),
            random.choice(["*", "*", "0", "1-5", "6,7"]),
        )
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("0 9 * * *", "0 9 * * *"),
        ("@hourly", "0 * * * *"),
        ("@Daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("@monthly", "0 0 1 * *"),
        ("@yearly", "0 0 1 1 *"),
        ("daily at 09:00", "0 9 * * *"),
        ("Every day at 7:05", "5 7 * * *"),
        ("weekly on sunday at 02:00", "0 2 * * 0"),
        ("every monday at 8:30", "30 8 * * 1"),
        ("every 15 minutes", "*/15 * * * *"),
        ("every minute", "* * * * *"),
        ("every 6 hours", "0 */6 * * *"),
        ("every 60 minutes", "0 * * * *"),
        ("every 1 minute", "* * * * *"),
        ("every 30 minutes", "*/30 * * * *"),
        ("every 1 hour", "0 * * * *"),
        ("every 12 hours", "0 */12 * * *"),
        ("every 24 hours", "0 0 * * *"),
        ("daily at 23:59", "59 23 * * *"),
        ("daily at 0:00", "0 0 * * *"),
        ("@annually", "0 0 1 1 *"),
        ("weekly", "0 0 * * 0"),
        ("  0 9 * * *  ", "  0 9 * * *"),
    ],
)
def test_cron_lines_aliases_and_phrases_are_understood(text, line):
    assert cron.parse(text).line == line


@pytest.mark.parametrize(
    ("text", "reason", "position"),
    [
        ("61 * * * *", "“61” cannot be read as minute", 1),
        ("0 9 * * mon-", "“mon-” cannot be read as day of the week", 9),
        ("0 1,25 * * *", "“25” cannot be read as hour", 5),
        ("0  9 0 * *", "“0” cannot be read as day of the month", 6),
        ("*/0 * * * *", "“*/0” cannot be read as minute", 1),
        ("0 9 * *", "Five fields are needed", 8),
        ("0 0 9 * * *", "Five fields are needed", 11),
        ("@reboot", "“@reboot” is not known", 1),
        ("0 0 31 2 *", "That day never comes", 5),
        ("daily at 25:00", "25 is not from 0 to 23", 10),
        ("daily at 09:60", "60 is not from 0 to 59", 13),
        ("daily at 24:00", "24 is not from 0 to 23", 10),
        ("every 7 minutes", "60 cannot be divided evenly by 7", 7),
        ("every 0 minutes", "60 cannot be divided evenly by 0", 7),
        ("every 120 minutes", "60 cannot be divided evenly by 120", 7),
        ("every 9 hours", "24 cannot be divided evenly by 9", 7),
        ("every 48 hours", "24 cannot be divided evenly by 48", 7),
        ("0 9 1-99 * *", "“1-99” cannot be read as day of the month", 5),
        ("0 9 * 1,13 *", "“13” cannot be read as month", 9),
        ("0 9", "Five fields are needed (minute, hour, day of the month, month, day of the week), not 2", 4),
        ("1 2 3 4 5 6 7", "not 7", 11),
        ("", "A cron line is needed", 1),
    ],
)
def test_a_wrong_line_is_refused_with_the_reason_and_the_position(text, reason, position):
    with pytest.raises(cron.CronError) as refusal:
        cron.parse(text)

    assert reason in refusal.value.reason
    assert refusal.value.position == position
    assert f"(position {position})" in str(refusal.value)
