"""How a worker shows itself: rq's record of it, and one snapshot a second for the monitor."""

import json
import os
import platform
import socket
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from django.conf import settings
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import utcformat
from rq.version import VERSION

from ... import __version__
from ..core import keys
from ..core.scripts import insisting, script
from ..core.values import Command, Json, Word
from .broker import Broker
from .pool import Pool, SlotHandle
from .processor_time import ProcessorTime

RECORD_SECONDS = 90  # a killed worker leaves rq's lists after so long
SNAPSHOT_SECONDS = 3600  # the monitor shows a dead worker for so long
LOG_SECONDS = 10  # the tail of a running job's log is renewed each second; the whole is in its JobRun
LOG_TAIL = 4096  # bytes
STACK_SECONDS = 600  # for which a stack that was asked for is shown


class Heartbeat:
    """The records of one worker in Redis, each as one command for a packet."""

    def __init__(self, worker: str, names: Sequence[str], weights: Sequence[int]) -> None:
        self.worker = worker
        self.names = list(names)
        self.weights = list(weights)
        self.key = f"{RQ_KEY_PREFIX}:worker:{worker}"
        self.born_at = datetime.now(UTC)
        self.processor_time = ProcessorTime()
        self.runs = {
            "release": settings.RELEASE, "version": __version__, "python": platform.python_version(), "rq": VERSION,
        }  # fmt: skip

    def birth(self) -> Command:
        """Forget a worker of the same name and appear in rq's lists."""
        return insisting(("DEL", self.key), *self._record("idle"))

    def beat(self, state: str) -> Command:
        """Renew rq's record, and write it anew where Redis has lost it."""
        return insisting(*self._record(state))

    def _record(self, state: str) -> list[Command]:
        record: dict[str, Word] = {
            "birth": utcformat(self.born_at),
            "last_heartbeat": utcformat(datetime.now(UTC)),
            "queues": ",".join(self.names),
            "pid": os.getpid(),
            "hostname": socket.gethostname(),
            "ip_address": "unknown",
            "version": VERSION,
            "python_version": sys.version,
            "state": state,
        }
        words = [word for pair in record.items() for word in pair]
        commands: list[Command] = [("HSET", self.key, *words), ("EXPIRE", self.key, RECORD_SECONDS)]
        lists = [f"{RQ_KEY_PREFIX}:workers", *(f"{RQ_KEY_PREFIX}:workers:{name}" for name in self.names)]
        return [*commands, *(("SADD", each, self.key) for each in lists)]

    def death(self) -> Command:
        """Leave rq's lists, as its register_death does, and the monitor's."""
        lists = [f"{RQ_KEY_PREFIX}:workers", *(f"{RQ_KEY_PREFIX}:workers:{name}" for name in self.names)]
        return insisting(
            *(("SREM", each, self.key) for each in lists),
            ("HSET", self.key, "death", utcformat(datetime.now(UTC)), "state", "idle"),
            ("EXPIRE", self.key, 60),
            ("DEL", f"{self.key}:executions", keys.worker(self.worker)),
            ("ZREM", keys.WORKERS, self.worker),
        )

    def snapshot(self, pool: Pool, broker: Broker, state: str) -> Command:
        """Write what each slot does now, the end of its job's log, and what the worker has done since its start.

        `state` is working, quiet or leaving. When it was seen is said by Redis, whose clock is everybody's.
        """
        picture = {
            "worker": self.worker,
            "state": state,
            "pid": os.getpid(),
            "host": platform.node(),
            "born": self.born_at.timestamp(),
            "clock": time.time(),
            "queues": dict(zip(self.names, self.weights, strict=True)),
            "takes": broker.takes,
            "ended": broker.ended,
            "cpu": self.processor_time.share(handle.pid for handle in pool if handle.pid),
            "runs": self.runs,
            "slots": [self._slot(handle) for handle in pool],
        }
        held = [(handle.taken_job, handle.shared.tail(LOG_TAIL)) for handle in pool if handle.taken_job is not None]
        logs = [word for job, tail in held if tail for word in (job.execution_id, tail)]
        return script("show").command(self.worker, json.dumps(picture), SNAPSHOT_SECONDS, LOG_SECONDS, *logs)

    def stacks(self, pool: Pool) -> list[Command]:
        """Return what shows the stacks that were asked for and have come; each is shown once."""
        told = [(handle, handle.shared.stack) for handle in pool if handle.stack_of]
        commands = [
            insisting(("SET", keys.stack(handle.stack_of), stack, "EX", STACK_SECONDS))
            for handle, stack in told
            if stack
        ]
        for handle, stack in told:
            if stack:
                handle.stack_of = ""
        return commands

    def _slot(self, handle: SlotHandle) -> dict[str, Json]:
        shown: dict[str, Json] = {"slot": handle.number, "pid": handle.pid, "jobs": handle.jobs_done}
        if held := handle.taken_job:
            percent, text = handle.shared.progress
            shown |= {"job": held.job_id, "execution": held.execution_id, "task": held.task, "queue": held.queue}
            shown |= {"since": held.taken_on, "percent": percent, "progress": text, "memory": handle.memory()}
            shown |= {"cancelled": bool(held.cancelled_by)}
        return shown
