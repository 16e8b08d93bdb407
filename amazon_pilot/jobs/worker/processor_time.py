"""How much of a processor a worker and its slots have used lately."""

import os
import time
from collections import deque
from collections.abc import Iterable

LATELY = 10.0  # seconds
LEAST = 0.5  # seconds, of which a share is told
TICKS = os.sysconf("SC_CLK_TCK")


class ProcessorTime:
    """The seconds of processor time that a worker, its slots and their children have used, at the last few looks."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, float]] = deque()

    def share(self, slots: Iterable[int]) -> float | None:
        """Return the share of one processor used within the last ten seconds, 2.0 for two; None at the first look.

        Give the pids of the slots that live. What ended was added to its parent's time, so that no share is lost.
        """
        now, used = time.monotonic(), sum(os.times()[:4]) + sum(map(used_by, slots))
        self._looks.append((now, used))
        while len(self._looks) > 1 and self._looks[1][0] <= now - LATELY:
            self._looks.popleft()
        at, before = self._looks[0]
        return round(max(0.0, used - before) / (now - at), 3) if now - at >= LEAST else None


def used_by(pid: int) -> float:
    """Return the seconds that a process and its ended children have used, 0 where it cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()  # the name before it may hold anything
        return sum(map(int, fields[11:15])) / TICKS
    except (OSError, ValueError):
        return 0.0
