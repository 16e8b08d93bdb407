"""Pages by key: the next page begins after the last row of this one, so page 1,000 costs what page 1 costs.

Narrow rows alone are sorted, an id and the value of one column; whoever asks loads the wide rows by these ids.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce, Now
from django.utils.dateparse import parse_datetime

Value = Decimal | datetime | str | int | None
Rows = QuerySet[Any]
# So many rows are asked one by one for what many have: a page of 25 is full where every fortieth has it.
NEAR = 1000


class NowAsKey(Now):
    """The database's clock. On SQLite it is written as Django writes a time, as text: else no key finds its own row."""

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """Return microseconds where Django's own has milliseconds, and none where they are nought."""
        written = "STRFTIME('%%%%Y-%%%%m-%%%%d %%%%H:%%%%M:%%%%f000', 'NOW')"
        return self.as_sql(compiler, connection, template=f"REPLACE({written}, '.000000', '')", **more)


@dataclass(frozen=True)
class Key:
    """A place between two rows: behind the row of this value and id, or before it when one pages back."""

    value: Value
    pk: int
    is_back: bool = False

    def __str__(self) -> str:
        return json.dumps([None if self.value is None else str(self.value), self.pk, int(self.is_back)])


@dataclass(frozen=True)
class Slice:
    """The ids of one page in their order, and the keys of its neighbours; empty where there is none."""

    ids: list[int]
    before: str = ""
    after: str = ""


def read_key(text: str, parse: Callable[[str], Any]) -> Key | None:
    """Read a key as it stands in an address; None, which is the first page, for anything else."""
    try:
        value, pk, is_back = json.loads(text)
        if not (isinstance(pk, int) and isinstance(value, str | None) and abs(pk) < 2**63):
            return None
        return Key(None if value is None else parse(value), pk, bool(is_back))
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        return None


def decimal(text: str) -> Decimal:
    """Read an amount. Raises ValueError for what no column holds."""
    value = Decimal(text)
    if not value.is_finite() or abs(value) >= 10**15:
        raise ValueError(text)
    return value


def whole(text: str) -> int:
    """Read a whole number. Raises ValueError for what no column holds."""
    value = int(text)
    if abs(value) >= 2**63:
        raise ValueError(text)
    return value


def moment(text: str) -> datetime:
    """Read a time. Raises ValueError for one without a zone."""
    value = parse_datetime(text)
    if value is None or value.tzinfo is None:
        raise ValueError(text)
    return value


def cut(
    rows: Rows,
    column: str,
    key: Key | None,
    size: int,
    *,
    descending: bool = False,
    nullable: bool = False,
    halves: Sequence[Rows] = (),
    before: Sequence[Rows] = (),
) -> Slice:
    """Return `size` ids in the order of a column, rows without a value last; one query, or two where these begin.

    `halves` are the same rows in two, each with the column as an index knows it. A key beyond which nothing is left
    leads to the first page. `before` are all rows, in two if those are, each with whether it is one of `rows`, `fits`:
    the next of these are looked at first, and where they fill no page one more query sorts all `rows`.
    """
    is_back = bool(key and key.is_back)
    is_falling = descending != is_back
    parts = [False, True] if nullable else [False]
    found: list[tuple[int, Any]] = []
    waiting, is_near = key, bool(before)
    for is_empty in reversed(parts) if is_back else parts:
        if waiting and is_empty != (waiting.value is None and nullable):
            continue
        beyond = _beyond(column, waiting, is_falling) if waiting else Q()
        beyond &= Q(**{f"{column}__isnull": is_empty}) if nullable else Q()
        waiting, left = None, size + 1 - len(found)
        near = None
        if is_near:
            near = first_near([one.filter(beyond) for one in before], column, left, is_empty, is_falling)
        is_near = near is not None
        if near is not None:
            found += near
        elif before:  # all that fit, sorted by what no index knows, which would be walked through
            part = rows.filter(beyond).annotate(place=Coalesce(column, column))
            found += _first(part, "place", left, False, is_falling)
        else:
            ordered = [_ordered(half.filter(beyond), column, is_empty, is_falling) for half in halves]
            part = _first_of(rows, ordered, size + 1) if ordered else rows.filter(beyond)
            found += _first(part, column, left, is_empty, is_falling)
        if len(found) > size:
            break
    if key and not found:
        return cut(rows, column, None, size, descending=descending, nullable=nullable, halves=halves, before=before)
    return _slice(found, key, size)


def _first_of(rows: Rows, ordered: list[Rows], most: int) -> Rows:
    """Keep the first of each of these: the first of all are among them. Within another question for SQLite's sake."""
    first, *others = (
        rows.model._default_manager.filter(pk__in=one.values("pk")[:most]).values("pk") for one in ordered
    )
    return rows.filter(pk__in=first.union(*others))


def first_near(parts: Sequence[Rows], column: str, most: int, is_empty: bool, is_falling: bool) -> list[Any] | None:
    """Return the first so many that fit of the first rows in the order of a column, as id and value.

    None where too few do, and more may further on.
    """
    ordered = (_ordered(part, column, is_empty, is_falling) for part in parts)
    first, *others = (part.values_list("pk", column, "fits")[:NEAR] for part in ordered)
    seen = _ordered(first.union(*others, all=True), column, is_empty, is_falling)[:NEAR] if others else first
    rows = list(seen)
    fitting = [(pk, value) for pk, value, fits in rows if fits][:most]
    return fitting if len(fitting) == most or len(rows) < NEAR else None


def _ordered(part: Rows, column: str, is_empty: bool, is_falling: bool) -> Rows:
    columns = ["pk"] if is_empty else [column, "pk"]
    return part.order_by(*(f"-{name}" if is_falling else name for name in columns))


def _first(part: Rows, column: str, most: int, is_empty: bool, is_falling: bool) -> list[tuple[int, Any]]:
    ordered = _ordered(part, column, is_empty, is_falling)
    if is_empty:
        return [(pk, None) for pk in ordered.values_list("pk", flat=True)[:most]]
    return list(ordered.values_list("pk", column)[:most])


def _beyond(column: str, key: Key, is_falling: bool) -> Q:
    word = "lt" if is_falling else "gt"
    behind = Q(**{f"pk__{word}": key.pk})
    if key.value is None:
        return behind
    # The first condition says nothing new, but an index can begin there.
    return Q(**{f"{column}__{word}e": key.value}) & (Q(**{f"{column}__{word}": key.value}) | behind)


def _slice(found: list[tuple[int, Any]], key: Key | None, size: int) -> Slice:
    is_back, is_more = bool(key and key.is_back), len(found) > size
    page = found[:size]
    if is_back:
        page.reverse()
    if not page:
        return Slice([])
    before, after = Key(page[0][1], page[0][0], is_back=True), Key(page[-1][1], page[-1][0])
    has_before, has_after = (is_more, True) if is_back else (key is not None, is_more)
    return Slice([pk for pk, _value in page], str(before) if has_before else "", str(after) if has_after else "")
