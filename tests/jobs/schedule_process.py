"""Real scheduler processes for tests: started as a person would, watched through Redis, killed on purpose."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests import nursery
from tests.nursery import Process


def start(env: dict[str, str], *words: str) -> Process:
    """Start `manage.py rqscheduler` with the tests' own task registered."""
    return nursery.start(env, "rqscheduler", *words, modules=("tests.jobs.schedule_world",))


@contextmanager
def running(env: dict[str, str], *words: str) -> Iterator[Process]:
    """Run a scheduler for the length of a with block."""
    process = start(env, *words)
    try:
        yield process
    finally:
        end(process)


def end(process: Process) -> None:
    """Kill a process that still runs, and take it off the system's list."""
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait(10)
    if process.stderr:
        process.stderr.close()


def wait_for(question: Callable[[], Any], seconds: float = 60) -> Any:
    """Ask until the answer is true, and return it; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if answer := question():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"Not within {seconds} seconds: {question}")
