"""The two lines between a worker and a slot: a queue for what it shall do, a socket for what became of it."""

import marshal
import mmap
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from typing import Any, TypeAlias

Message: TypeAlias = tuple[Any, ...]  # its kind, then what marshal can hold

FRAME = struct.Struct("=4sII")  # the line's own mark, the length of a message, and its checksum
LONGEST = 2**31  # bytes of a message
CHUNK = 256 * 1024
MESSAGE_LIMIT = 16 * 1024
MESSAGES = 64  # more than a slot is ever given at once
SEND_SECONDS = 5


class GarbageError(Exception):
    """What came along a line was not written by the other end: a task has the line's number too, and wrote to it."""


class SlotQueue:
    """What a slot shall do, one message after the other; a message that the slot has not opened can be taken back.

    The messages lie in memory that both see, each with a ticket: one byte, its place, in a local socket. Who reads a
    ticket has the message alone. So many messages are posted in one system call, and the worker, which keeps the slot's
    end open beside the slot, learns without asking, and also after the slot's death, which messages were never opened.
    """

    def __init__(self) -> None:
        self.inlet, self.outlet = socket.socketpair()
        self.places = mmap.mmap(-1, MESSAGES * MESSAGE_LIMIT)
        self.following = 0
        self.tickets = bytearray()

    def put(self, message: Message) -> bool:
        """Lay one message down, to be posted with the others; False where it is too large."""
        data = marshal.dumps(message)
        if len(data) > MESSAGE_LIMIT:
            return False
        start = self.following * MESSAGE_LIMIT
        self.places[start : start + len(data)] = data
        self.tickets.append(self.following)
        self.following = (self.following + 1) % MESSAGES
        return True

    def post(self) -> None:
        """Let the slot have what was put."""
        if self.tickets:
            self.inlet.send(self.tickets)
            self.tickets.clear()

    def next(self) -> Message | None:
        """Wait for a message and open it; None once the worker has closed the inlet and the box is empty."""
        if not (ticket := self.outlet.recv(1)):
            return None
        start = ticket[0] * MESSAGE_LIMIT
        message: Message = marshal.loads(memoryview(self.places)[start:])  # noqa: S302 - our own fork wrote it
        return message

    def take_back(self) -> int:
        """Take out all messages that were not opened; returns how many."""
        try:
            messages = len(self.outlet.recv(MESSAGES, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0  # the box is empty
        self.following = (
            self.following - messages
        ) % MESSAGES  # so a place is not used again before its message is read
        return messages

    def close_inlet(self) -> None:
        """Have the slot leave once it has opened every message."""
        self.inlet.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.inlet.close()
        self.outlet.close()
        self.places.close()


class MessageSocket:
    """One end of a line for messages of any length: tuples of words, numbers and bytes between forks of one program."""

    def __init__(self, end: socket.socket, mark: bytes) -> None:
        self.socket = end
        self.mark = mark
        self.buffer = bytearray()
        self.has_ended = False  # the other end is closed

    @classmethod
    def pair(cls) -> tuple["MessageSocket", "MessageSocket"]:
        """Return the worker's end and the slot's end."""
        ours, theirs = socket.socketpair()
        # A slot that does not read for so long is stuck: the worker gets an OSError instead of waiting for ever. A slot
        # does wait: its worker may have been stopped, and with it all that hears of an end.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_SECONDS, 0))
        mark = os.urandom(4)
        return cls(ours, mark), cls(theirs, mark)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Message) -> None:
        """Send one message; raises OSError where nobody reads it."""
        data = packed(message)
        self.socket.sendall(FRAME.pack(self.mark, len(data), zlib.crc32(data)) + data)

    def receive(self) -> Message | None:
        """Wait for one message; None when the other end has closed. Raises GarbageError like `arrived`."""
        while (message := self._next()) is None:
            data = self.socket.recv(CHUNK)
            if not data:
                return None
            self.buffer += data
        return message

    def arrived(self) -> Iterator[Message]:
        """Return the messages that have come, without waiting.

        Raises GarbageError if something else has come behind them; it is gone then.
        """
        try:
            while data := self.socket.recv(CHUNK, socket.MSG_DONTWAIT):
                self.buffer += data
                if len(data) < CHUNK:
                    break
            self.has_ended = not data
        except (BlockingIOError, ConnectionResetError):
            pass  # nothing more for now, or for ever: what came whole is answered all the same
        while (message := self._next()) is not None:
            yield message

    def close(self) -> None:
        self.socket.close()

    def _next(self) -> Message | None:
        if len(self.buffer) < FRAME.size:
            return None
        mark, length, checksum = FRAME.unpack_from(self.buffer)
        end = FRAME.size + length
        if mark != self.mark or length > LONGEST:
            self._refuse()
        if len(self.buffer) < end:
            return None
        data = bytes(memoryview(self.buffer)[FRAME.size : end])
        if zlib.crc32(data) != checksum:
            self._refuse()
        del self.buffer[:end]
        return opened(data)

    def _refuse(self) -> None:
        self.buffer.clear()
        raise GarbageError("Something else than a message came along the line of a slot.")


def packed(message: Message) -> bytes:
    """Return a message as bytes that `opened` reads."""
    return marshal.dumps(message)


def opened(data: bytes) -> Message:
    """Return the message that a fork of this program has packed."""
    message: Message = marshal.loads(data)  # noqa: S302 - our own fork wrote it
    return message
