"""The tasks of the benchmarks, for a worker with the whole product loaded."""

import os
import time
from pathlib import Path

from amazon_pilot.jobs import job

from ..stage import leave_record
from . import dying, told

if pace := os.environ.get("TOLD_PACE"):
    told.hurry(float(pace))
if folder := os.environ.get("BENCH_DEATHS"):
    dying.prepare(Path(folder))
if os.environ.get("BENCH_WITHOUT_LOOKING"):  # what each job pays so that it leaves nothing to the next one
    from amazon_pilot.jobs.worker.slot import Slot

    Slot.clear_up = lambda *args: None  # type: ignore[method-assign,assignment]


@job("default")
def noop(queue: int = 0, number: int = 0, text: str = "") -> None:
    """Leave a record; the text is only carried."""
    leave_record(queue, number)


@job("default")
def sleep10(queue: int = 0, number: int = 0) -> None:
    """Leave a record and sleep for 10 ms."""
    leave_record(queue, number)
    time.sleep(0.01)


@job("default")
def fails(queue: int = 0, number: int = 0) -> None:
    """Leave a record and fail."""
    leave_record(queue, number)
    raise ValueError("as was asked")


@job("default", timeout=60)
def look(run_id: int, price: str, at: str) -> str:
    """Keep a made-up listing with this price, as the answer of a run."""
    return told.keep(run_id, price, at)
