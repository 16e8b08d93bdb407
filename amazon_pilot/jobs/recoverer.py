"""The recoverer: finds jobs whose worker died or was cut off, and puts them back, a bounded number of times.

Every worker looks each second, and any one is enough. A job counts as lost when its lease has not been renewed
for 20 seconds; it goes to the head of its queue with one more attempt, and to the failed ones after three losses.
"""

from typing import Any

from rq.utils import as_text

from . import queues
from .assignment import MARK
from .record import encode_trace
from .scripts import script

AT_ONCE = 100
POISON = (
    "Lost three times within 72 hours: the slot or the worker that ran this job died each time, so it is not run again."
)


def command(queue: str) -> tuple[Any, ...]:
    """Answer the command that brings back at most AT_ONCE lost jobs of one queue.

    After an outage of Redis, which shows in that nobody has sent this for a while, nothing is brought back for some
    seconds: the living renew first.
    """
    return script("recover").command(*_words(queue, ahead=0, is_patient=True))


def recover(queue: str, *, ahead: float = 0) -> list[tuple[str, str]]:
    """Bring back the lost jobs of one queue now, because somebody asks for it.

    Answers each job's id and where it is: queued, poison or gone. `ahead` counts leases as lost that would be so many
    seconds from now.
    """
    return verdicts(script("recover")(queues.connection(), *_words(queue, ahead=ahead, is_patient=False)))


def _words(queue: str, *, ahead: float, is_patient: bool) -> tuple[Any, ...]:
    return queue, MARK, encode_trace(POISON), AT_ONCE, ahead, int(is_patient)


def verdicts(words: list[bytes]) -> list[tuple[str, str]]:
    """Read the script's answer."""
    pairs = zip(words[::2], words[1::2], strict=True)
    return [(as_text(entry).rpartition(":")[0], as_text(verdict)) for entry, verdict in pairs]
