"""The arithmetic of cron lines: what a line means, and when it fires next in a time zone.

cronsim reads the line and walks the wall clock. What a clock change does to a fire is decided here:

* An entry that names its hours (`30 2 * * *`, `0 */6 * * *`) fires once for each time it names. A time that does not
  exist that day fires at the first valid moment after the gap; a time that comes twice fires the first time.
* An entry that runs in every hour (`0 * * * *`, `*/15 * * * *`) follows the real hours: whenever the wall clock
  matches, so 23 times on a short day and 25 times on a long one.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NoReturn
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from cronsim.cronsim import Field
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

ALIASES = {
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "midnight": "0 0 * * *",
    "weekly": "0 0 * * 0",
    "monthly": "0 0 1 * *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
}
WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
AT = r"at (?P<hour>\d{1,2}):(?P<minute>\d{1,2})"
AT_A_TIME = re.compile(rf"(?:(?P<daily>daily|every day)|(?:every|weekly on) (?P<day>{'|'.join(WEEKDAYS)})) {AT}")
EVERY = re.compile(r"every (?P<count>\d+) (?P<unit>minute|hour)s?")
FIELDS = (
    (Field.MINUTE, gettext_lazy("minute"), "0-59"),
    (Field.HOUR, gettext_lazy("hour"), "0-23"),
    (Field.DAY, gettext_lazy("day of the month"), "1-31, L"),
    (Field.MONTH, gettext_lazy("month"), "1-12, JAN-DEC"),
    (Field.DOW, gettext_lazy("day of the week"), "0-7, SUN-SAT"),
)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class CronError(ValueError):
    """A cron line that cannot be used: `reason` is a sentence, `position` the column it speaks of, from 1."""

    def __init__(self, reason: str, position: int) -> None:
        self.reason = reason
        self.position = position
        super().__init__(_("%(reason)s (position %(position)d)") % {"reason": reason, "position": position})


@dataclass(frozen=True)
class Cron:
    """A line that was read: `line` in five fields, and whether it runs in every hour of the day."""

    line: str
    every_hour: bool

    def wall_after(self, wall: datetime) -> datetime:
        """Return the first matching reading of a wall clock after `wall`; both are without a zone."""
        return next(CronSim(self.line, wall))


@lru_cache(maxsize=1024)
def parse(text: str) -> Cron:
    """Read a cron line, an alias such as @hourly, or a phrase such as "daily at 09:00" or "every 15 minutes".

    Raises CronError, which tells the reason and the position.
    """
    line = _line(text)
    _check_terms(line)
    try:
        cron = Cron(line, every_hour=Field.HOUR.parse(line.split()[1].upper()) == set(range(24)))
        cron.wall_after(datetime(2000, 1, 1))
    except (CronSimError, StopIteration):
        raise CronError(_("That day never comes."), _column(line, 2)) from None
    return cron


def next_fire(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime:
    """Return the first fire later than `after`, in UTC; seconds are 0 unless a zone changes its clock within a minute.

    `after` must be aware.
    """
    after = after.astimezone(UTC)
    return _next_real(cron, zone, after) if cron.every_hour else _next_named(cron, zone, after)


def next_fires(cron: Cron, zone: ZoneInfo, after: datetime, count: int) -> list[datetime]:
    """Return the next `count` fires later than `after`, in UTC."""
    fires: list[datetime] = []
    for _turn in range(count):
        after = next_fire(cron, zone, after)
        fires.append(after)
    return fires


def instant_of(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which a clock in `zone` reads `wall`, in UTC.

    The first of two such instants; for a reading that is skipped, the moment at which the clock jumps over it.
    """
    instant = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if wall_of(instant, zone) == wall:
        return instant
    # A skipped reading lies after the jump by the old offset (fold 0) and before it by the new one (fold 1).
    return change_between(wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant, zone)


def wall_of(instant: datetime, zone: ZoneInfo) -> datetime:
    """Return what a clock in `zone` reads at `instant`, without a zone."""
    return instant.astimezone(zone).replace(tzinfo=None, fold=0)


def offset_of(instant: datetime, zone: ZoneInfo) -> timedelta:
    """Return how far clocks in `zone` are ahead of UTC at `instant`."""
    return instant.astimezone(zone).utcoffset() or timedelta()


def change_between(early: datetime, late: datetime, zone: ZoneInfo) -> datetime:
    """Return the second at which the offset of `early` ends, given that `late` has another one."""
    before = offset_of(early, zone)
    while late - early > SECOND:
        middle = early + ((late - early) // 2 // SECOND or 1) * SECOND
        if offset_of(middle, zone) == before:
            early = middle
        else:
            late = middle
    return late


def _next_named(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime:
    wall = wall_of(after, zone)
    while True:
        wall = cron.wall_after(wall)
        instant = instant_of(wall, zone)
        # Not later: a time in the second pass of a repeated hour, or another time of the same gap.
        if instant > after:
            return instant


def _next_real(cron: Cron, zone: ZoneInfo, after: datetime) -> datetime:
    offset = offset_of(after, zone)
    while True:
        instant = (cron.wall_after((after + offset).replace(tzinfo=None)) - offset).replace(tzinfo=UTC)
        change = _first_change(after, instant, offset, zone)
        if change is None:
            return instant
        # From the change on the clock reads otherwise; a fire at the very moment of the change counts.
        after = change - SECOND
        offset = offset_of(change, zone)


def _first_change(after: datetime, until: datetime, offset: timedelta, zone: ZoneInfo) -> datetime | None:
    """Return the first second in (after + 1 s, until] whose offset is not `offset`; no zone changes twice in a day."""
    early = after + SECOND
    while early < until:
        late = min(early + DAY, until)
        if offset_of(late, zone) != offset:
            return change_between(early, late, zone)
        early = late
    return None


def _line(text: str) -> str:
    """Return five fields for what was typed; the columns of a cron line stay as they were typed."""
    phrase = " ".join(text.lower().split())
    if not phrase:
        raise CronError(_("A cron line is needed, such as 0 9 * * * or @hourly."), 1)
    if phrase.removeprefix("@") in ALIASES:
        return ALIASES[phrase.removeprefix("@")]
    if phrase == "every minute":
        return "* * * * *"
    if match := AT_A_TIME.fullmatch(phrase):
        return _line_at_a_time(match, text)
    if match := EVERY.fullmatch(phrase):
        return _line_every(match, text)
    if phrase.startswith("@"):
        known = ", ".join(f"@{name}" for name in ALIASES)
        raise CronError(_("“%(word)s” is not known; there are %(known)s.") % {"word": phrase, "known": known}, 1)
    return text.rstrip()


def _line_at_a_time(match: re.Match[str], text: str) -> str:
    for part, most in (("hour", 23), ("minute", 59)):
        if int(match[part]) > most:
            reason = _("%(number)s is not from 0 to %(most)d.") % {"number": match[part], "most": most}
            raise CronError(reason, text.rfind(match[part] + (":" if part == "hour" else "")) + 1)
    day = "*" if match["daily"] else WEEKDAYS.index(match["day"])
    return f"{int(match['minute'])} {int(match['hour'])} * * {day}"


def _line_every(match: re.Match[str], text: str) -> str:
    count, whole = int(match["count"]), 60 if match["unit"] == "minute" else 24
    if not count or whole % count:
        reason = _("%(whole)d cannot be divided evenly by %(count)d.") % {"whole": whole, "count": count}
        raise CronError(reason, text.find(match["count"]) + 1)
    step = "*" if count == 1 else f"*/{count}"
    if count == whole:
        return "0 * * * *" if whole == 60 else "0 0 * * *"
    return f"{step} * * * *" if whole == 60 else f"0 {step} * * *"


def _check_terms(line: str) -> None:
    words = list(re.finditer(r"\S+", line))
    if len(words) != len(FIELDS):
        _refuse_field_count(line, words)
    for word, (field, name, allowed) in zip(words, FIELDS, strict=True):
        column = word.start() + 1
        for term in word.group().split(","):
            try:
                field.parse(term.upper())
            except CronSimError:
                reason = _("“%(term)s” cannot be read as %(field)s: allowed are *, %(allowed)s, lists, ranges, steps.")
                raise CronError(reason % {"term": term, "field": name, "allowed": allowed}, column) from None
            column += len(term) + 1


def _refuse_field_count(line: str, words: list[re.Match[str]]) -> NoReturn:
    count = len(words)
    reason = _("Five fields are needed (minute, hour, day of the month, month, day of the week), not %(count)d.")
    raise CronError(reason % {"count": count}, words[5].start() + 1 if count > 5 else len(line) + 1)


def _column(line: str, field: int) -> int:
    """Return the column, from 1, at which a field begins."""
    return list(re.finditer(r"\S+", line))[field].start() + 1
