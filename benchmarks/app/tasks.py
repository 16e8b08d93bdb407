"""The tasks of the benchmarks, for a worker with the whole product loaded."""

import time

from amazon_pilot.jobs import job

from ..stage import leave_record


@job("default")
def noop(queue: int = 0, number: int = 0) -> None:
    """Leave a record."""
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
