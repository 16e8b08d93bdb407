"""A workbook (XLSX) that leaves while its rows are read: the first byte at once, and memory that does not grow.

Libraries write a workbook into a file first, and take five times as long for it. What is written here is the smallest
workbook of the standard (ECMA-376): texts stand in their cells, and a cell whose text looks like a formula is marked as
text, also for whoever edits it.
"""

import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import islice
from xml.sax.saxutils import escape, quoteattr

LONGEST_CELL, ROWS_OF_A_SHEET, ROWS_AT_ONCE = 32_767, 500_000, 50
# Signs that XML does not know, and what the format itself would read as the code of a sign.
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
CODED = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
DAY = Decimal(86_400)

HEAD = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"
SHEET_BEGINS = (
    f'{HEAD}<worksheet xmlns="{MAIN}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2"'
    ' activePane="bottomLeft" state="frozen"/></sheetView></sheetViews><sheetData>'
)
SHEET_ENDS = "</sheetData></worksheet>"
# The cells' styles by their number: plain, a time, a text that looks like a formula, a head.
STYLES = (
    f'{HEAD}<styleSheet xmlns="{MAIN}"><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd hh:mm:ss"/>'
    '</numFmts><fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/>'
    '<name val="Calibri"/></font></fonts><fills count="2"><fill><patternFill patternType="none"/></fill><fill>'
    '<patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders><cellStyleXfs count="1">'
    '<xf/></cellStyleXfs><cellXfs count="4"><xf xfId="0"/><xf xfId="0" numFmtId="164" applyNumberFormat="1"/>'
    '<xf xfId="0" numFmtId="49" quotePrefix="1" applyNumberFormat="1"/><xf xfId="0" fontId="1" applyFont="1"/>'
    '</cellXfs><cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)


class Outlet:
    """What a zip archive writes into, and what is taken out of it at once."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        """Take a part in."""
        self.parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: there is nothing behind."""

    def take(self) -> bytes:
        """Return what came in since the last time."""
        taken, self.parts = b"".join(self.parts), []
        return taken


def write(
    columns: Sequence[str], rows: Iterable[Sequence[object]], is_formula: Callable[[str], object], name: str
) -> Iterator[bytes]:
    """Yield a workbook; a sheet that is full goes on in the next, called `name` and its number.

    `is_formula` tells which texts a spreadsheet might run.
    """
    outlet, left, count = Outlet(), iter(rows), 0
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive:  # type: ignore[call-overload]
        is_full = True
        while is_full:
            count += 1
            is_full = False
            with archive.open(f"xl/worksheets/sheet{count}.xml", "w") as sheet:
                head = "".join(f'<c s="3" t="inlineStr"><is><t>{_plain(column)}</t></is></c>' for column in columns)
                sheet.write(f"{SHEET_BEGINS}<row>{head}</row>".encode())
                yield outlet.take()
                written = 0
                while some := list(islice(left, ROWS_AT_ONCE)):
                    lines = (f"<row>{''.join(cell(value, is_formula) for value in row)}</row>" for row in some)
                    sheet.write("".join(lines).encode())
                    if part := outlet.take():  # what is packed comes out now and then
                        yield part
                    written += len(some)
                    if is_full := written >= ROWS_OF_A_SHEET:
                        break
                sheet.write(SHEET_ENDS.encode())
        for path, text in _frame(count, name).items():
            archive.writestr(path, text)
    yield outlet.take()


def cell(value: object, is_formula: Callable[[str], object]) -> str:
    """Return one cell: numbers as numbers, times in UTC, texts as texts."""
    if value is None or value == "":
        return "<c/>"
    if isinstance(value, str):
        text = _plain(value[:LONGEST_CELL])
        style = ' s="2"' if is_formula(value) else ""
        return f'<c{style} t="inlineStr"><is><t xml:space="preserve">{text}</t></is></c>'
    if isinstance(value, bool):
        return f'<c t="b"><v>{int(value)}</v></c>'
    if isinstance(value, datetime):
        days = Decimal(str((value.astimezone(UTC) - EPOCH).total_seconds())) / DAY
        return f'<c s="1"><v>{days:.8f}</v></c>'
    return f"<c><v>{value:f}</v></c>" if isinstance(value, Decimal) else f"<c><v>{value}</v></c>"


def _plain(text: str) -> str:
    return escape(CODED.sub("_x005F_", ILLEGAL.sub("", text)))


def _frame(count: int, name: str) -> dict[str, str]:
    """Return the parts that say which sheets there are."""
    numbers = range(1, count + 1)
    sheets = "".join(f'<sheet name={quoteattr(f"{name} {n}")} sheetId="{n}" r:id="rId{n}"/>' for n in numbers)
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{OFFICE}/worksheet" Target="worksheets/sheet{n}.xml"/>' for n in numbers
    )
    kinds = "".join(
        f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{KIND}.worksheet+xml"/>' for n in numbers
    )
    return {
        "xl/styles.xml": STYLES,
        "xl/workbook.xml": f'{HEAD}<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>{sheets}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">{links}'
        f'<Relationship Id="styles" Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "_rels/.rels": f'{HEAD}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="book" Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "[Content_Types].xml": f'{HEAD}<Types xmlns="{PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Default Extension="xml" ContentType="application/xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{KIND}.sheet.main+xml"/>{kinds}'
        f'<Override PartName="/xl/styles.xml" ContentType="{KIND}.styles+xml"/></Types>',
    }
