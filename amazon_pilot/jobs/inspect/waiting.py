"""Why a job waits: the first true reason, and where in its queue it stands."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.urls import reverse
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis import Redis
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text, utcparse

from ..core import queues
from ..core.payload import loaded
from ..models import AuditEntry, Pause
from . import backlog
from .job_detail import Dossier
from .redis_jobs import LiveJob
from .snapshot import Sample
from .words import moment_at, sound

EXACT_UP_TO = 1000  # the place in a longer queue would have to be searched for job by job
PARENTS_SHOWN = 5


@dataclass
class Reason:
    """One reason in words, with the time at which it ends by itself if it does, and the page that tells more."""

    text: str
    why: str = ""
    until: datetime | float | None = None
    url: str = ""
    link: str = ""


def reason(connection: Redis, known: Dossier, sample: Sample) -> Reason | None:
    """Return why a job waits, None where it does not; at most five commands to Redis."""
    if known.fields is None:
        return None
    if known.state == "held":
        return _held(known)
    if known.state == "queued":
        return _paused(known, sample) or _queued(connection, known, sample)
    if known.state == "scheduled":
        return _scheduled(connection, known)
    if known.state == "deferred":
        return _depends(connection, known)
    if known.state in ("rate_limited", "ready_to_enqueue"):
        limit = known.fields.get("rate_limit_key", "")
        return Reason(_("It waits for its turn under the rate limit %s.") % limit)
    if known.state == "created":  # rq writes a job down before it is enqueued
        return Reason(_("It was made, and nobody has put it on a queue."))
    return None


def in_short(jobs: Sequence[LiveJob]) -> dict[str, str]:
    """Return by id and in few words why jobs wait, '' where they do not or only a look at Redis could tell.

    Two queries tell who paused and who holds.
    """
    pauses = {pause.name: pause for pause in Pause.objects.active().select_related("by")} if jobs else {}
    held = [f"job:{job.id}" for job in jobs if job.held == "job"]
    acts = AuditEntry.objects.filter(target__in=held, action="hold", count__gt=0) if held else AuditEntry.objects.none()
    holders = {act.target: act.actor or _("the machine") for act in acts.select_related("actor").order_by("at")}
    return {job.id: _in_short(job, pauses, holders) for job in jobs}


def _in_short(job: LiveJob, pauses: dict[str, Pause], holders: Mapping[str, object]) -> str:
    if job.state in ("scheduled", "retry") and job.score:
        when = localtime(moment_at(job.score))
        return (_("retry at %s") if job.attempt else _("planned for %s")) % f"{when:%Y-%m-%d %H:%M:%S}"
    if job.state not in ("queued", "deferred", "held"):
        return ""
    if job.held == "job":
        holder = holders.get(f"job:{job.id}")
        return _("held by %s") % holder if holder else ""
    if job.state != "queued" and not job.held:
        return _("waits for another job")
    keepers = [f"queue:{job.queue}", f"task:{job.task}", *(f"tag:{tag}" for tag in job.tags.split(","))]
    pause = next((pauses[name] for name in ([job.held] if job.held else keepers) if name in pauses), None)
    if pause is None:
        return ""
    return _("%(name)s is paused by %(who)s") % {"name": pause.name, "who": pause.by or _("the machine")}


def _pause_reason(name: str) -> Reason:
    """Say who paused `queue:…`, `task:…` or `tag:…`, why, and until when."""
    kind, _separator, what = name.partition(":")
    texts = {
        "queue": _("The queue %s is paused."),
        "task": _("The task %s is paused."),
        "tag": _("The tag %s is paused."),
    }
    pause = Pause.objects.active().filter(name=name).select_related("by").first()
    said = Reason(texts.get(kind, "%s") % what, url=reverse("monitor:queues"), link=_("Pauses"))
    if pause is not None:
        who = {"who": pause.by or _("the machine"), "reason": pause.reason}
        said.why, said.until = _("%(who)s: “%(reason)s”") % who, pause.until
    return said


def _held(known: Dossier) -> Reason:
    assert known.fields is not None
    if known.fields["held"] != "job":
        return _pause_reason(known.fields["held"])
    act = next((entry for entry in known.audit if entry.action == "hold" and entry.count), None)
    why = _("%(who)s: “%(reason)s”") % {"who": act.actor or _("the machine"), "reason": act.reason} if act else ""
    return Reason(_("It is held until somebody releases it."), why)


def _paused(known: Dossier, sample: Sample) -> Reason | None:
    names = [f"queue:{known.queue}", f"task:{known.task}", *(f"tag:{tag}" for tag in known.tags)]
    return next((_pause_reason(name) for name in names if name in sample.paused), None)


def _queued(connection: Redis, known: Dossier, sample: Sample) -> Reason:
    pipeline = connection.pipeline(transaction=False)
    pipeline.exists(f"{RQ_KEY_PREFIX}:suspended")
    pipeline.llen(queues.key(known.queue))
    pipeline.lindex(queues.key(known.queue), 0)
    suspended, size, first = pipeline.execute()
    workers = reverse("monitor:workers")
    if suspended:
        return Reason(_("All workers are suspended by rq's own command (rq resume ends that)."), url=workers)
    serving = [worker for worker in sample.alive if known.queue in worker["queues"]]
    if not serving:
        text = _("No worker listens on the queue %s.") % known.queue
        return Reason(text, url=workers, link=_("Workers"))
    if all(worker["state"] != "working" for worker in serving):
        return Reason(_("Every worker of its queue is quiet or leaves."), url=workers, link=_("Workers"))
    place = _place(connection, known, size, first)
    if all(worker["busy"] >= len(worker["slots"]) for worker in serving):
        held = backlog.held(backlog.slots(sample, known.queue), sample.taken_at)
        first = _("It starts when one of them is free and what stands before it has started.")
        return Reason(" ".join(filter(None, [held, place, first])), url=workers, link=_("Workers"))
    return Reason(place or _("It is next."))


def _place(connection: Redis, known: Dossier, size: int, first: bytes) -> str:
    """Say how many jobs stand before it: counted in a short queue, told from the times of a long one."""
    if size <= EXACT_UP_TO:
        before = connection.lpos(queues.key(known.queue), known.job_id)
        if not isinstance(before, int) or not before:
            return ""
        return ngettext("%(n)d job stands before it.", "%(n)d jobs stand before it.", before) % {"n": before}
    since = known.moment("enqueued_at")
    oldest = _moment(connection.hget(f"{RQ_KEY_PREFIX}:job:{as_text(first)}", "enqueued_at"))
    last = connection.lindex(queues.key(known.queue), -1)
    newest = _moment(connection.hget(f"{RQ_KEY_PREFIX}:job:{as_text(last)}", "enqueued_at")) if last else None
    if not since or not oldest or not newest or newest <= oldest:
        return _("It is one of %d that wait.") % size
    share = min(1.0, max(0.0, (since - oldest) / (newest - oldest)))
    return _("About %(n)d of the %(all)d that wait stand before it.") % {"n": round(share * size), "all": size}


def _moment(text: bytes | str | None) -> datetime | None:
    try:
        return utcparse(as_text(text)) if text else None
    except ValueError:  # a damaged job at an end of the queue says nothing of the others
        return None


def _scheduled(connection: Redis, known: Dossier) -> Reason:
    score = connection.zscore(f"{RQ_KEY_PREFIX}:scheduled:{known.queue}", known.job_id)
    due = None if score is None else sound(score)
    if known.last is not None and known.last.outcome in ("retrying", "started"):
        return Reason(_("It failed and is tried again later."), known.last.exception, until=due)
    return Reason(_("It is planned for later."), until=due)


def _depends(connection: Redis, known: Dossier) -> Reason:
    assert known.fields is not None
    found = loaded(known.fields.get("dependency_ids"), [])
    names = [str(name) for name in found[:PARENTS_SHOWN]] if isinstance(found, list) else []
    if not names:
        return Reason(_("It is deferred, and Redis does not say what it waits for."))
    pipeline = connection.pipeline(transaction=False)
    for name in names:
        pipeline.hget(f"{RQ_KEY_PREFIX}:job:{name}", "status")
    states = [as_text(state) if state else _("forgotten") for state in pipeline.execute()]
    told = ", ".join(f"{name} ({state})" for name, state in zip(names, states, strict=True))
    return Reason(
        _("It waits for other jobs to end: %s.") % told, url=reverse("monitor:job", args=[names[0]]), link=names[0]
    )
