"""Pages by key: a cursor says behind which row the next page begins, so that no page is slower than the first."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from .problems import Problem

MOST = 200
LARGEST_KEY = 2**63 - 1


def encode(*key: Any) -> str:
    """Return the key of a row as a cursor; times are whole microseconds."""
    parts = [int(part.timestamp() * 1_000_000) if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def decode(cursor: str, length: int) -> list[int]:
    """Return the numbers that a cursor holds; raises Problem for one that we did not write."""
    try:
        parts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if len(parts) == length and all(type(part) is int and 0 <= part <= LARGEST_KEY for part in parts):
            return list(parts)
    except (ValueError, TypeError, RecursionError):
        pass
    raise Problem(400, "cursor", _("“after” is no cursor that an earlier answer gave."))


def moment(microseconds: int) -> datetime:
    """Return the time of a cursor; raises Problem for one beyond the calendar."""
    try:
        seconds, rest = divmod(microseconds, 1_000_000)
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    except (ValueError, OverflowError, OSError):
        raise Problem(400, "cursor", _("“after” is no cursor that an earlier answer gave.")) from None


def by_pk(rows: "QuerySet[Any]", after: str, limit: int, show: Callable[[Any], Any], *, newest: bool = False) -> Any:
    """Return one page in the order of the keys, and the cursor of the next, None at the end."""
    if after:
        (last,) = decode(after, 1)
        rows = rows.filter(pk__lt=last) if newest else rows.filter(pk__gt=last)
    found = list(rows.order_by("-pk" if newest else "pk")[: limit + 1])
    return page(found, limit, show, lambda row: encode(row.pk))


def by_time(
    rows: "QuerySet[Any]", field: str, after: str, limit: int, show: Callable[[Any], Any], *, newest: bool
) -> Any:  # fmt: skip
    """Return one page in the order of a time, and the cursor of the next, None at the end."""
    if after:
        said, pk = decode(after, 2)
        at, word = moment(said), "lt" if newest else "gt"
        rows = rows.filter(Q(**{f"{field}__{word}": at}) | Q(**{field: at, f"pk__{word}": pk}))
    sign = "-" if newest else ""
    found = list(rows.order_by(f"{sign}{field}", f"{sign}pk")[: limit + 1])
    return page(found, limit, show, lambda row: encode(getattr(row, field), row.pk))


def page(found: list[Any], limit: int, show: Callable[[Any], Any], key: Callable[[Any], str]) -> dict[str, Any]:
    """Return the answer of a page of which one row more than is shown was read."""
    more = len(found) > limit
    return {"items": [show(row) for row in found[:limit]], "next": key(found[limit - 1]) if more else None}
