"""An independent answer to "when should this line fire?": every minute of real time is looked at, one by one.

Nothing here is shared with the product: the fields are read by a parser of its own, and a gap or a repeated hour is
found by comparing what neighbouring minutes read on the clock.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

MINUTE = timedelta(minutes=1)
BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def numbers(field: str, least: int, most: int) -> set[int]:
    """Read one field: numbers, ranges, lists, steps."""
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        low, _, high = span.partition("-")
        first, last = (least, most) if span == "*" else (int(low), int(high or (most if step else low)))
        found.update(range(first, last + 1, int(step or 1)))
    return found


class Line:
    """A cron line as sets of numbers, and the question whether a reading of the clock matches."""

    def __init__(self, text: str) -> None:
        words = {"@hourly": "0 * * * *"}.get(text, text).split()
        self.minutes, self.hours, self.days, self.months, weekdays = (
            numbers(word, *bounds) for word, bounds in zip(words, BOUNDS, strict=True)
        )
        self.weekdays = {day % 7 for day in weekdays}
        self.both_days = words[2].startswith("*") or words[4].startswith("*")
        self.follows_real_hours = len(self.hours) == 24

    def has_day(self, day: date) -> bool:
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return day.month in self.months and (by_month and by_week if self.both_days else by_month or by_week)

    def matches(self, wall: datetime) -> bool:
        return wall.minute in self.minutes and wall.hour in self.hours and self.has_day(wall.date())


def walk(zone: str, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, list[datetime], bool]]:
    """Yield each minute in [start, end): its instant, what the clock reads, what it skipped, whether it repeats."""
    info = ZoneInfo(zone)
    instant = (start - timedelta(hours=3)).astimezone(UTC)
    last = furthest = instant.astimezone(info).replace(tzinfo=None, fold=0) - MINUTE
    while instant < end:
        wall = instant.astimezone(info).replace(tzinfo=None, fold=0)
        skipped = [last + MINUTE * n for n in range(1, (wall - last) // MINUTE)]
        again = wall <= furthest
        if instant >= start:
            yield instant, wall, skipped, again
        last, furthest = wall, max(wall, furthest)
        instant += MINUTE


def fires(lines: dict[str, str], zone: str, start: datetime, end: datetime) -> dict[str, list[datetime]]:
    """Answer the fires of each line in [start, end), by the rules written in docs/schedule.md."""
    parsed = {name: Line(text) for name, text in lines.items()}
    found: dict[str, list[datetime]] = {name: [] for name in lines}
    today: list[tuple[str, Line]] = []
    day = None
    for instant, wall, skipped, again in walk(zone, start, end):
        if wall.date() != day or skipped:
            day = wall.date()
            days = {day, *(time.date() for time in skipped)}
            today = [(name, line) for name, line in parsed.items() if any(line.has_day(each) for each in days)]
        for name, line in today:
            if line.follows_real_hours:
                due = line.matches(wall)
            else:
                due = (line.matches(wall) and not again) or any(line.matches(time) for time in skipped)
            if due:
                found[name].append(instant)
    return found
