"""A worker's line to Redis: one connection for packets of commands, one wake-up per queue, one for messages.

Nothing here waits longer than ANSWER_SECONDS: a worker without Redis must still look after its slots.
"""

import contextlib
import logging
import re
import selectors
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from hiredis import pack_command
from redis.backoff import NoBackoff
from redis.connection import AbstractConnection
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from rq.command import PUBSUB_CHANNEL_TEMPLATE

from ..core import keys, queues, scripts
from ..core.payload import parsed
from ..core.values import Command

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
BELL_SECONDS = 300
LOG_SECONDS = 30
MUTE_SECONDS = 1.0  # after Redis has refused a wake-up, as it does at its memory limit

# Refusals by which Redis tells of itself; any other is about the one command, which would be refused again.
ABOUT_REDIS = re.compile(
    "MISCONF|READONLY|OOM|NOSCRIPT|LOADING|NOAUTH|WRONGPASS|NOPERM|MASTERDOWN|CLUSTERDOWN|NOREPLICAS|BUSY|max number of"
)

# redis-py's own packing first looks at each word for kinds that ours never are. The stub knows tuples of one alone.
packed: Callable[[Command], bytes] = pack_command  # type: ignore[assignment]

Heard: TypeAlias = Mapping[str, Any]  # a command that somebody published
Reader: TypeAlias = Callable[[Any], object]  # does what follows from one reply


class AwayError(Exception):
    """Redis did not answer: nobody knows which of the commands were run, and all of them may be sent again."""


def open_connection(seconds: float | None = ANSWER_SECONDS) -> AbstractConnection:
    """Return a new connection to the jobs' Redis that fails fast instead of trying again."""
    pool = queues.connection().connection_pool
    options = dict(pool.connection_kwargs)
    options |= {"retry": Retry(NoBackoff(), 0), "health_check_interval": 0, "protocol": 2}
    options |= {"socket_timeout": seconds, "socket_connect_timeout": 2, "retry_on_error": []}
    connection: AbstractConnection = pool.connection_class(**options)
    connection.connect()
    return connection


def socket_of(connection: AbstractConnection) -> Any:
    """Return the socket under a connection, for a selector."""
    return connection._sock


def load_missing(connection: AbstractConnection) -> None:
    """Have Redis know all scripts: loading one again would be written to its append-only file each time."""
    needed = [scripts.script(name) for name in scripts.names()]
    connection.send_command("SCRIPT", "EXISTS", *(each.sha for each in needed))
    for each, is_known in zip(needed, connection.read_response(), strict=True):
        if not is_known:
            connection.send_command("SCRIPT", "LOAD", each.source)
            connection.read_response()


class Connection:
    """All connections of one worker, opened and lost together; they register themselves with its selector."""

    def __init__(self, worker: str, names: Sequence[str], selector: selectors.BaseSelector) -> None:
        self.names = list(names)
        self.selector = selector
        self.channel = PUBSUB_CHANNEL_TEMPLATE % worker
        self.main: AbstractConnection | None = None
        self.messages: AbstractConnection | None = None
        self.wake_ups: dict[str, AbstractConnection] = {}
        self.armed: set[str] = set()
        self.mute_until = 0.0
        self.posted: deque[int] = deque()  # how many commands each packet under way holds
        self.pause = FIRST_PAUSE
        self.next_try = 0.0
        self.next_log = 0.0

    @property
    def is_up(self) -> bool:
        return self.main is not None

    def come_up(self) -> bool:
        """Connect if it is time to try again; True where the line has just come up."""
        if self.is_up or time.monotonic() < self.next_try:
            return False
        try:
            self.main = open_connection()
            load_missing(self.main)
            self.messages = open_connection()
            for channel in (self.channel, keys.CONTROL):
                self.messages.send_command("SUBSCRIBE", channel)
                self.messages.read_response()
            self.selector.register(socket_of(self.messages), selectors.EVENT_READ, self.messages)
        except (RedisError, OSError) as error:
            self.go_down(error)
            return False
        return True

    def go_down(self, reason: BaseException | str) -> None:
        """Drop every connection and wait a while before the next try, which grows until a packet is answered.

        Of an outage the first line of log tells, and then one each LOG_SECONDS.
        """
        now = time.monotonic()
        if now >= self.next_log:
            logger.warning("Redis is away (%s); next try in %.1f s.", reason, self.pause)
            self.next_log = now + LOG_SECONDS
        self.close()
        self.next_try = now + self.pause
        self.pause = min(LONGEST_PAUSE, self.pause * 2)

    def close(self) -> None:
        """Close all connections; in a forked child this leaves the parent's alone."""
        self.silence_wake_ups()
        if self.messages is not None:
            self._forget(self.messages)
        for connection in (self.main, self.messages):
            if connection is not None:
                connection.disconnect()
        self.main = self.messages = None
        self.posted.clear()

    def ask(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one packet and answer their replies, in order.

        Raises AwayError where the line breaks, or where Redis refuses (read only, say): then it is dropped.
        """
        self.post(commands)
        return self.collect()

    def post(self, commands: Sequence[Command]) -> None:
        """Send commands in one packet; `collect` has to follow, once for each packet. Raises like `ask`."""
        if self.main is None:
            raise AwayError("not connected")
        try:
            self.main.send_packed_command([b"".join(map(packed, commands))])
        except (RedisError, OSError) as error:
            self.go_down(error)
            raise AwayError(str(error)) from error
        self.posted.append(len(commands))

    def collect(self) -> list[Any]:
        """Return the replies to the oldest packet under way, in order: a ResponseError for a command that is refused.

        Raises like `ask` if the refusal is about Redis itself.
        """
        if self.main is None or not self.posted:
            raise AwayError("the line broke since")
        try:
            replies = [self._reply() for _ in range(self.posted.popleft())]
        except (RedisError, OSError) as error:  # also where Redis has forgotten our scripts: a new line brings them
            self.go_down(error)
            raise AwayError(str(error)) from error
        self.pause, self.next_log = FIRST_PAUSE, 0.0
        return replies

    def _reply(self) -> Any:
        assert self.main is not None
        try:
            return self.main.read_response()
        except ResponseError as error:
            if type(error) is not ResponseError or ABOUT_REDIS.search(str(error)):
                raise
            return error

    def arm_wake_ups(self, resting: set[str]) -> None:
        """Have Redis ring when a queue gets a job; queues that are paused would only ring for nothing.

        BLMOVE from a queue's head to its head blocks until there is a job and leaves it where it is.
        """
        if time.monotonic() < self.mute_until:
            return
        for name in self.names:
            if name in self.armed or name in resting or not self.is_up:
                continue
            try:
                if name not in self.wake_ups:
                    self.wake_ups[name] = open_connection()
                    self.selector.register(socket_of(self.wake_ups[name]), selectors.EVENT_READ, self.wake_ups[name])
                key = queues.key(name)
                self.wake_ups[name].send_command("BLMOVE", key, key, "LEFT", "LEFT", BELL_SECONDS)
                self.armed.add(name)
            except (RedisError, OSError) as error:
                self.go_down(error)

    def hear_wake_up(self, wake_up: AbstractConnection) -> None:
        """Read the answer of a wake-up that has rung."""
        name = next((name for name, connection in self.wake_ups.items() if connection is wake_up), None)
        if name is None:
            return  # silenced a moment ago
        try:
            wake_up.read_response()
        except ResponseError:
            logger.warning("The wake_up of %s failed; the queue is looked at each second.", name)
            self.mute_until = time.monotonic() + MUTE_SECONDS
        except (RedisError, OSError) as error:
            self.go_down(error)
        self.armed.discard(name)

    def silence_wake_ups(self) -> None:
        """Hang up all wake_ups."""
        for connection in self.wake_ups.values():
            self._forget(connection)
            connection.disconnect()
        self.wake_ups.clear()
        self.armed.clear()

    def read_messages(self) -> list[Heard]:
        """Return what others have said to this worker; a word on the control channel is an empty one."""
        heard: list[Heard] = []
        try:
            while self.messages is not None and self.messages.can_read(0):
                kind, channel, data = self.messages.read_response()
                if kind == b"message":
                    heard.append({} if channel == keys.CONTROL.encode() else decode(data))
        except (RedisError, OSError) as error:
            self.go_down(error)
        return heard

    def _forget(self, connection: AbstractConnection) -> None:
        """Take a connection out of the selector.

        It is looked up by itself: a connection that broke has closed its socket and no longer knows it, and a socket
        left in the selector would be in the way of the next one with its number.
        """
        for key in list((self.selector.get_map() or {}).values()):  # None in a child, which has closed it
            if key.data is connection:
                with contextlib.suppress(KeyError, ValueError):  # closed by the other side
                    self.selector.unregister(key.fileobj)


def decode(data: bytes) -> Heard:
    """Return a command that somebody published, {} where it is none."""
    command = parsed(data)
    return command if isinstance(command, dict) else {}
