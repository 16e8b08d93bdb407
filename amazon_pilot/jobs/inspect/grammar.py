"""The text of the query box, read: words, brackets and conditions, each value checked as its field needs it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from ..models.job_run import Outcome
from . import subjects
from .redis_jobs import STATES
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
FIRST_YEAR, LAST_YEAR = 1970, 9000  # beyond which no zone and no database goes along
NUMBERS = {"attempts", "duration", "wait"}  # fields that are compared by size
UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
LONGEST, DEEPEST = 500, 40  # letters, and brackets and NOTs within each other
SPAN = r"\d+(?:\.\d+)?(ms|s|min|m|h|d|w)"
STEP = re.compile(r"[0-9]{1,6}|[^\W\d]\w*")  # of a path into arguments: an index, or a name
# The ids that jobs have: a UUID, with or without its hyphens, or a schedule entry's name and the time of the fire.
ID = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|.+-\d{10}(-\d{6})?", re.IGNORECASE)


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


def terms_of(node: Node) -> Iterator[Term]:
    """Return every condition in a node, in the order of the text."""
    if isinstance(node, Term):
        yield node
    elif isinstance(node, Not):
        yield from terms_of(node.part)
    else:
        for part in node.parts:
            yield from terms_of(part)


class Reader:
    """Reads the text by descent: OR, then AND, then NOT, then a bracket or a condition."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = [match for match in TOKEN.finditer(text) if match.group().strip()]
        self.place = self.depth = 0

    def read(self) -> Node:
        """Return the whole. Raises QueryError with a sentence for the reader."""
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
        word = Term("", ":", unquoted(token["quoted"] or token["word"]), self.start_of(token))
        if subjects.is_name(word.value):
            return Or((replace(word, field="about", value=About(word.value)), word))
        return Or((replace(word, field="id"), word)) if ID.fullmatch(word.value) else word

    def condition(self, token: re.Match[str]) -> Term:
        field, _dot, path = token["field"].partition(".")
        at, value = self.start_of(token), unquoted(token["value"])
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


def unquoted(text: str) -> str:
    """Return a value without the quotes around it."""
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
        return moment_of(value, at)
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


def moment_of(value: str, at: int) -> datetime:
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
