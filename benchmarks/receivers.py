"""A web server and a mail server on loopback that fail in every way, and remember what they took.

What a receiver does is the last part of a webhook's path, or what stands before the dot of a mail address. A message is
known by what it says: the product and the price that it moved to, or the first line of a notice.
"""

import asyncio
import email
import json
import re
import threading
from collections import Counter
from contextlib import suppress
from email.message import Message
from typing import Any

from aiosmtpd.controller import Controller

EMPTY = b"Content-Length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n" + EMPTY
# What is taken at last, though it may take another attempt.
GOOD_HOOKS = ("ok", "second", "later", "endless", "drip", "short")
# What is taken, or not, without a word about it.
SILENT_HOOKS = ("endless-head", "drip-head", "silent", "hang-up", "garbage", "half")
REFUSING_HOOKS = ("404", "401", "302", "410")
BUSY_HOOKS = ("500", "503")
GOOD_MAIL, SILENT_MAIL, REFUSING_MAIL, BUSY_MAIL = ("fine", "grey"), ("late", "early"), ("gone", "spam"), ("full",)
HEADS = {
    "404": b"HTTP/1.1 404 Not Found\r\n" + EMPTY,
    "401": b"HTTP/1.1 401 Unauthorized\r\n" + EMPTY,
    "302": b"HTTP/1.1 302 Found\r\nLocation: /1/ok\r\n" + EMPTY,
    "410": b"HTTP/1.1 410 Gone\r\n" + EMPTY,
    "500": b"HTTP/1.1 500 Oops\r\n" + EMPTY,
    "503": b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\n" + EMPTY,
    "429": b"HTTP/1.1 429 Slow\r\nRetry-After: 2\r\n" + EMPTY,
}
ANSWERS = {
    "short": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nno",
    "hang-up": b"",
    "garbage": b"\x16\x03\x01 what is this\r\n\r\n",
    "half": b"HTTP/1.1 20",
}
Told = tuple[str, str]  # the address, and what is said


class Receivers:
    """Both servers, in a thread of their own."""

    def __init__(self, seconds_of_patience: float) -> None:
        self.seconds = seconds_of_patience  # of a caller
        self.asked: Counter[Told] = Counter()
        self.taken: Counter[Told] = Counter()
        self.injected = 0
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        start = asyncio.run_coroutine_threadsafe(asyncio.start_server(self.serve, "127.0.0.1", 0), self.loop)
        self.web = f"http://127.0.0.1:{start.result(10).sockets[0].getsockname()[1]}"

    def listen_for_mail(self, port: int) -> Controller:
        """Take mail at a port until the answer is stopped."""
        mail = Controller(Mailbox(self), hostname="127.0.0.1", port=port)
        mail.start()
        return mail

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request and do what its path says."""
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = re.search(r"(?im)^content-length: (\d+)", head)
            body = json.loads(await reader.readexactly(int(length[1]) if length else 0))
            path = head.split(" ")[1]
            change = body["change"]
            said = f"{change['asin']} {change['after']}" if change else body["subject"]
            await self.answer(writer, path.rpartition("/")[2], (self.web + path, said))
        with suppress(OSError):
            writer.close()

    async def answer(self, writer: asyncio.StreamWriter, mood: str, told: Told) -> None:
        """Take a message or not, and say so or not."""
        self.asked[told] += 1
        first_time = {"second": HEADS["500"], "later": HEADS["429"]}
        if mood in HEADS or (mood in first_time and self.asked[told] == 1):
            writer.write(HEADS.get(mood) or first_time[mood])
            await writer.drain()
            return
        self.taken[told] += 1
        if mood in ("endless", "endless-head"):
            writer.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if mood == "endless" else b""))
            while True:
                writer.write(b"X-More: " + b"x" * 1000 + b"\r\n")
                await writer.drain()
        if mood in ("drip", "drip-head"):
            writer.write(b"HTTP/1.1 200 OK\r\n" + (b"\r\n" if mood == "drip" else b"X-Slow: "))
            for _piece in range(int(self.seconds * 6)):
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.5)
        if mood == "silent":
            await asyncio.sleep(self.seconds * 2)
        writer.write(ANSWERS.get(mood, OK))
        await writer.drain()


class Mailbox:
    """What the mail server answers to whom."""

    def __init__(self, receivers: Receivers) -> None:
        self.receivers = receivers

    async def handle_RCPT(  # noqa: N802
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        mood = address.split(".")[0]
        if mood == "gone":
            return "550 no such mailbox"
        if mood == "early":
            server.transport.close()
        envelope.rcpt_tos.append(address)
        return "250 ok"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        address = envelope.rcpt_tos[0]
        mood, message = address.split(".")[0], email.message_from_bytes(envelope.content)
        told = (address, said_in(message))
        self.receivers.asked[told] += 1
        self.receivers.injected += "Bcc" in message
        if mood in ("spam", "full"):
            return "554 refused" if mood == "spam" else "452 mailbox full"
        if mood == "grey" and self.receivers.asked[told] == 1:
            return "451 come back later"
        self.receivers.taken[told] += 1
        if mood == "late":
            server.transport.close()
        return "250 ok"


def said_in(message: Message) -> str:
    """Return what a mail says: the product and its price, or the subject of a notice."""
    part = next(part for part in message.walk() if part.get_content_type() == "text/plain")
    payload = part.get_payload(decode=True)
    text = payload.decode() if isinstance(payload, bytes) else ""
    asin, after = re.search(r"\((B\w{9}), ", text), re.search(r"After: \$([\d.,]+)", text)
    if asin and after:
        return f"{asin[1]} {after[1].replace(',', '')}"
    return text.splitlines()[0]
