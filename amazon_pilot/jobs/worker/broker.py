"""The broker of a worker with Redis, in packets: what ended goes in, what waits comes out."""

import logging
import random
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from django.conf import settings
from redis.exceptions import ResponseError

from ..core import faults, queues
from ..core.scripts import script
from ..core.taken_job import MARK, TakenJob
from . import outcomes
from .connection import AwayError, Command, Connection
from .pool import Pool, SlotHandle
from .prefetch import Prefetch

logger = logging.getLogger(__name__)

WAKE_UP_REST_SECONDS = 0.02
PACE = 0.005  # seconds between two packets while no slot waits for one: less than the work that lies in slot queues
FOLLOW_UP_SECONDS = 60  # until a slot has begun with a follow-up and has noted how long this one may take


@dataclass
class Packet:
    """What is under way to Redis: the outcomes in it, its parts, and the handles that asked for a job."""

    ended: list[outcomes.Outcome]
    parts: list[outcomes.Part]
    free: list[SlotHandle]


class Broker:
    """The worker's outcomes on their way in, and its jobs on their way out.

    An outcome is ours until Redis has answered: it is in `outcomes`, or in a packet under way. A job is ours from
    that answer on, in the hands of the slot that asked for it.

    In a flood of short jobs two packets are under way: Redis has the next one already while we unpack its last answer.
    """

    def __init__(self, worker: str, names: Sequence[str], connection: Connection, pool: Pool) -> None:
        self.worker = worker
        self.names = list(names)
        self.weights = [settings.QUEUE_WEIGHTS.get(name, 1) for name in self.names]
        self.connection = connection
        self.pool = pool
        self.mark = f"{MARK}-{uuid4().hex[:12]}-"
        self.batch = 0
        self.draw = random.Random()
        self.prefetch = Prefetch()
        self.outcomes: deque[outcomes.Outcome] = deque()
        self.follow_ups: deque[outcomes.FollowUp] = deque()
        self.packets: deque[Packet] = deque()  # under way, in order
        self.takes = Counter(dict.fromkeys(self.names, 0))
        self.ended = Counter(succeeded=0, failed=0, lost=0)
        self.resting: set[str] = set()
        self.is_hungry = True  # the last take left something behind, or something may have come since
        self.is_flooded = False  # the last take brought as many jobs as it asked for
        self.has_rung = False
        self.vain_rings = 0
        self.wake_up_rest_until = 0.0
        self.next_packet = 0.0  # when what has ended is sent although no slot waits

    @property
    def depth(self) -> int:
        """How many jobs may lie behind the one that a slot runs: none unless they are short and more are waiting.

        None either while follow-ups wait for a free slot: they belong to jobs that came before.
        """
        return self.prefetch.depth if self.is_flooded and not self.follow_ups else 0

    def is_due(self, may_take: bool) -> bool:
        """Tell whether something is to be read, sent, taken or done at once."""
        if self.packets:
            return True
        if not self.connection.is_up:
            return False
        if self.pool.idle():
            return bool(self.outcomes or (may_take and self.is_hungry) or self.follow_ups)
        return bool(self.outcomes) and time.monotonic() >= self.next_packet

    @property
    def rest(self) -> float:
        """How many seconds nothing need be heard: every slot has work before it, and what has ended can go together."""
        if not self.outcomes or self.packets or self.pool.idle():
            return 0
        return self.next_packet - time.monotonic()

    def arm_wake_ups(self, may_take: bool) -> None:
        """Have Redis ring for the next job, if one could start."""
        if not self.connection.is_up or not may_take or self.is_hungry or not self.pool.idle():
            return
        if time.monotonic() >= self.wake_up_rest_until:
            self.connection.arm_wake_ups(self.resting)

    def heed_wake_up(self) -> None:
        """A queue has got a job, or had one when its wake-up was armed."""
        self.is_hungry = self.has_rung = True

    def held(self) -> list[TakenJob]:
        """Return the jobs that have left their slot and of whose end Redis has not heard yet."""
        follow_ups = [taken_job for _, taken_job in self.follow_ups if taken_job is not None]
        ended = [*self.outcomes, *(outcome for packet in self.packets for outcome in packet.ended)]
        return [*(outcome.taken_job for outcome in ended), *follow_ups]

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
        """Send what has ended, and ask for jobs; returns whether there was something to send and a line."""
        if not self.connection.is_up:
            return False
        ended = list(self.outcomes)
        free = self.pool.with_room(self.depth) if may_take and (self.is_hungry or ended) else []
        if not ended and not free:
            return False
        now = time.monotonic()
        if now < self.next_packet and not self.pool.idle():
            return False
        self.next_packet = now + PACE
        parts = outcomes.commit(ended, self.worker)
        commands = [part.command for part in parts]
        if free:
            commands.append(self.take_command(len(free), len(self.pool.idle())))
        faults.point("before commit" if ended else "before take")
        try:
            self.connection.post(commands)
        except AwayError:
            return False  # the outcomes are kept and sent again: committing twice changes nothing
        self.packets.append(Packet(ended, parts, free))
        self.outcomes.clear()
        for handle in free:
            handle.asked += 1
        return True

    def collect(self) -> list[tuple[SlotHandle, TakenJob]]:
        """Read the answer to the oldest packet under way; returns the jobs that it brought, each with its handle."""
        packet = self.packets.popleft()
        for handle in packet.free:
            handle.asked -= 1
        try:
            replies = self.connection.collect()
        except AwayError:
            self.outcomes.extend(packet.ended)
            return []
        faults.point("after commit" if packet.ended else "after take")
        came = self.received(packet.free, replies.pop()) if packet.free else []
        for part, reply in zip(packet.parts, replies, strict=True):
            if isinstance(reply, ResponseError):
                self.heed_refusal(part, reply)
            else:
                self.follow_ups.extend(part.read(reply))
        for outcome in packet.ended:
            self.ended[outcome.counts_as] += 1
        return came

    def heed_refusal(self, part: outcomes.Part, error: ResponseError) -> None:
        """Send outcomes that Redis has refused again, each alone, and then as a failure that says so.

        If that is refused as well nothing is left to tell: the run's lease ends, and the recoverer has the job.
        """
        for outcome in part.ended:
            if isinstance(outcome, outcomes.Settled) or (outcome.is_suspect and isinstance(outcome, outcomes.Failed)):
                logger.error("Redis refuses the end of job %s: %s", outcome.taken_job.job_id, error)
            elif outcome.is_suspect or len(part.ended) == 1:
                self.outcomes.append(outcomes.untold(outcome.taken_job, self.worker, 0, f"Redis refused it: {error}"))
            else:
                outcome.is_suspect = True
                self.outcomes.append(outcome)

    def take_command(self, number: int, idle: int) -> Command:
        """Return the TAKE of `number` jobs, each with an order of its own; those after the first `idle` lie behind."""
        self.batch += 1
        orders = queues.draw_orders(self.weights, self.draw, number)
        mark = f"{self.mark}{self.batch}-"
        return script("take").command(self.worker, mark, idle, len(self.names), *self.names, *orders)

    def received(self, free: list[SlotHandle], reply: Any) -> list[tuple[SlotHandle, TakenJob]]:
        """Read the answer to a TAKE: from now on the jobs are in the hands of the slots that asked for them."""
        if isinstance(reply, ResponseError):
            self.connection.go_down(reply)  # a new line begins by asking what Redis believes that we hold
            return []
        jobs, resting, more = reply
        self.is_flooded = len(jobs) == len(free)
        self.is_hungry = self.is_flooded or bool(more)
        self.resting = {name.decode() for name in resting}
        # Once in vain: for a job that we had just taken ourselves. Again and again: for what others take, so it rests.
        self.vain_rings = 0 if jobs else self.vain_rings + self.has_rung
        if self.has_rung and self.vain_rings > 1:
            self.wake_up_rest_until = time.monotonic() + WAKE_UP_REST_SECONDS
        self.has_rung = False
        came = [(handle, TakenJob.from_reply(fields)) for handle, fields in zip(free, jobs, strict=False)]
        for handle, taken_job in came:
            self.takes[taken_job.queue] += 1
            handle.hands.append(taken_job)
        return came

    def distribute(self, came: list[tuple[SlotHandle, TakenJob]]) -> None:
        """Tell each slot of its jobs; what it cannot be told is given back."""
        mail: dict[SlotHandle, list[TakenJob]] = {}
        for handle, taken_job in came:
            mail.setdefault(handle, []).append(taken_job)
        for handle, taken_jobs in mail.items():
            faults.point("before hand out")
            told = self.pool.tell(handle, [taken_job.message for taken_job in taken_jobs])
            faults.point("after hand out")
            for taken_job in taken_jobs[told:]:
                handle.hands.remove(taken_job)
                self.outcomes.append(outcomes.GivenBack(taken_job, self.worker))
                self.prefetch = Prefetch()  # not all went into its slot queue, so nothing is taken ahead for a while

    def ask_slot(self, *words: bytes | str) -> None:
        """Have a slot do something that belongs to no job of ours; the first word says what."""
        self.follow_ups.append((words, None))

    def do_follow_ups(self) -> None:
        """Have free slots do through rq's code what scripts cannot: dependents, callbacks, handlers."""
        if not self.connection.is_up:
            return
        for handle in self.pool.idle():
            if not self.follow_ups:
                return
            message, taken_job = follow_up = self.follow_ups.popleft()
            handle.shared.clear()
            handle.shared.close_within(FOLLOW_UP_SECONDS)
            if self.pool.tell(handle, [message]):
                handle.follow_up = follow_up
                handle.hands.append(taken_job)
            else:
                self.follow_ups.appendleft(follow_up)
