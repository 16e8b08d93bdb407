"""The exchange of a worker with Redis, in packets: what ended goes in, what waits comes out."""

import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.conf import settings

from ..core import faults, queues
from ..core.scripts import script
from ..core.taken_job import MARK, Assignment
from . import outcomes
from .connection import AwayError, Command, Link
from .pool import Crew, Place
from .prefetch import Pace

BELL_REST_SECONDS = 0.02
CHORE_SECONDS = 60  # until a slot has begun with a chore and has noted how long this one may take
LETTERS = "abcdefghijklmnopqrstuvwxyz"  # by which TAKE knows the queues


@dataclass
class Packet:
    """What is under way to Redis: the outcomes in it, who reads the replies, and the places that asked for a job."""

    ended: list[outcomes.Ending]
    readers: list[outcomes.Reader]
    free: list[Place]


class Exchange:
    """The worker's outcomes on their way in, and its jobs on their way out.

    An outcome is ours until Redis has answered: it is in `outcomes`, or in a packet under way. A job is ours from
    that answer on, in the hands of the slot that asked for it.

    In a flood of short jobs two packets are under way: Redis has the next one already while we unpack its last answer.
    """

    def __init__(self, worker: str, names: Sequence[str], link: Link, crew: Crew) -> None:
        self.worker = worker
        self.names = list(names)
        self.weights = [settings.QUEUE_WEIGHTS.get(name, 1) for name in self.names]
        self.link = link
        self.crew = crew
        self.mark = f"{MARK}-{uuid4().hex[:12]}-"
        self.batch = 0
        self.draw = random.Random()
        self.pace = Pace()
        self.outcomes: deque[outcomes.Ending] = deque()
        self.chores: deque[outcomes.Chore] = deque()
        self.packets: deque[Packet] = deque()  # under way, in order
        self.takes = Counter(dict.fromkeys(self.names, 0))
        self.ended = Counter(succeeded=0, failed=0, lost=0)
        self.resting: set[str] = set()
        self.is_hungry = True  # the last take left something behind, or something may have come since
        self.is_flooded = False  # the last take brought as many jobs as it asked for
        self.has_rung = False
        self.vain_rings = 0
        self.bell_rest_until = 0.0

    @property
    def depth(self) -> int:
        """How many jobs may lie behind the one that a slot runs: none unless they are short and more are waiting.

        None either while chores wait for a free slot: they belong to jobs that came before.
        """
        return self.pace.depth if self.is_flooded and not self.chores else 0

    def is_due(self, may_take: bool) -> bool:
        """Tell whether something is to be read, sent, taken or done at once."""
        if self.packets:
            return True
        has_idle_slot = bool(self.crew.idle())
        return self.link.is_up and bool(
            self.outcomes or (may_take and self.is_hungry and has_idle_slot) or (self.chores and has_idle_slot)
        )

    def arm_bells(self, may_take: bool) -> None:
        """Have Redis ring for the next job, if one could start."""
        if not self.link.is_up or not may_take or self.is_hungry or not self.crew.idle():
            return
        if time.monotonic() >= self.bell_rest_until:
            self.link.arm_bells(self.resting)

    def heed_bell(self) -> None:
        """A queue has got a job, or had one when its bell was armed."""
        self.is_hungry = self.has_rung = True

    def held(self) -> list[Assignment]:
        """Answer the jobs that have left their slot and of whose end Redis has not heard yet."""
        chores = [assignment for _, assignment in self.chores if assignment is not None]
        ended = [*self.outcomes, *(ending for packet in self.packets for ending in packet.ended)]
        return [*(ending.assignment for ending in ended), *chores]

    def turn(self, may_take: bool) -> None:
        """Send a packet, then read answers until no more are under way than may be."""
        under_way = 1 if self.post(may_take) and self.depth else 0
        while len(self.packets) > under_way:
            self.distribute(self.collect())

    def settle(self) -> None:
        """Have no packet under way any more."""
        while self.packets:
            self.distribute(self.collect())

    def post(self, may_take: bool) -> bool:
        """Send what has ended, and ask for jobs; answers whether there was something to send and a line."""
        if not self.link.is_up:
            return False
        ended = list(self.outcomes)
        free = self.crew.with_room(self.depth) if may_take and (self.is_hungry or ended) else []
        if not ended and not free:
            return False
        commands, readers = outcomes.commit(ended, self.worker)
        if free:
            commands.append(self.take_command(len(free)))
        faults.point("before commit" if ended else "before take")
        try:
            self.link.post(commands)
        except AwayError:
            return False  # the outcomes are kept and sent again: committing twice changes nothing
        self.packets.append(Packet(ended, readers, free))
        self.outcomes.clear()
        for place in free:
            place.asked += 1
        return True

    def collect(self) -> list[tuple[Place, Assignment]]:
        """Read the answer to the oldest packet under way; answers the jobs that it brought, each with its place."""
        packet = self.packets.popleft()
        for place in packet.free:
            place.asked -= 1
        try:
            replies = self.link.collect()
        except AwayError:
            self.outcomes.extend(packet.ended)
            return []
        faults.point("after commit" if packet.ended else "after take")
        came = self.received(packet.free, replies.pop()) if packet.free else []
        for reader, reply in zip(packet.readers, replies, strict=True):
            self.chores.extend(reader(reply))
        for ending in packet.ended:
            self.ended[ending.counts_as] += 1
        return came

    def take_command(self, number: int) -> Command:
        """Answer the TAKE of `number` jobs, each with an order of its own."""
        self.batch += 1
        orders = ["".join(LETTERS[n] for n in queues.draw_order(self.weights, self.draw)) for _ in range(number)]
        mark = f"{self.mark}{self.batch}-"
        return script("take").command(self.worker, mark, len(self.names), *self.names, *orders)

    def received(self, free: list[Place], reply: Any) -> list[tuple[Place, Assignment]]:
        """Read the answer to a TAKE: from now on the jobs are in the hands of the slots that asked for them."""
        jobs, resting, more = reply
        self.is_flooded = len(jobs) == len(free)
        self.is_hungry = self.is_flooded or bool(more)
        self.resting = {name.decode() for name in resting}
        # Once in vain: for a job that we had just taken ourselves. Again and again: for what others take, so it rests.
        self.vain_rings = 0 if jobs else self.vain_rings + self.has_rung
        if self.has_rung and self.vain_rings > 1:
            self.bell_rest_until = time.monotonic() + BELL_REST_SECONDS
        self.has_rung = False
        came = [(place, Assignment.from_reply(fields)) for place, fields in zip(free, jobs, strict=False)]
        for place, assignment in came:
            self.takes[assignment.queue] += 1
            place.hands.append(assignment)
        return came

    def distribute(self, came: list[tuple[Place, Assignment]]) -> None:
        """Tell each slot of its jobs; what it cannot be told is given back."""
        mail: dict[Place, list[Assignment]] = {}
        for place, assignment in came:
            mail.setdefault(place, []).append(assignment)
        for place, assignments in mail.items():
            faults.point("before hand out")
            told = self.crew.tell(place, [assignment.message for assignment in assignments])
            faults.point("after hand out")
            for assignment in assignments[told:]:
                place.hands.remove(assignment)
                self.outcomes.append(outcomes.GivenBack(assignment, self.worker))
                self.pace = Pace()  # not all went into its mailbox, so nothing is taken ahead for a while

    def ask_slot(self, *words: bytes | str) -> None:
        """Have a slot do something that belongs to no job of ours; the first word says what."""
        self.chores.append((words, None))

    def do_chores(self) -> None:
        """Have free slots do through rq's code what scripts cannot: dependents, callbacks, handlers."""
        if not self.link.is_up:
            return
        for place in self.crew.idle():
            if not self.chores:
                return
            message, assignment = chore = self.chores.popleft()
            place.cell.clear()
            place.cell.close_within(CHORE_SECONDS)
            if self.crew.tell(place, [message]):
                place.chore = chore
                place.hands.append(assignment)
            else:
                self.chores.appendleft(chore)
