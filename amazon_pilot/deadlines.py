"""One deadline for a whole conversation over HTTP: all of its requests, retries, pages and bodies together.

httpx2 applies its timeout to each operation on the socket, so a body that trickles outlives it by any length (a body of
nine pieces outlived one second by 7.7). Here the time left is checked before each request and at each piece of a body.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx2
from django.utils import timezone


class DeadlineError(Exception):
    """The conversation took too long. Not an error of httpx2, which the clients would answer with a retry."""


@dataclass
class Deadline:
    """When a conversation has to be over, on the monotonic clock, and what its last answer asked for.

    `retry_after` is the number of seconds that the answer wanted us to wait, None when it did not say.
    """

    ends_at: float
    retry_after: float | None = None

    def left(self) -> float:
        """Answer the seconds left; raise DeadlineError when there are none."""
        seconds = self.ends_at - time.monotonic()
        if seconds <= 0:
            raise DeadlineError("the deadline for the whole answer has passed")
        return seconds


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def within(seconds: float) -> Iterator[Deadline]:
    """Hold every request that a held client makes inside the block to `seconds` in all."""
    deadline = Deadline(time.monotonic() + seconds)
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
        deadline.retry_after = seconds_to_wait(response.headers.get("retry-after"))
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = _Timed(response.stream, deadline)


class _Timed(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, deadline: Deadline) -> None:
        self.stream = stream
        self.deadline = deadline

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.stream:
            self.deadline.left()
            yield piece

    def close(self) -> None:
        self.stream.close()


def seconds_to_wait(header: str | None) -> float | None:
    """Answer what a Retry-After header asks for, in seconds from now; it holds a number or a date. None when absent."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(header) - timezone.now()).total_seconds())
    except (ValueError, TypeError):
        return None
