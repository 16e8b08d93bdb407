"""Tasks whose result, error, meta or log cannot be described, each in a way of its own."""

import logging
import math
from datetime import UTC, datetime
from typing import Any

from rq import get_current_job

from amazon_pilot.jobs import job, progress


def deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


class Items(dict[str, int]):
    def items(self) -> Any:
        raise SystemExit("no items")


class Loud:
    def __repr__(self) -> str:
        raise KeyboardInterrupt("no repr")

    __str__ = __repr__


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class MuteForAll(Exception):
    def __str__(self) -> str:
        raise SystemExit("leave")

    __repr__ = __str__


class NoString(Exception):
    def __str__(self) -> Any:
        return 5


class AsksBadly(Exception):
    @property
    def retry_after(self) -> int:
        raise OSError("no answer")


class AsksNothing(Exception):
    retry_after = math.nan


class NamelessMeta(type):
    @property
    def __module__(cls) -> str:
        raise LookupError("nowhere")


class Nameless(Exception, metaclass=NamelessMeta):
    pass


class Base(BaseException):
    pass


class Disguised(Exception):
    @property
    def __class__(self) -> Any:
        raise ValueError("not told")


def a_long_chain() -> BaseException:
    error: BaseException = ValueError("first")
    for number in range(3000):
        following = ValueError(number)
        following.__context__ = error
        error = following
    return error


def a_circle() -> BaseException:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    return first


def a_deep_group() -> BaseException:
    error: Exception = ValueError("inside")
    for _ in range(1500):
        error = ExceptionGroup("group", [error])
    return error


def recurse(depth: int = 0) -> Any:
    return recurse(depth + 1)


RESULTS: dict[str, Any] = {
    "deep": lambda: deep(1100), "500 levels": lambda: deep(500), "150 levels": lambda: deep(150),
    "very deep": lambda: deep(50_000), "nan": lambda: [math.nan], "infinity": lambda: {"a": -math.inf},
    "surrogate": lambda: ["\ud83d"], "nul": lambda: {"a\0b": "\0"}, "items": lambda: Items(a=1),
    "object": lambda: Loud(),
    "large": lambda: "x" * 10**6, "huge number": lambda: 10**5000, "big number": lambda: [10**2000],
    "bytes": lambda: b"x", "keys": lambda: {(1, 2): 3}, "date": lambda: [datetime.max.replace(tzinfo=UTC)],
    "circle": lambda: (value := [], value.append(value))[0], "set": lambda: {1},
}  # fmt: skip
ERRORS: dict[str, Any] = {
    "mute": lambda: Mute(), "mute for all": lambda: MuteForAll(), "no string": lambda: NoString(),
    "asks badly": lambda: AsksBadly(), "asks nothing": lambda: AsksNothing(), "nameless": lambda: Nameless(),
    "base": lambda: Base("base"), "exit": lambda: SystemExit(Loud()), "disguised": lambda: Disguised(),
    "chain": a_long_chain, "circle": a_circle, "group": a_deep_group, "surrogate": lambda: ValueError("\ud800\0"),
    "long": lambda: ValueError("x" * 10**7), "args": lambda: ValueError(Loud(), deep(2000)),
    "generator": lambda: GeneratorExit(), "recursion": recurse, "interrupt": lambda: KeyboardInterrupt(),
}  # fmt: skip
METAS: dict[str, Any] = {
    "date": datetime.now(UTC), "deep": deep(1100), "nan": math.nan, "items": Items(a=1), "loud": Loud(), "nul": "\0",
    "surrogate": "\udfff", "bytes": b"x",
}  # fmt: skip
LOGS: dict[str, Any] = {
    "bad arguments": lambda: logging.getLogger("tests").warning("%d", "x"),
    "loud": lambda: logging.getLogger("tests").warning("%s", Mute()),
    "surrogate": lambda: logging.getLogger("tests").warning("\ud800\0"),
    "progress": lambda: progress(50, "\ud800\0"),
    "far": lambda: progress(10**30, "far"),
    "long": lambda: logging.getLogger("tests").warning("x" * 10**6),
}


@job("default")
def succeed(what: str) -> Any:
    return RESULTS[what]()


@job("default")
def fail(what: str) -> None:
    raise ERRORS[what]()


@job("default")
def fail_with_meta(what: str) -> None:
    current = get_current_job()
    assert current is not None
    current.meta["odd"] = METAS[what]
    raise ValueError("with an odd meta")


@job("default")
def log(what: str) -> None:
    LOGS[what]()
