"""What becomes of our worker's rate as things grow: the backlog, the arguments, the number of workers, a flood above.

Each figure is of jobs that leave a record and nothing else, from the first record to the last of those looked at.
"""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from . import ours, stage

BACKLOGS = (10_000, 100_000, 1_000_000)
LOOKED_AT = 10_000  # of a backlog
SIZES = {"none": 0, "1kb": 1_000, "10kb": 10_000}
JOBS = 10_000  # of each size, and for each number of workers
WORKERS = (1, 2, 4)
FLOOD, LOW = 30_000, 200


def measure(folder: Path) -> dict[str, float]:
    """Return every figure; about five minutes, most of which enqueue the largest backlog."""
    found: dict[str, float] = {}
    for backlog in BACKLOGS:
        before = ours.redis().info("memory")["used_memory"]
        ours.load("noop", backlog)
        found[f"redis_bytes_per_waiting_job_of_{backlog}"] = (
            ours.redis().info("memory")["used_memory"] - before
        ) / backlog
        found[f"rate_backlog_{backlog}"] = rate(folder, LOOKED_AT if backlog > LOOKED_AT else backlog)
    for size, signs in SIZES.items():
        load_low(JOBS, "x" * signs)
        found[f"rate_arguments_{size}"] = rate(folder, JOBS)
    for workers in WORKERS:
        ours.load("noop", JOBS)
        found[f"rate_workers_{workers}"] = rate(folder, JOBS, workers)
    return found | under_a_flood(folder)


def load_low(number: int, text: str, queue: str = "default") -> None:
    """Enqueue jobs on one queue that carry a text and are marked by a 2."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    enqueue(tasks.noop, [((2, n, text), {}) for n in range(number)], queue=queue)


def rate(folder: Path, number: int, workers: int = 1) -> float:
    """Have workers start so many jobs of what is enqueued, forget the rest, and return how many began in a second."""
    begun = sorted(record[0] for record in begun_by(folder, number, workers))[:number]
    return (number - 1) / (begun[-1] - begun[0])


def begun_by(folder: Path, number: int, workers: int = 1) -> list[tuple[float, int, int]]:
    """Return the records of so many jobs at least; afterwards Redis is empty and there is no record."""
    path = folder / "records"
    with ExitStack() as stack:
        first = stack.enter_context(ours.held_back(folder))
        for _ in range(workers - 1):
            stack.enter_context(stage.process(["manage.py", "rqworker"], dict(os.environ), folder / "log"))
        end = time.monotonic() + ours.PATIENCE
        while ours.redis().zcard("pilot:workers") < workers:
            if time.monotonic() > end:
                raise RuntimeError(f"{workers} workers did not come up")
            time.sleep(0.1)
        ours.go()
        stage.wait_for_records(path, number, ours.PATIENCE, lambda: Path(f"/proc/{first.pid}").exists())
    found = stage.records(path)
    path.unlink()
    ours.redis().flushdb()
    return found


def under_a_flood(folder: Path) -> dict[str, float]:
    """Return which share of the starts `low` had while `critical` was full; by weight it is a seventh."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    enqueue(tasks.noop, [((0, n), {}) for n in range(FLOOD)], queue="critical")
    load_low(LOW, "", "low")
    found = begun_by(folder, LOW * 10)
    until = max(place for place, record in enumerate(found) if record[1] == 2) + 1
    return {"low_share_under_critical_percent": LOW * 100 / until}
