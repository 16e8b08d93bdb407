"""The schedule at a glance: each entry with its next and last fire, what did not fire and why; the next day drawn."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.urls import reverse
from django.utils import timezone

from ..inspect.unfired import Unfired, unfired_since
from ..models import Fire, JobRun, ScheduleEntry
from . import cron_text

DAY = timedelta(days=1)
LOOKED_BACK = timedelta(days=7)  # for fires that did not come
SHOWN_UNFIRED = 6  # of each entry
MOST_TICKS = 96  # of one entry on the timeline; one that fires more often is drawn as a band
HOURS_BETWEEN_LABELS = 3


@dataclass
class Line:
    """One entry as the page shows it."""

    entry: ScheduleEntry
    words: str
    last: Fire | None = None
    run: JobRun | None = None
    unfired: list[Unfired] = field(default_factory=list)
    unfired_in_all: int = 0
    coming: list[cron_text.Preview] = field(default_factory=list)

    @property
    def is_late(self) -> bool:
        """Whether its time has passed and no scheduler has fired it."""
        planned = self.entry.next_at
        return planned is not None and timezone.now() - planned > settings.SCHEDULE_GRACE


def lines(now: datetime) -> list[Line]:
    """Return all entries, the soonest first and those without a next time last; seven queries however many they are."""
    newest = Fire.objects.filter(entry=OuterRef("name"), enqueued_at__isnull=False).order_by("-planned_at")
    entries = list(
        ScheduleEntry.objects.select_related("paused_by").annotate(last_fire=Subquery(newest.values("pk")[:1]))
    )
    fires = Fire.objects.in_bulk([entry.last_fire for entry in entries if entry.last_fire])
    runs = runs_of(fires.values())
    unfired = unfired_since(now - LOOKED_BACK, now)
    found = []
    for entry in entries:
        last, missed = fires.get(entry.last_fire), unfired[entry.name]
        found.append(
            Line(
                entry,
                cron_text.described(entry.cron),
                last,
                runs.get(last.job_id) if last else None,
                missed[:SHOWN_UNFIRED],
                len(missed),
                coming(entry, now),
            )
        )
    return sorted(found, key=lambda line: (line.entry.next_at is None, line.entry.next_at or now, line.entry.name))


def runs_of(fires: Iterable[Fire]) -> dict[str, JobRun]:
    """Return the latest attempt of each fire's job, by job id."""
    ids = [fire.job_id for fire in fires if fire.job_id]
    runs = JobRun.objects.filter(job_id__in=ids).order_by("attempt", "started_at")
    return {
        run.job_id: run for run in runs.only("job_id", "outcome", "started_at", "ended_at", "duration", "exception")
    }


def coming(entry: ScheduleEntry, now: datetime) -> list[cron_text.Preview]:
    """Return an entry's next five times with what a clock change does to them; none of one that cannot be read."""
    try:
        return [] if entry.broken else cron_text.preview(entry.cron, entry.zone, now)
    except (ValueError, LookupError, OSError):  # a row written past `clean`, which the scheduler has not met yet
        return []


# The next day, drawn


@dataclass(frozen=True)
class Tick:
    """One fire on the timeline; `x` is percent of the day from now on."""

    x: float
    title: str


@dataclass(frozen=True)
class Track:
    """One entry on the timeline: its fires, or a band where they come too often to be told apart."""

    entry: ScheduleEntry
    ticks: list[Tick]
    is_band: bool


@dataclass(frozen=True)
class Timeline:
    """The next 24 hours: what fires when, and where the hours lie, in the viewer's zone."""

    tracks: list[Track]
    hours: list[Tick]


def timeline(found: Sequence[Line], now: datetime) -> Timeline:
    """Return what is drawn of the next 24 hours; entries that are paused throughout or broken have no fires."""
    return Timeline([track(line.entry, now) for line in found], list(hours(now)))


def track(entry: ScheduleEntry, now: datetime) -> Track:
    try:
        times = [] if entry.broken else entry.next_fires(now, MOST_TICKS + 1)
    except (ValueError, LookupError, OSError):
        times = []
    within = [time for time in times if time < now + DAY and not entry.is_paused_at(time)]
    if len(within) > MOST_TICKS:
        return Track(entry, [], is_band=True)
    zone = ZoneInfo(entry.zone) if within else None
    return Track(
        entry, [Tick(share(time, now), f"{time.astimezone(zone):%H:%M} {entry.zone}") for time in within], False
    )


def hours(now: datetime) -> Iterable[Tick]:
    """Yield the hours that are named below the timeline, as the viewer's clock shows them."""
    hour = timezone.localtime(now).replace(minute=0, second=0, microsecond=0)
    for n in range(1, 25):
        moment = timezone.localtime(hour.astimezone(ZoneInfo("UTC")) + timedelta(hours=n))
        if moment.hour % HOURS_BETWEEN_LABELS == 0 and moment < now + DAY:
            yield Tick(share(moment, now), f"{moment:%H:%M}")


def share(moment: datetime, now: datetime) -> float:
    return round((moment - now) / DAY * 100, 2)


def context(now: datetime) -> dict[str, object]:
    """Return what the page shows of the entries, in one go: the timeline is drawn from the same lines."""
    found = lines(now)
    return {"lines": found, "timeline": timeline(found, now), "history": reverse("admin:jobs_fire_changelist")}
