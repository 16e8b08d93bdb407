"""The schedule's verbs: what the monitor, the commands and the scheduler call.

The rows are the truth. Redis holds a template for each entry in rq-scheduler's own set, so that its tools and
django-rq's page show the same entries; `sync` writes it anew whenever it differs.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from redis import Redis
from rq.job import Job, JobStatus

from ..core.registry import JSONJob
from ..core.values import Json
from ..models import AuditEntry, Fire, ScheduleEntry, Source, acting_from
from ..models.person import Actor
from ..models.schedule_entry import NAME_TAKEN
from . import fires, store

logger = logging.getLogger(__name__)

later = partial(transaction.on_commit, robust=True)  # Redis away: logged, and the scheduler makes up for it
EDITABLE = ("cron", "zone", "task", "args", "queue", "missed", "missed_limit", "missed_window", "overlap")


Fields = Mapping[str, Json | timedelta]  # of an entry, by name


class NameTakenError(ValidationError):
    """Somebody else added an entry of this name in the same moment."""


def load_settings() -> None:
    """Bring the rows into line with settings.SCHEDULE: add, correct, remove. An entry that an operator edited stays.

    A line that cannot be used is logged and passed over.
    """
    for name, line in settings.SCHEDULE.items():
        entry = ScheduleEntry.objects.filter(name=name).first() or ScheduleEntry(name=name, from_settings=True)
        if entry.from_settings and (
            entry.pk is None or any(getattr(entry, field) != value for field, value in line.items())
        ):
            try:
                _change(entry, line)
            except NameTakenError:
                pass  # another scheduler starts too, and was first
            except ValidationError as error:
                logger.error("SCHEDULE[%r] cannot be used: %s", name, " ".join(error.messages))
    ScheduleEntry.objects.filter(from_settings=True).exclude(name__in=settings.SCHEDULE).delete()


def sync(connection: Redis, now: datetime) -> None:
    """Bring Redis into line with the rows; ends pauses whose time is over and gives new entries their next time."""
    for entry in ScheduleEntry.objects.pause_over(now):
        with acting_from(Source.SYSTEM):  # a person's change may have led here
            resume(entry, by=None, reason=_("The pause had this end."))
    for entry in ScheduleEntry.objects.filter(next_at=None, broken=""):
        _plan(entry, now)
    entries = list(ScheduleEntry.objects.filter(broken="", next_at__isnull=False))
    templates = {entry.name: (_template(connection, entry), entry.next_at) for entry in entries if entry.next_at}
    gone = store.planned(connection).keys() - templates.keys()
    store.put_templates(connection, templates, gone)
    connection.set(store.SYNCED, str(now.timestamp()))


def _plan(entry: ScheduleEntry, now: datetime) -> None:
    try:
        entry.next_at = entry.next_fire(now)
    except (ValueError, LookupError, OSError) as error:  # a row written past `clean`
        entry.broken = str(error)
        logger.error("Schedule entry %s is broken: %s", entry.name, error)
    entry.save(update_fields=["next_at", "broken"])


def _template(connection: Redis, entry: ScheduleEntry) -> Job:
    """Make the job that stands for an entry in rq-scheduler's set; it is never enqueued itself."""
    return JSONJob.create(
        entry.task,
        args=tuple(entry.call[0]),
        kwargs=entry.call[1],
        id=store.TEMPLATE + entry.name,
        connection=connection,
        origin=entry.queue,
        status=JobStatus.SCHEDULED,
        meta={"cron_string": f"{entry.cron} ({entry.zone})", "entry": entry.name},
    )


def _change(entry: ScheduleEntry, changes: Fields) -> None:
    """Set fields, refuse what cannot be used, and plan anew from now when the times change.

    Only the changed columns are written: the scheduler may have moved the entry on since it was read.
    """
    new = entry.pk is None
    replan = new or any(field in changes and changes[field] != getattr(entry, field) for field in ("cron", "zone"))
    for field, value in changes.items():
        setattr(entry, field, value)
    entry.full_clean()
    entry.broken = ""
    written = [*changes, "broken"]
    if replan:
        entry.next_at = entry.next_fire(timezone.now())
        written.append("next_at")
    if not new:
        entry.save(update_fields=written)
        return
    try:
        with transaction.atomic():  # the caller's transaction goes on
            entry.save()
    except IntegrityError as error:  # `full_clean` does not see what another transaction has not committed
        raise NameTakenError({"name": str(NAME_TAKEN)}) from error


def _push() -> None:
    """Show a change in Redis at once; if that fails, the scheduler's next sync does it."""
    with store.connect() as connection:
        sync(connection, store.clock(connection))


def create(by: Actor, reason: str = "", **fields: Json | timedelta) -> ScheduleEntry:
    """Add an entry. Raises ValidationError, with the reason and the position for a wrong cron line.

    Of two that add the same name at once, the second gets NameTakenError.
    """
    entry = ScheduleEntry()
    with transaction.atomic():
        _change(entry, fields)
        AuditEntry.objects.record(
            by, "create", _target(entry), reason=reason, cron=entry.cron, zone=entry.zone, task=entry.task
        )
        later(_push)
    return entry


def edit(entry: ScheduleEntry, by: Actor, reason: str = "", **changes: Json | timedelta) -> None:
    """Change an entry; from then on the settings no longer do. Raises ValidationError as `create` does."""
    if unknown := changes.keys() - set(EDITABLE):
        raise ValidationError(_("These cannot be changed: %s.") % ", ".join(sorted(unknown)))
    before = {field: str(getattr(entry, field)) for field in changes}
    with transaction.atomic():
        _change(entry, changes | {"from_settings": False})
        after = {field: str(getattr(entry, field)) for field in changes}
        AuditEntry.objects.record(by, "edit", _target(entry), reason=reason, before=before, after=after)
        later(_push)


def remove(entry: ScheduleEntry, by: Actor, reason: str = "") -> None:
    """Delete an entry and keep its history. One that the settings name comes back at the scheduler's next start."""
    with transaction.atomic():
        AuditEntry.objects.record(by, "delete", _target(entry), reason=reason)
        entry.delete()
        later(_push)


def pause(entry: ScheduleEntry, by: Actor, reason: str, until: datetime | None = None) -> None:
    """Let an entry's fires pass, each with a line in the history, until someone resumes it or `until` comes."""
    with transaction.atomic():
        entry.paused_at, entry.paused_until, entry.paused_reason = timezone.now(), until, reason
        entry.paused_by = by if by is not None and by.is_authenticated else None
        entry.save(update_fields=["paused_at", "paused_until", "paused_reason", "paused_by"])
        until_text = until.isoformat() if until else None
        AuditEntry.objects.record(by, "pause", _target(entry), reason=reason, until=until_text)


def resume(entry: ScheduleEntry, by: Actor, reason: str = "") -> bool:
    """End a pause; False means that there was none. The next fire is the next planned time."""
    with transaction.atomic():
        paused = ScheduleEntry.objects.filter(pk=entry.pk, paused_at__isnull=False)
        resumed = paused.update(paused_at=None, paused_until=None, paused_reason="", paused_by=None) == 1
        if resumed:
            AuditEntry.objects.record(by, "resume", _target(entry), reason=reason)
    entry.refresh_from_db()
    return resumed


def run_now(entry: ScheduleEntry, by: Actor, reason: str = "") -> Fire:
    """Fire an entry now, also when it is paused or its last job still runs; its planned times stay as they are."""
    now = timezone.now()
    # Never a whole second: such a time would share its job id with a planned fire.
    now = now.replace(microsecond=now.microsecond or 1)
    with transaction.atomic():
        fire = Fire.objects.create(
            entry=entry,
            planned_at=now,
            decided_at=now,
            outcome=Fire.Outcome.PENDING,
            becomes=Fire.Outcome.MANUAL,
            job_id=fires.job_id_of(entry.name, now),
            note=reason,
        )
        ScheduleEntry.objects.filter(pk=entry.pk).update(last_job_id=fire.job_id)
        AuditEntry.objects.record(by, "run now", _target(entry), reason=reason, job=fire.job_id)
        later(lambda: _send_now(fire))
    return fire


def _send_now(fire: Fire) -> None:
    with store.connect() as connection:
        fires.send(connection, [fire], store.clock(connection), leader="")


def catch_up(entry: ScheduleEntry, by: Actor = None) -> Fire | None:
    """Fire an entry now if it never has, so that a first start shows something; None when it has."""
    if entry.fires.exists():
        return None
    return run_now(entry, by, _("The first start."))


def _target(entry: ScheduleEntry) -> str:
    return f"schedule entry {entry.name}"


@dataclass(frozen=True)
class Health:
    """How the schedulers are: `ok` unless no tick came for 30 s, then `reason` says so."""

    ok: bool
    reason: str
    leader: str
    tick_age_seconds: float | None
    tick_seconds: float | None
    lag_seconds: float | None
    schedulers: dict[str, float]


def health(connection: Redis | None = None) -> Health:
    """Return the scheduler's own report, in three Redis commands; `schedulers` maps names to seconds since seen.

    Raises redis.exceptions.ConnectionError when Redis is away.
    """
    connection = connection or store.connect()
    report, seen = store.read_report(connection)
    now = store.clock(connection).timestamp()
    age = now - float(report["tick_at"]) if "tick_at" in report else None
    if age is None:
        reason = _("No scheduler has reported yet.")
    elif age > settings.SCHEDULER_SILENCE:
        reason = _("The scheduler's last tick was %d seconds ago.") % age
    else:
        reason = ""
    return Health(
        ok=not reason,
        reason=reason,
        leader=report.get("leader", ""),
        tick_age_seconds=age,
        tick_seconds=float(report["tick_seconds"]) if "tick_seconds" in report else None,
        lag_seconds=float(report["lag_seconds"]) if "lag_seconds" in report else None,
        schedulers={name: now - at for name, at in seen.items()},
    )


class UnknownEntryError(ValidationError):
    """The schedule has no entry of this name."""


def find(name: str) -> ScheduleEntry:
    """Return an entry; raises UnknownEntryError."""
    entry = ScheduleEntry.objects.filter(name=name).first()
    if entry is None:
        raise UnknownEntryError(_("The schedule has no entry %s.") % name)
    return entry
