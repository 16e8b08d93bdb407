"""The items of a dataset, read one by one where they cannot be read together: one of them never loses the others."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from products.listing import Unread

# A text as a whole, so that what stands in it is not taken for structure; else one sign of structure.
TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{},]', re.DOTALL)
LONGEST_NUMBER = 40


def read_items(body: bytes) -> list[Any]:
    """Answer the items in the body of a dataset, an Unread for each that is no JSON or nested too deep.

    Numbers with a point are Decimal, and one that no field could hold is None, as are NaN and the infinities. Raises
    ValueError, whose text ends the sentence "The items are not …", when the body as a whole is no list.
    """
    text = body.decode("utf-8", "replace")
    try:
        items = _load(text)
    except (ValueError, RecursionError):
        return [_read(piece) for piece in _pieces(text)]
    if not isinstance(items, list):
        raise ValueError("a list")
    return items


def _load(text: str) -> Any:
    return json.loads(text, parse_float=_decimal, parse_int=_whole, parse_constant=lambda _: None)


def _decimal(digits: str) -> Decimal | None:
    try:
        return Decimal(digits) if len(digits) <= LONGEST_NUMBER else None
    except InvalidOperation:
        return None


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_NUMBER else None


def _read(piece: str) -> Any:
    try:
        return _load(piece)
    except (ValueError, RecursionError) as error:
        return Unread(piece, f"{type(error).__name__}: {error}")


def _pieces(text: str) -> list[str]:
    """Cut the text of a JSON list into those of its items, by brackets and commas alone."""
    text = text.strip().removeprefix("\ufeff")
    pieces, depth, start = [], 0, 1
    for token in TOKEN.finditer(text):
        sign = token[0]
        depth += (sign in "[{") - (sign in "]}")
        if depth == 0 or (depth == 1 and sign == ","):
            pieces.append(text[start : token.start()])
            start = token.end()
        if depth == 0:
            break
    if not text.startswith("[") or depth or text[start:].strip():
        raise ValueError("JSON")
    return [piece for piece in pieces if piece.strip()]
