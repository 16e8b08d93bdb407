"""The writer of the history's lines: what became of one execution of a job, as JSON on the stream `pilot:runs`."""

import base64
import hashlib
import json
import traceback
import zlib
from datetime import UTC, datetime
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

from django.conf import settings

from ..core import keys, limits
from ..core.shared_memory import SharedMemory
from ..core.taken_job import TakenJob

TRACEBACK_LIMIT = 32 * 1024
ENGINE = Path(__file__).parents[1]
# What every line tells, in this order, before the object that holds the rest: each job pays for its line.
ALWAYS = ("outcome", "id", "execution", "queue", "task", "attempt", "enqueued_at", "worker", "slot", "started")
encode = json.JSONEncoder(separators=(",", ":")).encode
RESULT_LIMIT = 64 * 1024
UNSERIALIZABLE = "Unserializable return value"


def line(taken_job: TakenJob, worker: str, slot: int, outcome: str, started: float, **more: Any) -> str:
    """Return one line. Empty values are left out; times are seconds since 1970.

    The payload travels beside the line as it lies in Redis: the writer of the history, which has time, unpacks it.
    """
    for name in ("tags", "meta"):
        if text := taken_job.text(name):
            more[name] = text
    words = {name: value for name, value in more.items() if value not in (None, "")}
    return encode(
        [
            outcome, taken_job.job_id, taken_job.execution_id, taken_job.queue, taken_job.task, taken_job.attempt,
            taken_job.text("enqueued_at"), worker, slot, started, words,
        ]
    )  # fmt: skip


def command(line: str, data: bytes) -> tuple[Any, ...]:
    """Return the command that puts one line and its payload on the stream, as common.lua's `note` does."""
    return ("XADD", keys.RUNS, "MAXLEN", "~", limits.HISTORY_LENGTH, "*", "e0", line, "d0", data)


def event_of(text: bytes) -> dict[str, Any]:
    """Return what a line tells, by name; one written by a script of Redis is an object already. Raises ValueError."""
    event = json.loads(text.decode(errors="replace"))
    if isinstance(event, list):
        *values, words = event
        return dict(zip(ALWAYS, values, strict=True)) | words
    return dict(event)


def traces(shared: SharedMemory) -> dict[str, Any]:
    """Return what a run has left in its shared memory: progress and log."""
    if shared.is_empty:
        return {}
    percent, text = shared.progress
    return {"percent": percent, "progress": text, "log": shared.log, "log_cut": shared.is_cut}


def failure(error: BaseException, task: str) -> dict[str, Any]:
    """Return an error's class, message, traceback and fingerprint."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return {
        "exception": name,
        "message": str(error)[:2000],
        "traceback": trace_of(error),
        "fingerprint": fingerprint(name, task, error.__traceback__),
    }


def trace_of(error: BaseException) -> str:
    """Return the traceback as Python prints it, at most 32 kB of its end, where the cause stands."""
    return "".join(traceback.format_exception(error))[-TRACEBACK_LIMIT:]


def fingerprint(exception: str, task: str, trace: TracebackType | None) -> str:
    """Return 16 messages that failures of one cause share: exception, task, and the last frame in our own code."""
    frame = ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if is_ours(code.co_filename) or not frame:
            frame = f"{Path(code.co_filename).name}:{code.co_qualname}"
        trace = trace.tb_next
    return hashlib.sha256(f"{exception}|{task}|{frame}".encode()).hexdigest()[:16]


@cache
def is_ours(path: str) -> bool:
    """Tell whether a source file is the project's, not a library's and not this engine's own call of the task."""
    if "site-packages" in path or path.startswith("<"):
        return False
    return path.startswith(str(settings.BASE_DIR)) and ENGINE not in Path(path).parents


def encode_trace(text: str) -> str:
    """Return a traceback as rq keeps it in a result."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


def encode_value(value: Any) -> tuple[str, str]:
    """Return a return value as JSON and as rq keeps it in a result: base64 of that; both '' for None.

    A value that is not JSON, or larger than 64 kB, is replaced by a sentence: the job succeeded all the same.
    """
    if value is None:
        return "", ""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = json.dumps(UNSERIALIZABLE)
    if len(text) > RESULT_LIMIT:
        text = json.dumps(f"A result of {len(text)} bytes was not kept; {RESULT_LIMIT} is the limit.")
    return text, base64.b64encode(text.encode()).decode()


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
