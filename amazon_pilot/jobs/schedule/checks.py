"""System checks of the schedule: every entry's task is registered, its line can be read, its queue exists."""

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ValidationError

from ..models import ScheduleEntry
from . import fires


def check_schedule(**kwargs: object) -> list[CheckMessage]:
    """Return an error for each line of settings.SCHEDULE that could not fire."""
    errors: list[CheckMessage] = []
    for name, line in settings.SCHEDULE.items():
        entry = ScheduleEntry(name=name, **line)
        try:
            entry.clean_fields()
            entry.clean()
        except ValidationError as error:
            errors.append(Error(f"SCHEDULE[{name!r}]: {' '.join(error.messages)}", id="schedule.E001"))
        try:
            fires.task_named(entry.task)
        except LookupError:
            hint = f"Write the function {entry.task} under @job, in the module tasks of an installed app."
            errors.append(Error(f"SCHEDULE[{name!r}] names a task that is not registered.", hint, id="schedule.E002"))
    return errors
