"""What a person does to jobs, queues and workers: one act is one verb, the role it needs, and one line of audit.

The monitor's buttons, its API and `manage.py jobs` all go through here, so that they allow and record the same. The
line is written before the verb is called: what cannot be recorded is not done.
"""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Unpack

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, ngettext
from rq.command import send_command

from ..core import queues
from ..core.registry import TASKS
from ..core.values import Args, Kwargs
from ..inspect import snapshot
from ..models import AuditEntry, Pause
from ..models.person import Actor
from ..worker import recoverer
from . import changes, deletion
from .drain import drain_queue
from .jobs import run_again
from .operation import ARGS, Done, Values
from .roles import may
from .table import OPERATIONS

# What is done to other things than jobs; the operations on jobs are in table.py.
ROLES = {
    "pause": "operate", "resume": "operate", "run": "edit", "drain": "admin", "recover": "admin", "quiet": "admin",
    "wake": "admin", "stop": "admin", "kill": "admin", "silence": "operate", "end silence": "operate",
}  # fmt: skip


def reaches(by: Actor, role: str, where: Collection[str] = ()) -> bool:
    """Tell whether somebody may act in a role, as `may` does; None is the machine, which may."""
    return by is None or may(by, role, where)


def role_of(verb: str) -> str:
    """Return the role that an act needs."""
    return OPERATIONS[verb].role if verb in OPERATIONS else ROLES[verb]


def allow(by: Actor, verb: str, where: Collection[str] = ()) -> None:
    """Raise PermissionDenied where a user may not act so in each of these queues, or, of none, everywhere."""
    if not reaches(by, role_of(verb), where):
        raise PermissionDenied(_("Your role does not allow this."))


def recorded(
    by: Actor, verb: str, target: str, reason: str, act: Callable[[], Done], where: Collection[str] = (), **detail: Any
) -> Done:
    """Write the line of audit, act, and note on the line how much was changed; raises what `act` and `allow` raise."""
    allow(by, verb, where)
    with transaction.atomic():
        entry = AuditEntry.objects.record(by, verb, target, reason=reason, count=0, **detail)
        done = act()
        entry.count = done.count
        if done.job_id:
            entry.detail |= {"new_job": done.job_id}
        entry.save(update_fields=["count", "detail"])
    return done


# One job


def on_job(by: Actor, name: str, job_id: str, *, reason: str = "", **values: Unpack[Values]) -> Done:
    """Do one of OPERATIONS to a job; `values` are those of its fields, as Operation.read makes them.

    Raises PermissionDenied, or ValidationError if they make no sense.
    """
    operation = OPERATIONS[name]
    where: set[str] = set()
    if not reaches(by, operation.role):
        where = changes.queues_of([job_id]) | ({values["queue"]} if "queue" in values else set())
    detail = {key: str(value) for key, value in values.items() if key != ARGS.name}
    if operation.is_by_its_own_commit:
        allow(by, name, where)
        values["kept"] = deletion.keep_one(job_id)  # committed before it is deleted, if the caller is in no transaction
    return recorded(by, name, f"job:{job_id}", reason, lambda: operation.do(by, job_id, values), where, **detail)


def run(by: Actor, task: str, args: Args, kwargs: Kwargs | None = None, *, reason: str = "") -> Done:
    """Enqueue one call of a task; raises ValidationError where there is no such task or no such arguments."""
    where = {TASKS[task].queue} if task in TASKS else set()
    return recorded(by, "run", f"task:{task}", reason, lambda: run_again(task, args, kwargs or {}, ""), where)


# Queues, tasks and tags


def pause(by: Actor, name: str, *, reason: str, until: datetime | None = None) -> Done:
    """Keep workers from starting jobs of `queue:…`, `task:…` or `tag:…`; raises ValidationError for other names."""
    if not is_known(name):
        raise ValidationError(_("%s is not a queue, a task or a tag that we know.") % name)
    if not reason:
        raise ValidationError(_("Say why: the reason is shown to everyone who meets the effect."))
    if until and until <= timezone.now():
        raise ValidationError(_("Choose a time that is still to come."))

    def act() -> Done:
        Pause.objects.begin(name, by=by, reason=reason, until=until)
        return Done(1, _("%s is paused: what runs goes on, nothing more is started.") % name.partition(":")[2])

    return recorded(by, "pause", name, reason, act, queue_in(name), until=until.isoformat() if until else "")


def is_known(name: str) -> bool:
    """Tell whether there is such a `queue:…`, `task:…` or `tag:…`."""
    kind, _separator, what = name.partition(":")
    known = {
        "queue": set(queues.names()), "task": set(TASKS), "tag": {tag for task in TASKS.values() for tag in task.tags}
    }  # fmt: skip
    return what in known.get(kind, ())


def resume(by: Actor, name: str, *, reason: str = "") -> Done:
    """End a pause."""

    def act() -> Done:
        ended = Pause.objects.end(name, by=by)
        words = _("%s goes on.") if ended else _("Nothing was done: %s was not paused.")
        return Done(ended, words % name.partition(":")[2])

    return recorded(by, "resume", name, reason, act, queue_in(name))


def queue_in(name: str) -> set[str]:
    """Return the queue of `queue:…`, none for what may wait in any: of a task and a tag one acts everywhere."""
    kind, _separator, what = name.partition(":")
    return {what} if kind == "queue" else set()


def drain(by: Actor, queue: str, *, reason: str) -> Done:
    """Have every job deleted that waits in a queue now; jobs that come later stay. Done in the background."""
    if queue not in queues.names():
        raise ValidationError(_("There is no queue %s.") % queue)
    if not reason:
        raise ValidationError(_("Say why: the reason is shown to everyone who meets the effect."))
    allow(by, "drain", {queue})
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


def on_worker(by: Actor, verb: str, worker: str, *, reason: str = "", slot: int = 0) -> Done:
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

    return recorded(by, verb, f"worker:{worker}", reason, act, (), **told)


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


def recover(by: Actor, *, reason: str = "") -> Done:
    """Bring back at once the jobs whose lease is lost, which workers look for each second."""

    def act() -> Done:
        found = [pair for name in queues.names() for pair in recoverer.recover(name)]
        words = ngettext("%d job was brought back.", "%d jobs were brought back.", len(found))
        return Done(len(found), words % len(found))

    return recorded(by, "recover", "jobs", reason, act)
