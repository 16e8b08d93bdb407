"""How long jobs take just now, and so how many of them a slot may be handed at once."""

from .outcomes import Outcome, Succeeded

DEEPEST = 32
AHEAD_SECONDS = 0.02  # how much work may lie in a slot queue behind the job that runs


class Prefetch:
    """The mean duration of the jobs that ended last. It begins slow: nothing is taken ahead on a guess."""

    def __init__(self) -> None:
        self.mean = 1.0

    def note(self, outcome: Outcome) -> None:
        """Learn from one outcome; whatever did not succeed counts as slow."""
        seconds = outcome.words[4] - outcome.words[3] if isinstance(outcome, Succeeded) else 1.0
        self.mean += (seconds - self.mean) / 16

    @property
    def depth(self) -> int:
        """How many jobs may lie behind another; 0 where they take longer than AHEAD_SECONDS."""
        return min(DEEPEST, int(AHEAD_SECONDS / max(self.mean, 1e-6)))
