"""The whole answer to a question, row by row while it is read: memory does not grow with it.

What is waiting or running goes on moving meanwhile: it is read window by window, and may be missing or come twice.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from itertools import islice
from typing import TypeVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import Q

from ..models import JobRun
from ..models.job_run import Outcome
from . import lists, redis_jobs
from .query import Query

CHUNK = 500


SECONDS = 30  # that the database may take for one chunk


COLUMNS = [field.name for field in fields(lists.Row)]


T = TypeVar("T")


FORMATS = {"csv": "text/csv", "jsonl": "application/x-ndjson"}


def rows(query: Query) -> Iterator[lists.Row]:
    """Return every row of the job list for a question; raises OperationalError where the database takes too long."""
    if not query.states:
        yield from of_all_states(query)
    elif query.states == {"failed"} and not query.is_plain:
        yield from failed_by_history(query)
    else:
        yield from of_redis(query)


def of_all_states(query: Query) -> Iterator[lists.Row]:
    """Return what has not ended, as the list of all does, and then the runs; a run that was told of comes once."""
    running = set()
    if not query.is_of_runs or query.ids:
        for row in of_redis(replace(query, states=frozenset(redis_jobs.PRESENT))):
            if row.state == "started":
                running.add(row.job_id)
            yield row
    for run in of_history(query.arms()):
        if run.outcome != Outcome.STARTED or run.job_id not in running:
            yield lists.of_run(run)


def of_redis(query: Query) -> Iterator[lists.Row]:
    """Return the jobs of the states that a question names, window by window."""
    cursor: str | None = ""
    while cursor is not None:
        page = lists.from_redis(query, cursor, CHUNK)
        yield from page.rows
        cursor = page.following or None


def of_history(arms: list[Q]) -> Iterator[JobRun]:
    """Return the runs for which one of `arms` is true, the newest first, a chunk at a time by their keys."""
    cursor = ""
    while True:
        with lists.planned(SECONDS):
            keys = lists.keys(arms, cursor, CHUNK)
            found = list(JobRun.objects.filter(pk__in=keys).newest().only(*lists.COLUMNS))
        yield from found
        if len(keys) < CHUNK or not found:
            return
        cursor = lists.cursor_of(found[-1])


def failed_by_history(query: Query) -> Iterator[lists.Row]:
    """Return the failed jobs by their newest run that the question matches, if they are failed still."""
    badly = Q(outcome__in=("failed", "stopped", "lost"))
    for runs in chunks(of_history([arm & badly for arm in query.arms()])):
        by_queue: dict[str, list[str]] = {}
        for run in runs:
            by_queue.setdefault(run.queue, []).append(run.job_id)
        failed = redis_jobs.still("failed", by_queue)
        several = JobRun.objects.filter(query.q() & badly, job_id__in=failed).order_by("started_at", "id")
        newest = dict(several.values_list("job_id", "pk"))
        yield from (lists.of_run(run, "failed") for run in runs if newest.get(run.job_id) == run.pk)


def chunks(found: Iterable[T]) -> Iterator[list[T]]:
    """Return what comes some at a time."""
    coming = iter(found)
    while some := list(islice(coming, CHUNK)):
        yield some


def as_json_lines(found: Iterable[lists.Row]) -> Iterator[str]:
    """Write rows as JSON, one object to a line."""
    for some in chunks(found):
        yield "".join(json_line(asdict(row)) for row in some)


def json_line(row: Mapping[str, object]) -> str:
    """Write one row as a line of JSON."""
    return json.dumps(row, cls=DjangoJSONEncoder, ensure_ascii=False) + "\n"


def as_csv(found: Iterable[lists.Row]) -> Iterator[str]:
    """Write rows as a spreadsheet opens them, under a line of names; arguments are JSON."""
    yield csv_lines([COLUMNS])
    for some in chunks(found):
        yield csv_lines([cell(getattr(row, name)) for name in COLUMNS] for row in some)


def plain(value: object) -> str:
    """Write a cell so that no spreadsheet takes it for a formula: a reason is what somebody typed."""
    text = str(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def csv_lines(lines: Iterable[list[str]]) -> str:
    """Return lines of cells as CSV."""
    text = io.StringIO()
    csv.writer(text).writerows(lines)
    return text.getvalue()


def cell(value: object) -> str:
    """Write one value into a cell: a time by ISO 8601, what is nested as JSON, and nothing as nothing."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return plain(value.isoformat() if hasattr(value, "isoformat") else value)
