"""From the bytes of a stranger's file to rows of text: CSV, TSV and XLSX in the encodings that people's programs write.

Nothing in a file is trusted: its size, its rows and columns, and what a packed workbook grows to are bounded before it
is read, and no formula, macro or outside reference of it is ever followed.
"""

import csv
import logging
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from io import BytesIO, StringIO
from itertools import islice
from typing import Any

import openpyxl
from django.utils.translation import gettext as _

from products.fields import clean

logger = logging.getLogger(__name__)

MOST_BYTES = 10_000_000
MOST_COLUMNS, LONGEST_CELL = 200, 2_000
# What a workbook may grow to when it is unpacked, the texts that its cells share, its parts, and the time it may take.
MOST_UNPACKED, MOST_SHARED, MOST_PARTS, MOST_SECONDS = 60_000_000, 20_000_000, 2_000, 25
SEPARATORS = ("\t", ";", ",", "|")
# Tried for bytes that are no UTF-8; the one in which most columns have names that we know wins, the first where equal.
ENCODINGS = ("cp1252", "cp932", "gb18030", "cp1250", "cp1254")
SNIFFED_LINES, LONGEST_SNIFF = 20, 20_000
# A quote that is never closed makes one cell of all lines behind it.
MOST_LINES_OF_A_CELL = 50

CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")
MOST_BREAKS = 1_000_000

Names = Callable[[list[str]], int]
Numbered = tuple[int, list[str]]


class UnreadableFile(ValueError):
    """The file cannot be read; the text says why, and what to do."""


@dataclass(frozen=True)
class Row:
    """One row with the number under which the file's own program shows it."""

    number: int
    cells: list[str]


def read_table(data: bytes, most: int, known: Names = lambda cells: 0) -> list[Row]:
    """Return the rows of a file that hold anything, at most `most` of them and one more to tell that there were more.

    `known` counts the cells of a row that are names of columns; by it the encoding and the separator are chosen.
    Raises UnreadableFile with the sentence for its owner.
    """
    if len(data) > MOST_BYTES:
        raise UnreadableFile(too_large())
    if data.startswith(b"PK\x03\x04"):
        return list(islice(_workbook(data, most), most + 1))
    elif data.startswith(b"\xd0\xcf\x11\xe0"):
        raise UnreadableFile(
            _("This is an old or protected Excel file. Please save it as .xlsx without a password, or as CSV.")
        )
    return _separated(_decoded(data, known), known, most)


def too_large() -> str:
    """Say that a file is larger than we take."""
    return _("The file is larger than 10 MB. Please remove columns that are not needed, or add it in parts.")


def plain(text: str) -> str:
    """Return a cell as one line without the signs by which spreadsheets mark texts."""
    text = " ".join(clean(text[:LONGEST_CELL]).replace("\ufeff", "").split())
    text = text.removeprefix("=") if text.startswith('="') and text.endswith('"') else text
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _decoded(data: bytes, known: Names) -> str:
    for mark, name in ((b"\xff\xfe\0\0", "utf-32"), (b"\0\0\xfe\xff", "utf-32"), (b"\xef\xbb\xbf", "utf-8-sig")):
        if data.startswith(mark):
            return data.decode(name, "replace")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    head = data[:2000]
    if head.count(0) * 3 > len(head) > 1:  # Latin text in two bytes a letter, without a mark
        text = data.decode("utf-16-be" if head[::2].count(0) > head[1::2].count(0) else "utf-16-le", "replace")
        if not CONTROL.search(text[:1000]):
            return text
    if 0 in head:
        raise UnreadableFile(_("This is no table. Please choose a CSV, TSV or Excel (.xlsx) file."))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _of_one_byte(data, known)


def _of_one_byte(data: bytes, known: Names) -> str:
    def score(name: str) -> int:
        text = data[: LONGEST_SNIFF * 2].decode(name, "ignore")
        return max((known(_cells(line, mark)) for line in _lines(text) for mark in SEPARATORS), default=0)

    best = max(ENCODINGS, key=score)  # the first of equals
    try:
        return data.decode(best)
    except UnicodeDecodeError:
        return data.decode("latin-1" if best == "cp1252" else best, "replace")


def _lines(text: str) -> list[str]:
    return text[:LONGEST_SNIFF].splitlines()[:SNIFFED_LINES]


def _cells(line: str, separator: str) -> list[str]:
    return [plain(cell) for cell in line.split(separator)]


def _separated(text: str, known: Names, most: int) -> list[Row]:
    said = re.match(r'\ufeff?"?sep=([,;|\t])"?\r?\n', text)
    separator = said[1] if said else _separator(text, known)
    skipped = 1 if said else 0
    body = text[said.end() :] if said else text
    if body.count("\n") + body.count("\r") > MOST_BREAKS:
        raise UnreadableFile(_("The file has more lines than any table. Please add it in parts."))
    # Amazon writes its reports without quotes, so that an inch sign in a title is a sign and no more.
    if separator == "\t":
        return _records(_each_alone(body, "\t", csv.QUOTE_NONE), most, skipped)
    try:
        return _records(_together(body, separator), most, skipped)
    except csv.Error:  # a quote that is never closed would swallow the lines behind it
        return _records(_each_alone(body, separator, csv.QUOTE_MINIMAL), most, skipped)


def _together(text: str, separator: str) -> Iterator[Numbered]:
    """Yield lines with their numbers; a quoted cell may hold line breaks. Raises csv.Error for wrong quotes."""
    reader = csv.reader(StringIO(text, newline=""), delimiter=separator, strict=True)
    before = 0
    for cells in reader:
        if reader.line_num - before > MOST_LINES_OF_A_CELL:
            raise csv.Error("a quote is closed far away")
        yield before + 1, cells
        before = reader.line_num


def _each_alone(text: str, separator: str, quoting: Any) -> Iterator[Numbered]:
    """Yield lines with their numbers, each read on its own."""
    for number, line in enumerate(StringIO(text, newline=""), 1):
        try:
            yield number, next(csv.reader([line.rstrip("\r\n")], delimiter=separator, quoting=quoting), [])
        except csv.Error:
            raise UnreadableFile(_("A cell of the file is longer than any cell may be. Is it a table?")) from None


def _records(lines: Iterable[Numbered], most: int, skipped: int) -> list[Row]:
    rows: list[Row] = []
    for number, cells in lines:
        texts = [plain(cell) for cell in cells[:MOST_COLUMNS]]
        if any(texts):
            rows.append(Row(number + skipped, texts))
        if len(rows) > most:
            break
    return rows


def _separator(text: str, known: Names) -> str:
    """Return the sign that makes most known names of a line, else the one that divides the lines alike."""
    lines = [line for line in _lines(text) if line.strip()]

    def merit(separator: str) -> tuple[int, int]:
        counts = [line.count(separator) for line in lines]
        named = max((known(_cells(line, separator)) for line in lines), default=0)
        return named, max((counts.count(count) for count in set(counts) if count), default=0)

    best = max(SEPARATORS, key=merit)
    return best if merit(best) > (0, 0) else ","


def _workbook(data: bytes, most: int) -> Iterator[Row]:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            _ensure_bounded(archive)
        yield from _sheet_rows(data, most)
    except UnreadableFile:
        raise
    except Exception as error:  # a stranger's file in a library's hands: whatever it raises, the file is at fault
        logger.info("A workbook could not be read: %s", type(error).__name__)
        reason = _("The Excel file cannot be read. Please open it, save it anew as .xlsx or CSV, and try again.")
        raise UnreadableFile(reason) from None


def _ensure_bounded(archive: zipfile.ZipFile) -> None:
    """Refuse what grows beyond bounds, and what declares entities; a part is never read further than it declares."""
    parts = archive.infolist()
    shared = sum(part.file_size for part in parts if "sharedstrings" in part.filename.lower())
    total = sum(part.file_size for part in parts)
    if len(parts) > MOST_PARTS or total > MOST_UNPACKED or shared > MOST_SHARED:
        raise UnreadableFile(_("The Excel file is too large once it is unpacked. Please save it as CSV, or in parts."))
    if not any(part.filename.lower() == "xl/workbook.xml" for part in parts):
        raise UnreadableFile(_("This is no Excel file (.xlsx). Please save the table as .xlsx or CSV."))
    for part in parts:
        if part.filename.lower().endswith((".xml", ".rels")) and _declares(archive, part):
            raise UnreadableFile(_("The Excel file holds declarations that no table needs. Please save it as CSV."))


def _declares(archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bool:
    tail = b""
    with archive.open(part) as file:
        while chunk := file.read(1 << 20):
            if b"<!DOCTYPE" in (seen := (tail + chunk).replace(b"\0", b"")) or b"<!ENTITY" in seen:
                return True
            tail = chunk[-40:]
    return False


def _sheet_rows(data: bytes, most: int) -> Iterator[Row]:
    book = openpyxl.load_workbook(BytesIO(data), read_only=True, data_only=True, keep_links=False)
    until = time.monotonic() + MOST_SECONDS
    try:
        for sheet in book.worksheets:
            rows = sheet.iter_rows(max_row=most * 2 + 100, max_col=MOST_COLUMNS, values_only=True)
            yielded = False
            for number, cells in enumerate(rows, 1):
                if time.monotonic() > until:
                    raise UnreadableFile(_("The Excel file takes too long to read. Please save it as CSV."))
                if texts := _texts(cells):  # without what is empty at the end
                    yielded = True
                    yield Row(number, texts)
            if yielded:
                return  # the first sheet that holds anything
    finally:
        book.close()


def _texts(cells: Iterable[Any]) -> list[str]:
    texts = [_text(cell) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return texts


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime | date):
        return cell.isoformat()
    return plain(str(cell))
