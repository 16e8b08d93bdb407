"""The schedule at a glance: each entry with its next and last fire, what did not fire and why; the next day drawn."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import AuditEntry, Fire, JobRun, ScheduleEntry, Silence
from . import cron_text

DAY = timedelta(days=1)
LOOKED_BACK = timedelta(days=7)  # for fires that did not come
MOST_UNFIRED, SHOWN_UNFIRED = 300, 6  # of all entries, and of each
MOST_TICKS = 96  # of one entry on the timeline; one that fires more often is drawn as a band
HOURS_BETWEEN_LABELS = 3
UNFIRED = (Fire.Outcome.MISSED, Fire.Outcome.SKIPPED_PAUSED, Fire.Outcome.SKIPPED_OVERLAP, Fire.Outcome.ERROR)


@dataclass(frozen=True)
class Unfired:
    """A planned time at which nothing was enqueued, and why."""

    fire: Fire
    cause: str
    job_id: str = ""  # the one that was in its way


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


# Why something did not fire


def unfired_since(start: datetime, now: datetime) -> dict[str, list[Unfired]]:
    """Return by entry the planned times that did not fire, the newest first, each with its cause."""
    fires = list(
        Fire.objects.filter(planned_at__gte=start, planned_at__lte=now, outcome__in=UNFIRED)
        .order_by("-planned_at")[:MOST_UNFIRED]
    )  # fmt: skip
    found: dict[str, list[Unfired]] = defaultdict(list)
    for fire, cause in zip(fires, causes(fires), strict=True):
        found[str(fire.entry_id)].append(Unfired(fire, cause, in_the_way(fire)))
    return found


def causes(fires: Sequence[Fire]) -> list[str]:
    """Return in a sentence why each fire did not come, or came late; two queries tell of all of them."""
    if not fires:
        return []
    planned = [fire.planned_at for fire in fires]
    silences = Silence.objects.over(min(planned), max(planned))
    names = sorted({f"schedule entry {fire.entry_id}" for fire in fires if fire.outcome == Fire.Outcome.SKIPPED_PAUSED})
    acts = AuditEntry.objects.filter(target__in=names, action="pause").select_related("actor").order_by("-at")
    paused = list(acts[:200]) if names else []
    return [cause_of(fire, silences, paused) for fire in fires]


def cause_of(fire: Fire, silences: Sequence[Silence], paused: Sequence[AuditEntry]) -> str:
    """Return why one fire did not come; '' where it did, in time."""
    if fire.outcome == Fire.Outcome.SKIPPED_PAUSED:
        return by_pause(fire, paused)
    if fire.outcome in (Fire.Outcome.SKIPPED_OVERLAP, Fire.Outcome.ERROR):
        return fire.note
    if fire.outcome not in (Fire.Outcome.MISSED, Fire.Outcome.CAUGHT_UP):
        return ""
    if fire.note:
        return fire.note
    silence = next((each for each in silences if each.since <= fire.planned_at <= each.until), None)
    if silence is not None:
        text = _("No scheduler ran from %(since)s to %(until)s.")
        return text % {"since": stamp(silence.since), "until": stamp(silence.until)}
    if fire.decided_at - fire.planned_at > settings.SCHEDULE_GRACE:
        text = _("No scheduler looked at it until %(until)s.")
        return text % {"until": stamp(fire.decided_at)}
    return _("Another of its missed times was run in its stead.")


def by_pause(fire: Fire, paused: Sequence[AuditEntry]) -> str:
    """Say who had paused the entry then, and why."""
    target = f"schedule entry {fire.entry_id}"
    act = next((act for act in paused if act.target == target and act.at <= fire.decided_at), None)
    if act is None:
        return _("It was paused: “%s”") % fire.note
    words = {"who": act.actor or _("the machine"), "at": stamp(act.at), "why": act.reason or fire.note}
    return _("Paused by %(who)s since %(at)s: “%(why)s”") % words


def in_the_way(fire: Fire) -> str:
    """Return the job for whose sake a fire was left out, '' where there was none: it is the only name in the note."""
    if fire.outcome != Fire.Outcome.SKIPPED_OVERLAP:
        return ""
    words = [word.strip(".,“”") for word in fire.note.split()]
    return next((word for word in words if any(sign.isdigit() for sign in word) and len(word) > 10), "")


def stamp(moment: datetime) -> str:
    """Write a time in the viewer's zone, to the second."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"


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
