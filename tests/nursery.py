"""Real processes of the product for tests, forked from one that has Django set up: that is most of what a start takes.

A nursery is a process of one environment. It forks a child for each command of `manage.py` that a test starts, and says
when one has ended. The child is a process like any other: it has its own pid, output and end, and can be killed.
"""

import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TypeAlias

ROOT = Path(__file__).parents[1]
PACKET = 64 * 1024
LATE = ("PILOT_FAULT",)  # told to the child alone: it is no setting
PYTESTS_OWN = "PYTEST_CURRENT_TEST"  # another one each time


class Nursery:
    """The test's side: starts processes under one environment, and knows which have ended."""

    def __init__(self, env: dict[str, str]) -> None:
        self.line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        words = [sys.executable, "-m", "tests.nursery", str(theirs.fileno())]
        self.popen = subprocess.Popen(words, cwd=ROOT, env=env, pass_fds=[theirs.fileno()])
        theirs.close()
        self.exit_codes: dict[int, int] = {}
        self.born: list[int] = []

    def start(self, *words: str, modules: tuple[str, ...] = (), **late: str) -> "Child":
        """Run a command of `manage.py` with these modules imported; the child's standard error is a pipe."""
        errors, theirs = os.pipe()
        order = json.dumps([["manage.py", *words], modules, late]).encode()
        socket.send_fds(self.line, [order], [theirs])
        os.close(theirs)
        while not self.born:
            self.hear(None)
        return Child(self, self.born.pop(), errors)

    def hear(self, seconds: float | None) -> None:
        """Wait so long for one packet and note what it says."""
        self.line.settimeout(seconds)
        try:
            packet = self.line.recv(PACKET)
        except (TimeoutError, BlockingIOError):
            return
        if not packet:
            raise RuntimeError(f"A nursery ended with {self.popen.wait()}.")
        kind, pid, *code = json.loads(packet)
        if kind == "born":
            self.born.append(pid)
        else:
            self.exit_codes[pid] = code[0]

    def close(self) -> None:
        self.line.close()
        self.popen.wait()


class Child:
    """A process that a nursery has started, with what tests ask of subprocess.Popen."""

    def __init__(self, nursery: Nursery, pid: int, errors: int) -> None:
        self.nursery = nursery
        self.pid = pid
        self.stderr: IO[str] = os.fdopen(errors, errors="replace")

    @property
    def returncode(self) -> int | None:
        return self.nursery.exit_codes.get(self.pid)

    def poll(self) -> int | None:
        """Return how it has ended: its exit code, or a negative signal; None while it runs."""
        while self.returncode is None:
            heard = len(self.nursery.exit_codes)
            self.nursery.hear(0)
            if len(self.nursery.exit_codes) == heard:
                break
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; raises subprocess.TimeoutExpired like Popen."""
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            self.nursery.hear(left)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[None, str]:
        """Read what it has said on its standard error until that ends, and wait for its own end."""
        said = "" if self.stderr.closed else self.stderr.read()
        self.stderr.close()
        self.wait(timeout)
        return None, said


Process: TypeAlias = subprocess.Popen[str] | Child
nurseries: dict[frozenset[tuple[str, str]], Nursery | None] = {}


def start(env: dict[str, str], *words: str, modules: tuple[str, ...] = ()) -> Process:
    """Run a command of `manage.py`; an environment that is asked for a second time gets a nursery."""
    late = {name: env[name] for name in LATE if name in env}
    key = frozenset(item for item in env.items() if item[0] not in (*LATE, PYTESTS_OWN))
    if key not in nurseries:
        nurseries[key] = None
        return alone(env, *words, modules=modules)
    nursery = nurseries[key] = nurseries[key] or Nursery(dict(key))
    return nursery.start(*words, modules=modules, **late)


def alone(env: dict[str, str], *words: str, modules: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Run a command of `manage.py` with nothing shared."""
    program = [f"import {module}" for module in ("django", "sys", *modules)]
    program.insert(2, "django.setup()")
    program += ["from django.core.management import execute_from_command_line as run", "run(sys.argv)"]
    words = ("manage.py", *words) if not modules else ("-c", "\n".join(program), *words)
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True)


def close_all() -> None:
    for nursery in nurseries.values():
        if nursery is not None:
            nursery.close()
    nurseries.clear()


def serve(line: socket.socket) -> tuple[list[str], list[str], dict[str, str], int] | None:
    """Fork a child for each order until the line is closed, and say when one has ended.

    Returns the order in the child, and None in the nursery at its end.
    """
    watched = selectors.DefaultSelector()
    watched.register(line, selectors.EVENT_READ)
    while True:
        for key, _ in watched.select():
            if key.fileobj is not line:
                watched.unregister(key.fileobj)
                os.close(key.fd)
                code = os.waitstatus_to_exitcode(os.waitpid(key.data, 0)[1])
                line.send(json.dumps(["ended", key.data, code]).encode())
                continue
            order, files, _, _ = socket.recv_fds(line, PACKET, 1)
            if not order:
                return None
            if not (pid := os.fork()):
                others = [key.fd for key in watched.get_map().values() if key.fd != line.fileno()]
                watched.close()
                for each in others:
                    os.close(each)
                return (*json.loads(order), files[0])
            os.close(files[0])
            watched.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
            line.send(json.dumps(["born", pid]).encode())


def main() -> None:
    """Set Django up, serve, and in a child become what was ordered."""
    import django
    from django.core.management import execute_from_command_line

    django.setup()
    importlib.import_module("amazon_pilot.jobs.worker.supervisor")
    line = socket.socket(fileno=int(sys.argv[1]))
    if (found := serve(line)) is None:
        return
    sys.argv, modules, late, errors = found
    line.close()
    os.dup2(errors, 2)
    os.close(errors)
    os.environ.update(late)
    if late:
        importlib.reload(sys.modules["amazon_pilot.jobs.core.faults"])
    for module in modules:
        importlib.import_module(module)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
