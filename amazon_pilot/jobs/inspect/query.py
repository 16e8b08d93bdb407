"""The query box: `task:update_product error:timeout NOT queue:low since:24h`, read into one question over all jobs.

A question is asked of the history in SQL (`Query.q`), or of a job that only Redis knows (`Query.matches`). Words beside
each other are joined by AND; OR binds less, NOT (or a minus) more; brackets group; quotes keep a value together.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext as _

from ..models import JobRun
from . import conditions
from .conditions import EXACTLY, as_q, task_names
from .grammar import LONGEST, SPAN, TOKEN, And, Node, Not, Or, QueryError, Reader, Term, moment_of, terms_of, unquoted
from .reach import COVERED
from .redis_jobs import PARTS, STATES, LiveJob

MOST_ARMS, MOST_COVERED_ARMS = 8, 2
LONGEST_FROZEN = 20 * LONGEST  # its times were written out
WRITTEN_OUT = re.compile(r"(?<=\d{4}-\d\d-\d\d)T[0-9:.]{8,15}\+00:00")  # by `frozen`, behind a date
OF_RUNS = {"outcome", "error", "cause", "duration"}  # what only the history knows of a job


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
        terms = [term for term in terms_of(And(self.rest)) if term.field == "about"]
        return tuple(dict.fromkeys(subject for term in terms for subject in term.value.named))

    @property
    def is_of_runs(self) -> bool:
        """Whether it wants something that only a run has, so that no job that waits can match."""
        return any(isinstance(node, Term) and node.field in OF_RUNS for node in self.rest)

    def q(self) -> Q:
        """Return the question without its states as a condition over JobRun."""
        return as_q(And(self.rest))

    def arms(self) -> list[Q]:
        """Return conditions over JobRun of which one has to be true: those of `sentences`."""
        return [as_q(And(parts)) for parts in self.sentences()]

    def sentences(self) -> list[tuple[Node, ...]]:
        """Return alternatives, each the conditions that all have to hold, and each answered by some index.

        PostgreSQL reads the whole table where an OR joins what stands in different indexes. What stands in one is split
        where looking twice is quicker than looking at everything once; more than eight alternatives stay together.
        """
        whole = And(self.rest)
        arms = _arms(whole)
        most = MOST_COVERED_ARMS if all(term.field in COVERED for term in terms_of(whole)) else MOST_ARMS
        return arms if len(arms) <= most else [(whole,)]

    def matches(self, job: LiveJob) -> bool:
        """Tell whether a job that Redis holds is one that is asked for; what only the history knows is not."""
        return conditions.matches(And(self.rest), job)


def parse(text: str, *, longest: int = LONGEST) -> Query:
    """Read the box. Raises QueryError with a sentence for the reader.

    What `frozen` added to a time does not count as longer: the question was short enough as it was typed.
    """
    if len(text) > longest and (len(text) > LONGEST_FROZEN or len(WRITTEN_OUT.sub("", text)) > longest):
        raise QueryError(_("The question is longer than %d letters.") % longest, longest)
    node = Reader(text).read()
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
            value = unquoted(token["value"])
            if relative or not re.fullmatch(SPAN, value):
                parts += [text[end : token.start("value")], moment_of(value, 0).astimezone(UTC).isoformat()]
                end = token.end("value")
    return "".join([*parts, text[end:]])


def narrowed(text: str, queues: Iterable[str]) -> str:
    """Return the question about jobs of these queues alone, at least one; raises QueryError for what is no question."""
    where = " OR ".join(f'queue:"{name}"' for name in sorted(queues))
    if not text.strip():
        return where
    return f"({where}) ({text})" if isinstance(Reader(text).read(), Or) else f"({where}) {text}"


def _alternatives(node: Node, field: str) -> frozenset[str] | None:
    """Return the values of `field:a` or of `field:a OR field:b`, None where the node says anything else."""
    terms = node.parts if isinstance(node, Or) else (node,)
    if all(isinstance(term, Term) and term.field == field for term in terms):
        return frozenset(term.value for term in terms if isinstance(term, Term))
    return None


def _refuse_states(node: Node, text: str) -> None:
    for term in terms_of(node):
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
    is_either = len(rest) == 1 and isinstance(rest[0], Or) and len({term.at for term in terms_of(rest[0])}) > 1
    return f"state:{state} ({text})" if is_either else f"state:{state} {text}".strip()


def _bracketed(node: Node, text: str) -> str:
    """Return `state:a (x OR y)` for `state:a x OR y`, which people write and mean so; '' for anything else."""
    first = re.match(r"\s*(state:\w+)\s+(?=\S)", text)
    if first is None or not isinstance(node, Or) or any(term.field == "state" for term in list(terms_of(node))[1:]):
        return ""
    return f"{first[1]} ({text[first.end() :].strip()})"


def _arms(node: Node, is_negated: bool = False) -> list[tuple[Node, ...]]:
    """Return a sentence as alternatives, each of them conditions that all have to hold."""
    if isinstance(node, Term):
        if node.field == "task" and not is_negated:  # each has an index that holds its runs in the order of the list
            return [(replace(node, sign=EXACTLY, value=name),) for name in task_names(node.value)]
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


def runs(query: Query) -> "models.QuerySet[JobRun]":
    """Return the history that a question asks for, without its states."""
    return JobRun.objects.filter(query.q())
