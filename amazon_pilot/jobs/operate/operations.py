"""What a person does to jobs, queues and workers: one act is one verb, the role it needs, and one line of audit.

The monitor's buttons, its API and `manage.py jobs` all go through here, so that they allow and record the same. The
line is written before the verb is called: what cannot be recorded is not done.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext
from rq.command import send_command

from ..core import queues, redaction
from ..core.payload import call_of
from ..core.registry import TASKS, PayloadError, UnknownTaskError
from ..inspect import snapshot
from ..models import AuditEntry, JobRun, KeptJob, Pause
from ..worker import recoverer
from . import changes, deletion
from .drain import drain_queue
from .roles import may

ROLES = {
    "retry": "operate", "cancel": "operate", "hold": "operate", "release": "operate", "snooze": "operate",
    "run now": "operate", "pause": "operate", "resume": "operate",
    "edit": "edit", "move": "edit", "delete": "edit", "restore": "edit", "run": "edit",
    "drain": "admin", "recover": "admin", "quiet": "admin", "wake": "admin", "stop": "admin", "kill": "admin",
}  # fmt: skip
GRACE = 5.0  # seconds that a cancelled job gets to end by itself


def slug(verb: str) -> str:
    """Write a verb as addresses and the command line do."""
    return verb.replace(" ", "-")


@dataclass(frozen=True)
class Done:
    """What came of an act: how many jobs or things it changed (0 = nothing), in words, and the id of a new job."""

    count: int
    text: str
    job_id: str = ""


def reaches(by: Any, role: str) -> bool:
    """Tell whether somebody may act in a role; None is the machine, which may."""
    return by is None or may(by, role)


def allow(by: Any, verb: str) -> None:
    """Raise PermissionDenied where a user's role does not reach so far."""
    if not reaches(by, ROLES[verb]):
        raise PermissionDenied(_("Your role does not allow this."))


def recorded(by: Any, verb: str, target: str, reason: str, act: Callable[[], Done], **detail: Any) -> Done:
    """Write the line of audit, act, and note on the line how much was changed; raises what `act` raises."""
    allow(by, verb)
    with transaction.atomic():
        entry = AuditEntry.objects.record(by, verb, target, reason=reason, count=0, **detail)
        done = act()
        entry.count = done.count
        if done.job_id:
            entry.detail |= {"new_job": done.job_id}
        entry.save(update_fields=["count", "detail"])
    return done


# One job


def on_job(by: Any, verb: str, job_id: str, *, reason: str = "", **words: Any) -> Done:
    """Do one of JOB_VERBS to a job; raises PermissionDenied, or ValidationError where `words` make no sense."""
    detail = {name: str(value) for name, value in words.items() if name != "args"}
    if verb == "delete":
        allow(by, verb)
        words["kept"] = deletion.keep_one(job_id)  # committed, if the caller is in no transaction, before it is deleted
    return recorded(by, verb, f"job:{job_id}", reason, lambda: JOB_VERBS[verb](by, job_id, **words), **detail)


def retry(by: Any, job_id: str) -> Done:
    """Put an ended job back on its queue, or where Redis has forgotten it, run its call again as a new job."""
    if changes.retry(job_id):
        return Done(1, _("The job is back on its queue."))
    job = changes.find(job_id)
    if job is not None and job.get_status() != "finished":
        return Done(0, _("Nothing was done: the job waits or runs already."))
    call = last_call(job_id)
    if call is None:
        return Done(0, _("Nothing was done: neither Redis nor the history knows this job."))
    return run_again(*call, of=job_id)


def last_call(job_id: str) -> tuple[str, list[Any], dict[str, Any], str] | None:
    """Return task, arguments, keyword arguments and queue of a job, by the history or by Redis; None where unknown.

    The history keeps no secrets: where it lacks one Redis is asked, and where that has forgotten the job it is missing.
    """
    run = JobRun.objects.filter(job_id=job_id).newest().first()
    kept = (run.task, run.args, run.kwargs, run.queue) if run is not None else None
    if kept is not None and not redaction.is_cut(*kept[:3]):
        return kept
    job = changes.find(job_id)
    if job is None:
        return kept
    task, args, kwargs = call_of({"payload": json.dumps([job.func_name, None, job.args, job.kwargs])})
    return task, args, kwargs, job.origin


def run_again(task: str, args: Sequence[Any], kwargs: dict[str, Any], queue: str, *, of: str = "") -> Done:
    """Enqueue a call as a new job; raises ValidationError where it is no whole call of a task that we know."""
    if redaction.is_cut(task, args, kwargs):
        raise ValidationError(_("A secret of this call is not kept: write it in place of each … among the arguments."))
    served = queue if queue in queues.names() else ""
    try:
        job_id = changes.run_again(task, args, kwargs, of=of, queue=served)
    except (UnknownTaskError, PayloadError) as error:
        raise ValidationError(str(error)) from error
    return Done(1, _("A new job was enqueued with this call; the old one stays as it is."), job_id)


def edit(by: Any, job_id: str, *, args: str) -> Done:
    """Run a job's task with other arguments, given as JSON: a list, or an object with `args` and `kwargs`."""
    call = last_call(job_id)
    if call is None:
        raise ValidationError(_("Neither Redis nor the history knows this job, so there is nothing to edit."))
    positional, named = parse_arguments(args)
    return run_again(call[0], positional, named, call[3], of=job_id)


def parse_arguments(text: str) -> tuple[list[Any], dict[str, Any]]:
    """Read arguments written as JSON; raises ValidationError that says where they are wrong."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValidationError(_("This is not JSON: %s.") % error) from error
    if isinstance(value, dict) and set(value) <= {"args", "kwargs"}:
        positional, named = value.get("args", []), value.get("kwargs", {})
    else:
        positional, named = value, {}
    if not isinstance(positional, list) or not isinstance(named, dict):
        raise ValidationError(_('Write a list such as [17], or an object such as {"args": [17], "kwargs": {}}.'))
    return positional, named


def cancel(by: Any, job_id: str) -> Done:
    """Remove a job that waits, ask one that runs."""
    answer = changes.cancel(job_id, grace=GRACE, by=by.get_username() if by else "machine")
    if answer == "removed":
        return Done(1, _("The job was cancelled before it started."))
    if answer == "asked":
        return Done(1, _("The job was asked to end; it is killed after %d seconds if it does not.") % GRACE)
    return Done(0, _("Nothing was done: the job had ended before."))


def hold(by: Any, job_id: str) -> Done:
    if changes.hold(job_id):
        return Done(1, _("The job is held until somebody releases it."))
    return Done(0, _("Nothing was done: only a job that waits or is planned can be held."))


def release(by: Any, job_id: str) -> Done:
    if changes.release(job_id):
        return Done(1, _("The job was released."))
    return Done(0, _("Nothing was done: the job is not held."))


def snooze(by: Any, job_id: str, *, until: datetime) -> Done:
    if until <= timezone.now():
        raise ValidationError(_("Choose a time that is still to come."))
    if changes.snooze(job_id, until):
        return Done(1, _("The job waits until %s.") % f"{timezone.localtime(until):%Y-%m-%d %H:%M:%S %Z}")
    return Done(0, _("Nothing was done: only a job that waits can be put off."))


def run_now(by: Any, job_id: str) -> Done:
    """Have a planned job, a retry or a snoozed job not wait for its time."""
    if changes.run_now(job_id):
        return Done(1, _("The job does not wait for its time any longer: it is the next of its queue."))
    state = changes.state(job_id)
    if not state:
        return Done(0, _("Nothing was done: Redis does not know this job."))
    return Done(0, _("Nothing was done: the job does not wait for a time; it is %s.") % _(state))


def move(by: Any, job_id: str, *, queue: str) -> Done:
    try:
        moved = changes.move(job_id, queue)
    except ValueError as error:
        raise ValidationError(str(error)) from error
    if moved:
        return Done(1, _("The job was moved to %s.") % queue)
    return Done(0, _("Nothing was done: only a job that waits can be moved."))


def delete(by: Any, job_id: str, *, kept: tuple[KeptJob, str] | None) -> Done:
    """Delete a job; what is in no place that it could be brought back to, such as one that waits for a permit, too."""
    if kept and deletion.delete_one(*kept):
        return Done(1, _("The job was deleted; its history stays. It can be brought back for 24 hours."))
    if changes.delete(job_id):
        return Done(1, _("The job was deleted for good; its history stays."))
    return Done(0, _("Nothing was done: the job runs, or Redis has forgotten it."))


def restore(by: Any, job_id: str) -> Done:
    """Bring a job back that was deleted within a day, by itself or with many."""
    is_back = deletion.restore_one(job_id)
    if is_back:
        return Done(1, _("The job is back where it was."))
    if is_back is None:
        return Done(0, _("Nothing was done: no job of this id was deleted within 24 hours."))
    return Done(
        0, _("Nothing was done: the job exists again, would have expired, or cannot wait for what it waited for.")
    )


JOB_VERBS: dict[str, Callable[..., Done]] = {
    "retry": retry, "edit": edit, "cancel": cancel, "hold": hold, "release": release, "snooze": snooze,
    "run now": run_now, "move": move, "delete": delete, "restore": restore,
}  # fmt: skip


def run(by: Any, task: str, args: Sequence[Any], kwargs: dict[str, Any] | None = None, *, reason: str = "") -> Done:
    """Enqueue one call of a task; raises ValidationError where there is no such task or no such arguments."""
    return recorded(by, "run", f"task:{task}", reason, lambda: run_again(task, args, kwargs or {}, ""))


# Queues, tasks and tags


def pause(by: Any, name: str, *, reason: str, until: datetime | None = None) -> Done:
    """Keep workers from starting jobs of `queue:…`, `task:…` or `tag:…`; raises ValidationError for other names."""
    kind, _separator, what = name.partition(":")
    known = {
        "queue": set(queues.names()), "task": set(TASKS), "tag": {tag for task in TASKS.values() for tag in task.tags}
    }  # fmt: skip
    if what not in known.get(kind, ()):
        raise ValidationError(_("%s is not a queue, a task or a tag that we know.") % name)
    if not reason:
        raise ValidationError(_("Say why: the reason is shown to everyone who meets the effect."))
    if until and until <= timezone.now():
        raise ValidationError(_("Choose a time that is still to come."))

    def act() -> Done:
        Pause.objects.begin(name, by=by, reason=reason, until=until)
        return Done(1, _("%s is paused: what runs goes on, nothing more is started.") % what)

    return recorded(by, "pause", name, reason, act, until=until.isoformat() if until else "")


def resume(by: Any, name: str, *, reason: str = "") -> Done:
    """End a pause."""

    def act() -> Done:
        ended = Pause.objects.end(name, by=by)
        words = _("%s goes on.") if ended else _("Nothing was done: %s was not paused.")
        return Done(ended, words % name.partition(":")[2])

    return recorded(by, "resume", name, reason, act)


def drain(by: Any, queue: str, *, reason: str) -> Done:
    """Have every job deleted that waits in a queue now; jobs that come later stay. Done in the background."""
    if queue not in queues.names():
        raise ValidationError(_("There is no queue %s.") % queue)
    if not reason:
        raise ValidationError(_("Say why: the reason is shown to everyone who meets the effect."))
    allow(by, "drain")
    closed = queues.paused()
    through = [name for name in queues.names() if name != queue and f"queue:{name}" not in closed]
    if not through:
        raise ValidationError(_("All other queues are paused, so nobody could carry this out. Resume one of them."))
    waiting = queues.size(queue)
    with transaction.atomic():
        # The task counts on this line what it has deleted.
        entry = AuditEntry.objects.record(
            by, "drain", f"queue:{queue}", reason=reason, count=0, goes_on=True, waiting=waiting
        )
        call = (queue, timezone.now().isoformat(), entry.pk)
        job_id = drain_queue.options(queue=through[0], at_front=True).enqueue(*call)
        entry.detail |= {"job": job_id}
        entry.save(update_fields=["detail"])
    words = ngettext(
        "The %d job that waits is deleted in the background.", "The %d jobs that wait are deleted in the background.",
        waiting,
    )  # fmt: skip
    return Done(waiting, words % waiting, job_id)


# Workers


def on_worker(by: Any, verb: str, worker: str, *, reason: str = "", slot: int = 0) -> Done:
    """Tell a worker to be quiet, to wake, to stop, or to kill what a slot runs (0 = all slots).

    Raises ValidationError where there is no such worker, or it has no such slot.
    """
    allow(by, verb)
    command, words = WORKER_COMMANDS[verb]
    told = {"slot": slot} if verb == "kill" else {}
    seen = next((each for each in snapshot.current().workers if each["worker"] == worker), None)
    if seen is None:
        raise ValidationError(_("There is no worker %s.") % worker)
    if slot and slot not in {each["slot"] for each in seen["slots"]}:
        raise ValidationError(_("The worker %(worker)s has no slot %(slot)d.") % {"worker": worker, "slot": slot})

    def act() -> Done:
        if not seen["is_alive"]:
            return Done(0, _("Nothing was done: %s does not live any more.") % worker)
        send_command(queues.connection(), worker, command, **told)
        return Done(1, _(words) % worker)

    return recorded(by, verb, f"worker:{worker}", reason, act, **told)


WORKER_COMMANDS = {
    "quiet": ("quiet", gettext_noop("%s takes no more jobs; what runs goes on.")),
    "wake": ("wake", gettext_noop("%s takes jobs again.")),
    "stop": (
        "shutdown",
        gettext_noop("%s leaves when what it runs has ended, and gives back what takes too long."),
    ),
    "kill": (
        "kill-horse",
        gettext_noop("%s was told to kill what it runs there; the job fails, or is tried again if it may be."),
    ),
}


def recover(by: Any, *, reason: str = "") -> Done:
    """Bring back at once the jobs whose lease is lost, which workers look for each second."""

    def act() -> Done:
        found = [pair for name in queues.names() for pair in recoverer.recover(name)]
        words = ngettext("%d job was brought back.", "%d jobs were brought back.", len(found))
        return Done(len(found), words % len(found))

    return recorded(by, "recover", "jobs", reason, act)
