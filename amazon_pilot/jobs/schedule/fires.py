"""From a due entry to a job in its queue, in three steps that a kill may fall between.

1. `decide` looks at the clock and the entry's policies. It changes nothing.
2. `take` moves the entry on and writes the fires down, in one transaction: from here on each of them will be sent.
3. `send` has Redis enqueue them, one atomic step for each, and settles their rows. What is left pending is sent
   again by the next tick, and the mark in Redis makes a second sending harmless.
"""

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext as _
from redis import Redis
from rq.command import send_stop_job_command
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus

from ..core.enqueue import description, unique_key
from ..core.registry import TASKS, CallError, JSONJob, Registered
from ..models import Fire, ScheduleEntry
from . import store
from .store import Parcel

logger = logging.getLogger(__name__)

# So many missed fires of an entry are written down one by one; after a longer silence only those of its last day are.
MOST_WALKED = 2000
DAY = timedelta(days=1)
# Redis forgets after seven days that it enqueued a fire, so one that has been pending nearly as long is given up.
OLDEST_SENT_AGAIN = timedelta(days=6)
TO_SEND = Fire.Outcome.PENDING
Clock = Callable[[], datetime]


@dataclass
class Decision:
    """What comes of an entry that is due: its fires, oldest first, and its next time."""

    entry: ScheduleEntry
    next_at: datetime
    fires: list[Fire] = field(default_factory=list)

    @property
    def last_job_id(self) -> str | None:
        return next((fire.job_id for fire in reversed(self.fires) if fire.outcome == TO_SEND), None)


def job_id_of(entry: str, planned_at: datetime) -> str:
    """Return the id of a fire's job: entry and epoch; a manual fire adds its microseconds, a planned one has none."""
    micros = f"-{planned_at.microsecond:06d}" if planned_at.microsecond else ""
    return f"{entry}-{int(planned_at.timestamp())}{micros}"


def task_named(name: str) -> Registered:
    """Return a registered task. Raises LookupError with a sentence for any other name."""
    if name not in TASKS:
        autodiscover_modules("tasks")
    if name not in TASKS:
        raise LookupError(_("There is no task %(name)s.") % {"name": name})
    return TASKS[name]


def task_names() -> list[str]:
    """Return the names of all tasks of the installed apps."""
    autodiscover_modules("tasks")
    return sorted(TASKS)


def due_times(entry: ScheduleEntry, now: datetime) -> tuple[list[datetime], datetime]:
    """Return the planned times of a due entry up to `now`, oldest first, and the first one after `now`."""
    assert entry.next_at is not None
    last = entry.next_at
    times = [last]
    while (last := entry.next_fire(last)) <= now:
        times.append(last)
        if len(times) == MOST_WALKED:
            last = max(last, now - DAY)
    return times, last


def decide(entry: ScheduleEntry, now: datetime, last_job_is_alive: bool) -> Decision:
    """Decide what comes of a due entry: each time that has passed becomes a fire with an outcome, or one to send.

    Raises CronError or ZoneInfoNotFoundError when the row holds what `clean` would have refused.
    """
    times, next_at = due_times(entry, now)
    wanted = [time for time in times if not entry.is_paused_at(time)]
    chosen = set(_chosen(entry, wanted, now))
    in_the_way = last_job_is_alive and entry.overlap == ScheduleEntry.Overlap.SKIP
    decision = Decision(entry, next_at)
    for time in times:
        fire = Fire(entry=entry, planned_at=time, decided_at=now, outcome=Fire.Outcome.MISSED)
        if time in chosen and in_the_way:
            fire.outcome = Fire.Outcome.SKIPPED_OVERLAP
            fire.note = _("Job %(job)s had not ended.") % {"job": entry.last_job_id}
        elif time in chosen:
            fire.outcome, fire.job_id = TO_SEND, job_id_of(entry.name, time)
            fire.becomes = Fire.Outcome.CAUGHT_UP if _is_late(time, now) else Fire.Outcome.ENQUEUED
        elif entry.is_paused_at(time):
            fire.outcome, fire.note = Fire.Outcome.SKIPPED_PAUSED, entry.paused_reason
        decision.fires.append(fire)
    return decision


def _is_late(time: datetime, now: datetime) -> bool:
    return now - time > settings.SCHEDULE_GRACE


def _chosen(entry: ScheduleEntry, times: list[datetime], now: datetime) -> list[datetime]:
    """Return those of the passed times that are to run, by the entry's policy on missed fires."""
    if entry.missed == ScheduleEntry.Missed.SKIP:
        return [time for time in times if not _is_late(time, now)]
    count = entry.missed_limit if entry.missed == ScheduleEntry.Missed.ALL else 1
    young = [time for time in times if not _is_late(time, now) or now - time <= entry.missed_window]
    return young[max(0, len(young) - count) :]


def decide_all(connection: Redis, entries: list[ScheduleEntry], now: datetime) -> list[Decision]:
    """Decide for each due entry; one that cannot be read is marked as broken and does not stop the others."""
    alive = store.alive(connection, [entry.last_job_id for entry in entries])
    decisions = []
    for entry, last_job_is_alive in zip(entries, alive, strict=True):
        try:
            decision = decide(entry, now, last_job_is_alive)
        except (ValueError, LookupError, OSError) as error:  # zoneinfo has raised each of these for a bad name
            logger.error("Schedule entry %s is broken: %s", entry.name, error)
            ScheduleEntry.objects.filter(pk=entry.pk).update(broken=str(error))
            continue
        if last_job_is_alive and entry.overlap == ScheduleEntry.Overlap.CANCEL and decision.last_job_id:
            cancel(connection, entry.last_job_id)
        decisions.append(decision)
    return decisions


def cancel(connection: Redis, job_id: str) -> None:
    """Take a waiting job out of its queue, or ask the worker of a running one to stop it."""
    try:
        job = JSONJob.fetch(job_id, connection=connection)
        if job.get_status() == JobStatus.STARTED:
            send_stop_job_command(connection, job_id)
        else:
            job.cancel()
    except (NoSuchJobError, InvalidJobOperation):
        logger.info("Job %s ended before it could be cancelled", job_id)


def take(decisions: list[Decision]) -> list[Fire]:
    """Move the entries on and write their fires down, all or nothing; answer those that are to be sent.

    An entry that another scheduler took, or that was edited meanwhile, is left to the next tick. A planned time that
    has its row already, after an entry was deleted and made again or a clock went back, is passed over.
    """
    fires: list[Fire] = []
    with transaction.atomic():
        for decision in decisions:
            if ScheduleEntry.objects.take(decision.entry, decision.next_at, decision.last_job_id):
                decision.entry.next_at = decision.next_at
                fires += decision.fires
        names = {str(fire.entry_id) for fire in fires}
        known = set(
            Fire.objects.filter(entry__name__in=names, planned_at__in={fire.planned_at for fire in fires})
            .order_by()
            .values_list("entry_id", "planned_at")
        )
        fires = [fire for fire in fires if (fire.entry_id, fire.planned_at) not in known]
        Fire.objects.decide(fires)
    return [fire for fire in fires if fire.outcome == TO_SEND]


def send(connection: Redis, fires: Iterable[Fire], now: datetime, leader: str) -> list[Fire]:
    """Enqueue the jobs of pending fires and settle their rows; answer the fires that are settled now.

    `leader` is the name that has to hold the lock, or "" for an operator's own act. A fire whose task is gone, or does
    not take these arguments, is settled as an error. When another scheduler leads nothing is done, and the rows stay
    pending for it.
    """
    parcels: list[tuple[Fire, Parcel]] = []
    settled = []
    for fire in fires:
        try:
            parcels.append((fire, _parcel(connection, fire, now)))
        except (LookupError, CallError) as error:
            fire.outcome, fire.note = Fire.Outcome.ERROR, str(error.args[0])
            settled.append(fire)
            logger.error("Fire %s cannot be sent: %s", fire.job_id, fire.note)
    if parcels:
        answers = store.fire(connection, [parcel for _fire, parcel in parcels], leader, now)
        for (fire, _parcel_sent), answer in zip(parcels, answers, strict=True):
            if isinstance(answer, str):
                settled.append(_joined(fire, answer))
            elif answer >= 0:
                settled.append(_sent(fire, answer, now))
    Fire.objects.settle(settled)
    return settled


def _parcel(connection: Redis, fire: Fire, now: datetime) -> Parcel:
    entry = fire.entry
    unique = unique_key(task_named(entry.task), payload_of(entry))
    return Parcel(entry.name, entry.next_at, job_of(connection, entry, fire, now), entry.queue, unique)


def payload_of(entry: ScheduleEntry) -> bytes:
    """Return the call of an entry's task, as a job carries it."""
    return json.dumps([entry.task, None, *entry.call]).encode()


def job_of(connection: Redis, entry: ScheduleEntry, fire: Fire, now: datetime) -> Job:
    """Make a fire's job as rq's own `enqueue` would, without storing it. Raises LookupError for an unknown task,
    and CallError if it does not take the entry's arguments.
    """
    task = task_named(entry.task)
    task.bound(*entry.call)
    job = JSONJob.create(
        entry.task,
        args=tuple(entry.call[0]),
        kwargs=entry.call[1],
        id=fire.job_id,
        connection=connection,
        description=description(payload_of(entry)),
        timeout=task.timeout,
        result_ttl=int(str(settings.RQ["DEFAULT_RESULT_TTL"])),
        origin=entry.queue,
        status=JobStatus.QUEUED,
        meta={"entry": entry.name, "fire": fire.pk},
    )
    if task.retry:
        job.retry_intervals = task.retry.intervals()
        job.retries_left = len(job.retry_intervals)
    job.enqueued_at = now
    return job


def _joined(fire: Fire, other: str) -> Fire:
    """Note that a fire's task is unique, and that another job of the same call waits or runs."""
    fire.outcome = Fire.Outcome.SKIPPED_OVERLAP
    fire.note = _("Its task runs once per arguments, and job %s waits or runs already.") % other
    return fire


def _sent(fire: Fire, millis: int, now: datetime) -> Fire:
    """Note when a fire reached its queue: now, or at an earlier sending of which nobody could tell."""
    fire.outcome = fire.becomes
    fire.enqueued_at = datetime.fromtimestamp(millis / 1000, tz=now.tzinfo) if millis else now
    fire.suppressed += bool(millis)
    return fire


def send_pending(connection: Redis, now: datetime, leader: str) -> int:
    """Send again what a kill or an outage left pending; answer how many fires were settled."""
    pending = list(Fire.objects.pending()[:100])
    entries = ScheduleEntry.objects.in_bulk([fire.entry_id for fire in pending], field_name="name") if pending else {}
    given_up, young = [], []
    for fire in pending:
        if fire.entry_id not in entries:
            fire.note = _("The entry was deleted before the fire was sent.")
        elif now - fire.decided_at > OLDEST_SENT_AGAIN:
            fire.note = _("No scheduler sent it for six days.")
        else:
            fire.entry = entries[fire.entry_id]
            young.append(fire)
            continue
        fire.outcome = Fire.Outcome.MISSED
        given_up.append(fire)
    Fire.objects.settle(given_up)
    return len(given_up) + (len(send(connection, young, now, leader)) if young else 0)


def fire_due(connection: Redis, clock: Clock, leader: str, limit: int = 100) -> list[Fire]:
    """Fire the entries that are due, at most `limit`, oldest first; answer the fires that were settled by sending."""
    now = clock()
    due = list(ScheduleEntry.objects.filter(broken="", next_at__lte=now).order_by("next_at")[:limit])
    if not due:
        return []
    to_send = take(decide_all(connection, due, now))
    return send(connection, to_send, clock(), leader) if to_send else []
