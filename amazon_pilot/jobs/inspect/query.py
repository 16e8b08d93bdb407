"""The query box: `task:update_product error:timeout NOT queue:low since:24h`, read into one question over all jobs.

A question is asked of the history in SQL (`Query.q`), or of a job that only Redis knows (`Query.matches`). Words beside
each other are joined by AND; OR binds less, NOT (or a minus) more; brackets group; quotes keep a value together.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, models
from django.db.models import Q, Value
from django.db.models.expressions import RawSQL
from django.db.models.fields.json import KeyTransform, KeyTransformExact, KeyTransformIsNull
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from ..core.registry import TASKS
from ..models import JobRun
from ..models.job_run import Outcome, searchable
from . import subjects
from .redis_jobs import PARTS, STATES, LiveJob
from .subjects import About

TOKEN = re.compile(
    r"""\s*(?:(?P<bracket>[()])
    |(?P<field>[a-z]+(?:\.[\w.]+)?)(?P<sign>:|>=|<=|>|<)(?P<value>"(?:\\.|[^"\\])*"|[^\s()]*)
    |(?P<quoted>"(?:\\.|[^"\\])*")|(?P<minus>-(?=[\w("]))|(?P<word>[^\s()]+))""",
    re.VERBOSE,
)
FIELDS = {
    "task", "queue", "state", "outcome", "worker", "arg", "error", "cause", "id", "tag", "since", "until", "attempts",
    "duration", "wait", "about",
}  # fmt: skip
# Fields whose columns stand in the index of the newest runs: any sentence of these alone is answered from it.
COVERED = {"attempts", "duration", "wait", "worker", "outcome", "queue", "since", "until"}
MOST_ARMS, MOST_COVERED_ARMS = 8, 2
NUMBERS = {"attempts": "attempt", "duration": "duration", "wait": "wait"}
SIGNS = {">": "gt", "<": "lt", ">=": "gte", "<=": "lte", ":": "exact"}
FIRST_YEAR, LAST_YEAR = 1970, 9000  # beyond which no zone and no database goes along
UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST, DEEPEST = 500, 40  # letters, and brackets and NOTs within each other
LONGEST_FROZEN = 20 * LONGEST  # its times were written out
SPAN = r"\d+(?:\.\d+)?(ms|s|min|m|h|d|w)"
STEP = re.compile(r"[0-9]{1,6}|[^\W\d]\w*")  # of a path into arguments: an index, or a name
# The ids that jobs have: a UUID, with or without its hyphens, or a schedule entry's name and the time of the fire.
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|.+-\d{10}(-\d{6})?", re.IGNORECASE)
OF_RUNS = {"outcome", "error", "cause", "duration"}  # what only the history knows of a job


class QueryError(ValueError):
    """The text is no question; the message says what is wrong, and at which position (from 1)."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(_("%(problem)s (position %(at)d)") % {"problem": message, "at": at + 1})


@dataclass(frozen=True)
class Term:
    """One condition; `field` is '' for a bare word, and `value` is what the field asks for, read and checked."""

    field: str
    sign: str
    value: Any
    at: int
    path: str = ""


@dataclass(frozen=True)
class Not:
    part: "Node"


@dataclass(frozen=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True)
class Or:
    parts: tuple["Node", ...]


Node = Term | Not | And | Or


@dataclass(frozen=True)
class Query:
    """A question over jobs: which live states and queues it names, and what else has to be true."""

    states: frozenset[str]
    queues: frozenset[str]
    rest: tuple[Node, ...]  # besides the states, all of which have to be true

    @property
    def is_plain(self) -> bool:
        """Whether it names nothing but states and queues."""
        return all(_alternatives(node, "queue") is not None for node in self.rest)

    @property
    def ids(self) -> frozenset[str]:
        """The jobs of which it names one, by `id:` or by a word that looks like an id; empty where it names none."""
        for node in self.rest:
            terms = node.parts if isinstance(node, Or) else (node,)
            ids = frozenset(term.value for term in terms if isinstance(term, Term) and term.field == "id")
            if all(isinstance(term, Term) and term.field in ("id", "") and term.value in ids for term in terms):
                return ids
        return frozenset()

    @property
    def about(self) -> frozenset[str]:
        """The subjects of which it names one, by `about:` or by a word such as an ASIN; empty where it names none."""
        for node in self.rest:
            terms = node.parts if isinstance(node, Or) else (node,)
            asked = [term.value for term in terms if isinstance(term, Term) and term.field == "about"]
            words = {each.text for each in asked}
            if asked and all(isinstance(t, Term) and (t.field == "about" or t.value in words) for t in terms):
                return frozenset().union(*(each.subjects for each in asked))
        return frozenset()

    @property
    def named(self) -> tuple[str, ...]:
        """The subjects that its words name themselves, without what belongs to those."""
        terms = [term for term in _terms(And(self.rest)) if term.field == "about"]
        return tuple(dict.fromkeys(subject for term in terms for subject in term.value.named))

    @property
    def is_of_runs(self) -> bool:
        """Whether it wants something that only a run has, so that no job that waits can match."""
        return any(isinstance(node, Term) and node.field in OF_RUNS for node in self.rest)

    def q(self) -> Q:
        """Return the question without its states as a condition over JobRun."""
        return _q(And(self.rest))

    def arms(self) -> list[Q]:
        """Return conditions over JobRun of which one has to be true, each of which some index answers.

        PostgreSQL reads the whole table where an OR joins what stands in different indexes. What stands in one is split
        where looking twice is quicker than looking at everything once; more than eight alternatives stay together.
        """
        whole = And(self.rest)
        arms = _arms(whole)
        most = MOST_COVERED_ARMS if all(term.field in COVERED for term in _terms(whole)) else MOST_ARMS
        return [_q(And(arm)) for arm in arms] if len(arms) <= most else [_q(whole)]

    def matches(self, job: LiveJob) -> bool:
        """Tell whether a job that Redis holds is one that is asked for; what only the history knows is not."""
        return _matches(And(self.rest), job)


def parse(text: str, *, longest: int = LONGEST) -> Query:
    """Read the box. Raises QueryError with a sentence for the reader."""
    if len(text) > longest:
        raise QueryError(_("The question is longer than %d letters.") % longest, longest)
    node = _Reader(text).read()
    parts = list(node.parts) if isinstance(node, And) else [node]
    states: frozenset[str] = frozenset()
    rest: list[Node] = []
    for part in parts:
        named = _alternatives(part, "state")
        if named is None:
            _refuse_states(part, text)
            rest.append(part)
        else:
            states = states & named if states else named
    queues: frozenset[str] = frozenset()
    for part in rest:
        if (chosen := _alternatives(part, "queue")) is not None:
            queues = queues & chosen if queues else chosen
    return Query(states, queues, tuple(rest))


def frozen(text: str, *, relative: bool = True) -> str:
    """Return the question with its times as absolute UTC: it means the same later, in any zone, and to anybody.

    Spans such as 24h stay as they are unless `relative`. Raises QueryError for what is no question.
    """
    parse(text, longest=LONGEST_FROZEN)
    parts, end = [], 0
    for token in TOKEN.finditer(text):
        if token["field"] in ("since", "until"):
            value = _unquoted(token["value"])
            if relative or not re.fullmatch(SPAN, value):
                parts += [text[end : token.start("value")], _moment(value, 0).astimezone(UTC).isoformat()]
                end = token.end("value")
    return "".join([*parts, text[end:]])


def _alternatives(node: Node, field: str) -> frozenset[str] | None:
    """Return the values of `field:a` or of `field:a OR field:b`, None where the node says anything else."""
    terms = node.parts if isinstance(node, Or) else (node,)
    if all(isinstance(term, Term) and term.field == field for term in terms):
        return frozenset(term.value for term in terms if isinstance(term, Term))
    return None


def _refuse_states(node: Node, text: str) -> None:
    for term in _terms(node):
        if term.field == "state":
            if hint := _bracketed(node, text):
                raise QueryError(
                    _("OR comes last here, so state: would hold for one side alone; write %s") % hint, term.at
                )
            if isinstance(node, Not) and node.part == term:
                others = " OR ".join(f"state:{name}" for name in STATES if name not in (term.value, *PARTS))
                raise QueryError(_("state: cannot be denied; name the states that you mean: (%s)") % others, term.at)
            problem = _("state: has to hold for the whole question; ask for each side of OR by itself, such as %s")
            raise QueryError(problem % f"state:{term.value} task:…", term.at)


def within(text: str, state: str) -> str:
    """Return the question of the box, which has to be one, about the jobs of one state alone."""
    rest = parse(text).rest
    is_either = len(rest) == 1 and isinstance(rest[0], Or) and len({term.at for term in _terms(rest[0])}) > 1
    return f"state:{state} ({text})" if is_either else f"state:{state} {text}".strip()


def _bracketed(node: Node, text: str) -> str:
    """Return `state:a (x OR y)` for `state:a x OR y`, which people write and mean so; '' for anything else."""
    first = re.match(r"\s*(state:\w+)\s+(?=\S)", text)
    if first is None or not isinstance(node, Or) or any(term.field == "state" for term in list(_terms(node))[1:]):
        return ""
    return f"{first[1]} ({text[first.end() :].strip()})"


def _terms(node: Node) -> Iterator[Term]:
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Not):
        yield from _terms(node.part)
    else:
        for part in node.parts:
            yield from _terms(part)


def _arms(node: Node, is_negated: bool = False) -> list[tuple[Node, ...]]:
    """Return a sentence as alternatives, each of them conditions that all have to hold."""
    if isinstance(node, Term):
        return [(Not(node) if is_negated else node,)]
    if isinstance(node, Not):
        return _arms(node.part, not is_negated)
    parts = [_arms(part, is_negated) for part in node.parts]
    if isinstance(node, Or) != is_negated:
        return [arm for arms in parts for arm in arms]
    joined: list[tuple[Node, ...]] = [()]
    for arms in parts:
        joined = [before + arm for before in joined[: MOST_ARMS + 1] for arm in arms[: MOST_ARMS + 1]]
    return joined


class _Reader:
    """Reads the text by descent: OR, then AND, then NOT, then a bracket or a condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [match for match in TOKEN.finditer(text) if match.group().strip()]
        self.place = self.depth = 0

    def read(self) -> Node:
        if not self.tokens:
            return And(())
        node = self.either()
        if (extra := self.peek()) is not None:
            raise QueryError(_("This bracket closes nothing."), self.start_of(extra))
        return node

    def peek(self) -> re.Match[str] | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def word(self) -> str:
        token = self.peek()
        return token["word"] or "" if token else ""

    def start_of(self, token: re.Match[str]) -> int:
        return token.end() - len(token.group().lstrip())

    def either(self) -> Node:
        parts = [self.all()]
        while self.word() == "OR":
            self.place += 1
            parts.append(self.all())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def all(self) -> Node:
        parts = [self.negation()]
        while (token := self.peek()) is not None and token["bracket"] != ")" and self.word() != "OR":
            if self.word() == "AND":
                self.place += 1
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negation(self) -> Node:
        token = self.peek()
        if self.depth == DEEPEST:
            at = self.start_of(token) if token else len(self.text)
            raise QueryError(_("This is nested too deeply; %d levels are the limit.") % DEEPEST, at)
        self.depth += 1
        try:
            if token is not None and (token["minus"] or token["word"] == "NOT"):
                self.place += 1
                return Not(self.negation())
            return self.primary()
        finally:
            self.depth -= 1

    def primary(self) -> Node:
        token = self.peek()
        if token is None or token["bracket"] == ")" or token["word"] in ("AND", "OR"):
            at = self.start_of(token) if token else len(self.text)
            raise QueryError(_("Here a condition is missing."), at)
        self.place += 1
        if token["bracket"]:
            node = self.either()
            closing = self.peek()
            if closing is None or closing["bracket"] != ")":
                raise QueryError(_("This bracket is not closed."), self.start_of(token))
            self.place += 1
            return node
        if token["field"]:
            return self.condition(token)
        word = Term("", ":", _unquoted(token["quoted"] or token["word"]), self.start_of(token))
        if subjects.is_name(word.value):
            return Or((replace(word, field="about", value=About(word.value)), word))
        return Or((replace(word, field="id"), word)) if ID.fullmatch(word.value) else word

    def condition(self, token: re.Match[str]) -> Term:
        field, _dot, path = token["field"].partition(".")
        at, value = self.start_of(token), _unquoted(token["value"])
        if field not in FIELDS and not path and value and token["field"] in subjects.kinds():
            return Term("about", ":", About(f"{field}:{value}"), at)
        if field not in FIELDS or (path and field != "arg"):
            known = ", ".join(sorted(FIELDS))
            raise QueryError(_("There is no field %(field)s; there are %(known)s. Quote a word that has a colon.")
                             % {"field": token["field"], "known": known}, at)  # fmt: skip
        if path and not all(STEP.fullmatch(step) for step in path.split(".")):
            raise QueryError(_("arg. wants a place or a name, such as arg.0 or arg.asin."), at)
        if not value:
            raise QueryError(_("%s wants a value.") % field, at)
        if token["sign"] != ":" and field not in NUMBERS:
            raise QueryError(_("%s cannot be compared by size; write a colon.") % field, at)
        return Term(field, token["sign"], _checked(field, value, at), at, path)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') and len(text) > 1 else text


def _checked(field: str, value: str, at: int) -> Any:
    """Return a value as its field needs it."""
    if field == "state" and value not in STATES:
        raise QueryError(_("There is no state %(value)s; there are %(known)s.")
                         % {"value": value, "known": ", ".join(STATES)}, at)  # fmt: skip
    if field == "outcome" and value not in Outcome.values:
        raise QueryError(_("There is no outcome %(value)s; there are %(known)s.")
                         % {"value": value, "known": ", ".join(Outcome.values)}, at)  # fmt: skip
    if field in NUMBERS:
        return _seconds(value, at) if field != "attempts" else _whole(value, at)
    if field in ("since", "until"):
        return _moment(value, at)
    return About(value) if field == "about" else value


def _whole(value: str, at: int) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", value):
        raise QueryError(_("%s is not a whole number.") % value, at)
    return int(value)


def _seconds(value: str, at: int) -> float:
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|min|m|h|d|w)?", value)
    if match is None:
        raise QueryError(_("%s is no span of time; write 250ms, 1.5s, 10m, 2h or 7d.") % value, at)
    return float(match[1]) * UNITS[match[2] or "s"]


def _moment(value: str, at: int) -> datetime:
    """Return a time: `2h` ago, or a date or time in the viewer's zone."""
    if re.fullmatch(SPAN, value):
        try:
            moment = timezone.now() - timedelta(seconds=_seconds(value, at))
        except OverflowError:
            moment = None
        if moment is None or moment.year < FIRST_YEAR:
            raise QueryError(_("%s is too long ago.") % value, at)
        return moment
    try:
        day = parse_date(value)
        moment = datetime(day.year, day.month, day.day) if day else parse_datetime(value)
    except ValueError:
        moment = None
    if moment is None or not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise QueryError(_("%s is no time; write 24h, 7d, 2026-01-31 or 2026-01-31T09:00.") % value, at)
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)


# The history


def _q(node: Node) -> Q:
    if isinstance(node, And):
        return _joined([_q(part) for part in node.parts], Q.AND)
    if isinstance(node, Or):
        return _joined([_q(part) for part in node.parts], Q.OR)
    if isinstance(node, Not):
        return ~_q(node.part)
    return _condition(node)


def _joined(parts: list[Q], connector: str) -> Q:
    joined = Q()
    for part in parts:
        joined = joined._combine(part, connector)  # type: ignore[attr-defined]
    return joined


def _condition(term: Term) -> Q:
    field, value = term.field, term.value
    if field == "task":
        return Q(task__in=[*(name for name in TASKS if value in name), value])
    if field in ("since", "until"):
        return Q(started_at__gte=value) if field == "since" else Q(started_at__lt=value)
    if field in NUMBERS:
        return Q(**{f"{NUMBERS[field]}__{SIGNS[term.sign]}": value})
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
    place: Any = "args" if path[0].isdigit() else "kwargs"
    for step in path:
        place = KeyTransform(step, place)  # never a lookup of Django's, whatever its name
    meant = _as_json(value)
    wanted = {value, meant} if isinstance(meant, str | int | float | bool | None) else {value}
    found = _joined([Q(KeyTransformExact(place, Value(each, models.JSONField()))) for each in wanted], Q.OR)
    at_path = found & Q(KeyTransformIsNull(place, False))  # what is not there is not equal, also where this is denied
    is_indexed = type(meant) in (str, int) and re.fullmatch(r"[A-Za-z0-9]+", value)
    return words(value) & at_path if is_indexed and connection.vendor == "postgresql" else at_path


def _as_json(value: str) -> Any:
    try:
        return json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        return value


# Jobs that only Redis knows


def _matches(node: Node, job: LiveJob) -> bool:
    if isinstance(node, And):
        return all(_matches(part, job) for part in node.parts)
    if isinstance(node, Or):
        return any(_matches(part, job) for part in node.parts)
    if isinstance(node, Not):
        return not _matches(node.part, job)
    return _holds(node, job)


def _holds(term: Term, job: LiveJob) -> bool:
    field, value = term.field, term.value
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
    simple = {"queue": job.queue, "id": job.id}
    if field in simple:
        return bool(simple[field] == value)
    if field == "worker":
        return job.worker.startswith(value)
    if field == "about":
        return not value.subjects.isdisjoint(job.about.split(","))
    return field == "tag" and value in job.tags.split(",")


def _at(path: list[str], job: LiveJob) -> Any:
    found: Any = job.args if path[0].isdigit() else job.kwargs
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


def runs(query: Query) -> "models.QuerySet[JobRun]":
    """Return the history that a question asks for, without its states."""
    return JobRun.objects.filter(query.q())
