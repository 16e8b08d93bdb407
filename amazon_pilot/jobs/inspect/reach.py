"""How far back one request looks through the history: absolute bounds, however many runs there are.

What one index answers in the order of the list is looked for everywhere, and so is what an index of words finds where
that is little. Everything else is compared run by run, a bounded number of them; the next request goes on behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils.dateparse import parse_datetime
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from ..models import JobRun
from ..models.job_run import JobRunQuerySet
from .conditions import as_q, is_looked_up
from .grammar import FIRST_YEAR, LAST_YEAR, And, Node, Term, terms_of
from .words import whole_number

# Fields whose columns stand in the index of the newest runs: any sentence of these alone is answered from it.
COVERED = {"attempts", "duration", "wait", "worker", "outcome", "queue", "since", "until"}
MOST_COMPARED = 200_000  # runs in that index
MOST_READ = 20_000  # rows of the table
MOST_FOUND = 10_000  # runs by their words that are looked at, whatever their age
FEW = {"id", "about"}  # fields that name single jobs
IN_ORDER = ("task", "cause", "outcome", "queue")  # fields by each of which an index has the runs, the newest first
LAST_KEY = 10**17  # of a row, behind all that started at the same moment


@dataclass(frozen=True)
class Reach:
    """The conditions of a question as far as one request looks; `following` is the cursor behind that, '' at the end.

    For `few` an index finds few runs, in no order; of `arms` they are looked for in the order of the list. `note` says
    how far that is.
    """

    arms: list[Q]
    few: list[Q]
    following: str = ""
    note: str = ""


def within(sentences: Sequence[tuple[Node, ...]], cursor: str, *, oldest_first: bool = False) -> Reach:
    """Return alternatives within the reach of one request that begins behind a cursor.

    The narrowest bound holds for all of them, so that what is found is complete up to it.
    """
    few = [parts for parts in sentences if _is_found_at_once(parts)]
    others = [parts for parts in sentences if parts not in few]
    scans = {scan for parts in others if (scan := _compared(parts)) is not None}
    borders = [(moment, most) for scan, most in scans if (moment := _border(scan, most, cursor, oldest_first))]
    reach = Reach([as_q(And(parts)) for parts in others], [as_q(And(parts)) for parts in few])
    if not borders:
        return reach
    moment, number = min(borders) if oldest_first else max(borders)
    words = {"n": f"{number:,}", "when": f"{localtime(moment):%Y-%m-%d %H:%M:%S}"}
    near = Q(started_at__lte=moment) if oldest_first else Q(started_at__gte=moment)
    return Reach(
        [arm & near for arm in reach.arms],
        [arm & near for arm in reach.few],
        following=f"{moment.isoformat()},{LAST_KEY if oldest_first else 0}",
        note=(_("%(n)s runs were looked at, up to %(when)s.") if oldest_first
              else _("%(n)s runs were looked at, back to %(when)s.")) % words,
    )  # fmt: skip


def _is_found_at_once(parts: tuple[Node, ...]) -> bool:
    """Tell whether an index finds few runs for a sentence: by the jobs that it names, or by words that few have."""
    terms = [part for part in parts if isinstance(part, Term)]
    asked = tuple(term for term in terms if is_looked_up(term))
    if any(term.field in FEW for term in terms) or not asked:
        return any(term.field in FEW for term in terms)
    return JobRun.objects.filter(as_q(And(asked)))[: MOST_FOUND + 1].count() <= MOST_FOUND


def _compared(parts: tuple[Node, ...]) -> tuple[And, int] | None:
    """Return among which runs each is compared, and how many are; None where one index has what matches in order."""
    terms = [part for part in parts if isinstance(part, Term)]
    times = [term for term in terms if term.field in ("since", "until")]
    leading = [term for field in IN_ORDER for term in terms if term.field == field][:1]
    if len(parts) == len(times) + len(leading):
        return None
    if all(term.field in COVERED for term in terms_of(And(parts))):
        return And(tuple(times)), MOST_COMPARED
    return And((*times, *leading)), MOST_READ


def _border(scan: And, most: int, cursor: str, oldest_first: bool) -> datetime | None:
    """Return the start of the last of so many runs behind a cursor; None where there are fewer."""
    coming = ordered(after(JobRun.objects.filter(as_q(scan)), cursor, oldest_first=oldest_first), oldest_first)
    return next(iter(coming.values_list("started_at", flat=True)[most - 1 : most]), None)


def ordered(runs: JobRunQuerySet, oldest_first: bool) -> JobRunQuerySet:
    """Put runs into the order of the list."""
    return runs.order_by("started_at", "id") if oldest_first else runs.newest()


def after(runs: JobRunQuerySet, cursor: str, *, oldest_first: bool = False) -> JobRunQuerySet:
    """Return the runs behind a cursor; one that cannot be read is the beginning."""
    when, _comma, key = cursor.partition(",")
    number = whole_number(key, 2**62)
    try:
        moment = parse_datetime(when) if number is not None else None
    except ValueError:
        moment = None
    if moment is None or number is None or moment.tzinfo is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        return runs
    return runs.newer_than(moment, number) if oldest_first else runs.older_than(moment, number)
