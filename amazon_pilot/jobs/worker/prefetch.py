"""How long jobs take just now, and so how many of them a slot may be handed at once."""

from collections import deque
from statistics import median_low

from ..core.taken_job import MOMENT
from .outcomes import Outcome

DEEPEST = 32
AHEAD_SECONDS = 0.02  # how much work may lie in a slot queue behind the job that runs
LAST = 15  # jobs


class Prefetch:
    """The durations of the jobs that ended last. It begins slow: nothing is taken ahead on a guess.

    Their median counts, since a job of microseconds takes milliseconds where its slot loses the processor meanwhile;
    but one among them that was long is enough to take nothing ahead.
    """

    def __init__(self, seconds: float = MOMENT) -> None:
        self.last = deque([seconds] * LAST, LAST)

    def note(self, outcome: Outcome) -> None:
        """Learn from one outcome; one that has no duration to tell counts as long."""
        self.last.append(MOMENT if (seconds := outcome.seconds) is None else seconds)

    @property
    def depth(self) -> int:
        """How many jobs may lie behind another; 0 where they take longer than AHEAD_SECONDS."""
        if max(self.last) >= MOMENT:
            return 0
        return min(DEEPEST, int(AHEAD_SECONDS / max(median_low(self.last), 1e-6)))
