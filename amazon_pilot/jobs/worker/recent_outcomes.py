"""What a slot has said of its last jobs, in memory that outlives the worker.

A worker commits outcomes in packets: killed in a flood of short jobs, it takes a hundred jobs along that have ended and
of whose end Redis has not heard. The writer of the history, which sees this memory too and is told of the worker's
death, commits them then. It need not know which of them Redis has heard of: committing twice changes nothing.
"""

import logging
import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator

from redis.exceptions import RedisError

from ..core.queues import connection
from ..core.taken_job import TakenJob
from . import outcomes
from .messages import Message, opened, packed

logger = logging.getLogger(__name__)

PLACES = 128  # more than a slot's outcomes that a worker can have heard and not yet committed
PLACE = 4096  # bytes; what is larger is not kept, and its job runs again
FRAME = struct.Struct("=II")  # the length of what is kept, and its checksum: a slot may be killed while it writes


class RecentOutcomes:
    """A ring of the last outcomes of one slot. Made before the forks, so that worker, slots and writer see the same."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, PLACES * PLACE)
        self.following = 0

    def keep(self, job: Message, answer: Message) -> None:
        """Keep what the slot has to say of a job, both as messages; a slot does so before it says it."""
        data = packed((job, answer))
        if FRAME.size + len(data) > PLACE:
            return
        start = self.following * PLACE
        self.memory[start : start + FRAME.size + len(data)] = FRAME.pack(len(data), zlib.crc32(data)) + data
        self.following = (self.following + 1) % PLACES

    def __iter__(self) -> Iterator[tuple[Message, Message]]:
        """Return job and answer of each that is whole."""
        for start in range(0, PLACES * PLACE, PLACE):
            length, checksum = FRAME.unpack_from(self.memory, start)
            data = self.memory[start + FRAME.size : start + FRAME.size + min(length, PLACE)]
            if length and zlib.crc32(data) == checksum:
                job, answer = opened(data)
                yield job, answer


def commit_for(worker: str, rings: Iterable[RecentOutcomes]) -> None:
    """Tell Redis of what the slots of a dead worker have said; what cannot be told now runs again."""
    ended = []
    for job, answer in (pair for ring in rings for pair in ring):
        taken_job = TakenJob.from_reply(list(job[1:]))
        taken_job.is_recorded = True  # only the worker knew, and what is not there is forgotten in vain
        outcome = outcomes.from_message(answer, taken_job, worker)
        if isinstance(outcome, outcomes.Succeeded | outcomes.Failed):
            ended.append(outcome)
    for part in outcomes.commit(ended, worker):
        try:
            connection().execute_command(*part.command)
        except RedisError as error:
            logger.warning("%s outcomes of the dead worker %s were not told: %s", len(part.ended), worker, error)
