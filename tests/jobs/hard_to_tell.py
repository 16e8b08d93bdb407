"""Tasks whose result, error, meta or log cannot be described, each in a way of its own."""

import asyncio
import logging
import math
import os
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from rq import get_current_job
from rq.timeouts import JobTimeoutException

from amazon_pilot.jobs import Backoff, job, progress


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


class Odd(str):
    """Text whose every method but the C code beneath fails."""

    def fails(self, *args: Any) -> Any:
        raise SystemExit("no text")

    __eq__ = __getitem__ = __len__ = __contains__ = __iter__ = __str__ = __repr__ = __add__ = fails
    replace = encode = splitlines = isascii = partition = fails  # type: ignore[assignment]
    __hash__ = str.__hash__


class SpeaksOddly(Exception):
    def __str__(self) -> str:
        return Odd("odd words")


class NamedOddly(Exception):
    pass


NamedOddly.__module__ = 5  # type: ignore[assignment]
NamedOddly.__qualname__ = "N" * 10**6


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise OSError("no copy")


class Sealed(Exception):
    def __getattribute__(self, name: str) -> Any:
        raise SystemExit("sealed")


def with_notes(*notes: Any) -> BaseException:
    error = ValueError("with notes")
    error.__notes__ = notes if len(notes) > 1 else notes[0]
    return error


def a_syntax_error() -> BaseException:
    error = SyntaxError("odd")
    error.filename, error.lineno, error.offset, error.text = Loud(), "no", -5, 7  # type: ignore[assignment]
    return error


class Asked:
    """Something to ask after, at the error of a task with a policy."""

    def __init__(self, wait: Any) -> None:
        self.error = ValueError("asks to wait")
        self.error.retry_after = wait  # type: ignore[attr-defined]


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
    "one key twice": lambda: {1: "a", "1": "b"}, "nan as key": lambda: {math.nan: 1}, "odd text": lambda: Odd("odd"),
    "odd keys": lambda: {Odd("odd"): Odd("odd")}, "generator": lambda: (n for n in range(3)),
    "none in all": lambda: [None] * 20_000,
    "error": lambda: Mute(), "decimal": lambda: Decimal(1), "type": lambda: Nameless, "sealed": lambda: Sealed(),
    "many brackets": lambda: ["[" * 500, {"{": "}"}], "lines": lambda: "\u2028\u0085\x1b[31m\x7f",
    "empty": lambda: {"": {"": ""}}, "edge": lambda: "x" * (64 * 1024 - 2),
    "emoji": lambda: "\N{GRINNING FACE}" * 20_000,
}  # fmt: skip
ERRORS: dict[str, Any] = {
    "mute": lambda: Mute(),
    "mute for all": lambda: MuteForAll(),
    "no string": lambda: NoString(),
    "asks badly": lambda: AsksBadly(),
    "asks nothing": lambda: AsksNothing(),
    "nameless": lambda: Nameless(),
    "base": lambda: Base("base"),
    "exit": lambda: SystemExit(Loud()),
    "disguised": lambda: Disguised(),
    "chain": a_long_chain,
    "circle": a_circle,
    "group": a_deep_group,
    "surrogate": lambda: ValueError("\ud800\0"),
    "long": lambda: ValueError("x" * 10**7),
    "args": lambda: ValueError(Loud(), deep(2000)),
    "generator": lambda: GeneratorExit(),
    "recursion": recurse,
    "interrupt": lambda: KeyboardInterrupt(),
    "speaks oddly": lambda: SpeaksOddly(),
    "named oddly": lambda: NamedOddly("odd"),
    "unpicklable": lambda: Unpicklable("x"),
    "sealed": lambda: Sealed("x"),
    "notes": lambda: with_notes(Loud(), Odd("x"), "\ud800\0"),
    "no notes": lambda: with_notes(7),
    "long note": lambda: with_notes("n" * 10**7, ""),
    "syntax": a_syntax_error,
    "stop": lambda: StopIteration(Loud()),
    "no codec": lambda: UnicodeDecodeError("x", b"", 5, -3, "\ud800"),
    "odd text": lambda: ValueError(Odd("odd")),
    "cancelled": lambda: asyncio.CancelledError(),
    "async stop": lambda: StopAsyncIteration(),
    "key": lambda: KeyError(Odd("k")),
    "timeout": lambda: JobTimeoutException("made up"),
}
DEADLY: dict[str, Any] = {"ends its process": lambda: os._exit(9), "kills it": lambda: os.kill(os.getpid(), 9)}
WAITS: dict[str, Any] = {
    "nan": math.nan, "infinity": math.inf, "true": True, "huge": 10**400,
    "text": "7", "none": None, "decimal": Decimal("NaN"), "loud": Loud(), "more than a day": 10**6,
}  # fmt: skip
METAS: dict[str, Any] = {
    "date": datetime.now(UTC), "deep": deep(1100), "nan": math.nan, "items": Items(a=1), "loud": Loud(), "nul": "\0",
    "surrogate": "\udfff", "bytes": b"x", "odd text": Odd("odd"), "set": {1}, "large": "x" * 3 * 10**7,
    "huge number": 10**5000, "circle": (circle := [], circle.append(circle))[0],
}  # fmt: skip
LOGS: dict[str, Any] = {
    "bad arguments": lambda: logging.getLogger("tests").warning("%d", "x"),
    "loud": lambda: logging.getLogger("tests").warning("%s", Mute()),
    "surrogate": lambda: logging.getLogger("tests").warning("\ud800\0"),
    "progress": lambda: progress(50, "\ud800\0"),
    "far": lambda: progress(10**30, "far"),
    "long": lambda: logging.getLogger("tests").warning("x" * 9_000),
    "in four bytes": lambda: logging.getLogger("tests").warning("\N{GRINNING FACE}" * 2_000),
    "nul": lambda: print("a\0b" * 100, "\x1b[2J", "\r"),
    "nan": lambda: progress(math.nan, "nan"),
    "infinity": lambda: progress(math.inf, "infinity"),
    "below": lambda: progress(-math.inf, "\N{GRINNING FACE}" * 100),
}


@job("default")
def succeed(what: str) -> Any:
    return RESULTS[what]()


@job("default")
def fail(what: str) -> None:
    raise ERRORS[what]()


class Deadly(Exception):
    def __str__(self) -> str:
        DEADLY[self.args[0]]()
        return ""


@job("default")
def fail_deadly(what: str) -> None:
    raise Deadly(what)


@job("default")
def fail_with_meta(what: str) -> None:
    current = get_current_job()
    assert current is not None
    current.meta["odd"] = METAS[what]
    raise ValueError("with an odd meta")


@job("default", retry=Backoff(attempts=2, first=600))
def ask_to_wait(what: str) -> None:
    raise Asked(WAITS[what]).error


@job("default")
def log(what: str) -> None:
    LOGS[what]()
