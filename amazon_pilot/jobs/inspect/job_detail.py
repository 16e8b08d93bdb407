"""All that is known of one job: what Redis holds now, what the history kept, what people did to it, and what it names.

Either half may be missing: Redis forgets ended jobs, and the history first hears of a job when it starts.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import cast

from django.conf import settings
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.module_loading import import_string
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from redis import Redis
from redis.exceptions import RedisError
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text, utcparse

from ..core import keys, redaction, subjects
from ..core.payload import loaded, shown_call_of, unpacked
from ..core.picture import Picture, Running
from ..core.registry import TASKS, Registered
from ..core.values import Call, Json
from ..models import AuditEntry, Fire, JobRun, JobSubject
from ..models.job_run import Outcome
from .words import cause_words, json_text, moment_at, sound, span, whole_number

ATTEMPTS_SHOWN = 20
AUDIT_SHOWN = 50
ENDED = {"finished", "failed", "stopped", "canceled", "succeeded", "lost"}


@dataclass
class Event:
    """One line of a job's timeline."""

    at: datetime
    text: str
    sign: str = "queued"
    note: str = ""
    url: str = ""


@dataclass
class Dossier:
    """A job. `fields` are those of its hash in Redis, None where it has none; `runs` its attempts, the newest first."""

    job_id: str
    fields: dict[str, str] | None
    payload: bytes
    runs: list[JobRun]
    runs_in_all: int
    audit: list[AuditEntry]
    is_away: bool = False
    slot: Running | None = None
    live_log: str = ""
    stack: str = ""
    fire: Fire | None = None
    _call: Call | None = field(default=None, repr=False)

    @property
    def is_known(self) -> bool:
        return self.fields is not None or bool(self.runs)

    @property
    def last(self) -> JobRun | None:
        return self.runs[0] if self.runs else None

    @property
    def state(self) -> str:
        """The state by Redis, or where it has forgotten the job, the outcome of the last attempt."""
        if self.fields is not None:
            status = self.fields.get("status", "")
            return "held" if status == "deferred" and self.fields.get("held") else status
        return self.last.outcome if self.last else ""

    @property
    def state_label(self) -> str:
        return _(self.state) if self.state else ""

    @property
    def is_forgotten(self) -> bool:
        """Whether Redis answers and knows nothing of it: then only the history speaks."""
        return self.fields is None and not self.is_away

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED or self.is_forgotten

    @property
    def is_settled(self) -> bool:
        """Whether it has ended and its history says so: then a page that waits for more waits in vain."""
        is_written = self.state == "canceled" or (self.last is not None and self.last.ended_at is not None)
        return self.is_forgotten or (self.has_ended and is_written)

    @property
    def retries_left(self) -> int:
        """How often it may still be tried again; 0 where Redis does not say."""
        text = (self.fields or {}).get("retries_left", "")
        return whole_number(text, 10**9) or 0

    @property
    def call(self) -> Call:
        """Task, arguments and keyword arguments, without secrets."""
        if self._call is None:
            if self.fields is not None:
                text = self.payload.decode(errors="replace")
                self._call = shown_call_of(text, self.fields.get("task", ""))
            else:
                assert self.last is not None
                self._call = self.last.task, *redaction.call(self.last.task, self.last.args, self.last.kwargs)
        return self._call

    @property
    def task(self) -> str:
        return self.call[0]

    @property
    def registered(self) -> Registered | None:
        return TASKS.get(self.task)

    @property
    def holds_something(self) -> bool:
        """Whether it can hold a unique key or a permit of a rate limit."""
        is_limited = bool((self.fields or {}).get("rate_limit_key"))
        return is_limited or (self.registered is not None and self.registered.unique)

    @property
    def queue(self) -> str:
        if self.fields is not None:
            return self.fields.get("origin", "")
        return self.last.queue if self.last else ""

    @property
    def arguments(self) -> str:
        """The arguments as JSON that `edit` reads again: a list, or an object where some are named."""
        _task, args, kwargs = self.call
        return json_text({"args": args, "kwargs": kwargs} if kwargs else args, indent=2)

    @cached_property
    def meta(self) -> dict[str, Json]:
        found = loaded(self.fields.get("meta"), {}) if self.fields else (self.last.meta if self.last else {})
        return found if isinstance(found, dict) else {}

    @property
    def tags(self) -> list[str]:
        text = self.fields.get("tags", "") if self.fields else (self.last.tags if self.last else "")
        return [tag for tag in text.split(",") if tag]

    @cached_property
    def subjects(self) -> list[str]:
        """What it is about: as its hash says, or the history where Redis has forgotten it."""
        if self.fields is not None:
            return subjects.split(self.fields.get("about", ""))
        return list(JobSubject.objects.filter(job_id=self.job_id).values_list("subject", flat=True)[: subjects.MOST])

    @property
    def copy_of(self) -> str:
        return str(self.meta.get("copy_of", ""))

    @property
    def entry(self) -> str:
        return str(self.meta.get("entry", ""))

    @property
    def percent(self) -> int | None:
        return self.slot.get("percent") if self.slot else (self.last.progress if self.last else None)

    @property
    def progress_text(self) -> str:
        if self.slot:
            return str(self.slot.get("progress", ""))
        return self.last.progress_text if self.last else ""

    def moment(self, name: str) -> datetime | None:
        """Return a time out of the hash, None where it has none."""
        text = (self.fields or {}).get(name)
        try:
            return utcparse(text) if text else None
        except ValueError:
            return None

    @property
    def related(self) -> list[tuple[str, str]]:
        """The product's rows that the arguments name: text and address."""
        return list(import_string(settings.MONITOR_RELATED)(self.task, self.call[1]))

    @property
    def timeline(self) -> list[Event]:
        """Everything that happened to the job, the oldest first."""
        events = [event for run in self.runs for event in attempt_events(run)]
        # A job that was put back is not enqueued anew: several attempts name the same moment.
        events = list({(event.at, event.text): event for event in events}.values())
        if self.fields is not None:
            events += self._from_redis()
        events += [
            Event(
                entry.at,
                _("%(who)s: %(action)s") % {"who": entry.actor or _("the machine"), "action": _(entry.action)},
                "audit",
                entry.reason if entry.count else f"{entry.reason} {_('(nothing was changed)')}".strip(),
            )
            for entry in self.audit
        ]
        if self.fire is not None:
            url = reverse("admin:jobs_fire_change", args=[self.fire.pk])
            text = _("Planned by the schedule entry %s") % self.fire.entry_id
            events.append(Event(self.fire.planned_at, text, "scheduled", url=url))
        return sorted(events, key=lambda event: event.at)

    def _from_redis(self) -> list[Event]:
        """Return what the hash tells and the history does not yet."""
        events = []
        written = {run.enqueued_at for run in self.runs}
        created, enqueued, started = self.moment("created_at"), self.moment("enqueued_at"), self.moment("started_at")
        planned = number_of((self.fields or {}).get("planned", ""))
        if created and planned:
            events.append(Event(created, _("Planned for %s") % told_at(planned), "scheduled"))
        elif created and not self.runs:
            events.append(Event(created, _("Created"), "queued"))
        if enqueued and enqueued not in written and not (planned and enqueued == created):
            events.append(Event(enqueued, _("Enqueued on %s") % self.queue, "queued"))
        if self.slot and not any(run.execution_id == self.slot.get("execution") for run in self.runs):
            since = datetime.fromtimestamp(self.slot["since"], UTC)
            where = {"worker": self.slot["worker"], "slot": self.slot["slot"]}
            events.append(Event(since, _("Started by %(worker)s, slot %(slot)s") % where, "started"))
        elif started and self.state == "started" and not self.runs:
            events.append(Event(started, _("Started"), "started"))
        ended = self.moment("ended_at")
        if ended and self.state == "canceled":
            events.append(Event(ended, _("Cancelled before it started"), "canceled"))
        return events


def number_of(text: str) -> float | None:
    """Return a Unix time out of a job's hash, None for what is none."""
    try:
        return sound(text) if text else None
    except ValueError:
        return None


def told_at(seconds: float) -> str:
    """Return a Unix time in the viewer's zone."""
    return f"{localtime(moment_at(seconds)):%Y-%m-%d %H:%M:%S %Z}"


def attempt_events(run: JobRun) -> list[Event]:
    """Return the lines of one attempt: enqueued, started, ended, and the retry that was planned."""
    events = []
    number = {"n": run.attempt}
    if run.enqueued_at:
        events.append(Event(run.enqueued_at, _("Enqueued on %s") % run.queue, "queued"))
    where = number | {"worker": run.worker or "–", "slot": run.slot or "–", "wait": span(run.wait)}
    text = _("Attempt %(n)d started by %(worker)s, slot %(slot)s, after a wait of %(wait)s") % where
    events.append(Event(run.started_at, text, "started"))
    if run.ended_at:
        ended = number | {"outcome": _(run.outcome), "run": span(run.duration)}
        text = _("Attempt %(n)d ended after %(run)s: %(outcome)s") % ended
        events.append(Event(run.ended_at, text, run.outcome, cause_words(run.cause) or run.exception))
        if run.outcome == Outcome.LOST:
            text = _("Put aside as poison") if run.is_poison else _("Put back at the head of the queue")
            events.append(Event(run.ended_at, text, "failed" if run.is_poison else "queued"))
    if run.retry_at:
        events.append(Event(run.retry_at, _("Retry planned for this time"), "retrying"))
    return events


def collect(connection: Redis, job_id: str) -> Dossier:
    """Gather what is known of a job: three commands to Redis at most, and three queries."""
    fields, payload, is_away = None, b"", False
    try:
        found = cast(dict[bytes, bytes], connection.hgetall(f"{RQ_KEY_PREFIX}:job:{job_id}"))
        if found:
            payload = unpacked(found.pop(b"data", b""))
            fields = {as_text(name): value.decode(errors="replace") for name, value in found.items()}
    except RedisError:
        is_away = True
    attempts = JobRun.objects.filter(job_id=job_id).newest()
    runs = list(attempts[:ATTEMPTS_SHOWN])
    in_all = len(runs) if len(runs) < ATTEMPTS_SHOWN else attempts.count()
    audit = AuditEntry.objects.filter(target=f"job:{job_id}").select_related("actor").order_by("-at")
    known = Dossier(job_id, fields, payload, runs, in_all, list(audit[:AUDIT_SHOWN]), is_away)
    if fields is not None and known.state == "started":
        look_into_the_slot(connection, known)
    known.fire = fire_of(known)
    return known


def look_into_the_slot(connection: Redis, known: Dossier) -> None:
    """Note what the worker showed of the job within the last second: its slot, its progress, the end of its log."""
    assert known.fields is not None
    try:
        text = connection.get(keys.worker(known.fields.get("worker_name", "")))
        picture: Picture | None = json.loads(text) if text else None
        for slot in picture["slots"] if picture else ():
            if slot.get("job") == known.job_id:
                known.slot = {**slot, "worker": known.fields["worker_name"]}
                told = cast(
                    list[bytes | None], connection.mget(keys.log(slot["execution"]), keys.stack(slot["execution"]))
                )
                known.live_log, known.stack = (each.decode(errors="replace") if each else "" for each in told)
    except RedisError:
        known.is_away = True


def fire_of(known: Dossier) -> Fire | None:
    """Return the planned time of a schedule entry that made this job, None where nobody planned it."""
    number = known.meta.get("fire") if known.is_known else None
    return Fire.objects.filter(pk=number).first() if isinstance(number, int) else None
