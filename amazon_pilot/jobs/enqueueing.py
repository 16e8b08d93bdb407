"""How a call of a task becomes a job in Redis: the fields that rq reads, written by one script in one round trip."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from rq.utils import utcformat

from . import faults, redaction
from .queues import connection
from .scripts import script

if TYPE_CHECKING:
    from .registry import Task

Call = tuple[Sequence[Any], dict[str, Any]]

BATCH = 1000
PAYLOAD_LIMIT = 1024 * 1024


class PayloadError(ValueError):
    """The arguments cannot be carried to a worker: they are not JSON, or too large."""


def enqueue(
    task: "Task[Any]",
    calls: Sequence[Call],
    *,
    at_front: bool = False,
    delay: timedelta = timedelta(0),
    queue: str = "",
    meta: dict[str, Any] | None = None,
) -> list[str]:
    """Enqueue `task` once per call when the current transaction commits, or at once where there is none.

    `queue` stands in for the task's own; `meta` travels with the job. Answers the ids, as `Task.enqueue` says.
    Raises PayloadError before anything is enqueued.
    """
    queue = queue or task.queue
    jobs = [(uuid4().hex, unique_key(task, data), fields(task, queue, data, meta)) for data in payloads(task, calls)]
    ids = [id for id, _, _ in jobs]
    sent: list[str] = []
    wait = max(0.0, delay.total_seconds())
    transaction.on_commit(lambda: sent.extend(send(queue, jobs, wait=wait, at_front=at_front)))
    return sent or ids


def payloads(task: "Task[Any]", calls: Sequence[Call]) -> list[bytes]:
    """Answer rq's payload of each call: [function, instance, arguments, keyword arguments] as JSON."""
    encoded = []
    for args, kwargs in calls:
        try:
            data = json.dumps([task.name, None, args, kwargs], allow_nan=False).encode()
        except (TypeError, ValueError) as error:
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


def unique_key(task: "Task[Any]", data: bytes) -> str:
    """Answer the key under which one job of a unique task may be pending, or ''."""
    return f"{task.name}:{hashlib.sha256(data).hexdigest()[:32]}" if task.unique else ""


def fields(task: "Task[Any]", queue: str, data: bytes, meta: dict[str, Any] | None = None) -> list[Any]:
    """Answer the fields of the job's hash, name and value in turn, as rq's Job.to_dict would write them.

    The two dates are those of the call, not of the commit that may follow it.
    """
    now = utcformat(datetime.now(UTC))
    words: list[Any] = ["created_at", now, "enqueued_at", now, "origin", queue, "data", zlib.compress(data, 1)]
    words += ["description", description(data), "task", task.name, "timeout", task.timeout]
    words += ["result_ttl", settings.RQ["DEFAULT_RESULT_TTL"], "failure_ttl", settings.JOB_FAILURE_TTL]
    if task.retry and task.retry.attempts > 1:
        intervals = task.retry.intervals()
        words += ["retries_left", len(intervals), "retry_intervals", json.dumps(intervals)]
    if task.tags:
        words += ["tags", ",".join(task.tags)]
    if meta:
        words += ["meta", json.dumps(meta)]
    return words


def description(data: bytes) -> str:
    """Answer the call as Python would write it, without secrets, at most 200 characters: rq's tools list jobs by it."""
    name, _, args, kwargs = json.loads(data)
    args, kwargs = redaction.call(name, args, kwargs)
    words = [repr(arg)[:75] for arg in args[:10]] + [
        f"{key}={value!r}"[:75] for key, value in list(kwargs.items())[:10]
    ]
    return f"{name}({', '.join(words)})"[:200]


def send(
    queue: str, jobs: Sequence[tuple[str, str, list[Any]]], *, wait: float = 0, at_front: bool = False
) -> list[str]:
    """Write jobs into Redis now, a thousand to a round trip; answers the ids under which they wait."""
    faults.point("before enqueue")
    ids: list[str] = []
    # The first of the calls is to be the first of the queue, so the head is filled from behind.
    ordered = list(reversed(jobs)) if at_front else jobs
    for start in range(0, len(ordered), BATCH):
        words: list[Any] = []
        for id, key, hash_fields in ordered[start : start + BATCH]:
            words += [id, key, len(hash_fields), *hash_fields]
        ids += [id.decode() for id in script("enqueue")(connection(), queue, wait, int(at_front), *words)]
    faults.point("after enqueue")
    return list(reversed(ids)) if at_front else ids
