"""What a script does to the schedule: one act is one verb of schedule.py, and the permission that its button asks for.

The verb writes the line of audit; here is what the pages' forms say to a person before they call it.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from django.core.exceptions import NON_FIELD_ERRORS, PermissionDenied, ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_duration
from django.utils.translation import gettext as _

from ..core.values import Json
from ..inspect import store
from ..models.person import Actor
from ..schedule import entries, fires
from ..schedule.entries import Fields, find
from . import changes
from .operations import Done

PERMISSIONS = {
    "list": "view_scheduleentry", "history": "view_fire",
    "pause": "operate_schedule", "resume": "operate_schedule", "run now": "operate_schedule",
    "create": "add_scheduleentry", "edit": "change_scheduleentry", "delete": "delete_scheduleentry",
}  # fmt: skip
Given = Mapping[str, Json]  # fields of an entry, as they came
TYPES = {"args": (list, dict), "missed_limit": (int,)}  # every other field is a text


def allow(by: Actor, verb: str) -> None:
    """Raise PermissionDenied where the schedule's pages would refuse this user; None is the machine, which may."""
    if by is None or (by.is_active and by.is_staff and by.has_perm(f"jobs.{PERMISSIONS[verb]}")):
        return
    raise PermissionDenied(_("Your role does not allow this."))


def pause(by: Actor, name: str, *, reason: str, until: datetime | None = None) -> Done:
    """Let an entry's fires pass; of one that is paused, reason and end are replaced. Raises ValidationError."""
    allow(by, "pause")
    entry = find(name)
    if not reason:
        raise ValidationError(_("Say why: the reason is shown to everyone who meets the effect."))
    if until and until <= timezone.now():
        raise ValidationError(_("Choose a time that is still to come."))
    entries.pause(entry, by, reason, until)
    return Done(1, _("%s is paused: its planned times pass, each with a line in the history.") % name)


def resume(by: Actor, name: str, *, reason: str = "") -> Done:
    """End an entry's pause."""
    allow(by, "resume")
    if entries.resume(find(name), by, reason):
        return Done(1, _("%s goes on.") % name)
    return Done(0, _("Nothing was done: %s was not paused.") % name)


def run_now(by: Actor, name: str, *, reason: str = "") -> Done:
    """Fire an entry now, also a paused one. Raises ValidationError where its task is gone, RedisError without Redis."""
    allow(by, "run now")
    entry = find(name)
    check_task(entry.task)
    store.connect().ping()  # the verb would leave the fire to the scheduler, and a script is to know that nothing runs
    if other := changes.pending(entry.task, *entry.call):
        return Done(0, _("Nothing was done: its task runs once per arguments, and job %s waits or runs.") % other)
    fire = entries.run_now(entry, by, reason)
    return Done(1, _("%s runs now, in addition to its planned times.") % name, fire.job_id)


def create(by: Actor, name: str, given: Given, *, reason: str = "") -> Done:
    """Add an entry; `given` are its fields as they came. Raises ValidationError, each line beginning with its field."""
    allow(by, "create")
    fields = usable(given)
    if missing := {"cron", "task"} - fields.keys():
        raise ValidationError(_("Say also: %s.") % ", ".join(sorted(missing)))
    try:
        entries.create(by, reason, name=name, **fields)
    except ValidationError as error:
        raise named(error) from error
    return Done(1, _("%s is in the schedule.") % name)


def edit(by: Actor, name: str, given: Given, *, reason: str = "") -> Done:
    """Change those fields of an entry that differ; raises ValidationError as `create` does."""
    allow(by, "edit")
    entry = find(name)
    fields = usable(given)
    if not fields:
        raise ValidationError(_("Say what to change: %s.") % ", ".join(entries.EDITABLE))
    different = {field: value for field, value in fields.items() if getattr(entry, field) != value}
    if not different:
        return Done(0, _("Nothing was done: %s is so already.") % name)
    try:
        entries.edit(entry, by, reason, **different)
    except ValidationError as error:
        raise named(error) from error
    return Done(1, _("%s was changed.") % name)


def delete(by: Actor, name: str, *, reason: str = "") -> Done:
    """Delete an entry; its history stays, and one of the settings comes back with the scheduler's next start."""
    allow(by, "delete")
    entry = find(name)
    text = _("%s was deleted; its history stays.")
    if entry.from_settings:
        text = _("%s was deleted; its history stays. The settings name it, so the next scheduler brings it back.")
    entries.remove(entry, by, reason)
    return Done(1, text % name)


def usable(given: Given) -> Fields:
    """Return fields as the model takes them; raises ValidationError for others, wrong types and unknown tasks."""
    if unknown := given.keys() - set(entries.EDITABLE):
        raise ValidationError(_("These cannot be changed: %s.") % ", ".join(sorted(unknown)))
    for field, value in given.items():
        wanted = TYPES.get(field, (str,))
        if not isinstance(value, wanted) or isinstance(value, bool):
            words = {"args": _("%s has to be a list."), "missed_limit": _("%s has to be a whole number.")}
            raise ValidationError(words.get(field, _("%s has to be a text.")) % field)
    if "task" in given:
        check_task(str(given["task"]))
    if "missed_window" in given:
        return {**given, "missed_window": span_of(str(given["missed_window"]))}
    return dict(given)


def check_task(name: str) -> None:
    """Raise ValidationError where no task has this name."""
    try:
        fires.task_named(name)
    except LookupError as error:
        raise ValidationError(str(error.args[0])) from error


def span_of(text: str) -> timedelta:
    """Read a span such as `1 00:00:00` or `P1D`; raises ValidationError."""
    try:
        span = parse_duration(text)
    except (ValueError, OverflowError):
        span = None
    if span is None or span < timedelta(0):
        raise ValidationError(_("Write missed_window as days and time, such as 1 00:00:00."))
    return span


def named(error: ValidationError) -> ValidationError:
    """Return an error whose lines begin with the field that they are about."""
    if not hasattr(error, "error_dict"):
        return error
    lines = [
        line if field == NON_FIELD_ERRORS else f"{field}: {line}"
        for field, found in error.message_dict.items()
        for line in found
    ]
    return ValidationError(lines)
