"""Secrets by their names: a value whose name says that it is one is neither written into the history nor shown.

The job in Redis keeps it, since its task needs it. A name is that of a key, at any depth, or of the task's parameter;
a task may also name parameters of its own. What such values are is replaced in texts: secrets.py.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
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
    if not says(value) or not is_secret(name):
        return redacted(value)
    return MARK


def call(task: str, args: Sequence[Json], kwargs: Mapping[str, Json]) -> tuple[Args, Kwargs]:
    """Return the arguments of a call as they may be kept and shown."""
    if not kwargs and not has_secrets(task) and not any(isinstance(value, dict | list | tuple) for value in args):
        return list(args), {}
    own = named_by(task)
    shown = [MARK if name in own and says(value) else under(name, value) for name, value in by_place(task, args)]
    hidden = {name: MARK if name in own and says(value) else under(str(name), value) for name, value in kwargs.items()}
    return shown, hidden


def secrets_of(task: str, args: Sequence[Json], kwargs: Mapping[str, Json]) -> list[Json]:
    """Return the values in a call that `call` hides, each a text or a number; none in most calls."""
    own = named_by(task)
    return [
        leaf
        for name, value in [*by_place(task, args), *kwargs.items()]
        for leaf in (leaves(value) if name in own else _secrets(str(name), value))
    ]


def _secrets(name: str, value: Json) -> Iterator[Json]:
    if name and is_secret(name):
        yield from leaves(value)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _secrets(str(key), each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _secrets("", each)


def leaves(value: Json) -> Iterator[Json]:
    """Yield the texts and numbers in a value."""
    if isinstance(value, dict):
        yield from (leaf for each in value.values() for leaf in leaves(each))
    elif isinstance(value, list | tuple):
        yield from (leaf for each in value for leaf in leaves(each))
    elif says(value):
        yield value


def says(value: Json) -> bool:
    """Tell whether a value can be a secret: nothing, true and false are none."""
    return not (value is None or value == "" or isinstance(value, bool))


def is_cut(task: str, args: Sequence[Json], kwargs: Mapping[str, Json]) -> bool:
    """Tell whether a secret of a call is missing: the mark stands where it should be."""
    own = named_by(task)
    named = [*by_place(task, args), *kwargs.items()]
    return any((name in own and value == MARK) or _is_cut(str(name), value) for name, value in named)


def _is_cut(name: str, value: Json) -> bool:
    if isinstance(value, dict):
        return any(_is_cut(str(key), each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return any(_is_cut("", each) for each in value)
    return bool(value == MARK) and is_secret(name)


def by_place(task: str, args: Sequence[Json]) -> list[tuple[str, Json]]:
    """Return positional arguments with the names of their parameters, '' beyond those."""
    names = parameters(task)
    return [(names[n] if n < len(names) else "", value) for n, value in enumerate(args)]


def named_by(task: str) -> tuple[str, ...]:
    """Return the parameters that a task itself names as secrets."""
    return TASKS[task].secrets if task in TASKS else ()


def has_secrets(task: str) -> bool:
    """Tell whether a parameter of a task is a secret, by its name or by the task's word; True of an unknown task."""
    return task not in TASKS or bool(named_by(task)) or _has_secret(parameters(task))


@lru_cache(maxsize=1024)
def _has_secret(names: tuple[str, ...]) -> bool:
    return any(map(is_secret, names))


def parameters(task: str) -> tuple[str, ...]:
    """Return the names of a task's positional parameters; none of a task that is not registered."""
    return _parameters(TASKS[task].function) if task in TASKS else ()


@lru_cache(maxsize=1024)
def _parameters(function: Callable[..., object]) -> tuple[str, ...]:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return tuple(name for name, each in inspect.signature(function).parameters.items() if each.kind in kinds)
