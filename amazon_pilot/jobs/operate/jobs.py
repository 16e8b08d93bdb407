"""Operations on one job that take more than a script: each is the `act` of its row in table.py."""

import json

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ..core import queues, redaction
from ..core.payload import call_of
from ..core.registry import PayloadError, UnknownTaskError
from ..core.values import Args, Kwargs
from ..models import JobRun
from ..models.person import Actor
from . import changes, deletion
from .operation import Done, Values, waits_for

GRACE = 5.0  # seconds that a cancelled job gets to end by itself


def retry(by: Actor, job_id: str, values: Values) -> Done:
    """Put an ended job back on its queue, or where Redis has forgotten it, run its call again as a new job."""
    if changes.one("requeue", job_id):
        if changes.state(job_id) == "deferred":
            return Done(1, _("The job waits again for the jobs before it, which have not ended."))
        return Done(1, _("The job is back on its queue."))
    state, call = changes.state(job_id), last_call(job_id)
    if state in ("failed", "stopped", "canceled") and call and (other := changes.pending(*call[:3])):
        return Done(0, _("Nothing was done: its task runs once per arguments, and job %s waits or runs.") % other)
    if state not in ("", "finished"):
        return Done(0, _("Nothing was done: the job waits or runs already."))
    if call is None:
        return Done(0, _("Nothing was done: neither Redis nor the history knows this job."))
    return run_again(*call, of=job_id)


def last_call(job_id: str) -> tuple[str, Args, Kwargs, str] | None:
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
    task, args, kwargs = call_of(json.dumps([job.func_name, None, job.args, job.kwargs]))
    return task, args, kwargs, job.origin


def run_again(task: str, args: Args, kwargs: Kwargs, queue: str, *, of: str = "") -> Done:
    """Enqueue a call as a new job; raises ValidationError where it is no whole call of a task that we know."""
    if redaction.is_cut(task, args, kwargs):
        raise ValidationError(_("A secret of this call is not kept: write it in place of each … among the arguments."))
    served = queue if queue in queues.names() else ""
    try:
        if other := changes.pending(task, args, kwargs):
            return Done(0, _("Nothing was done: its task runs once per arguments, and job %s waits or runs.") % other)
        job_id = changes.run_again(task, args, kwargs, of=of, queue=served)
    except (UnknownTaskError, PayloadError) as error:
        raise ValidationError(str(error)) from error
    return Done(1, _("A new job was enqueued with this call; the old one stays as it is."), job_id)


def edit(by: Actor, job_id: str, values: Values) -> Done:
    """Run a job's task with other arguments, given as JSON: a list, or an object with `args` and `kwargs`."""
    call = last_call(job_id)
    if call is None:
        raise ValidationError(_("Neither Redis nor the history knows this job, so there is nothing to edit."))
    positional, named = parse_arguments(values["args"])
    return run_again(call[0], positional, named, call[3], of=job_id)


def parse_arguments(text: str) -> tuple[Args, Kwargs]:
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


def cancel(by: Actor, job_id: str, values: Values) -> Done:
    """Remove a job that waits, ask one that runs."""
    answer = changes.cancel(job_id, grace=GRACE, by=by.get_username() if by else "machine")
    if answer == "removed":
        return Done(1, _("The job was cancelled before it started."))
    if answer == "asked":
        return Done(1, _("The job was asked to end; it is killed after %d seconds if it does not.") % GRACE)
    return Done(0, _("Nothing was done: the job had ended before."))


def run_now(by: Actor, job_id: str, values: Values) -> Done:
    """Have a planned job, a retry or a snoozed job not wait for its time."""
    if changes.one("run_first", job_id):
        return Done(1, _("The job does not wait for its time any longer: it is the next of its queue."))
    state = changes.state(job_id)
    if not state:
        return Done(0, _("Nothing was done: Redis does not know this job."))
    if before := changes.parents(job_id):
        return Done(0, waits_for(before))
    return Done(0, _("Nothing was done: the job does not wait for a time; it is %s.") % _(state))


def free(by: Actor, job_id: str, values: Values) -> Done:
    """Let go of the unique key and of the permit that a job holds; the job stays where it is."""
    freed = changes.free(job_id)
    if freed is None:
        return Done(0, _("Nothing was done: Redis does not know this job."))
    if not any(freed):
        return Done(0, _("Nothing was done: the job holds neither a unique key nor a permit."))
    words = [_("Its unique key is free."), _("Its permit is free.")]
    return Done(1, " ".join(word for word, is_free in zip(words, freed, strict=True) if is_free))


def show_stack(by: Actor, job_id: str, values: Values) -> Done:
    """Ask a running job where it is; its worker shows the answer within about a second."""
    if changes.ask_stack(job_id):
        return Done(1, _("The job was asked where it is: its stack is shown below within two seconds."))
    return Done(0, _("Nothing was done: the job does not run now."))


def delete(by: Actor, job_id: str, values: Values) -> Done:
    """Delete a job; what is in no place that it could be brought back to, such as one that waits for a permit, too."""
    kept = values.get("kept")
    if kept and deletion.delete_one(*kept):
        return Done(1, _("The job was deleted; its history stays. It can be brought back for 24 hours."))
    if changes.delete(job_id):
        return Done(1, _("The job was deleted for good; its history stays."))
    return Done(0, _("Nothing was done: the job runs, or Redis has forgotten it."))


def restore(by: Actor, job_id: str, values: Values) -> Done:
    """Bring a job back that was deleted within a day, by itself or with many."""
    is_back = deletion.restore_one(job_id)
    if is_back:
        return Done(1, _("The job is back where it was."))
    if is_back is None:
        return Done(0, _("Nothing was done: no job of this id was deleted within 24 hours."))
    return Done(
        0, _("Nothing was done: the job exists again, would have expired, or cannot wait for what it waited for.")
    )
