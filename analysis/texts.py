"""Texts of strangers, made fit for a prompt, a row and a page."""

import re
from typing import Any

# Control signs but for tab and line feed, zero-width signs, marks of direction, and the invisible tags that can carry
# whole sentences to a model and none to a reader.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"
)
# What no database keeps: PostgreSQL refuses NUL, and half of a surrogate pair has no bytes in UTF-8.
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean_text(text: str, limit: int) -> str:
    """Return a stranger's text for a prompt: no control, zero-width or direction signs, at most `limit` characters."""
    return INVISIBLE.sub("", storable(text)).strip()[:limit]


def storable(value: Any) -> Any:
    """Return a text, or whatever JSON holds with all its texts and keys, without the signs that no database keeps."""
    if isinstance(value, str):
        return UNSTORABLE.sub("", value)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def one_line(text: object, limit: int) -> str:
    """Return a text as one line of at most `limit` characters, as a header of a message must be."""
    return clean_text(" ".join(storable(str(text)).split()), limit)
