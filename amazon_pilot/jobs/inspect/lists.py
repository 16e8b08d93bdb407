"""The job list: one page over all states, asked through one box, with everything in its address.

History is read row by row from an index, the newest first; what waits, runs or has failed for good is read from Redis
in windows. A question that names no state is answered from both: what has not ended, by a look at the heads of all
places, and below it the history. One request looks at so much and no more, says so, and leads on from there.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models import Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from redis.exceptions import RedisError

from ..core import redaction
from ..core.values import Args, Kwargs, Text
from ..models import JobRun
from . import reach, redis_jobs
from .grammar import Or, Term
from .query import Query, parse, within
from .reach import after, ordered
from .waiting import in_short
from .words import whole_number

MOST_LOOKED_AT = 2000  # jobs of Redis that one request reads, at most
WINDOW = 500
MOST_WINDOWS = 7  # with twelve counts: a page stays below twenty commands, however many places it names
SURVEYED, SHOWN_AT_PRESENT = 1000, 10  # jobs of Redis that a list of all states looks at, and those that it shows
MOST_ABOUT = 100  # jobs about a subject that have not ended
MOST_IDS = 8  # that are looked up one by one: two commands for each
COUNTED = 10_000  # rows that are counted exactly; beyond it the page says "more than"
SECONDS = 2  # that the database may take for one question
# How PostgreSQL plans a question: it thinks that an index is as slow as a disk that seeks, and would rather read the
# table; several processes for one viewer are not worth it, and compiling takes longer than the question does.
PLANNING = (
    "SET LOCAL random_page_cost = 1.1; SET LOCAL enable_seqscan = off; "
    "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL jit = off"
)
COLUMNS = (
    "id", "job_id", "task", "args", "kwargs", "queue", "outcome", "attempt", "enqueued_at", "started_at", "ended_at",
    "wait", "duration", "exception", "message", "worker", "is_poison",
)  # fmt: skip
BADLY = Or(tuple(Term("outcome", ":", word, 0) for word in ("failed", "stopped", "lost")))
PRESENT_LABELS = {
    "started": gettext_lazy("Running"),
    "queued": gettext_lazy("Waiting"),
    "scheduled": gettext_lazy("Planned and retries"),
    "deferred": gettext_lazy("Held"),
}


@dataclass(frozen=True)
class Row:
    """One line of the list: a run of the history, or a job of Redis with what the history knows of it."""

    job_id: str
    task: str
    args: Args
    kwargs: Kwargs
    queue: str
    state: str
    when: datetime | None
    wait: float | None
    duration: float | None
    attempt: int
    exception: str = ""
    message: str = ""
    worker: str = ""
    due: float | None = None
    why: str = ""  # it waits, in few words; '' where that would cost another look at Redis


@dataclass(frozen=True)
class Part:
    """One state of what has not ended: of `total` jobs `looked_at` were looked at, and `number` match.

    `question` asks for the jobs of this state alone.
    """

    state: str
    label: Text
    question: str
    number: int
    looked_at: int
    total: int

    @property
    def is_whole(self) -> bool:
        return self.looked_at == self.total


@dataclass(frozen=True)
class Present:
    """What has not ended, of what a question asks for: the first rows, how many were found, and where to go on."""

    rows: list[Row]
    number: int
    parts: list[Part] = field(default_factory=list)

    @property
    def looked_at(self) -> int:
        return sum(part.looked_at for part in self.parts)

    @property
    def total(self) -> int:
        return sum(part.total for part in self.parts)

    @property
    def is_whole(self) -> bool:
        return self.looked_at == self.total


@dataclass
class Listing:
    """One page of an answer. `total` is None where counting would cost too much; `note` says what is missing.

    The rows are runs where they come from the history, whose first page has beside them what is `present`: not ended.
    """

    rows: list[Row] = field(default_factory=list)
    total: int | None = None
    is_more_than: bool = False
    following: str = ""
    note: str = ""
    is_history: bool = False
    present: Present | None = None


def ask(text: str, cursor: str, size: int, *, oldest_first: bool = False) -> Listing:
    """Return one page of the list: that of a state, or of all, which begins with what has not ended.

    `oldest_first` turns the history round; what Redis holds keeps the order of its queues.

    Raises QueryError, or RedisError where a state is asked for and Redis is away.
    """
    query = parse(text)
    listing = find(query, cursor, size, oldest_first=oldest_first)
    if query.states or cursor or query.is_of_runs:
        return listing
    try:
        ran = {row.job_id for row in listing.rows}
        if 0 < len(query.ids) <= MOST_IDS:
            listing.present = by_id(query, ran)
        else:
            listing.present = by_subject(query) if query.about else present(query, text, size)
    except RedisError:
        listing.note = f"{listing.note} {_('Redis does not answer, so what waits and runs cannot be shown.')}".strip()
        return listing
    shown = {row.job_id for row in listing.present.rows}
    rows = [row for row in listing.rows if row.job_id not in shown]
    if left_out := len(listing.rows) - len(rows):
        told = ngettext("%d run of a job above is left out.", "%d runs of the jobs above are left out.", left_out)
        listing.rows, listing.note = rows, f"{listing.note} {told % left_out}".strip()
    return listing


def find(query: Query, cursor: str, size: int, *, oldest_first: bool = False) -> Listing:
    """Return one page of what a question asks for, from `cursor` on: of its states, or of the history."""
    if not query.states:
        return from_history(query, cursor, size, oldest_first=oldest_first)
    if 0 < len(query.ids) <= MOST_IDS:
        jobs = [job for job in named(query) if any(is_of(state, job) for state in query.states)]
        return Listing(with_history(jobs), total=len(jobs))
    if query.about and not query.states & {"failed", "canceled"}:
        jobs = [job for job in of_subject(query) if any(is_of(state, job) for state in query.states)]
        return Listing(with_history(jobs[:size]), total=len(jobs))
    if query.states == {"failed"} and not query.is_plain:
        return failed_by_history(query, cursor, size)
    return from_redis(query, cursor, size)


# From the history


def from_history(query: Query, cursor: str, size: int, *, oldest_first: bool = False) -> Listing:
    """Return runs, the newest first unless told otherwise; the cursor is start and key of the last row before."""
    listing, found = Listing(is_history=True), None
    with in_time(listing):
        near = reach.within(query.sentences(), cursor, oldest_first=oldest_first)
        found = keys(near.arms, cursor, size + 1, near.few, oldest_first=oldest_first)
        rows = list(ordered(JobRun.objects.filter(pk__in=found[:size]), oldest_first).only(*COLUMNS))
        listing.rows = [of_run(run) for run in rows]
        is_full = len(found) > size
        listing.following, listing.note = (cursor_of(rows[-1]), "") if is_full else (near.following, near.note)
    if found is None or near.following:  # a count of all would look at all
        return listing
    with in_time(listing):
        counted = len(found) if len(found) <= size and not cursor else number(near)
        listing.total, listing.is_more_than = min(counted, COUNTED), counted > COUNTED
    return listing


def keys(arms: Sequence[Q], cursor: str, most: int, few: Sequence[Q] = (), *, oldest_first: bool = False) -> list[int]:
    """Return the keys of the newest runs behind a cursor for which one of `arms` or `few` is true; or of the oldest.

    Keys first, and the rows by their keys: so a search runs through an index alone, and reads the rows that it shows.
    What is true of `few` runs is not asked for in order: PostgreSQL might go through all runs to have them in it.
    """
    found: dict[int, datetime] = {}
    for arm in few:
        runs = after(JobRun.objects.filter(arm), cursor, oldest_first=oldest_first)
        found |= runs.values_list("pk", "started_at")[: reach.MOST_FOUND]
    for arm in arms:
        runs = ordered(after(JobRun.objects.filter(arm), cursor, oldest_first=oldest_first), oldest_first)
        found |= runs.values_list("pk", "started_at")[:most]
    return sorted(found, key=lambda pk: (found[pk], pk), reverse=not oldest_first)[:most]


def number(near: reach.Reach) -> int:
    """Return how many runs there are within reach; COUNTED + 1 where there are more than COUNTED."""
    # In the order of the list, though a count needs none: else PostgreSQL may read the table where an index would do.
    limited = [JobRun.objects.filter(arm).newest()[: COUNTED + 1] for arm in near.arms]
    limited += [JobRun.objects.filter(arm)[: COUNTED + 1] for arm in near.few]
    if len(limited) == 1:
        return limited[0].count()
    found: set[int] = set()
    for runs in limited:
        found.update(runs.values_list("pk", flat=True))
        if len(found) > COUNTED:
            return COUNTED + 1
    return len(found)


def cursor_of(run: JobRun) -> str:
    return f"{run.started_at.isoformat()},{run.pk}"


def failed_by_history(query: Query, cursor: str, size: int) -> Listing:
    """Return failed jobs by what the history knows of their failure: rows first, then whether they are failed still."""
    listing = Listing()
    seen: set[str] = set()
    with in_time(listing):
        near = reach.within([(*parts, BADLY) for parts in query.sentences()], cursor)
        for _turn in range(5):
            batch = list(
                JobRun.objects.filter(pk__in=keys(near.arms, cursor, size * 2, near.few)).newest().only(*COLUMNS)
            )
            if not batch:
                listing.following, listing.note = near.following, near.note
                return listing
            by_queue: dict[str, list[str]] = {}
            for run in batch:
                by_queue.setdefault(run.queue, []).append(run.job_id)
            failed = redis_jobs.still("failed", by_queue)
            for run in batch:
                cursor = cursor_of(run)
                if run.job_id in failed and run.job_id not in seen:
                    seen.add(run.job_id)
                    listing.rows.append(of_run(run, "failed"))
                    if len(listing.rows) == size:
                        listing.following = cursor
                        return listing
        listing.following = cursor
        listing.note = _("Many of these runs belong to jobs that are not failed any more; look further for the rest.")
    return listing


@contextmanager
def in_time(listing: Listing) -> Iterator[None]:
    """Give the database two seconds; what takes longer is left out, and the page says so."""
    try:
        with planned(SECONDS):
            yield
    except OperationalError:
        listing.note = _(
            "This took too long, so the answer is not complete. Name a task, a queue or a time (since:24h)."
        )


@contextmanager
def planned(seconds: int) -> Iterator[None]:
    """Have PostgreSQL plan as a list needs it; raises OperationalError where one question takes it longer."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {seconds * 1000}; {PLANNING}")
        yield


def of_run(run: JobRun, state: str = "") -> Row:
    args, kwargs = redaction.call(run.task, run.args, run.kwargs)  # rows of an older version hold them
    return Row(
        job_id=run.job_id, task=run.task, args=args, kwargs=kwargs, queue=run.queue,
        state=state or run.outcome, when=run.started_at, wait=run.wait, duration=run.duration, attempt=run.attempt,
        exception=run.exception, message=run.message, worker=run.worker,
    )  # fmt: skip


# From Redis


def from_redis(query: Query, cursor: str, size: int) -> Listing:
    """Return jobs of the named states, state by state and queue by queue; the cursor is how far the last page came."""
    names = [name for name in settings.QUEUE_WEIGHTS if not query.queues or name in query.queues]
    places = [(state, queue) for state in redis_jobs.STATES if state in query.states for queue in names]
    place, start = position(cursor, len(places))
    listing, looked_at, windows = Listing(), 0, 0
    found: list[redis_jobs.LiveJob] = []
    while place < len(places) and len(found) < size and looked_at < MOST_LOOKED_AT and windows < MOST_WINDOWS:
        state, queue = places[place]
        seen = redis_jobs.window(state, queue, start, size - len(found) if query.is_plain else WINDOW)
        looked_at, windows = looked_at + seen.seen, windows + 1
        matching = [job for job in seen.jobs if query.matches(job)]
        if len(found) + len(matching) > size:  # the rest of the window is for the next page
            last = matching[size - len(found) - 1]
            start += seen.jobs.index(last) + 1 if len(seen.jobs) == seen.seen else seen.seen
            found += matching[: size - len(found)]
            break
        found += matching
        start += seen.seen
        if start >= seen.total or not seen.seen:
            place, start = place + 1, 0
    if place < len(places):
        listing.following = f"{place}:{start}"
    totals = [redis_jobs.count(state, queue) for state, queue in places[:12]]
    is_exact = query.is_plain and not query.states & {"retry", "held"} and len(places) <= 12
    listing.total = sum(totals) if is_exact else None
    if listing.following and len(found) < size:
        words = ngettext(
            "%(seen)d of %(total)d job was looked at.", "%(seen)d of %(total)d jobs were looked at.", sum(totals)
        )  # fmt: skip
        listing.note = words % {"seen": looked_at, "total": sum(totals)}
    listing.rows = with_history(found)
    return listing


def by_id(query: Query, ran: set[str]) -> Present:
    """Return the jobs that a question names, in whatever state they are; an ended one of `ran` is told by its run."""
    rows = with_history([job for job in named(query) if job.state in redis_jobs.PRESENT or job.id not in ran])
    return Present(rows, len(rows))


def by_subject(query: Query) -> Present:
    """Return what waits, runs and is planned of what a question names by its subject, however long the queues are."""
    rows = with_history(of_subject(query))
    return Present(rows, len(rows))


def of_subject(query: Query) -> list[redis_jobs.LiveJob]:
    return [job for job in redis_jobs.about(query.about, MOST_ABOUT) if query.matches(job)]


def named(query: Query) -> list[redis_jobs.LiveJob]:
    """Return the jobs that a question names by their ids and that match, in whatever state they are."""
    return [job for job in redis_jobs.find(sorted(query.ids)) if query.matches(job)]


def is_of(state: str, job: redis_jobs.LiveJob) -> bool:
    """Tell whether a job that was found by its id is in a state of the box."""
    return redis_jobs.PARTS.get(state, state) == job.state and redis_jobs.is_in(state, job)


def present(query: Query, text: str, size: int) -> Present:
    """Return what waits, runs and is planned, of what a question asks for: counted where it names queues at most."""
    names = [name for name in settings.QUEUE_WEIGHTS if not query.queues or name in query.queues]
    places = [(state, queue) for state in redis_jobs.PRESENT for queue in names]
    most = min(size, SHOWN_AT_PRESENT)
    windows = redis_jobs.survey(places, SURVEYED, most if query.is_plain else SURVEYED)
    found: list[redis_jobs.LiveJob] = []
    parts = []
    for state, label in PRESENT_LABELS.items():
        of_state = [window for (each, _queue), window in zip(places, windows, strict=True) if each == state]
        matching = [job for window in of_state for job in window.jobs if query.matches(job)]
        total = sum(window.total for window in of_state)
        looked_at = total if query.is_plain else sum(window.seen for window in of_state)
        number = total if query.is_plain else len(matching)
        parts.append(Part(state, label, within(text, state), number, looked_at, total))
        found += matching
    return Present(with_history(found[:most]), sum(part.number for part in parts), parts)


def position(cursor: str, places: int) -> tuple[int, int]:
    """Read a cursor; one that cannot be read is the beginning."""
    first, _colon, second = cursor.partition(":")
    place, start = whole_number(first, 2**52), whole_number(second, 2**52)
    return (place, start) if place is not None and start is not None and place < places else (0, 0)


def with_history(found: list[redis_jobs.LiveJob]) -> list[Row]:
    """Return rows for jobs of Redis: three queries tell of their newest runs, of pauses, and of who holds them."""
    runs: dict[str, JobRun] = {}
    if ids := [job.id for job in found if job.state in ("failed", "canceled", "scheduled", "retry")]:
        for run in JobRun.objects.filter(job_id__in=ids).only(*COLUMNS).order_by("attempt", "started_at"):
            runs[run.job_id] = run
    why = in_short(found)
    return [of_job(job, runs.get(job.id), why[job.id]) for job in found]


def of_job(job: redis_jobs.LiveJob, run: JobRun | None, why: str) -> Row:
    is_due = job.state in ("scheduled", "retry")
    state = "retrying" if is_due and job.attempt else "held" if job.state == "deferred" and job.held else job.state
    ran = run.duration if run else None
    return Row(
        job_id=job.id, task=job.task, args=job.args, kwargs=job.kwargs, queue=job.queue, state=state,
        when=job.ended_at or job.started_at or job.enqueued_at, wait=run.wait if run else job.wait, duration=ran,
        attempt=job.attempt, exception=run.exception if run else "", message=run.message if run else "",
        worker=job.worker, due=job.score if is_due else None, why=why,
    )  # fmt: skip


# Searches with a name
