"""Giving out: rows as CSV or XLSX, written while they are read, so that memory does not grow with their number.

A spreadsheet takes a text that begins with = for a formula, and some take those with + - @ as well. What sellers write
in a title is a stranger's text, so such a text is quoted in CSV and typed as text in XLSX; numbers stay numbers.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, islice, repeat
from typing import TypeVar

from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from . import workbook

Cell = str | int | Decimal | datetime | bool | None
Row = Sequence[Cell]
Item = TypeVar("Item", bound=Model)

FIRST = 50  # rows, with which a file begins at once
CHUNK = 500  # SQLite takes a condition of fewer than 1,000 parts
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
# The full-width signs are taken for the others by spreadsheets in East Asian languages.
FORMULA = re.compile(r"[\s\"']*[=+\-@\t\r＝＋－＠]")
# Where a spreadsheet divides a line by another sign than the comma, a cell may begin in the middle of ours.
LATER_FORMULA = re.compile(r"([;|\t\r\n][\s\"']*)([=+\-@＝＋－＠])")


def give_out(request: HttpRequest, name: str, columns: Sequence[str], rows: Iterable[Row]) -> HttpResponseBase:
    """Return rows as a file in the form that `?as=` names, csv (the usual) or xlsx; 400 for another one."""
    kind = request.GET.get("as", "csv")
    if kind not in FORMATS:
        said = _("as has to be one of %s.") % ", ".join(FORMATS)
        return HttpResponse(said, status=400, content_type="text/plain; charset=utf-8")
    parts = as_csv(columns, rows) if kind == "csv" else as_workbook(columns, rows)
    answer = StreamingHttpResponse(parts, content_type=FORMATS[kind])
    answer["Content-Disposition"] = f'attachment; filename="{file_name(name)}.{kind}"'
    answer["Cache-Control"] = "private, no-store"
    return answer


def file_name(name: str) -> str:
    """Return a name that every system takes: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:80] or "export"


def sizes(size: int = CHUNK) -> Iterator[int]:
    """Return how many rows are taken at a time: few at first, then a chunk, for ever."""
    return chain([FIRST], repeat(size))


def in_chunks(rows: "QuerySet[Item]", size: int = CHUNK) -> Iterator[list[Item]]:
    """Yield rows by their keys, a chunk at a time; each is one query that reads no more than it gives."""
    last = 0
    for most in sizes(size):
        if not (chunk := list(rows.filter(pk__gt=last).order_by("pk")[:most])):
            return
        yield chunk
        last = chunk[-1].pk


def as_csv(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a table in UTF-8 with a mark, without which spreadsheets take it for something else."""
    yield b"\xef\xbb\xbf"
    left = iter(rows)
    yield _lines([columns])
    for size in sizes():
        if not (some := list(islice(left, size))):
            return
        yield _lines(some)


def _lines(rows: Iterable[Row]) -> bytes:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([quoted(cell) for cell in row] for row in rows)
    return file.getvalue().encode("utf-8", "replace")


def quoted(cell: Cell) -> str:
    """Return a cell of CSV: times in UTC, numbers as they are, texts such that no spreadsheet runs them."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "1" if cell else "0"
    if isinstance(cell, datetime):
        return f"{cell.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    if not isinstance(cell, str):
        return f"{cell:f}" if isinstance(cell, Decimal) else str(cell)
    text = LATER_FORMULA.sub(r"\1'\2", workbook.ILLEGAL.sub("", cell))
    return f"'{text}" if FORMULA.match(text) else text


def as_workbook(columns: Sequence[str], rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a table as a workbook."""
    return workbook.write(columns, rows, FORMULA.match, _("Page"))
