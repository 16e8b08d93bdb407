"""What a question that was read asks: of the history in SQL, or of a job that only Redis knows."""

import json
import re
from functools import lru_cache

from django.db import connection, models
from django.db.models import Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTransform, KeyTransformExact, KeyTransformIsNull

from ..core.registry import TASKS
from ..core.values import Json
from ..models.job_run import searchable
from .grammar import And, Node, Not, Or, Term
from .redis_jobs import LiveJob

COLUMNS = {"attempts": "attempt", "duration": "duration", "wait": "wait"}
EXACTLY = "="  # the sign of a condition that names a task as a whole; nobody can write it
SIGNS = {">": "gt", "<": "lt", ">=": "gte", "<=": "lte", ":": "exact"}


# The history


def as_q(node: Node) -> Q:
    """Return a node as a condition over JobRun."""
    if isinstance(node, And):
        return _joined([as_q(part) for part in node.parts], Q.AND)
    if isinstance(node, Or):
        return _joined([as_q(part) for part in node.parts], Q.OR)
    if isinstance(node, Not):
        return ~as_q(node.part)
    return _condition(node)


def _joined(parts: list[Q], connector: str) -> Q:
    joined = Q()
    for part in parts:
        joined = joined._combine(part, connector)  # type: ignore[attr-defined]
    return joined


def _condition(term: Term) -> Q:
    field, value = term.field, term.value
    if field == "task":
        return Q(task=value) if term.sign == EXACTLY else Q(task__in=task_names(value))
    if field in ("since", "until"):
        return Q(started_at__gte=value) if field == "since" else Q(started_at__lt=value)
    if field in COLUMNS:
        return Q(**{f"{COLUMNS[field]}__{SIGNS[term.sign]}": value})
    if field == "arg" and term.path:
        return _argument(term.path.split("."), value)
    if field == "error":
        return ~Q(fingerprint="") & words(value)
    if field == "worker":
        return Q(worker__startswith=value)
    if field == "tag":
        return _tagged(value)
    if field == "about":
        return Q(job_id__in=value.job_ids)
    names = {"queue": "queue", "outcome": "outcome", "cause": "fingerprint", "id": "job_id"}
    return Q(**{names[field]: value}) if field in names else words(value)


def task_names(part: str) -> list[str]:
    """Return the tasks of which a part was written, and what was written: a task that the code has no more."""
    return list(dict.fromkeys([*(name for name in TASKS if part in name), part]))


def is_looked_up(term: Term) -> bool:
    """Tell whether PostgreSQL finds the runs of a condition by an index of words or tags, in no order."""
    is_word = term.field in ("", "error", "tag") or (term.field == "arg" and (not term.path or _is_indexed(term.value)))
    return is_word and connection.vendor == "postgresql"


def words(text: str) -> Q:
    """Return the runs whose arguments or error text hold all words of a text, such as an ASIN.

    PostgreSQL looks up whole words in an index; SQLite looks for parts of words, row by row.
    """
    if connection.vendor == "postgresql":
        match = "to_tsvector('simple', search) @@ plainto_tsquery('simple', %s)"
        return Q(RawSQL(match, [text], output_field=models.BooleanField()))  # noqa: S611
    return _joined([Q(search__icontains=word) for word in text.split()], Q.AND)


def _tagged(tag: str) -> Q:
    """Return the runs that carry a tag as a whole: `paid` is not `unpaid`. PostgreSQL looks it up in an index."""
    if connection.vendor == "postgresql":
        match = "(tags <> '' AND string_to_array(tags, ',') @> ARRAY[%s])"
        return Q(RawSQL(match, [tag], output_field=models.BooleanField()))  # noqa: S611
    return Q(tags=tag) | Q(tags__startswith=f"{tag},") | Q(tags__endswith=f",{tag}") | Q(tags__contains=f",{tag},")


def _argument(path: list[str], value: str) -> Q:
    """Return the runs with this value at a path: `arg.0` is the first argument, `arg.asin` the one called asin.

    A word or whole number is looked up in the search text first: no index leads to a place within JSON.
    """
    place: str | KeyTransform = "args" if path[0].isdigit() else "kwargs"
    for step in path:
        place = KeyTransform(step, place)  # never a lookup of Django's, whatever its name
    meant = _as_json(value)
    wanted = {value, meant} if isinstance(meant, str | int | float | bool | None) else {value}
    found = _joined([Q(KeyTransformExact(place, Value(each, models.JSONField()))) for each in wanted], Q.OR)
    at_path = found & Q(KeyTransformIsNull(place, False))  # what is not there is not equal, also where this is denied
    return words(value) & at_path if _is_indexed(value) and connection.vendor == "postgresql" else at_path


@lru_cache
def _is_indexed(value: str) -> bool:
    """Tell whether an argument is one word or whole number, which the search text holds as such."""
    return type(_as_json(value)) in (str, int) and re.fullmatch(r"[A-Za-z0-9]+", value) is not None


def _as_json(value: str) -> Json:
    try:
        found: Json = json.loads(value, parse_constant=str)
        return found
    except (ValueError, RecursionError):
        return value


# Jobs that only Redis knows


def matches(node: Node, job: LiveJob) -> bool:
    """Tell whether a job that Redis holds is one that is asked for; what only the history knows is not."""
    if isinstance(node, And):
        return all(matches(part, job) for part in node.parts)
    if isinstance(node, Or):
        return any(matches(part, job) for part in node.parts)
    if isinstance(node, Not):
        return not matches(node.part, job)
    return _holds(node, job)


def _holds(term: Term, job: LiveJob) -> bool:
    field, value = term.field, term.value
    if field in ("", "arg") and not all(job.may_hold(word) for word in str(value).split() if _is_indexed(word)):
        return False
    if field in ("", "arg") and not term.path:
        found = searchable([job.args, job.kwargs]).lower()
        return all(word in found for word in str(value).lower().split())
    if field == "arg":
        return _at(term.path.split("."), job) in (value, _as_json(value))
    if field == "task":
        return value in job.task
    if field in ("since", "until"):
        when = job.enqueued_at
        return when is not None and (when >= value if field == "since" else when < value)
    if field == "attempts":
        return _compare(job.attempt, term.sign, value)
    if field == "wait":
        return job.wait is not None and _compare(job.wait, term.sign, value)
    if field in ("queue", "id"):
        return bool(value == (job.queue if field == "queue" else job.id))
    if field == "worker":
        return job.worker.startswith(value)
    if field == "about":
        return not value.subjects.isdisjoint(job.about.split(","))
    return field == "tag" and value in job.tags.split(",")


def _at(path: list[str], job: LiveJob) -> Json:
    found: Json = job.args if path[0].isdigit() else job.kwargs
    for step in path:
        if isinstance(found, list):
            found = found[int(step)] if step.isdigit() and int(step) < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _compare(found: float, sign: str, wanted: float) -> bool:
    return {
        ">": found > wanted, "<": found < wanted, ">=": found >= wanted, "<=": found <= wanted, ":": found == wanted,
    }[sign]  # fmt: skip
