"""The tokens of scripts, the monitor's and the product's: how one is made, and what is kept of it."""

import secrets
from hashlib import sha256
from typing import NamedTuple

BYTES = 30  # of chance: 240 bits are not to be guessed, so a plain digest is enough
SHOWN = 4  # letters of a token behind its mark, by which its owner knows it


class Made(NamedTuple):
    """A new token: its text, which is shown once, and what is kept of it."""

    text: str
    digest: str
    start: str


def make(mark: str) -> Made:
    """Make a token that begins with a mark, so that one which leaks is known for what it is."""
    text = mark + secrets.token_urlsafe(BYTES)
    return Made(text, digest_of(text), text[: len(mark) + SHOWN])


def digest_of(text: str) -> str:
    """Return what is kept of a token, and what it is found by."""
    return sha256(text.encode(errors="replace")).hexdigest()
