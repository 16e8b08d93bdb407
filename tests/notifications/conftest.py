"""Receivers on loopback that fail in every way: a web server that speaks in raw bytes, and a mail server."""

import contextlib
import email
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from notifications import transports

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADS = {
    "410": b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    "404": b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\n\r\n",
    "500": b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n",
    "429": b"HTTP/1.1 429 Slow\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
    "503-forever": b"HTTP/1.1 503 Busy\r\nRetry-After: 1e300\r\nContent-Length: 0\r\n\r\n",
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno",
    "garbage": b"\x16\x03\x01 what is this\r\n\r\n",
    "hang-up": b"",
    "half": b"HTTP/1.1 20",
}


@dataclass
class Receivers:
    """Where both servers listen, and what reached them: the key of each notification, by the place it came to."""

    web: str = ""
    got: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    times: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    last: tuple[str, bytes] = ("", b"")

    def serve(self, connection: socket.socket) -> None:
        """Read one request and misbehave as its path says."""
        with connection, contextlib.suppress(OSError):
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:])
            while len(body) < int(headers["content-length"]):
                body += connection.recv(65536)
            self.last = head.decode("latin-1"), body
            path = lines[0].split(" ")[1].strip("/").split("?")[0]
            self.times[path] += 1
            self.behave(connection, path, headers["x-pilot-notification"])

    def behave(self, connection: socket.socket, path: str, key: str) -> None:
        """Answer as the path says; what counts as taken is kept."""
        if path in HEADS and path != "short":
            connection.sendall(HEADS[path])
            return
        if path == "second-time" and self.times[path] < 2:
            connection.sendall(HEADS["500"])
            return
        self.got[path].append(key)
        if path == "endless":
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(b"x" * 65536)
        if path == "endless-head":
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while True:
                connection.sendall(b"X-More: " + b"x" * 1000 + b"\r\n")
        if path in ("drip", "drip-head"):
            connection.sendall(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if path == "drip" else b"X-Slow: "))
            for _second in range(100):
                connection.sendall(b"x")
                time.sleep(0.1)
        if path == "silent":
            time.sleep(3)
        connection.sendall(HEADS.get(path, OK))


class Mailbox:
    """A mail server that takes what it is sent, but for addresses that say otherwise."""

    def __init__(self, receivers: Receivers) -> None:
        self.receivers = receivers

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: list[str]) -> str:
        name = address.split("@")[0]
        self.receivers.times[name] += 1
        if name == "gone":
            return "550 no such mailbox"
        if name == "grey" and self.receivers.times[name] < 2:
            return "451 come back later"
        if name == "drop-early":
            server.transport.close()
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        name = envelope.rcpt_tos[0].split("@")[0]
        if name == "spam":
            return "554 refused"
        if name == "full":
            return "452 mailbox full"
        message = email.message_from_bytes(envelope.content)
        self.receivers.got[name].append(str(message["Message-ID"]).strip("<>").split("@")[0])
        if name == "drop-late":
            server.transport.close()
        return "250 ok"


@pytest.fixture
def receivers(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receivers]:
    """Both servers, to which the settings point; a webhook has half a second."""
    kept = Receivers()
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=kept.serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    kept.web = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mail = Controller(Mailbox(kept), hostname="127.0.0.1", port=port)
    mail.start()
    settings.WEBHOOK_PRIVATE_NETWORKS = ["127.0.0.0/8"]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", port, 2
    monkeypatch.setattr(transports, "WEBHOOK_SECONDS", 0.5)
    yield kept
    mail.stop()
    listener.close()
