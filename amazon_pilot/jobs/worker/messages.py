"""The two lines between a worker and a slot: a queue for what it shall do, a socket for what became of it."""

import marshal
import mmap
import socket
import struct
from typing import Any

LENGTH = struct.Struct("=I")
CHUNK = 256 * 1024
MESSAGE_LIMIT = 16 * 1024
MESSAGES = 64  # more than a slot is ever given at once
SEND_SECONDS = 5


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

    def put(self, message: tuple[Any, ...]) -> bool:
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

    def next(self) -> tuple[Any, ...] | None:
        """Wait for a message and open it; None once the worker has closed the inlet and the box is empty."""
        if not (ticket := self.outlet.recv(1)):
            return None
        start = ticket[0] * MESSAGE_LIMIT
        message: tuple[Any, ...] = marshal.loads(memoryview(self.places)[start:])  # noqa: S302 - our own fork wrote it
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

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.buffer = bytearray()

    @classmethod
    def pair(cls) -> tuple["MessageSocket", "MessageSocket"]:
        """Return the worker's end and the slot's end."""
        ours, theirs = socket.socketpair()
        # A slot that does not read for so long is stuck: the worker gets an OSError instead of waiting for ever. A slot
        # does wait: its worker may have been stopped, and with it all that hears of an end.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_SECONDS, 0))
        return cls(ours), cls(theirs)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: tuple[Any, ...]) -> None:
        """Send one message; raises OSError where nobody reads it."""
        data = marshal.dumps(message)
        self.socket.sendall(LENGTH.pack(len(data)) + data)

    def receive(self) -> tuple[Any, ...] | None:
        """Wait for one message; None when the other end has closed."""
        while (message := self._next()) is None:
            data = self.socket.recv(CHUNK)
            if not data:
                return None
            self.buffer += data
        return message

    def arrived(self) -> list[tuple[Any, ...]]:
        """Return the messages that have come, without waiting."""
        try:
            while data := self.socket.recv(CHUNK, socket.MSG_DONTWAIT):
                self.buffer += data
                if len(data) < CHUNK:
                    break
        except (BlockingIOError, ConnectionResetError):
            pass  # nothing more for now, or for ever: what came whole is answered all the same
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    def close(self) -> None:
        self.socket.close()

    def _next(self) -> tuple[Any, ...] | None:
        if len(self.buffer) < LENGTH.size:
            return None
        end = LENGTH.size + LENGTH.unpack_from(self.buffer)[0]
        if len(self.buffer) < end:
            return None
        message: tuple[Any, ...] = marshal.loads(memoryview(self.buffer)[LENGTH.size : end])  # noqa: S302 - our own fork wrote it
        del self.buffer[:end]
        return message
