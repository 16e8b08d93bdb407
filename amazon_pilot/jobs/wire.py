"""The two lines between a worker and one of its slots: a mailbox for what it shall do, a wire for what became of it."""

import marshal
import socket
import struct
from typing import Any

LENGTH = struct.Struct("=I")
CHUNK = 256 * 1024
LETTER_LIMIT = 64 * 1024
SEND_SECONDS = 5


class Mailbox:
    """What a slot shall do, one letter after the other; a letter that the slot has not opened can be taken back.

    Each letter is one packet of a local socket, and whoever reads it has it alone. The worker keeps the slot's end open
    beside the slot: so it learns, without asking and also after the slot's death, which letters were never opened.
    """

    def __init__(self) -> None:
        self.inlet, self.outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.page = bytearray(LETTER_LIMIT)

    def put(self, message: tuple[Any, ...]) -> bool:
        """Post one message; False where it is too large for a letter. Raises OSError where the slot's end is closed,
        and BlockingIOError where the box is full."""
        data = marshal.dumps(message)
        if len(data) > LETTER_LIMIT:
            return False
        self.inlet.send(data, socket.MSG_DONTWAIT)
        return True

    def next(self) -> tuple[Any, ...] | None:
        """Wait for a letter and open it; None once the worker has closed the inlet and the box is empty."""
        size = self.outlet.recv_into(self.page)
        return self._read(size) if size else None

    def take_back(self) -> int:
        """Take out all letters that were not opened; answers how many."""
        letters = 0
        try:
            while self.outlet.recv_into(self.page, 0, socket.MSG_DONTWAIT):
                letters += 1
        except BlockingIOError:
            pass  # the box is empty
        return letters

    def close_inlet(self) -> None:
        """Have the slot leave once it has opened every letter."""
        self.inlet.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.inlet.close()
        self.outlet.close()

    def _read(self, size: int) -> tuple[Any, ...]:
        message: tuple[Any, ...] = marshal.loads(memoryview(self.page)[:size])  # noqa: S302 - our own fork wrote it
        return message


class Wire:
    """One end of a line for messages of any length: tuples of words, numbers and bytes between forks of one program."""

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
