"""What an operation on jobs is: one row of the table (table.py), which every face of the monitor reads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict, cast

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..core import queues
from ..core.values import Text, Word
from ..inspect.job_detail import Dossier
from ..models.kept_job import KeptJob
from ..models.person import Actor
from . import changes

REFUSED = gettext_lazy("Nothing was done: the job is in no state for this.")


class Values(TypedDict, total=False):
    """The values of the fields that an operation takes, each checked; and what was kept of a job to be deleted."""

    until: datetime
    queue: str
    args: str
    kept: tuple[KeptJob, bytes] | None


@dataclass(frozen=True)
class Done:
    """What came of an act: how many jobs or things it changed (0 = nothing), in words, and the id of a new job."""

    count: int
    text: str
    job_id: str = ""


@dataclass(frozen=True)
class Field:
    """One thing that an operation asks for beside the job, by the name that forms, JSON and the command line share.

    `read` makes a value of what came as text, or raises ValidationError; `kind` names the template that asks for it.
    """

    name: str
    kind: str
    read: Callable[[str], object]
    bulk_name: str = ""  # if it goes by another name where a bulk action asks for it

    @property
    def name_in_bulk(self) -> str:
        return self.bulk_name or self.name


def moment_of(text: str) -> datetime:
    """Read a time that is still to come, in the viewer's zone if it names none; raises ValidationError."""
    try:
        when = parse_datetime(text.strip())
        when = timezone.make_aware(when) if when and timezone.is_naive(when) else when
        is_over = when is not None and when <= timezone.now()
    except (ValueError, OverflowError):
        when = None
    if when is None:
        raise ValidationError(_("Write a time such as 2026-06-01T12:00."))
    if is_over:
        raise ValidationError(_("Choose a time that is still to come."))
    return when


def queue_of(text: str) -> str:
    """Read the name of a queue that a worker serves; raises ValidationError."""
    if text not in queues.names():
        raise ValidationError(_("There is no queue %s.") % text)
    return text


UNTIL = Field("until", "time", moment_of)
QUEUE = Field("queue", "queue", queue_of, bulk_name="to_queue")
ARGS = Field("args", "call", str)


@dataclass(frozen=True)
class Bulk:
    """How an operation is done to all jobs that a search matches.

    `states` are those it is for; `searched` those looked through if the search names none: with none the history tells
    which jobs are meant, and the script whether they can be.
    """

    effect: Text
    states: tuple[str, ...]
    searched: tuple[str, ...] = ()
    script: str = ""
    label: Text = ""  # if the operation's own speaks of one job


@dataclass(frozen=True)
class Operation:
    """What people may do to a job: who may, in which states it is offered, what it takes and changes, and how.

    `states` are those of the job's page; "forgotten" is a job of which only the history is left. `effects` says what it
    does where that depends on the state, else `effect`; likewise `labels`. `script` is the verb of rearrange.lua, and
    `word` what goes with it; `act` stands in for the script if it takes more than that.
    """

    name: str
    label: Text
    role: str
    help: str
    states: tuple[str, ...] = ()
    effect: Text = ""
    labels: Mapping[str, Text] = field(default_factory=dict)
    effects: Mapping[str, Text] = field(default_factory=dict)
    button: Text = ""
    is_dangerous: bool = False
    fields: tuple[Field, ...] = ()
    script: str = ""
    word: Callable[[Values], Word] = lambda values: ""
    told: Callable[[Values], str] = lambda values: ""
    refused: Text = REFUSED
    act: Callable[[Actor, str, Values], Done] | None = None
    bulk: Bulk | None = None
    suits: Callable[[Dossier], bool] = lambda known: True  # whether a job of that state has what it is about
    is_by_its_own_commit: bool = False  # what it writes first has to be committed before it acts

    @property
    def slug(self) -> str:
        """The name as addresses and the command line write it."""
        return slug(self.name)

    @property
    def label_in_bulk(self) -> Text:
        return (self.bulk and self.bulk.label) or self.label

    def label_in(self, state: str) -> Text:
        return self.labels.get(state, self.label)

    def effect_in(self, state: str) -> Text:
        return self.effects.get(state, self.effect)

    def read(self, given: Mapping[str, str]) -> Values:
        """Return the values of the fields out of what came as text; raises ValidationError that says what is wrong."""
        return cast(Values, {each.name: each.read(given.get(each.name, "")) for each in self.fields})

    def given_in_bulk(self, words: Mapping[str, str]) -> dict[str, str]:
        """Return what a bulk action's form or address says of the fields, as `read` wants it."""
        return {each.name: words.get(each.name_in_bulk, "") for each in self.fields}

    def do(self, by: Actor, job_id: str, values: Values) -> Done:
        """Do it to one job; raises ValidationError if that makes no sense."""
        if self.act is not None:
            return self.act(by, job_id, values)
        if changes.one(self.script, job_id, self.word(values)):
            return Done(1, self.told(values))
        before = changes.parents(job_id) if changes.state(job_id) == "deferred" else []
        return Done(0, waits_for(before) if before else str(self.refused))


def waits_for(before: Sequence[str]) -> str:
    """Say why a job that waits for others that have not ended is left alone."""
    words = _("Nothing was done: the job waits for %s. Move or cancel it, or end that one first.")
    return words % ", ".join(before[:3])


def slug(name: str) -> str:
    """Return a name as addresses and the command line write it."""
    return name.replace(" ", "-")
