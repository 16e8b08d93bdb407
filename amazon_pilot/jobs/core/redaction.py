"""Secrets among arguments: a value whose name says that it is one is neither written into the history nor shown.

The job in Redis keeps it, since its task needs it. A name is that of a key, at any depth, or of the task's parameter.
"""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from .registry import TASKS
from .values import Args, Json, Kwargs

MARK = "…"
# As whole words of a name: max_tokens is a number, and a keyboard no key.
SECRETS = {
    "password", "passwords", "passwd", "pwd", "passphrase", "secret", "secrets", "token", "authorization", "cookie",
    "cookies", "credential", "credentials", "apikey", "bearer",
}  # fmt: skip
PAIRS = {("api", "key"), ("access", "key"), ("private", "key"), ("session", "id"), ("session", "key")}
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


@lru_cache(maxsize=1024)
def is_secret(name: str) -> bool:
    """Tell whether a name is one of a secret: password, api_key, X-Api-Key, refreshToken."""
    words = [word.lower() for word in WORDS.findall(name)]
    return not SECRETS.isdisjoint(words) or not PAIRS.isdisjoint(pairwise(words))


def redacted(value: Json) -> Json:
    """Return JSON with the mark in place of each value whose key names a secret; what says nothing is left."""
    if isinstance(value, dict):
        return {key: under(str(key), each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(each) for each in value]
    return value


def under(name: str, value: Json) -> Json:
    """Return a value as it may be shown beside a name; nothing, true and false are no secrets."""
    if value is None or value == "" or isinstance(value, bool) or not is_secret(name):
        return redacted(value)
    return MARK


def call(task: str, args: Sequence[Json], kwargs: Mapping[str, Json]) -> tuple[Args, Kwargs]:
    """Return the arguments of a call as they may be kept and shown."""
    names = parameters(task)
    shown = [under(names[n] if n < len(names) else "", value) for n, value in enumerate(args)]
    hidden = redacted(kwargs)
    return shown, dict(hidden) if isinstance(hidden, dict) else {}


def is_cut(task: str, args: Sequence[Json], kwargs: Mapping[str, Json]) -> bool:
    """Tell whether a secret of a call is missing: the mark stands where it should be."""
    names = parameters(task)
    named = [(names[n] if n < len(names) else "", value) for n, value in enumerate(args)]
    return any(_is_cut(name, value) for name, value in [*named, *kwargs.items()])


def _is_cut(name: str, value: Json) -> bool:
    if isinstance(value, dict):
        return any(_is_cut(str(key), each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return any(_is_cut("", each) for each in value)
    return bool(value == MARK) and is_secret(name)


def parameters(task: str) -> tuple[str, ...]:
    """Return the names of a task's positional parameters; none of a task that is not registered."""
    return _parameters(TASKS[task].function) if task in TASKS else ()


@lru_cache(maxsize=1024)
def _parameters(function: Callable[..., object]) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, each in inspect.signature(function).parameters.items() if each.kind in kinds)
