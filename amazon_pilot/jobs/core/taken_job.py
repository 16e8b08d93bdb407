"""One job in the hands of a worker: what TAKE answered, and what the worker notes while a slot runs it."""

import json
import time
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings

from .fields import TAKEN
from .payload import unpacked

PLACE = {name: n for n, name in enumerate(TAKEN)}
MOMENT = 0.1  # a job that runs longer is shown in rq's execution records, and nothing lies behind it in a slot queue
MARK = "pilot"  # begins every execution id of ours, so that the recoverer leaves a stock worker's entries alone


@dataclass(slots=True)
class TakenJob:
    """A taken job. `fields` are the job's own, as bytes or None, in the order of TAKEN."""

    queue: str
    job_id: str
    execution_id: str
    is_rare: bool
    fields: list[Any]
    reply: list[Any] = field(default_factory=list)  # TAKE's own answer, to be handed on as it came
    taken_at: float = field(default_factory=time.monotonic)
    taken_on: float = field(default_factory=time.time)
    is_recorded: bool = False
    cancelled_by: str = ""
    kill_at: float | None = None
    _payload: bytes | None = None

    @classmethod
    def from_reply(cls, reply: list[Any]) -> "TakenJob":
        """Read one job out of TAKE's answer, or out of the message by which a worker hands it to a slot."""
        queue, job_id, execution_id, rare, fields = reply
        return cls(queue.decode(), job_id.decode(), execution_id.decode(), bool(rare), fields, reply)

    def begin(self) -> None:
        """Note that the slot begins with it now; until then it lay behind another job."""
        self.taken_at = time.monotonic()
        self.taken_on = time.time()

    @property
    def is_long(self) -> bool:
        """Tell whether it has run longer than is hoped of a job behind which others lie."""
        return time.monotonic() - self.taken_at > MOMENT

    @property
    def message(self) -> tuple[Any, ...]:
        return ("job", *self.reply)

    @property
    def entry(self) -> str:
        return f"{self.job_id}:{self.execution_id}"

    @property
    def run_id(self) -> tuple[str, str, str]:
        """Queue, job id and execution id: the words by which every script finds this run."""
        return self.queue, self.job_id, self.execution_id

    def text(self, name: str) -> str:
        """Return one field as text, '' where the job has none."""
        value = self.fields[PLACE[name]]
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")

    def number(self, name: str) -> int | None:
        """Return one field as a number, None where the job has none."""
        try:
            return int(self.fields[PLACE[name]])
        except (TypeError, ValueError):
            return None

    @property
    def timeout(self) -> int | None:
        """Seconds that the job may run; None where it asked for no limit."""
        default: Any = settings.RQ_QUEUES.get(self.queue, {}).get("DEFAULT_TIMEOUT", 180)
        seconds = self.number("timeout") or int(default)
        return seconds if seconds > 0 else None

    @property
    def was_interrupted(self) -> bool:
        """Tell whether a signal, for a cancel or the timeout, has broken into the task."""
        overtime = self.timeout is not None and time.monotonic() >= self.taken_at + self.timeout
        return bool(self.cancelled_by) or overtime

    @property
    def attempt(self) -> int:
        return self.number("attempt") or 1

    @property
    def task(self) -> str:
        """The task's name as far as it can be told without reading the payload."""
        return self.text("task") or self.text("description").partition("(")[0]

    @property
    def data(self) -> bytes:
        """The payload as it lies in Redis."""
        return bytes(self.fields[PLACE["data"]] or b"")

    @property
    def payload(self) -> bytes:
        """The payload as JSON."""
        if self._payload is None:
            self._payload = unpacked(self.data)
        return self._payload

    @property
    def meta(self) -> dict[str, Any]:
        if not (text := self.text("meta")):
            return {}
        try:
            meta = json.loads(text)
        except ValueError:
            return {}
        return meta if isinstance(meta, dict) else {}
