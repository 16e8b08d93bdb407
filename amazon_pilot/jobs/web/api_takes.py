"""The shapes of what the monitor's JSON takes, each value checked and read."""

from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

from ..core.values import Json
from ..inspect.grammar import FIRST_YEAR, LAST_YEAR
from ..inspect.words import whole_number


def number_up_to(most: int, words: str | Promise) -> Any:
    """Return the type of a whole number from 1 to `most` in an address; `words` says so to people, with %d in them."""

    def read(value: object) -> int:
        found = value if type(value) is int else whole_number(str(value), most)
        if not found:
            raise ValidationError(words % most)
        return found

    return Annotated[int, BeforeValidator(read), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": most})]


def read_moment(value: object) -> datetime | None:
    """Return a time, in UTC where it names no zone; None where there is none. Raises ValidationError."""
    if value is None or value == "":
        return None
    try:
        when = parse_datetime(value.strip()) if isinstance(value, str) else None
    except ValueError:
        when = None
    if when is None or not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValidationError(_("Write a time such as 2026-06-01T12:00:00Z."))
    return when if timezone.is_aware(when) else timezone.make_aware(when)


MOMENT = {"type": "string", "format": "date-time"}
Text = Annotated[StrictStr, AfterValidator(lambda text: text.strip()[:1000])]
MomentText = Annotated[StrictStr, WithJsonSchema(MOMENT)]
Moment = Annotated[datetime | None, BeforeValidator(read_moment), WithJsonSchema(MOMENT)]


class Why(BaseModel):
    """Why it is done, which the audit keeps."""

    reason: Text = ""


class PauseIn(Why):
    """What to pause: `queue:…`, `task:…` or `tag:…`, and until when."""

    name: Text = ""
    until: Moment = None


class ResumeIn(Why):
    name: Text = ""


class ConfirmIn(Why):
    """What cannot be undone wants the name of what it is done to."""

    confirm: Text = ""


class KillIn(Why):
    """Whose job to kill: the number of the slot, 0 for all."""

    slot: StrictInt = Field(ge=0)


class StartIn(Why):
    """A preview as it was answered, and its number where it asks for that."""

    preview: object = None
    confirm: StrictInt | None = None


class RestoreIn(Why):
    """`token`, a UUID, makes asking twice harmless."""

    token: Text = ""


class EntryPauseIn(Why):
    until: Moment = None


class EntryIn(Why):
    """The fields of an entry; those that are not said stay as they are, or as new ones are."""

    model_config = ConfigDict(extra="allow")
    cron: StrictStr | None = None
    zone: StrictStr | None = None
    task: StrictStr | None = None
    args: list[object] | dict[str, object] | None = None
    queue: StrictStr | None = None
    missed: StrictStr | None = None
    missed_limit: StrictInt | None = None
    missed_window: StrictStr | None = None
    overlap: StrictStr | None = None


def given_of(body: BaseModel) -> dict[str, Json]:
    """Return what a body says, without the reason and what was left out."""
    return body.model_dump(exclude_unset=True, exclude={"reason"})
