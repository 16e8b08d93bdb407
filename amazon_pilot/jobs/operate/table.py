"""The table of operations on jobs. Page, confirmation, JSON API, command line, bulk, audit and docs read it.

To add one: a row here, a branch in rearrange.lua if no script does it yet, and the translations of its words.
"""

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from . import jobs
from .operation import ARGS, QUEUE, UNTIL, Bulk, Operation

WAITING = ("queued", "scheduled", "deferred", "rate_limited", "ready_to_enqueue")
ENDED = ("failed", "canceled", "stopped", "finished")
PLACED = ("queued", "scheduled", "deferred")  # where a job waits, as a bulk action looks for it
LET_GO = gettext_lazy(
    "If all the jobs before it have ended or are gone it no longer waits for them, and goes to the head of its queue."
)

ROWS = (
    Operation(
        name=gettext_noop("retry"), label=gettext_lazy("Retry now"), role="operate",
        help="Put ended jobs back on their queues.",
        states=(*ENDED, "forgotten"),
        effect=gettext_lazy("The job goes back to its queue, with all its retries."),
        labels=dict.fromkeys(("finished", "forgotten"), gettext_lazy("Run again")),
        effects=dict.fromkeys(
            ("finished", "forgotten"), gettext_lazy("A new job is made with the same call; this one stays as it is.")
        ),
        script="requeue", act=jobs.retry,
        bulk=Bulk(
            gettext_lazy("Each failed or cancelled job goes back to its queue, with all its retries."),
            ("failed", "canceled"), label=gettext_lazy("Retry"),
        ),
    ),
    Operation(
        name=gettext_noop("run now"), label=gettext_lazy("Run now"), role="operate",
        help="Have planned jobs and retries not wait for their time.",
        states=("scheduled", "deferred"),
        effect=gettext_lazy(
            "It does not wait for its time: it becomes the next of its queue. Its attempts and retries stay as they "
            "are."
        ),
        effects={"deferred": LET_GO},
        script="run_first", act=jobs.run_now,
        bulk=Bulk(
            gettext_lazy(
                "Each planned job and each retry goes to the end of its queue instead of waiting for its time."
            ),
            ("scheduled", "retry"), ("scheduled",), script="run",
        ),
    ),
    Operation(
        name=gettext_noop("hold"), label=gettext_lazy("Hold"), role="operate",
        help="Keep jobs from starting until they are released.",
        states=tuple(state for state in WAITING if state != "deferred"),
        effect=gettext_lazy("It does not start until somebody releases it."),
        script="hold", told=lambda values: _("The job is held until somebody releases it."),
        refused=gettext_lazy("Nothing was done: only a job that waits or is planned can be held."),
        bulk=Bulk(
            gettext_lazy("Each waiting or planned job does not start until somebody releases it."),
            ("queued", "scheduled", "retry"), ("queued", "scheduled"),
        ),
    ),
    Operation(
        name=gettext_noop("release"), label=gettext_lazy("Release"), role="operate", help="Let held jobs go on.",
        states=("held", "deferred"),
        effect=gettext_lazy("It goes to the head of its queue, or back to its planned time."),
        effects={"deferred": LET_GO},
        script="release", told=lambda values: _("The job was released."),
        refused=gettext_lazy("Nothing was done: the job is not held."),
        bulk=Bulk(
            gettext_lazy(
                "Each held job goes to the head of its queue, or back to its planned time. One that waits for other "
                "jobs, which has to be asked for by state:deferred, does so once those have ended or are gone."
            ),
            ("held", "deferred"), ("held",),
        ),
    ),
    Operation(
        name=gettext_noop("snooze"), label=gettext_lazy("Snooze"), role="operate", help="Have jobs wait until a time.",
        states=(*WAITING, "held"), fields=(UNTIL,),
        script="snooze", word=lambda values: values["until"].timestamp(),
        told=lambda values: (
            _("The job waits until %s.") % f"{timezone.localtime(values['until']):%Y-%m-%d %H:%M:%S %Z}"
        ),
        refused=gettext_lazy("Nothing was done: only a job that waits can be put off."),
        bulk=Bulk(
            gettext_lazy("Each waiting, planned or held job waits until a time."),
            ("queued", "scheduled", "retry", "held"), ("queued", "scheduled"),
        ),
    ),
    Operation(
        name=gettext_noop("cancel"), label=gettext_lazy("Cancel the job"), role="operate", is_dangerous=True,
        help="Take waiting jobs out of their queues, and ask running ones to end.",
        states=(*WAITING, "held", "started"),
        effect=gettext_lazy("It is taken out of its queue and can be retried later."),
        effects={"started": gettext_lazy("It is asked to end, and killed after 5 seconds if it does not.")},
        script="cancel", act=jobs.cancel,
        bulk=Bulk(
            gettext_lazy(
                "Each waiting, planned or held job is taken out of its queue; it can be retried later. A running one, "
                "which has to be chosen or asked for by state:started, is asked to end, and killed after 5 seconds if "
                "it does not."
            ),
            ("queued", "started", "scheduled", "deferred", "retry", "held"), PLACED, label=gettext_lazy("Cancel"),
        ),
    ),
    Operation(
        name=gettext_noop("stack"), label=gettext_lazy("Show its stack"), role="operate",
        help="Have a running job's process show where it is.",
        states=("started",), effect=gettext_lazy("Its process writes down where each of its threads is; it goes on."),
        act=jobs.show_stack,
    ),
    Operation(
        name=gettext_noop("edit"), label=gettext_lazy("Edit arguments and run"), role="edit",
        help="Run a job's task with other arguments, as a new job.",
        states=(*WAITING, "held", "started", *ENDED, "forgotten"),
        effect=gettext_lazy("A new job is made with these arguments; this one stays as it is."),
        button=gettext_lazy("Run with these arguments"), fields=(ARGS,), act=jobs.edit,
    ),
    Operation(
        name=gettext_noop("free"), label=gettext_lazy("Free what it holds"), role="edit", is_dangerous=True,
        help="Free the unique key and the permit of a rate limit that a job holds.",
        states=(*WAITING, "held", "started"), suits=lambda known: known.holds_something,
        effect=gettext_lazy(
            "The job stays where it is. Its unique key and its permit are free at once: another job with the same "
            "arguments, or the next one under its rate limit, may run beside it."
        ),
        act=jobs.free,
    ),
    Operation(
        name=gettext_noop("move"), label=gettext_lazy("Move"), role="edit", help="Move waiting jobs to another queue.",
        states=(*WAITING, "held"), fields=(QUEUE,),
        script="move", word=lambda values: values["queue"],
        told=lambda values: _("The job was moved to %s.") % values["queue"],
        refused=gettext_lazy("Nothing was done: only a job that waits can be moved."),
        bulk=Bulk(
            gettext_lazy("Each waiting, planned or held job goes to the end of another queue."),
            (*PLACED, "retry", "held"), PLACED,
        ),
    ),
    Operation(
        name=gettext_noop("delete"), label=gettext_lazy("Delete"), role="edit", is_dangerous=True,
        help="Forget jobs that do not run; their history stays.",
        states=(*WAITING, "held", *ENDED), is_by_its_own_commit=True,
        effect=gettext_lazy(
            "Redis forgets the job and it will not run. Its history stays. It can be brought back for 24 hours."
        ),
        act=jobs.delete,
        bulk=Bulk(
            gettext_lazy(
                "Redis forgets each job and it will not run; its history stays. It can be brought back for 24 hours."
            ),
            ("failed", "canceled", "queued", "scheduled", "retry", "deferred", "held"),
        ),
    ),
    Operation(
        name=gettext_noop("restore"), label=gettext_lazy("Bring back"), role="edit",
        help="Bring back jobs that were deleted within a day.", act=jobs.restore,
    ),
)  # fmt: skip

OPERATIONS = {row.name: row for row in ROWS}


def offered(state: str) -> list[Operation]:
    """Return what makes sense to do to a job of a state; the script refuses again what has changed meanwhile."""
    return [row for row in ROWS if state in row.states]


def in_bulk() -> dict[str, Bulk]:
    """Return how each operation is done to many jobs, by its name, of those that can be."""
    return {row.name: row.bulk for row in OPERATIONS.values() if row.bulk is not None}


def label(name: str) -> str:
    """Return how pages call an operation on many jobs; one that is no longer in the table by its name."""
    return str(OPERATIONS[name].label_in_bulk) if name in OPERATIONS else name
