"""The line between a worker and one of its slots: whole messages over a pair of sockets, of any length."""

import marshal
import socket
import struct
from typing import Any

LENGTH = struct.Struct("=I")
CHUNK = 256 * 1024
SEND_SECONDS = 5


class Wire:
    """One end. A message is a tuple of words, numbers and bytes; both ends are forks of one program."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self.buffer = bytearray()
        # A slot that does not read for so long is stuck: the sender gets an OSError instead of waiting for ever.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", SEND_SECONDS, 0))

    @classmethod
    def pair(cls) -> tuple["Wire", "Wire"]:
        """Answer the worker's end and the slot's end."""
        ours, theirs = socket.socketpair()
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
        """Answer the messages that have come, without waiting."""
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

    def say_no_more(self) -> None:
        """Have the other end read that no message follows."""
        self.socket.shutdown(socket.SHUT_WR)

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
