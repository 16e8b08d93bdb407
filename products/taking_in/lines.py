"""What the lines of a table ask for: each is good, says a product again, names one that is watched, or is wrong."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from products.amazon import ASINError, parse_address, parse_asin
from products.forms import INVISIBLE, read_line
from products.models import Beginning, Frequency, Product, Role, Tracking
from products.models.beginning import names_of

from .columns import FREQUENCIES, ROLES, Columns, count_names, find_header, find_site, word
from .tables import Row, UnreadableFile, read_table

MOST_LINES = 10_000
AT_ONCE = 500
LONGEST_TAG, MOST_TAGS = 40, 20


class WrongLine(ValueError):
    """A line cannot be taken; the text says why."""


@dataclass(frozen=True)
class Wish:
    """One product that a line asks to be watched, and how."""

    number: int
    marketplace: str
    asin: str
    alias: str
    role: str
    frequency: str
    tags: Sequence[str] = ()

    @property
    def identity(self) -> tuple[str, str]:
        """What names the product."""
        return self.marketplace, self.asin


@dataclass(frozen=True)
class Usual:
    """What holds for a product that does not say otherwise, whichever way it comes in."""

    marketplace: str
    role: str
    frequency: str
    tags: Sequence[str] = ()

    @classmethod
    def of(cls, team: Any) -> "Usual":
        """Return what a team has said of its new products."""
        said = Beginning.objects.of(team)
        return cls(said.marketplace, Role.OWN, said.frequency, names_of(said.tags))

    @classmethod
    def said(cls, words: Mapping[str, Any]) -> "Usual":
        """Return what a form says of new products."""
        return cls(words["marketplace"], words["role"], words["frequency"], names_of(words.get("tags", "")))

    def wish(
        self, number: int, marketplace: str, asin: str, *,
        alias: str = "", role: str = "", frequency: str = "", tags: Sequence[str] | None = None,
    ) -> Wish:  # fmt: skip
        """Return what is asked for of one product: what is said of it, and of the rest what is usual."""
        chosen = self.tags if tags is None else tags
        return Wish(number, marketplace, asin, alias, role or self.role, frequency or self.frequency, list(chosen))


@dataclass
class Reading:
    """A whole file: its good lines, and of the others the number, the text and the reason."""

    good: list[Wish] = field(default_factory=list)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)
    repeated: list[tuple[int, str]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def wishes(self) -> list[dict[str, Any]]:
        """The good lines, ready for JSON."""
        return [asdict(wish) for wish in self.good]


def read_file(data: bytes, usual: Usual) -> Reading:
    """Read a file or a paste; raises UnreadableFile when it is no table, names no product, or is too long."""
    rows = read_table(data, MOST_LINES + 20, count_names)
    columns, lines = find_header(rows)
    if len(lines) > MOST_LINES:
        raise UnreadableFile(_("The file has more than 10,000 lines. Please add it in parts."))
    reading = Reading(columns=list(columns.places), ignored=columns.ignored[:30])
    seen: dict[tuple[str, str], int] = {}
    for row in lines:
        _take_up(reading, row, columns, usual, seen)
    if not lines:
        raise UnreadableFile(_("The file holds no line that could name a product."))
    return reading


def _take_up(
    reading: Reading, row: Row, columns: Columns, usual: Usual, seen: dict[tuple[str, str], int]
) -> None:  # fmt: skip
    try:
        wishes = _wishes(row, columns, usual)
    except WrongLine as reason:
        reading.wrong.append((row.number, _shown(row), str(reason)))
        return
    for wish in wishes:
        if first := seen.get(wish.identity):
            reading.repeated.append(
                (row.number, _("%(asin)s stands in line %(line)d.") % {"asin": wish.asin, "line": first})
            )
        else:
            seen[wish.identity] = row.number
            reading.good.append(wish)


def _shown(row: Row) -> str:
    return " · ".join(cell for cell in row.cells[:6] if cell)[:100]


def _wishes(row: Row, columns: Columns, usual: Usual) -> list[Wish]:
    identities = [_named(row, columns, usual)] if columns.name_products else _found(row, usual)
    return [
        usual.wish(
            row.number,
            *identity,
            tags=_tags(columns.cell(row, "tags")) or None,
            alias=INVISIBLE.sub("", columns.cell(row, "alias"))[:100].strip(),
            role=_choice(columns.cell(row, "role"), ROLES, _("own or competitor")),
            frequency=_choice(
                columns.cell(row, "frequency"), FREQUENCIES, _("hourly, every six hours, daily or weekly")
            ),
        )
        for identity in identities
    ]


def _tags(cell: str) -> list[str]:
    """Return the tags of a cell, each once, whatever divides them; more than twenty are nobody's wish."""
    words = (INVISIBLE.sub("", word).strip()[:LONGEST_TAG].strip() for word in re.split(r"[,;|]", cell))
    return list(dict.fromkeys(word for word in words if word))[:MOST_TAGS]


def _named(row: Row, columns: Columns, usual: Usual) -> tuple[str, str]:
    """Return the product that the columns name: its ASIN, its address, or the one with the site of the other."""
    asin, address = (INVISIBLE.sub("", columns.cell(row, what)) for what in ("asin", "url"))
    if not asin and not address:
        raise WrongLine(_("The line names no product: the columns for ASIN and address are empty."))
    site = columns.cell(row, "marketplace")
    said = find_site(site) if site else None
    if site and not said:
        raise WrongLine(_("“%s” is no Amazon site that we know. Write it like amazon.de or DE.") % site[:40])
    default = said or _site_of(address) or usual.marketplace
    try:
        return default, parse_asin(_whole(asin))
    except ASINError as error:
        found, reasons = read_line(asin or address, default)  # an address, or an ASIN with words beside it
        if len(found) != 1 or reasons:
            raise WrongLine(reasons[0] if reasons else str(error)) from None
        return found[0]


def _site_of(address: str) -> str | None:
    try:
        return parse_address(address)[0].domain if address else None
    except ValueError:
        return None


def _whole(asin: str) -> str:
    """Return an ISBN with the zeros that a spreadsheet took from its beginning, as it took it for a number."""
    if not re.fullmatch("[0-9]{7,8}[0-9Xx]", asin):
        return asin
    try:
        return parse_asin(asin.zfill(10))
    except ASINError:
        return asin


def _found(row: Row, usual: Usual) -> list[tuple[str, str]]:
    """Return the products of a line without columns, as a paste is read; one wrong among several makes it wrong."""
    line = INVISIBLE.sub("", " ".join(cell for cell in row.cells if cell))
    found, reasons = read_line(line, usual.marketplace)
    if reasons:
        raise WrongLine(reasons[0])
    return found


def _choice(cell: str, words: dict[str, Any], expected: str) -> str:
    if not cell:
        return ""
    found = words.get(word(cell)) or next((value for value in words.values() if value == cell), None)
    if found is None:
        raise WrongLine(
            _("“%(word)s” is not known here. Write %(expected)s.") % {"word": cell[:40], "expected": expected}
        )
    return str(found.value)


def watched(team: Any, wishes: Sequence[Wish]) -> set[tuple[str, str]]:
    """Return which of the products this team watches already."""
    found: set[tuple[str, str]] = set()
    for start in range(0, len(wishes), AT_ONCE):
        asins = [wish.asin for wish in wishes[start : start + AT_ONCE]]
        rows = Tracking.objects.filter(team=team, product__asin__in=asins)
        found |= set(rows.values_list("product__marketplace", "product__asin"))
    return found


def cost_per_day(wishes: Sequence[Wish]) -> Decimal:
    """Return in US dollars what it costs at most to look at these as often as they ask for."""
    looks = {choice.value: Decimal(86_400) / Decimal(choice.interval.total_seconds()) for choice in Frequency}
    return sum((looks[wish.frequency] for wish in wishes), Decimal(0)) * settings.APIFY_USD_PER_RESULT


def products_of(wishes: Sequence[Wish]) -> list[Product]:
    """Return the products of these wishes, in their order, adding those that are new."""
    return Product.objects.ensure([wish.identity for wish in wishes])
