"""Jobs by what they are about. The app that enqueues them knows what its subjects are: settings.MONITOR_SUBJECTS names
the module that says so, and without one a subject is found by its own name alone.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Protocol, cast

from django.conf import settings
from django.urls import reverse
from django.utils.translation import gettext as _

from ..core.subjects import is_subject
from ..models import Batch, JobSubject
from ..models.batch import KIND, is_number

MOST = 60  # subjects of one question


@dataclass(frozen=True)
class Described:
    """One subject in words, with the page of it; `is_ours` if that is one of the monitor."""

    text: str
    url: str = ""
    is_ours: bool = False


@dataclass(frozen=True)
class Prospect:
    """One sentence on why the next look at a subject is when it is; `is_obstacle` where it keeps it from coming."""

    text: str
    url: str = ""
    is_obstacle: bool = False


class Book(Protocol):
    """What an app's module tells of the things that its jobs are about; see settings.MONITOR_SUBJECTS."""

    WORD: re.Pattern[str]
    KINDS: Collection[str]

    def find(self, text: str, /) -> Sequence[str]: ...
    def kin(self, subjects: Sequence[str], /) -> Sequence[str]: ...
    def describe(self, subjects: Sequence[str], /) -> dict[str, Described]: ...
    def prospects(self, subject: str, /) -> list[Prospect]: ...


def book() -> Book | None:
    """Return the app's module, None where there is none."""
    return cast(Book, import_module(settings.MONITOR_SUBJECTS)) if settings.MONITOR_SUBJECTS else None


def kinds() -> Collection[str]:
    """Return the kinds of subjects that are known: batches, and those of the app, such as product."""
    known = book()
    return {KIND, *known.KINDS} if known else {KIND}


def is_name(word: str) -> bool:
    """Tell whether a bare word looks like the name of a subject: nothing is asked for it."""
    known = book()
    return (is_subject(word) and word.partition(":")[0] in kinds()) or bool(known and known.WORD.fullmatch(word))


def described(subjects: Iterable[str]) -> list[tuple[str, Described]]:
    """Return subjects with what the app says of each; one of which it says nothing is shown by its name."""
    listed = list(dict.fromkeys(subjects))[:MOST]
    batches = {int(key) for kind, _colon, key in (each.partition(":") for each in listed) if is_number(kind, key)}
    asked = book() if listed else None
    known = asked.describe(listed) if asked else {}
    if batches:
        known |= {row.subject: described_batch(row) for row in Batch.objects.filter(pk__in=batches)}
    return [(each, known.get(each, Described(each))) for each in listed]


def described_batch(row: Batch) -> Described:
    return Described(
        _("batch %(n)d of %(task)s") % {"n": row.pk, "task": row.task.rpartition(".")[2]},
        reverse("monitor:batch", args=[row.pk]),
        is_ours=True,
    )


def prospects(subject: str) -> list[Prospect]:
    """Return why the next look at a subject is when it is, what stands in its way first; [] where nobody knows."""
    known = book()
    return sorted(known.prospects(subject) if known else [], key=lambda each: not each.is_obstacle)


@dataclass(frozen=True)
class About:
    """What `about:…` asks for: a subject, or a word by which the app knows some. Each query is made once."""

    text: str

    @cached_property
    def named(self) -> tuple[str, ...]:
        """The subjects that the text names itself."""
        if is_subject(self.text):
            return (self.text,)
        known = book()
        return tuple(known.find(self.text)[:MOST]) if known else ()

    @cached_property
    def subjects(self) -> frozenset[str]:
        """These, and what belongs to them: the runs and reports of a product."""
        known = book() if self.named else None
        kin = known.kin(self.named) if known else []
        return frozenset([*self.named, *kin][:MOST])

    @cached_property
    def job_ids(self) -> list[str]:
        """The newest jobs about them that began."""
        return JobSubject.objects.jobs(self.subjects) if self.subjects else []
