"""The schedule as JSON: its entries, the next times of each, and what came of its fires."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from ..core.values import Answer
from ..inspect.as_json import MOST
from ..models import Fire, JobRun, ScheduleEntry
from . import cron_text, entries
from . import entries as schedule

NEXT_SHOWN = 5


RUN = ("outcome", "attempt", "started_at", "ended_at", "duration", "exception", "message")


def one(name: str) -> Answer:
    """Return one entry as JSON; raises UnknownEntryError."""
    entries.find(name)
    return told(ScheduleEntry.objects.filter(name=name))[0]


def told(rows: QuerySet[ScheduleEntry]) -> list[Answer]:
    """Return entries as JSON, in three queries however many they are."""
    last = Fire.objects.filter(entry=OuterRef("name")).order_by("-planned_at")
    found = list(rows.select_related("paused_by").annotate(last_fire=Subquery(last.values("pk")[:1])))
    fires = Fire.objects.in_bulk([row.last_fire for row in found if row.last_fire])
    runs = runs_of(fires.values())
    now = timezone.now()
    return [of_entry(row, fires.get(row.last_fire), runs, now) for row in found]


def of_entry(row: ScheduleEntry, last: Fire | None, runs: dict[str, Answer], now: datetime) -> Answer:
    """Return one entry as JSON; `paused` is None where no pause holds, `last_fire` where it never fired."""
    paused = {
        "by": row.paused_by.get_username() if row.paused_by else "",
        "reason": row.paused_reason,
        "since": row.paused_at,
        "until": row.paused_until,
    }
    return (
        {"name": row.name, "words": cron_text.described(row.cron)}
        | {name: getattr(row, name) for name in (*schedule.EDITABLE, "is_paused", "broken", "from_settings", "next_at")}
        | {"paused": paused if row.is_paused_at(now) else None}
        | {"next_fires": coming(row, now), "last_fire": of_fire(last, runs) if last else None}
    )


def coming(row: ScheduleEntry, now: datetime) -> list[Answer]:
    """Return the next times of an entry by its zone's clock; none where it cannot be read."""
    if row.broken:
        return []
    try:
        found = cron_text.preview(row.cron, row.zone, now, NEXT_SHOWN)
    except (ValueError, LookupError, OSError):  # a row written past `clean`, which the scheduler has not met yet
        return []
    zone = ZoneInfo(row.zone)
    return [{"at": each.at, "local": each.at.astimezone(zone).isoformat(), "note": each.note} for each in found]


def past(name: str, limit: int, cursor: str = "") -> Answer:
    """Return one page of a history, which outlives its entry; raises UnknownEntryError, or ValidationError."""
    if not 1 <= limit <= MOST:
        raise ValidationError(_("limit has to be from 1 to %d.") % MOST)
    key: Any = name  # the foreign key is by name, of which the types do not know
    fires = Fire.objects.filter(entry=key).order_by("-planned_at")
    if cursor:
        fires = fires.filter(planned_at__lt=moment_of(cursor))
    page = list(fires[: limit + 1])
    if not page and not cursor:
        entries.find(name)
    following = page[limit - 1].planned_at.isoformat().replace("+00:00", "Z") if len(page) > limit else ""
    runs = runs_of(page[:limit])
    return {"entry": name, "fires": [of_fire(fire, runs) for fire in page[:limit]], "next": following}


def moment_of(cursor: str) -> datetime:
    """Read the `next` of an earlier answer; raises ValidationError."""
    try:
        when = parse_datetime(cursor)
    except ValueError:
        when = None
    if when is None or timezone.is_naive(when):
        raise ValidationError(_("This is no place in a history: send the next of an earlier answer."))
    return when


def runs_of(fires: Iterable[Fire]) -> dict[str, Answer]:
    """Return the latest attempt of each fire's job, by job id."""
    ids = [fire.job_id for fire in fires if fire.job_id]
    runs = JobRun.objects.filter(job_id__in=ids).order_by("attempt", "started_at").values("job_id", *RUN)
    return {run["job_id"]: {name: run[name] for name in RUN} for run in runs}


def of_fire(fire: Fire, runs: dict[str, Answer]) -> Answer:
    """Return one fire as JSON; `run` is None where its job has not started, or there was none."""
    names = ("planned_at", "decided_at", "enqueued_at", "lag_seconds", "outcome", "job_id", "suppressed", "note")
    return {name: getattr(fire, name) for name in names} | {"run": runs.get(fire.job_id)}
