"""The writer of the history's lines: what became of one execution of a job, as JSON on the stream `pilot:runs`."""

import base64
import hashlib
import json
import re
import traceback
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType
from typing import TypedDict, TypeVar, cast

from django.conf import settings

from ..core import keys, limits, payload, redaction, secrets
from ..core.shared_memory import SharedMemory
from ..core.taken_job import PLACE, TakenJob
from ..core.values import Command, Json

TRACEBACK_LIMIT = 32 * 1024
BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]')
ENGINE = Path(__file__).parents[1]
# What every line tells, in this order, before the object that holds the rest: each job pays for its line.
ALWAYS = ("outcome", "id", "execution", "queue", "task", "attempt", "enqueued_at", "worker", "slot", "started")
encode = json.JSONEncoder(separators=(",", ":")).encode
decode = json.JSONDecoder().decode
quoted = json.encoder.encode_basestring_ascii
RESULT_LIMIT = 64 * 1024
UNSERIALIZABLE = "Unserializable return value"
ID_LIMIT = 100  # signs of a name that a row holds
LAST_SECOND = datetime(9999, 1, 1, tzinfo=UTC).timestamp()

T = TypeVar("T")


class RunEvent(TypedDict, total=False):
    """What a line tells of one execution of a job; times are seconds since 1970, and what is empty may be left out."""

    outcome: str
    id: str
    execution: str
    queue: str
    task: str
    attempt: int
    enqueued_at: str
    worker: str
    slot: int
    started: float | None
    started_at: str
    ended: float | None
    retry_in: float
    cause: str
    poison: bool
    exception: str
    message: str
    traceback: str
    fingerprint: str
    result: str
    percent: int | None
    progress: str
    log: str
    log_cut: bool
    tags: str
    meta: str
    about: str


def line(taken_job: TakenJob, worker: str, slot: int, outcome: str, started: float, **more: Json) -> str:
    """Return one line. Empty values are left out; times are seconds since 1970.

    The payload travels beside the line as it lies in Redis: the writer of the history, which has time, unpacks it.
    """
    for name in ("tags", "meta", "about"):
        if taken_job.fields[PLACE[name]]:
            more[name] = taken_job.text(name)
    words = {name: value for name, value in more.items() if value not in (None, "")}
    task, enqueued_at = quoted(taken_job.task), quoted(taken_job.text("enqueued_at"))
    rest = f'{{"ended":{words["ended"]!r}}}' if len(words) == 1 and "ended" in words else encode(words)
    # As `encode` would write the list, which takes it three times as long.
    return (
        f'["{outcome}",{quoted(taken_job.job_id)},{quoted(taken_job.execution_id)},{quoted(taken_job.queue)},{task},'
        f"{taken_job.attempt},{enqueued_at},{quoted(worker)},{slot},{started!r},{rest}]"
    )


def command(line: str, data: bytes) -> Command:
    """Return the command that puts one line and its payload on its stream, as common.lua's `note` does."""
    stream = keys.RUNS if line.startswith(('["succeeded"', '["started"')) else keys.FAILURES
    return ("XADD", stream, "MAXLEN", "~", limits.HISTORY_LENGTH, "*", "e0", line, "d0", data)


def event_of(text: bytes) -> RunEvent:
    """Return what a line tells, by name, each within what a row holds; one written by a script of Redis is an object
    already. Raises ValueError."""
    event = decode(text.decode(errors="replace"))
    if not isinstance(event, list):
        return fitted(dict(event))
    *values, words = event
    return fitted(dict(zip(ALWAYS, values, strict=True), **words))


def fitted(event: dict[str, Json]) -> RunEvent:
    """Return an event whose names, times and numbers a row can hold, whatever a stranger wrote into a job's fields."""
    for name in ("id", "execution", "queue"):
        event[name] = short(str(event[name]))
    for name in ("started", "ended"):
        if not is_number(event.get(name, 0), 0, LAST_SECOND):
            event[name] = None
    event["attempt"] = event["attempt"] if is_number(event.get("attempt"), 1, limits.ATTEMPTS) else 1
    if "retry_in" in event and not is_number(event["retry_in"], 0, limits.LONGEST):
        del event["retry_in"]
    if not str(event.get("meta") or "{").lstrip().startswith("{"):
        del event["meta"]
    return cast(RunEvent, event)


def short(name: str) -> str:
    """Return a name that a row can hold: of a longer one its beginning, and a mark that no other name has."""
    if len(name) <= ID_LIMIT:
        return name
    return f"{name[: ID_LIMIT - 17]}~{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:16]}"


def is_number(value: Json, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def traces(shared: SharedMemory) -> dict[str, Json]:
    """Return what a run has left in its shared memory: progress and log."""
    if shared.is_empty:
        return {}
    percent, text = shared.progress
    return {"percent": percent, "progress": text, "log": shared.log, "log_cut": shared.is_cut}


def tried(describe: Callable[[], T], otherwise: T) -> T:
    """Return a description, or `otherwise`: it may run a task's own code, which can fail in any way."""
    try:
        return describe()
    except BaseException:
        return otherwise


def failure(error: BaseException, task: str) -> dict[str, Json]:
    """Return an error's class, message, traceback and fingerprint; a sentence stands for what cannot be told."""
    name = tried(lambda: name_of(type(error)), "an error that cannot tell its name")
    message = tried(
        lambda: secrets.scrub(str(error))[:2000], f"The message of this {name} could not be told: its __str__ failed."
    )
    trace = tried(lambda: trace_of(error), f"The traceback of this {name} could not be told.\n{name}: {message}")
    mark = tried(lambda: fingerprint(name, task, error.__traceback__), "") or fingerprint(name, task, None)
    return {"exception": name, "message": message, "traceback": trace, "fingerprint": mark}


def name_of(kind: type[BaseException]) -> str:
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return str(name)[:200]


def trace_of(error: BaseException) -> str:
    """Return the traceback as Python prints it, at most 32 kB of its end, where the cause stands."""
    return secrets.scrub("".join(traceback.format_exception(error)))[-TRACEBACK_LIMIT:]


def fingerprint(exception: str, task: str, trace: TracebackType | None) -> str:
    """Return 16 signs that failures of one cause share: exception, task, and the last frame in our own code."""
    frame = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_ours(code.co_filename) or not frame:
            frame = f"{Path(code.co_filename).name}:{code.co_qualname}"
        trace = trace.tb_next
    return hashlib.sha256(f"{exception}|{task}|{frame}".encode(errors="replace")).hexdigest()[:16]


@cache
def is_ours(path: str) -> bool:
    """Tell whether a source file is the project's, not a library's and not this engine's own call of the task."""
    folder = next((str(each) for each in settings.OUR_FOLDERS if each in Path(path).parents), None)
    return folder is not None and "site-packages" not in path[len(folder) :] and ENGINE not in Path(path).parents


def encode_trace(text: str) -> str:
    """Return a traceback as rq keeps it in a result."""
    return base64.b64encode(zlib.compress(text.encode(errors="backslashreplace"))).decode()


def encode_value(value: object) -> tuple[str, str]:
    """Return a return value as JSON for people, and as rq keeps it for programs: base64 of JSON; both '' for None.

    What people read is without what a key names as a secret, and both are without the secrets of the job.
    """
    if value is None:
        return "", ""
    text = result_of(value)
    told = text
    if "{" in text and (shown := redaction.redacted(found := json.loads(text))) != found:
        told = json.dumps(shown)
    return told, base64.b64encode(text.encode()).decode()


def result_of(value: object) -> str:
    """Return a return value as JSON.

    A value that is not JSON, is nested too deep or larger than 64 kB, is replaced by a sentence: the job succeeded all
    the same.
    """
    text = tried(lambda: json.dumps(value, allow_nan=False), json.dumps(UNSERIALIZABLE))
    if len(text) > RESULT_LIMIT:
        return json.dumps(f"A result of {len(text)} bytes was not kept; {RESULT_LIMIT} is the limit.")
    if text.count("[") + text.count("{") > payload.LEVELS and levels_of(text) > payload.LEVELS:
        return json.dumps(f"A result nested deeper than {payload.LEVELS} levels was not kept.")
    return secrets.scrub_json(text)


def levels_of(text: str) -> int:
    """Return how deep a JSON text is nested, without the recursion that reading it would need."""
    deepest = level = 0
    for sign in BRACKETS.findall(text):
        level += {"[": 1, "{": 1, "]": -1, "}": -1}.get(sign, 0)
        deepest = max(deepest, level)
    return deepest


def kept(value: object) -> object:
    """Return a result as rq's code can keep it: itself, or the sentence that stands for it."""
    if value is None:
        return None
    text = result_of(value)
    return value if tried(lambda: json.loads(text) == value, False) else json.loads(text)


def dates(started: float, ended: float) -> tuple[str, str]:
    """Return two times as rq writes them."""
    return date(started), date(ended)


def date(seconds: float) -> str:
    """Return a time as rq writes it; rq's own utcformat takes several times as long, and this runs for every job."""
    whole = int(seconds)
    return f"{date_of_second(whole)}.{int((seconds - whole) * 1_000_000):06d}Z"


@lru_cache(maxsize=8)
def date_of_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def failure_ttl(taken_job: TakenJob) -> int:
    """Return for how many seconds a failed job is kept in Redis."""
    ttl = taken_job.number("failure_ttl")
    return settings.JOB_FAILURE_TTL if ttl is None else ttl
