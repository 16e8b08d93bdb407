"""cron_text: lines in words, and notes on days when clocks change."""

import pytest
from django.utils import translation

from amazon_pilot.jobs.schedule import cron_text
from tests.jobs.schedule_world import at


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 9 * * *", "Daily at 09:00"),
        ("@hourly", "Every hour at :00"),
        ("0 */6 * * *", "Every 6 hours at :00"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("* * * * *", "Every minute"),
        ("0 2 * * 0", "Every Sunday at 02:00"),
        ("30 8 * * 1", "Every Monday at 08:30"),
        ("0 2 * * 7", "Every Sunday at 02:00"),
        ("0 9 * * 1-5", "Monday to Friday at 09:00"),
        ("0 4 1 * *", "On day 1 of each month at 04:00"),
        ("0 0 1 1 *", "At 00:00 on January 1"),
    ],
)
def test_lines_are_said_in_words(text, words):
    with translation.override("en"):
        assert cron_text.describe(text) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("* * * * *", "每 1 分钟"),
        ("*/15 * * * *", "每 15 分钟"),
        ("@hourly", "每 1 小时，于 :00"),
        ("30 8 * * 1", "每逢星期一 08:30"),
        ("0 0 1 1 *", "0 0 1 1 *"),
    ],
)
def test_lines_are_said_in_chinese_or_stay_as_they_are(text, words):
    with translation.override("zh-hans"):
        assert cron_text.describe(text) == words


def notes(text: str, after: str, zone: str = "America/New_York", count: int = 1) -> list[str]:
    with translation.override("en"):
        return [each.note for each in cron_text.preview(text, zone, at(after, zone), count)]


def test_a_skipped_time_is_noted():
    assert "skips the planned time" in notes("30 2 * * *", "2026-03-07 12:00")[0]


def test_a_repeated_time_is_noted():
    assert "twice that day" in notes("30 1 * * *", "2026-10-31 12:00")[0]


def test_a_fire_on_a_short_or_long_day_is_noted():
    assert notes("0 9 * * *", "2026-03-07 12:00") == ["The clock goes forward that day: it lasts 23 hours."]
    assert notes("@hourly", "2026-11-01 12:00") == ["The clock goes back that day: it lasts 25 hours."]
    assert notes("0 9 * * *", "2026-10-03 12:00", "Australia/Lord_Howe") == [
        "The clock goes forward that day: it lasts 23.5 hours."
    ]


def test_ordinary_days_have_no_note():
    assert notes("0 9 * * *", "2026-06-01 12:00", count=5) == [""] * 5
    assert notes("@hourly", "2026-06-01 12:00", "UTC", count=5) == [""] * 5


def test_a_preview_tells_the_instant_and_the_local_time():
    [first] = cron_text.preview("0 9 * * *", "Asia/Shanghai", at("2026-01-05 00:00"), 1)

    assert first.at == at("2026-01-05 01:00")
    assert first.local.strftime("%Y-%m-%d %H:%M") == "2026-01-05 09:00"
