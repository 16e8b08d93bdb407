"""What Redis holds as a job's call: unpacked, made fit for a database, and without its secrets."""

import json
import math
import re
import zlib

from . import redaction
from .values import Call, Json

UNSTORABLE = re.compile("[\0\ud800-\udfff]")
LEVELS = 100  # of a value that is kept: databases, templates and Python's own recursion end at some hundreds
TOO_DEEP = f"What lies here is nested deeper than {LEVELS} levels and was not kept."
DIGITS = 1000  # of a number that is kept
# JSON without any of these, and with few brackets, holds nothing that a database cannot: one search tells it of most.
SUSPECT = re.compile(r"\\u|NaN|Infinity|[0-9]{150}|[eE][+]?[0-9]{3}")


def parsed(text: str | bytes) -> Json:
    """Return JSON text as values, None for what is no JSON or is nested deeper than can be read."""
    try:
        value: Json = json.loads(text) if text else None
        return value
    except (ValueError, RecursionError):
        return None


def unpacked(data: bytes) -> bytes:
    """Return a payload as JSON; rq compresses it, and reads what is not compressed as it stands."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def called(payload: bytes) -> str:
    """Return the name of the task with which a payload begins, without reading the rest; '' if it begins otherwise."""
    parts = payload.split(b'"', 2)
    return parts[1].decode(errors="replace") if len(parts) > 2 else ""


def storable(value: Json, levels: int = LEVELS) -> Json:
    """Return a value of JSON as every database stores it.

    NUL and halves of surrogate pairs are left out; what is nested too deep, numbers that JSON does not know and numbers
    of very many digits are replaced by words.
    """
    if isinstance(value, str):
        return words(value)
    if isinstance(value, list):
        return [storable(each, levels - 1) for each in value] if levels else TOO_DEEP
    if isinstance(value, dict):
        return {words(key): storable(each, levels - 1) for key, each in value.items()} if levels else TOO_DEEP
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and value.bit_length() > 3 * DIGITS:
        return f"A number of {value.bit_length()} bits was not kept."
    return value


def words(text: str) -> str:
    """Return text as every database stores it: without NUL and halves of surrogate pairs."""
    return text if text.isascii() and "\0" not in text else UNSTORABLE.sub("", text)


def call_of(text: str, task: str = "") -> Call:
    """Return the call that a payload is; one that is no call is kept as its text, as a call of `task`."""
    call = loaded(text, None)
    if isinstance(call, list) and len(call) == 4 and isinstance(call[2], list) and isinstance(call[3], dict):
        return str(call[0]), call[2], call[3]
    return task, [words(text)[:1000]], {}


def shown_call_of(text: str, task: str = "") -> Call:
    """Return like `call_of`, without the secrets: so a call is kept, searched and shown."""
    name, args, kwargs = call_of(text, task)
    return name, *redaction.call(name, args, kwargs)


def loaded(text: str | None, otherwise: Json) -> Json:
    """Return JSON text as values."""
    if not text:
        return otherwise
    try:
        value: Json = json.loads(text)
        is_plain = text.isascii() and text.count("[") + text.count("{") <= LEVELS and not SUSPECT.search(text)
        return value if is_plain else storable(value)
    except RecursionError:
        return otherwise if isinstance(otherwise, dict) else TOO_DEEP
    except ValueError:
        return otherwise
