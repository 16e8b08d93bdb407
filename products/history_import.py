"""Prices and ranks of the past from a file: Keepa's CSV, or a plain one with the columns time, price, currency, rank.

What is imported is kept apart from what we saw ourselves, belongs to the team that brought it, and never takes the
place of an own look: on a day on which we looked, our looks alone are shown.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils.timezone import get_current_timezone, is_naive, make_aware, now
from django.utils.translation import gettext as _

from .amazon import EXPONENTS, parse_money
from .fields import CURRENCY_SIGNS, LARGEST_COUNT
from .models import Import, ImportedPoint, ImportKind, ImportState, Product
from .taking_in.columns import word
from .taking_in.tables import Row, UnreadableFile, read_table

MOST_POINTS = 50_000
# Amazon began to sell in 1995; Keepa counts minutes from the first of January 2011.
FIRST, KEEPA_BEGAN = datetime(1995, 1, 1, tzinfo=UTC), datetime(2011, 1, 1, tzinfo=UTC)
# The price in the buy box is the one that we draw; where a file has none, that of new offers, then Amazon's own.
NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        *("time", "date", "datetime", "date time", "timestamp", "taken at", "at", "keepa time", "keepatime"),
        *(
            "keepa minutes",
            "keepa time minutes",
            "zeit",
            "datum",
            "date heure",
            "data",
            "fecha",
            "时间",
            "日期",
            "日時",
        ),
    ),
    "price": (
        *("price", "buy box", "buy box price", "buybox", "buy box shipping", "new buy box", "new", "new price"),
        *("amazon", "amazon price", "preis", "neu", "prix", "prezzo", "precio", "价格", "価格"),
    ),
    "rank": (
        *("rank", "sales rank", "salesrank", "bsr", "best sellers rank", "verkaufsrang", "rang", "classement"),
        *("排名", "销售排名", "销量排名", "ランキング"),
    ),
    "currency": ("currency", "währung", "devise", "valuta", "moneda", "货币", "币种", "通貨"),
}
PLAIN_ORDER = {"time": 0, "price": 1, "currency": 2, "rank": 3}
NOTHING = ("", "-", "–", "-1", "-1.0", "n/a", "na", "nan", "null", "none")
SLASHED = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})(?:[ ,T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[ ,T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")
NUMBER = r"\d{1,3}(?:(?P<group>[.,' ])\d{3})(?:(?P=group)\d{3})*(?:(?!(?P=group))[.,]\d{1,2})?|\d{1,12}(?:[.,]\d{1,2})?"
SIGN = "|".join(map(re.escape, (*CURRENCY_SIGNS, *EXPONENTS)))
AMOUNT = re.compile(rf"(?P<before>{SIGN})?\s*(?P<number>{NUMBER})\s*(?P<after>{SIGN})?")
SPLIT = re.compile(r"(.*?)(?:([.,])(\d{1,2}))?")


class WrongPoint(ValueError):
    """A line is no point of a history; the text says why."""


@dataclass(frozen=True)
class Point:
    """What a line says; None means that it says that there was none."""

    number: int
    at: datetime
    price: Decimal | None
    rank: int | None


def count_names(cells: list[str]) -> int:
    """Return how many cells of a row are names of columns that we know."""
    return len(_places(cells))


def read_history(data: bytes, product: Product) -> tuple[list[Point], list[tuple[int, str, str]], dict[str, int]]:
    """Return the points of a file in the order of time, (line, text, reason) of what is none, and its columns.

    Times without a zone are in the reader's. Raises UnreadableFile.
    """
    rows = read_table(data, MOST_POINTS + 20, count_names)
    places, lines = _header(rows)
    if len(lines) > MOST_POINTS:
        raise UnreadableFile(_("The file has more than 50,000 lines. Please import it in parts."))
    read_time = _reader_of_times(lines, places)
    points: dict[datetime, Point] = {}
    wrong = []
    for row in lines:
        try:
            point = _point(row, places, product, read_time)
            if first := points.get(point.at):
                raise WrongPoint(_("Line %d is of the same time.") % first.number)
            points[point.at] = point
        except WrongPoint as reason:
            wrong.append((row.number, " · ".join(row.cells[:5])[:100], str(reason)))
    if not lines:
        raise UnreadableFile(_("The file holds no line with a time."))
    return sorted(points.values(), key=lambda point: point.at), wrong, places


def _header(rows: list[Row]) -> tuple[dict[str, int], list[Row]]:
    for place, row in enumerate(rows[:20]):
        places = _places(row.cells)
        if "time" in places and ("price" in places or "rank" in places):
            return places, rows[place + 1 :]
    if rows and 2 <= len(rows[0].cells) <= 4 and re.match(r"\d", rows[0].cells[0]):
        return PLAIN_ORDER, rows
    raise UnreadableFile(_("The first line has to name the columns: time, price, currency, rank."))


def _places(cells: list[str]) -> dict[str, int]:
    """Return where each thing stands; the currency that Keepa writes behind a name is no part of it."""
    words = [re.sub(rf" (?:{'|'.join(EXPONENTS)})$".lower(), "", word(cell)) for cell in cells]
    found = {what: next((name for name in names if name in words), None) for what, names in NAMES.items()}
    return {what: words.index(name) for what, name in found.items() if name}


def _cell(row: Row, places: dict[str, int], what: str) -> str:
    place = places.get(what, len(row.cells))
    return row.cells[place] if place < len(row.cells) else ""


def _point(row: Row, places: dict[str, int], product: Product, read_time: Callable[[str], datetime]) -> Point:
    said = _cell(row, places, "time")
    at = read_time(said)
    if not FIRST <= at <= now():
        raise WrongPoint(_("“%s” lies in the future, or before Amazon began.") % said[:40])
    currency = _cell(row, places, "currency").upper()
    if currency and currency != product.currency:
        words = {"found": currency[:10], "wanted": product.currency}
        raise WrongPoint(_("The price is in %(found)s, but prices of this product are in %(wanted)s.") % words)
    price, rank = _cell(row, places, "price"), _cell(row, places, "rank")
    if not price and not rank:
        raise WrongPoint(_("The line has neither a price nor a rank."))
    is_keepa = bool(re.fullmatch(r"\d{6,7}", said))
    return Point(row.number, at, read_price(price, product.currency, is_in_cents=is_keepa), read_rank(rank))


def read_price(text: str, currency: str, *, is_in_cents: bool = False) -> Decimal | None:
    """Return an amount, or None for "no offer"; raises WrongPoint.

    No currency of a marketplace has three decimals, so three digits behind a sign are thousands. Keepa's own numbers
    are in the smallest unit of the currency. A sign or code of another currency is refused.
    """
    if text.strip().lower() in NOTHING:
        return None
    words = {"price": text[:40], "currency": currency}
    not_a_price = WrongPoint(_("“%(price)s” is not a price in %(currency)s. Write it like 49.99.") % words)
    found = AMOUNT.fullmatch(text.strip())
    said = (found["before"] or found["after"] or "") if found else ""
    if not found or (said and currency not in CURRENCY_SIGNS.get(said, {said})):
        raise not_a_price
    amount = parse_money(_number(found["number"], -EXPONENTS[currency] if is_in_cents else 0), currency)
    if amount is None:
        raise not_a_price
    return amount


def _number(text: str, cents: int) -> Decimal:
    """Return a number in one of its written forms; `cents` is the exponent of one without decimals."""
    whole, _sign, decimals = SPLIT.fullmatch(text).groups()  # type: ignore[union-attr]
    digits = re.sub(r"\D", "", whole)
    return Decimal(f"{digits}.{decimals}") if decimals else Decimal(digits).scaleb(cents)


def read_rank(text: str) -> int | None:
    """Return a rank, or None where there was none; raises WrongPoint."""
    if text.strip().lower() in NOTHING:
        return None
    plain = re.sub(r"(?<=\d)[.,' ](?=\d{3}(?:\D|$))", "", text.strip().removeprefix("#"))
    plain = plain.removesuffix(".0")
    if not re.fullmatch(r"[0-9]{1,10}", plain) or not 0 < int(plain) <= LARGEST_COUNT:
        raise WrongPoint(_("“%s” is not a rank. Write a whole number from 1.") % text[:40])
    return int(plain)


def _reader_of_times(lines: Iterable[Row], places: dict[str, int]) -> Callable[[str], datetime]:
    """Return how times of this file are read: 3/4/2026 is a day only where another line of it tells the order."""
    slashed = [found for row in lines if (found := SLASHED.fullmatch(_cell(row, places, "time")))]
    day_first = any(int(found[1]) > 12 for found in slashed)
    month_first = any(int(found[2]) > 12 for found in slashed)
    order = None if day_first == month_first else "day" if day_first else "month"

    def read(text: str) -> datetime:
        try:
            at = _time(text, order)
            return make_aware(at, get_current_timezone()) if is_naive(at) else at.astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            raise WrongPoint(_("“%s” is not a time. Write it like 2026-01-31 18:00.") % text[:40]) from None

    return read


def _time(text: str, order: str | None) -> datetime:
    if re.fullmatch(r"\d{6,7}", text):
        return KEEPA_BEGAN + timedelta(minutes=int(text))
    if re.fullmatch(r"\d{10}|\d{13}", text):
        return datetime.fromtimestamp(int(text[:10]), UTC)
    if found := SLASHED.fullmatch(text):
        if order is None:
            raise ValueError
        first, second, year, *clock = found.groups()
        day, month = (first, second) if order == "day" else (second, first)
    elif found := DOTTED.fullmatch(text):
        day, month, year, *clock = found.groups()
    else:
        return datetime.fromisoformat(text.replace("/", "-"))
    hour, minute, second = (int(part or 0) for part in clock)
    return datetime(int(year), int(month), int(day), hour, minute, second)


@transaction.atomic
def take(team: Any, product: Product, name: str, data: bytes) -> Import:
    """Keep the points of a file; raises UnreadableFile."""
    points, wrong, places = read_history(data, product)
    row = Import.objects.create(
        team=team, product=product, kind=ImportKind.HISTORY, state=ImportState.TAKEN, taken_at=Now(), name=name[:200],
        wrong=wrong, count=len(points), columns={"taken": list(places), "ignored": []},
    )  # fmt: skip
    ImportedPoint.objects.bulk_create(
        [
            ImportedPoint(source=row, team=team, product=product, at=point.at, price=point.price, bsr=point.rank)
            for point in points
        ],
        batch_size=1000,
    )
    return row


def imported(product: Product, team_id: int, since: datetime, own: Iterable[datetime]) -> list[ImportedPoint]:
    """Return what this team imported in the order of time; of a time that two files have, the later file's.

    Days, in UTC, on which we looked ourselves (`own`) are left out.
    """
    points = ImportedPoint.objects.filter(team=team_id, product=product, at__gte=since).order_by("at", "source")
    found = {point.at: point for point in points.iterator()}
    days = {at.astimezone(UTC).date() for at in own} if found else set()
    return [point for at, point in found.items() if at.astimezone(UTC).date() not in days]


def imported_rows(
    product: Product, team_id: int, since: datetime, own: Iterable[datetime]
) -> dict[datetime, dict[str, Any]]:
    """Return what this team imported as rows of a chart, by their times."""
    nothing = {"id": None, "list_price": None, "rating": None, "review_count": None, "availability": "", "seller": ""}
    return {
        point.at: nothing | {"taken_at": point.at, "price": point.price, "bsr": point.bsr}
        for point in imported(product, team_id, since, own)
    }
