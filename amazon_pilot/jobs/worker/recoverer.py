"""The recoverer: finds jobs whose worker died or was cut off, and puts them back, a bounded number of times.

Every worker looks each second, and any one is enough; where no worker of a queue lives, the leading scheduler stands
in. A job counts as lost when its lease has not been renewed for 20 seconds; it goes to the head of its queue with one
more attempt, and to the failed ones after three losses.
"""

from redis import Redis

from ..core import queues
from ..core.scripts import script
from ..core.taken_job import MARK
from ..core.values import Command
from ..history.run_event import encode_trace

AT_ONCE = 100
# What a scheduler leaves to the workers, who look each second and have a slot to tell the exception handlers.
LEFT_TO_WORKERS = 3.0
POISON = (
    "Lost three times within 72 hours: the slot or the worker that ran this job died each time, so it is not run again."
)


def command(queue: str) -> Command:
    """Return the command that brings back at most AT_ONCE lost jobs of one queue.

    After an outage of Redis, which shows in that nobody has sent this for a while, nothing is brought back for some
    seconds: the living renew first.
    """
    return script("recover").command(*_words(queue, ahead=0, is_patient=True))


def recover(queue: str, *, ahead: float = 0) -> list[tuple[str, str]]:
    """Bring back the lost jobs of one queue now, because somebody asks for it.

    Returns each job's id and where it is: queued, poison, unopened (queued, with no loss counted) or gone. `ahead`
    counts leases as lost that would be so many seconds from now.
    """
    return verdicts(script("recover")(queues.connection(), *_words(queue, ahead=ahead, is_patient=False)))


def stand_in(connection: Redis) -> list[tuple[str, str]]:
    """Bring back lost jobs of all queues that no worker brought back in time; returns as `recover` does.

    This is for a process that is no worker: exception handlers are not told, for there is no slot to call them in. It
    waits for the living as `command` does.
    """
    stand_by, found = script("recover"), []
    for queue in queues.names():
        found += verdicts(stand_by(connection, *_words(queue, ahead=-LEFT_TO_WORKERS, is_patient=True)))
    return found


def _words(queue: str, *, ahead: float, is_patient: bool) -> Command:
    return queue, MARK, encode_trace(POISON), AT_ONCE, ahead, int(is_patient)


def verdicts(words: list[bytes]) -> list[tuple[str, str]]:
    """Read the script's answer."""
    pairs = zip(words[::2], words[1::2], strict=True)
    return [(entry.decode(errors="replace").rpartition(":")[0], verdict.decode()) for entry, verdict in pairs]
