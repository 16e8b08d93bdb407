"""What Redis holds as a job's call: unpacked, made fit for a database, and without its secrets."""

import json
import re
import zlib
from typing import Any

from . import redaction

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def unpacked(data: bytes) -> bytes:
    """Return a payload as JSON; rq compresses it, and reads what is not compressed as it stands."""
    try:
        return zlib.decompress(data)
    except zlib.error:
        return data


def storable(value: Any) -> Any:
    """Return a value of JSON without what no database stores as text: NUL, and halves of a surrogate pair."""
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else UNSTORABLE.sub("", value)
    if isinstance(value, list):
        return [storable(each) for each in value]
    if isinstance(value, dict):
        return {storable(key): storable(each) for key, each in value.items()}
    return value


def call_of(event: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """Return task, arguments and keyword arguments of a payload; a payload that is no call is kept as its text."""
    call = loaded(event.get("payload"), None)
    if isinstance(call, list) and len(call) == 4 and isinstance(call[2], list) and isinstance(call[3], dict):
        return str(call[0]), call[2], call[3]
    return event.get("task", ""), [storable(str(event.get("payload", "")))[:1000]], {}


def shown_call_of(event: dict[str, Any]) -> tuple[str, list[Any], dict[str, Any]]:
    """Return like `call_of`, without the secrets: so a call is kept, searched and shown."""
    name, args, kwargs = call_of(event)
    return name, *redaction.call(name, args, kwargs)


def loaded(text: str | None, otherwise: Any) -> Any:
    """Return JSON text as values."""
    if not text:
        return otherwise
    try:
        return storable(json.loads(text))
    except ValueError:
        return otherwise
