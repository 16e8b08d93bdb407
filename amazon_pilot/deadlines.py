"""One deadline for a whole conversation over HTTP: all of its requests, retries, pages and bodies together.

httpx2 applies its timeout to each operation on the socket, so a body that trickles outlives it by any length (a body of
nine pieces outlived one second by 7.7). Here the time left is checked before each request and at each piece of a body.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2
from django.utils import timezone


class DeadlineError(Exception):
    """The conversation took too long, or its answers are.

    Not an error of httpx2, which the clients would answer with a retry.
    """


@dataclass
class Deadline:
    """When a conversation has to be over, on the monotonic clock, and what its last answer asked for.

    `retry_after` is the number of seconds that the answer wanted us to wait, None when it did not say. `bytes_left`
    bounds what its bodies may hold, as they come over the wire.
    """

    ends_at: float
    retry_after: float | None = None
    bytes_left: float = math.inf

    def left(self) -> float:
        """Answer the seconds left; raise DeadlineError when there are none."""
        seconds = self.ends_at - time.monotonic()
        if seconds <= 0:
            raise DeadlineError("the deadline for the whole answer has passed")
        return seconds

    def take(self, size: int) -> None:
        """Count bytes of a body; raise DeadlineError when there are too many."""
        self.bytes_left -= size
        if self.bytes_left < 0:
            raise DeadlineError("the answer is too long")


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float, most_bytes: float = math.inf) -> Iterator[Deadline]:
    """Hold every request that a held client makes inside the block to `seconds` and `most_bytes` in all."""
    deadline = Deadline(time.monotonic() + seconds, bytes_left=most_bytes)
    token = _current.set(deadline)
    try:
        yield deadline
    finally:
        _current.reset(token)


def hold(client: httpx2.Client) -> httpx2.Client:
    """Have `client` keep the deadline of the block it is used in; outside of a block it is left as it is."""
    hooks = client.event_hooks
    client.event_hooks = {
        "request": [*hooks["request"], _shorten],
        "response": [*hooks["response"], _watch],
    }
    return client


def _shorten(request: httpx2.Request) -> None:
    if deadline := _current.get():
        left = deadline.left()
        request.extensions = {
            **request.extensions,
            "timeout": dict.fromkeys(("connect", "read", "write", "pool"), left),
        }


def _watch(response: httpx2.Response) -> None:
    if deadline := _current.get():
        deadline.retry_after = wait_asked_by(response.headers)
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Timed(response.stream, deadline)


class _Timed(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, deadline: Deadline) -> None:
        self.stream = stream
        self.deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.stream:
            self.deadline.left()
            self.deadline.take(len(piece))
            yield piece

    def close(self) -> None:
        self.stream.close()


def wait_asked_by(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that an answer asks to wait, None when it does not say; Azure says it in milliseconds, too."""
    milliseconds = seconds_to_wait(headers.get("retry-after-ms"))
    return seconds_to_wait(headers.get("retry-after")) if milliseconds is None else milliseconds / 1000


def seconds_to_wait(header: str | None) -> float | None:
    """Answer what a Retry-After header asks for, in seconds from now; it holds a number or a date. None when absent
    or not to be read."""
    if not header:
        return None
    try:
        seconds = float(header)
        return max(0.0, seconds) if math.isfinite(seconds) else None
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - timezone.now()).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None
