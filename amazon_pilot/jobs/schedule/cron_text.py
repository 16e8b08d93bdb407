"""Cron lines in words, and what a clock change does to a fire."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from cronsim.explain import Expression
from django.utils.dates import WEEKDAYS
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from ..core import cron


@dataclass(frozen=True)
class Preview:
    """One coming fire: the instant in UTC, what the zone's clock reads then, and a note on a day of clock change."""

    at: datetime
    local: datetime
    note: str


def describe(text: str) -> str:
    """Return a cron line in words; lines beyond the usual shapes are spelt out in English, or else stay as they are.

    Raises CronError for a line that cannot be read.
    """
    line = cron.parse(text).line
    minute, hour, day, month, weekday = line.split()
    if month != "*":
        return _spelt_out(line)
    if (day, weekday) == ("*", "*") and (words := _within_a_day(minute, hour)):
        return words
    if not (minute.isdigit() and hour.isdigit()):
        return _spelt_out(line)
    time = f"{int(hour):02}:{int(minute):02}"
    if (day, weekday) == ("*", "*"):
        return _("Daily at %(time)s") % {"time": time}
    if day == "*" and weekday in set("01234567"):
        return _("Every %(day)s at %(time)s") % {"day": WEEKDAYS[(int(weekday) - 1) % 7], "time": time}
    if (day, weekday) == ("*", "1-5"):
        return _("Monday to Friday at %(time)s") % {"time": time}
    if day.isdigit() and weekday == "*":
        return _("On day %(day)s of each month at %(time)s") % {"day": day, "time": time}
    return _spelt_out(line)


def described(text: str) -> str:
    """Return a line in words, or as it is when it cannot be read."""
    try:
        return describe(text)
    except ValueError:
        return text


def _spelt_out(line: str) -> str:
    if not (get_language() or "en").startswith("en"):
        return line  # the library knows English alone
    return Expression(["0", *line.upper().split()]).explain()


def _within_a_day(minute: str, hour: str) -> str | None:
    if hour == "*" and (minute == "*" or minute.startswith("*/")):
        return _every_minutes(int(minute[2:] or 1))
    if minute.isdigit() and (hour == "*" or hour.startswith("*/")):
        return _every_hours(int(hour[2:] or 1), int(minute))
    return None


# The singular has to be asked for through ngettext too: where a language has one form for both, gettext alone would
# answer that form with its %(count)d unfilled.
def _every_minutes(count: int) -> str:
    return ngettext("Every minute", "Every %(count)d minutes", count) % {"count": count}


def _every_hours(count: int, minute: int) -> str:
    text = ngettext("Every hour at :%(minute)02d", "Every %(count)d hours at :%(minute)02d", count)
    return text % {"count": count, "minute": minute}


def preview(text: str, zone_name: str, after: datetime, count: int = 5) -> list[Preview]:
    """Return the next fires of a line, with a note on each that a clock change touches.

    Raises CronError, or ZoneInfoNotFoundError for an unknown zone.
    """
    zone, line = ZoneInfo(zone_name), cron.parse(text)
    moments = cron.next_fires(line, zone, after, count)
    return [Preview(moment, cron.wall_of(moment, zone), note(line, zone, moment)) for moment in moments]


def note(line: cron.Cron, zone: ZoneInfo, moment: datetime) -> str:
    """Return in words what a clock change does to the fire at `moment`; empty on an ordinary day."""
    wall = cron.wall_of(moment, zone)
    if not line.every_hour and line.wall_after(wall - timedelta(minutes=1)) != wall:
        return _("The clock skips the planned time that day, so this runs when it has jumped.")
    midnight = wall.replace(hour=0, minute=0)
    day = cron.instant_of(midnight + timedelta(days=1), zone) - cron.instant_of(midnight, zone)
    if day == timedelta(days=1):
        return ""
    if not line.every_hour and moment + _repeat(zone, moment) != moment:
        return _("The clock shows this time twice that day; this runs the first time.")
    if day < timedelta(days=1):
        return _("The clock goes forward that day: it lasts %s hours.") % _hours(day)
    return _("The clock goes back that day: it lasts %s hours.") % _hours(day)


def _repeat(zone: ZoneInfo, moment: datetime) -> timedelta:
    """Return how much later the clock of a zone shows the same time again; zero when it does not."""
    local = moment.astimezone(zone)
    return (local.utcoffset() or timedelta()) - (local.replace(fold=1).utcoffset() or timedelta())


def _hours(span: timedelta) -> str:
    return f"{span / timedelta(hours=1):g}"
