"""The rows of the history: what one line of the stream says, column by column, and writing many of them at once.

No model object is made on the way: a flood of short jobs would cost more in its history than in its runs.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any, Required, TypedDict, cast

from django.db import connection, models, transaction

from ..core import payload, redaction, secrets, subjects
from ..core.values import Args, Json
from ..models.cause import Cause, Seen
from ..models.job_run import JobRun, Outcome, searchable
from ..models.job_subject import JobSubject
from ..models.total import Total
from . import run_event
from .run_event import RunEvent

FIELDS = [field for field in JobRun._meta.concrete_fields if not field.primary_key]
COLUMNS = [str(field.column) for field in FIELDS]
KEY = ("job_id", "execution_id")
TIMES = ("enqueued_at", "started_at", "ended_at", "retry_at")
values_of = itemgetter(*COLUMNS)
# What JSON says of a NUL or of half a surrogate pair; whole pairs are met too, and looked at more closely.
SUSPECT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
UNTELLABLE = "What this job was given cannot be written as text."
REFUSED = "The database refused what this job was given or left behind; the run itself is as told here."
# What stays of a row that the database refused: what the engine itself says.
CERTAIN = (
    *KEY, *TIMES, "task", "queue", "attempt", "wait", "duration", "worker", "slot", "outcome", "cause", "is_poison",
    "exception", "fingerprint",
)  # fmt: skip


class Row(TypedDict, total=False):
    """One value for each of COLUMNS, those of JSON as its text; and `about`, the subjects of the job."""

    job_id: Required[str]
    execution_id: Required[str]
    task: Required[str]
    queue: Required[str]
    args: str
    kwargs: str
    tags: str
    attempt: int
    enqueued_at: datetime | None
    started_at: Required[datetime]
    ended_at: datetime | None
    wait: float | None
    duration: float | None
    worker: str
    slot: int | None
    outcome: Required[str]
    cause: Required[str]
    is_poison: Required[bool]
    retry_at: datetime | None
    exception: Required[str]
    message: str
    traceback: str
    fingerprint: Required[str]
    result: str | None
    progress: int | None
    progress_text: str
    log: str
    log_is_cut: bool
    schedule_entry: str
    fire: str
    meta: str
    search: str
    about: list[str]


def row_of(text: bytes, data: bytes) -> Row:
    """Return the row of one line and the payload that travels beside it. Raises ValueError or KeyError if it is none.

    `run_event.line` and common.lua write them.
    """
    event = run_event.event_of(text)
    if SUSPECT.search(text):
        event = cast(RunEvent, payload.storable(cast(Json, event)))
    name, args, kwargs, words = call_of(event.get("task", ""), data)
    started_at, ended_at, enqueued_at = times_of(event)
    message, exception = event.get("message", ""), event.get("exception", "")
    if event["outcome"] == Outcome.LOST:
        exception = exception or "lost"
    meta: dict[str, Json] = {}
    if said := event.get("meta"):
        told = value_of(said) or {}
        meta = without_secrets(told if isinstance(told, dict) else {"meta": told}, event.get("task", ""), data)
    result = value_of(event["result"]) if "result" in event else None
    return {
        "job_id": event["id"],
        "execution_id": event["execution"],
        "task": (event.get("task") or name)[:200],
        "queue": event["queue"],
        "args": args,
        "kwargs": kwargs,
        "tags": event.get("tags", "")[:200],
        "attempt": max(1, event.get("attempt", 1)),
        "enqueued_at": enqueued_at,
        "started_at": started_at,
        "ended_at": ended_at,
        "wait": max(0.0, (started_at - enqueued_at).total_seconds()) if enqueued_at else None,
        "duration": max(0.0, (ended_at - started_at).total_seconds()) if ended_at else None,
        "worker": event.get("worker", "")[:200],
        "slot": event.get("slot"),
        "outcome": event["outcome"],
        "cause": event.get("cause", "")[:200],
        "is_poison": bool(event.get("poison")),
        "retry_at": later(ended_at, event.get("retry_in")),
        "exception": exception[:200],
        "message": message,
        "traceback": event.get("traceback", ""),
        "fingerprint": event.get("fingerprint") or fingerprint(event["outcome"], exception, name),
        "result": None if result is None else as_json(result),
        "progress": event.get("percent"),
        "progress_text": event.get("progress", "")[:200],
        "log": event.get("log", ""),
        "log_is_cut": bool(event.get("log_cut")),
        "schedule_entry": str(meta.get("entry", ""))[:100],
        "fire": str(meta.get("fire", ""))[:100],
        "meta": as_json(meta) if meta else "{}",
        "search": searchable([*words, message, exception, exception.rpartition(".")[2]] if exception else words),
        "about": subjects.split(event.get("about", "")),
    }


def call_of(task: str, data: bytes) -> tuple[str, str, str, Args]:
    """Return the task's name, both kinds of arguments as JSON, and what of them a search finds; no secrets are in it.

    A sentence stands where they cannot be told.
    """
    try:
        name, args, kwargs = payload.shown_call_of(payload.unpacked(data).decode(errors="replace"), task)
        return name, encode(args) if args else "[]", encode(kwargs) if kwargs else "{}", [args, kwargs]
    except Exception:  # whatever a stranger put there: it must not hide what became of the job
        return task, encode([UNTELLABLE]), "{}", []


def without_secrets(meta: dict[str, Json], task: str, data: bytes) -> dict[str, Json]:
    """Return a job's meta as it may be kept: without what a key names as a secret, and without its call's secrets."""
    try:
        found = secrets.forms_of_call(*payload.call_of(payload.unpacked(data).decode(errors="replace"), task))
    except Exception:  # whatever a stranger put there: it is no call
        found = ()
    return cast(dict[str, Json], secrets.scrubbed(redaction.redacted(meta), secrets.of_environment() + found))


def value_of(text: str | None) -> Json:
    """Return what a line tells as JSON within its JSON: None for nothing, a sentence where it is too deep to read."""
    try:
        return payload.loaded(text, None)
    except RecursionError:
        return UNTELLABLE


def as_json(value: Json) -> str:
    """Return a value as JSON; a sentence where it is none that a database takes."""
    try:
        return encode(value)
    except (ValueError, RecursionError):
        return encode(UNTELLABLE)


def times_of(event: RunEvent) -> tuple[datetime, datetime | None, datetime | None]:
    """Return when a run started, ended, and was enqueued; None what is not told, or is no time of this calendar."""
    ended_at = moment(event.get("ended"))
    started_at = moment(event.get("started")) or date(event.get("started_at")) or ended_at or datetime.now(UTC)
    return started_at, ended_at, date(event.get("enqueued_at"))


def moment(seconds: float | None) -> datetime | None:
    """Return seconds since 1970 as a time."""
    try:
        return datetime.fromtimestamp(seconds, UTC) if seconds else None
    except (ValueError, OverflowError, OSError):
        return None


def date(text: Json) -> datetime | None:
    """Return a time as rq writes it, None for anything else; its own reader takes twenty times as long."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC) if isinstance(text, str) and len(text) > 10 else None
    except (ValueError, OverflowError):
        return None


def later(moment: datetime | None, seconds: float | None) -> datetime | None:
    """Return a moment so many seconds on; None without one of them, or beyond the calendar."""
    try:
        return moment + timedelta(seconds=seconds) if moment and seconds else None
    except OverflowError:
        return None


def fingerprint(outcome: str, exception: str, task: str) -> str:
    """Return the fingerprint of a failure whose line has none; '' where nothing failed."""
    return run_event.fingerprint(exception, task, None) if exception and outcome != Outcome.STOPPED else ""


def bare(row: Row) -> Row:
    """Return a row without what its task was given or left behind, and cut to what its columns hold."""
    told = cast(dict[str, object], row)
    kept = {str(field.column): cut(field, told[field.column]) for field in FIELDS if field.column in CERTAIN}
    return cast(Row, {str(field.column): nothing(field) for field in FIELDS} | kept | {"message": REFUSED})


def cut(field: "models.Field[Any, Any]", value: object) -> object:
    """Return a value as its column holds it: text of its length, numbers of its range."""
    if isinstance(value, str) and field.max_length:
        return payload.words(value)[: field.max_length]
    if isinstance(value, int) and isinstance(field, models.IntegerField):
        low, high = connection.ops.integer_field_range(field.get_internal_type())
        return min(max(value, low), high)
    return value


def nothing(field: "models.Field[Any, Any]") -> object:
    """Return what stands in a column where nothing is told."""
    if field.null:
        return None
    return encode(field.get_default()) if isinstance(field, models.JSONField) else field.get_default()


# Writing


def write(rows: Iterable[Row]) -> None:
    """Write rows in one transaction. An end overwrites a start, never the other way round, in whatever order they come.

    Of several lines about one execution, the end counts; a start that comes late finds the row there and is dropped.
    """
    chosen: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row["job_id"], row["execution_id"]
        if row["outcome"] != Outcome.STARTED or key not in chosen:
            chosen[key] = row
    with connection.wrap_database_errors, transaction.atomic():
        losses = new_losses(list(chosen.values()))
        store(list(chosen.values()))
        note_subjects(list(chosen.values()))
        Cause.objects.note(
            Seen(row["fingerprint"], row["task"], row["exception"], row["started_at"])
            for row in chosen.values()
            if row["fingerprint"]
        )
        if losses:
            count_losses(losses)


def store(rows: Sequence[Row]) -> None:
    """Write rows whose keys are all different.

    PostgreSQL takes them by COPY, into a table that only this session sees, and from there in one statement: a fifth of
    the processor time of one long INSERT, for both sides together.
    """
    with connection.cursor() as cursor:
        if connection.vendor != "postgresql":
            cursor.executemany(statement(VALUES), [adapted(row) for row in rows])
            return
        cursor.execute(STAGE)
        with cursor.copy(COPY) as copy:
            for row in rows:
                copy.write_row(values_of(row))
        cursor.execute(statement(STAGED))


NAMES = ", ".join(f'"{column}"' for column in COLUMNS)
VALUES = f"VALUES ({', '.join(['%s'] * len(COLUMNS))})"
SHAPE = f"SELECT {NAMES} FROM {JobRun._meta.db_table} LIMIT 0"  # noqa: S608 - names of our own, here and below
STAGE = f"CREATE TEMPORARY TABLE IF NOT EXISTS staged_run ON COMMIT DELETE ROWS AS {SHAPE}"
STAGED = f"SELECT {NAMES} FROM staged_run"  # noqa: S608
COPY = f"COPY staged_run ({NAMES}) FROM STDIN"


@cache
def statement(source: str) -> str:
    """Return the statement that writes rows from a source."""
    changes = ", ".join(f'"{column}" = excluded."{column}"' for column in COLUMNS if column not in KEY)
    return (
        f"INSERT INTO {JobRun._meta.db_table} ({NAMES}) {source} ON CONFLICT ({', '.join(KEY)}) "
        f"DO UPDATE SET {changes} WHERE excluded.outcome <> '{Outcome.STARTED}'"
    )


def adapted(row: Row) -> tuple[Any, ...]:
    """Return a row's values as a database without a type for times keeps them."""
    told = cast(dict[str, Any], row)
    adapt = connection.ops.adapt_datetimefield_value
    return values_of(told | {column: adapt(told[column]) for column in TIMES})


def new_losses(rows: Sequence[Row]) -> list[Row]:
    """Return the runs that were lost and are not written as lost yet: a line may come twice, and counts once."""
    lost = [row for row in rows if row["outcome"] == Outcome.LOST]
    if not lost:
        return []
    written = JobRun.objects.filter(outcome=Outcome.LOST, job_id__in=[row["job_id"] for row in lost])
    known = set(written.values_list(*KEY))
    return [row for row in lost if (row["job_id"], row["execution_id"]) not in known]


def note_subjects(rows: Sequence[Row]) -> None:
    """Keep what the jobs of these runs are about; no query where they are about nothing."""
    found = [(subject, row["job_id"], row["started_at"]) for row in rows for subject in row.get("about", ())]
    if found:
        JobSubject.objects.note(found)


def count_losses(losses: Sequence[Row]) -> None:
    """Count jobs that were put aside, by queue and task, and the other lost runs, by queue and cause."""
    poisoned = Counter((row["queue"], row["task"]) for row in losses if row["is_poison"])
    recovered = Counter((row["queue"], row["cause"].partition(":")[0]) for row in losses if not row["is_poison"])
    Total.objects.raise_by(Total.Name.RECOVERED, recovered)
    Total.objects.raise_by(Total.Name.POISONED, poisoned)
