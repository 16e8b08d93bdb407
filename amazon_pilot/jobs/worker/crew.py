"""What a worker does about its slots: hear them, take back what they have not begun, end them, settle for the dead."""

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Sequence

from ..core.taken_job import TakenJob
from . import outcomes
from .broker import Broker
from .messages import GarbageError, Message, opened
from .pool import Pool, SlotHandle
from .slot import LEFT_WORDS

logger = logging.getLogger(__name__)


class Crew:
    """The slots of one worker, between its pool, which forks them, and its broker, which has their outcomes."""

    def __init__(self, worker: str, selector: selectors.BaseSelector, pool: Pool, broker: Broker) -> None:
        self.worker = worker
        self.selector = selector
        self.pool = pool
        self.broker = broker

    @property
    def is_busy(self) -> bool:
        """Tell whether any slot has something to do."""
        return any(handle.hands for handle in self.pool)

    def register(self, handles: Sequence[SlotHandle]) -> None:
        """Listen to slots that were just forked."""
        for handle in handles:
            assert handle.message_socket is not None
            self.selector.register(handle.message_socket, selectors.EVENT_READ, handle)

    def hear_slots(self, spoke: Sequence[SlotHandle]) -> None:
        """Collect what the slots say about their jobs."""
        for handle in spoke:
            self.hear_slot(handle)

    def hear_slot(self, handle: SlotHandle) -> None:
        """Hear one slot; one that says what cannot be understood is ended, and its job with it."""
        if handle.message_socket is None:
            return
        try:
            for message in handle.message_socket.arrived():
                self.hear(handle, message)
        except Exception as error:
            logger.warning(
                "Slot %s is replaced: %s", handle.number, error, exc_info=not isinstance(error, GarbageError)
            )
            handle.kill("garbage")
        if handle.message_socket.has_ended:  # else the selector would tell of that end again and again
            self.unregister(handle)

    def unregister(self, handle: SlotHandle) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(handle.message_socket)  # type: ignore[arg-type]

    def hear(self, handle: SlotHandle, message: Message) -> None:
        """Note one outcome; the slot is free from now on, but the job stays ours until Redis has heard it."""
        outcome = outcomes.from_message(message, handle.taken_job, self.worker)
        taken_job = handle.done()
        if outcome is not None:
            self.broker.outcomes.append(outcome)
            self.broker.prefetch.note(outcome)
        if taken_job is not None and taken_job.was_interrupted:
            handle.kill("interrupted")  # with all that its task had started and did not come back to end
        else:
            self.pool.retire(handle)

    def recall(self, handle: SlotHandle, cancelled: str = "") -> None:
        """Give what lies in a slot's slot queue back to the queues; the job `cancelled` is ended as stopped instead."""
        if len(handle.hands) < 2:
            return
        for taken_job in self.take_back(handle):
            if taken_job.job_id == cancelled:
                self.broker.outcomes.append(outcomes.cancelled_unstarted(taken_job, self.worker, handle.number))
            else:
                self.broker.outcomes.append(outcomes.unbegun(taken_job, self.worker, handle.number))

    def take_back(self, handle: SlotHandle) -> list[TakenJob]:
        """Take from a slot what it has not begun; returns the jobs, while a follow-up goes to the next free slot."""
        taken_jobs, follow_ups = handle.take_back()
        self.broker.follow_ups.extendleft(follow_ups)
        return taken_jobs

    def recall_all(self) -> None:
        for handle in self.pool:
            self.recall(handle)

    def bury_the_dead(self) -> None:
        """Find slots that have died, and decide what becomes of their jobs."""
        for handle, status in self.pool.dead():
            if handle.hands:
                self.hear_slot(handle)  # it may have spoken before it died
            self.unregister(handle)
            unopened = self.take_back(handle)
            try:
                self.settle_for_the_dead(handle, status)
            except Exception as error:
                logger.exception("What became of the job of slot %s cannot be told.", handle.number)
                if handle.taken_job is not None:
                    because = f"its slot died, and then {error!r}"
                    self.broker.outcomes.append(outcomes.untold(handle.taken_job, self.worker, handle.number, because))
            self.broker.outcomes.extend(outcomes.unbegun(each, self.worker, handle.number) for each in unopened)
            self.pool.bury(handle)

    def settle_for_the_dead(self, handle: SlotHandle, status: int) -> None:
        """Decide what becomes of the job that a dead slot had begun."""
        if status == LEFT_WORDS << 8 and (message := handle.shared.last_words):
            self.hear(handle, opened(message))
        if handle.taken_job is None:
            return
        because = handle.cause_of_death(status)
        logger.warning("Slot %s died under job %s: %s.", handle.number, handle.taken_job.job_id, because)
        outcome = outcomes.of_the_dead(handle.taken_job, self.worker, handle.number, handle.shared, because)
        if isinstance(outcome, outcomes.Failed) and outcome.taken_job.is_rare:
            outcome.is_again = handle.follow_up is not None
            self.broker.follow_ups.extend(
                outcome.follow_ups(outcomes.HAS_DEPENDENTS)
            )  # callbacks and the like are rq's own
        else:
            self.broker.outcomes.append(outcome)
        if handle.shared.has_committed:
            self.broker.ask_slot(*outcomes.ended_message(handle.taken_job))
        elif isinstance(outcome, outcomes.Failed) and because in outcomes.KILLED:
            self.broker.ask_slot(*outcomes.killed_message(outcome, because))

    def cancel(self, job_id: str, execution_id: str, grace: float, by: str) -> None:
        """Ask a running job to end, and have it killed after `grace` seconds."""
        self.broker.settle()  # else a packet under way would put a job behind it
        handle = self.pool.holder(job_id, execution_id)
        if handle is None:
            logger.warning("Job %a does not run here, so it was not cancelled.", job_id)
            return
        self.recall(handle, cancelled=job_id)
        if len(handle.hands) != 1 or handle.taken_job is None or handle.taken_job.job_id != job_id:
            return  # it had not begun, or it has ended and the slot does the next one already
        handle.taken_job.cancelled_by = by
        handle.taken_job.kill_at = time.monotonic() + grace
        with contextlib.suppress(ProcessLookupError):
            os.kill(handle.pid, signal.SIGUSR1)

    def kill_slots(self, number: int) -> None:
        """Kill the slot of that number, or with 0 all that run a job."""
        for handle in self.pool:
            if handle.taken_job is not None and number in (0, handle.number):
                handle.kill("killed on request")

    def ask_stack(self, job_id: str) -> None:
        """Ask a running job where it is."""
        handle = self.pool.holder(job_id)
        if handle is not None and handle.taken_job is not None and handle.taken_job.job_id == job_id:
            handle.ask_stack()

    def watch(self) -> None:
        """Kill what is over its time or memory, and take back what lies behind a job that is longer than was hoped."""
        for handle, because in self.pool.overdue():
            handle.kill(because)
        for handle in self.pool:
            front = handle.taken_job
            if handle.follow_up is not None or (front is not None and front.is_long):
                self.recall(handle)

    def give_up(self, gone: list[TakenJob]) -> None:
        """Kill the slots whose jobs were given to somebody else."""
        for taken_job in gone:
            if (handle := self.pool.holder(taken_job.job_id, taken_job.execution_id)) is None:
                continue
            if handle.taken_job is not taken_job:
                self.recall(handle)
            elif not handle.shared.has_committed:  # else it is its own end that took the lease
                self.hear_slot(handle)  # it may have ended, and the next job have cleared the shared memory
                if handle.taken_job is taken_job:
                    handle.kill("lease lost")

    def held(self) -> list[TakenJob]:
        """Return every job that is ours at this moment."""
        return [*self.pool.taken_jobs(), *self.broker.held()]
