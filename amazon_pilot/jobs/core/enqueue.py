"""How a call of a task becomes a job in Redis: the fields that rq reads, written by one script in one round trip."""

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import cast
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from rq.utils import utcformat

from . import faults, redaction, subjects
from .payload import called
from .queues import connection
from .registry import CallError, PayloadError, Registered
from .scripts import script
from .values import Args, Json, Kwargs, Word

logger = logging.getLogger(__name__)

Call = tuple[Sequence[object], Mapping[str, object]]

BATCH = 1000
PAYLOAD_LIMIT = 1024 * 1024


def enqueue(
    task: Registered,
    calls: Sequence[Call],
    *,
    delay: timedelta = timedelta(0),
    queue: str = "",
    meta: Mapping[str, Json] | None = None,
    sent: Callable[[int], None] | None = None,
) -> list[str]:
    """Enqueue `task` once per call when the current transaction commits, or at once where there is none.

    `queue` stands in for the task's own; `meta` travels with the job; `sent` is called once Redis has taken them, with
    how many joined a job that was there. Returns the ids, as `Task.enqueue` says.
    Raises PayloadError before anything is enqueued.
    """
    queue = queue or task.queue
    wait = _seconds(delay)
    jobs = [
        (uuid4().hex, unique_key(task, data), fields(task, queue, data, meta, about(task, call)))
        for call, data in zip(calls, payloads(task, calls), strict=True)
    ]
    ids = [id for id, _, _ in jobs]
    taken: list[str] = []

    def deliver() -> None:
        taken.extend(send(queue, jobs, wait=wait, at_front=task.at_front))
        if sent is not None:
            sent(len(jobs) - len(set(ids).intersection(taken)))

    transaction.on_commit(deliver)
    return taken or ids


def _seconds(delay: timedelta) -> float:
    """Return a delay in seconds, 0 for one that is over; raises PayloadError for a time that no calendar has."""
    if delay <= timedelta(0):
        return 0
    try:
        datetime.now(UTC) + delay + timedelta(days=1)  # what Redis notes may be rounded, and its clock be ahead
    except OverflowError as error:
        raise PayloadError(
            "This delay ends after the year 9999, so the job would never run. Choose a nearer time."
        ) from error
    return delay.total_seconds()


def payloads(task: Registered, calls: Sequence[Call]) -> list[bytes]:
    """Return rq's payload of each call: [function, instance, arguments, keyword arguments] as JSON."""
    encoded = []
    for args, kwargs in calls:
        task.bound(args, kwargs)
        try:
            data = json.dumps([task.name, None, args, kwargs], allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise PayloadError(
                f"{task.name} takes what JSON can carry, such as ids and words: {error}. Pass the id of a row instead."
            ) from error
        if len(data) > PAYLOAD_LIMIT:
            raise PayloadError(
                f"The arguments of {task.name} take {len(data) / 1024**2:.1f} MB; {PAYLOAD_LIMIT // 1024**2} MB is the "
                "limit. Keep them in a row and pass its id."
            )
        encoded.append(data)
    return encoded


def unique_key(task: Registered, data: bytes) -> str:
    """Return the key under which one job of a unique task may be pending, or ''.

    It is that of the call as the function sees it: by name or by place, in whatever order, defaults written or not.
    """
    if not task.unique:
        return ""
    try:
        name, instance, args, kwargs = json.loads(data)
        call = task.bound(args, kwargs)
        call.apply_defaults()
        return _digest(name, json.dumps(ordered([name, instance, call.args, call.kwargs])).encode())
    except (CallError, RecursionError):  # enqueued by other means, or before the function changed; or nested too deep
        return _digest(task.name, data)


def ordered(value: object) -> object:
    """Return a value as it is compared: what is equal in Python, and one thing to JSON, is written alike.

    Of a default that JSON cannot carry its type stands for it: its description may tell where in memory it lies, which
    is another place in each process.
    """
    if isinstance(value, Enum):
        return ordered(value.value)
    if isinstance(value, dict):
        return dict(sorted((str(key), ordered(each)) for key, each in value.items()))
    if isinstance(value, list | tuple):
        return [ordered(each) for each in value]
    if value is None or isinstance(value, str | int | float):
        return value
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _digest(name: str, data: bytes) -> str:
    return f"{name}:{hashlib.sha256(data).hexdigest()[:32]}"


def about(task: Registered, call: Call) -> str:
    """Return what a call is about, as its job carries it; '' for nothing. Raises PayloadError for what is no subject.

    A task that cannot say it is enqueued all the same: its work counts for more than where it is found.
    """
    if task.about is None:
        return subjects.joined(task.subjects)
    try:
        return subjects.joined([*task.subjects, *task.about(*call[0], **call[1])])
    except Exception:
        logger.exception("%s could not say what its job is about", task.name)
        return subjects.joined(task.subjects)


def fields(
    task: Registered, queue: str, data: bytes, meta: Mapping[str, Json] | None = None, about: str = ""
) -> list[Word]:
    """Return the fields of the job's hash, name and value in turn, as rq's Job.to_dict would write them.

    The two dates are those of the call, not of the commit that may follow it.
    """
    now = utcformat(datetime.now(UTC))
    words: list[Word] = ["created_at", now, "enqueued_at", now, "origin", queue, "data", zlib.compress(data, 1)]
    words += ["description", description(data), "task", task.name, "timeout", task.timeout]
    words += ["result_ttl", cast(int, settings.RQ["DEFAULT_RESULT_TTL"]), "failure_ttl", settings.JOB_FAILURE_TTL]
    if task.retry and task.retry.attempts > 1:
        intervals = task.retry.intervals()
        words += ["retries_left", len(intervals), "retry_intervals", json.dumps(intervals)]
    if task.tags:
        words += ["tags", ",".join(task.tags)]
    if about:
        words += ["about", about]
    if meta:
        words += ["meta", json.dumps(meta)]
    return words


def description(data: bytes) -> str:
    """Return the call as Python would write it, without secrets, at most 200 characters: rq's tools list jobs by it.

    Three points stand for arguments that are nested too deep to be written.
    """
    try:
        return _described(*json.loads(data))
    except RecursionError:
        return f"{called(data)}(…)"


def _described(name: str, _: object, args: Args, kwargs: Kwargs) -> str:
    args, kwargs = redaction.call(name, args, kwargs)
    words = [repr(arg)[:75] for arg in args[:10]] + [
        f"{key}={value!r}"[:75] for key, value in list(kwargs.items())[:10]
    ]
    return f"{name}({', '.join(words)})"[:200]


def send(
    queue: str, jobs: Sequence[tuple[str, str, list[Word]]], *, wait: float = 0, at_front: bool = False
) -> list[str]:
    """Write jobs into Redis now, a thousand to a round trip; returns the ids under which they wait."""
    faults.point("before enqueue")
    ids: list[str] = []
    # The first of the calls is to be the first of the queue, so the head is filled from behind.
    ordered = list(reversed(jobs)) if at_front else jobs
    for start in range(0, len(ordered), BATCH):
        words: list[Word] = []
        for id, key, hash_fields in ordered[start : start + BATCH]:
            words += [id, key, len(hash_fields), *hash_fields]
        ids += [id.decode() for id in script("enqueue")(connection(), queue, wait, int(at_front), *words)]
    faults.point("after enqueue")
    return list(reversed(ids)) if at_front else ids
