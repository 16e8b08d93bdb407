"""One job in the hands of a worker: what TAKE answered, and what the worker notes while a slot runs it."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, cast

from django.conf import settings

from .fields import TAKEN
from .limits import ATTEMPTS, LONGEST
from .payload import parsed, unpacked
from .values import Json

PLACE = {name: n for n, name in enumerate(TAKEN)}
MOMENT = 0.1  # a job that runs longer is shown in rq's execution records, and nothing lies behind it in a slot queue
MARK = "pilot"  # begins every execution id of ours, so that the recoverer leaves a stock worker's entries alone


class Taken(NamedTuple):
    """TAKE's own answer for one job, which is handed on to a slot as it came."""

    queue: bytes
    job_id: bytes
    execution_id: bytes
    is_rare: int
    fields: list[bytes | None]


NOTHING = Taken(b"", b"", b"", 0, [])


@dataclass(slots=True)
class TakenJob:
    """A taken job. `fields` are the job's own, as bytes or None, in the order of TAKEN."""

    queue: str
    job_id: str
    execution_id: str
    is_rare: bool
    fields: list[bytes | None]
    reply: Taken = NOTHING
    taken_at: float = field(default_factory=time.monotonic)
    taken_on: float = field(default_factory=time.time)
    is_recorded: bool = False
    cancelled_by: str = ""
    kill_at: float | None = None
    _payload: bytes | None = None

    @classmethod
    def from_reply(cls, reply: Iterable[object]) -> "TakenJob":
        """Read one job out of TAKE's answer, or out of the message by which a worker hands it to a slot.

        An id that is no UTF-8 is readable in `job_id` and whole in `run_id`.
        """
        taken = Taken._make(reply)
        words = [word.decode(errors="replace") for word in taken[:3]]
        return cls(words[0], words[1], words[2], bool(taken.is_rare), taken.fields, taken)

    def begin(self) -> None:
        """Note that the slot begins with it now; until then it lay behind another job."""
        self.taken_at = time.monotonic()
        self.taken_on = time.time()

    @property
    def is_long(self) -> bool:
        """Tell whether it has run longer than is hoped of a job behind which others lie."""
        return time.monotonic() - self.taken_at > MOMENT

    @property
    def message(self) -> tuple[object, ...]:
        return ("job", *self.reply)

    @property
    def entry(self) -> bytes:
        return b"%b:%b" % self.run_id[1:]

    @property
    def run_id(self) -> tuple[bytes, bytes, bytes]:
        """Queue, job id and execution id as Redis has them: the words by which every script finds this run."""
        return self.reply[:3]

    def text(self, name: str) -> str:
        """Return one field as text, '' where the job has none."""
        value = self.fields[PLACE[name]]
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")

    def number(self, name: str) -> int | None:
        """Return one field as a whole number from -1 to LONGEST, None if the job has none.

        What a stranger wrote may be of any size; beyond these bounds neither Redis nor a clock takes it.
        """
        try:
            return max(-1, min(int(self.fields[PLACE[name]] or b""), LONGEST))
        except (TypeError, ValueError):
            return None

    @property
    def retry_intervals(self) -> list[int]:
        """Seconds between the attempts, as the job was enqueued; none if the field holds no list of numbers."""
        found = parsed(self.text("retry_intervals"))
        intervals = found if isinstance(found, list) else []
        numbers = [each for each in intervals if isinstance(each, int | float) and not isinstance(each, bool)]
        if len(numbers) < len(intervals):
            return []
        return [int(max(0, min(each, LONGEST))) for each in numbers if each == each]

    @property
    def timeout(self) -> int | None:
        """Seconds that the job may run; None where it asked for no limit."""
        seconds = self.number("timeout")
        if not seconds:
            seconds = int(cast(float, settings.RQ_QUEUES.get(self.queue, {}).get("DEFAULT_TIMEOUT", 180)))
        return seconds if seconds > 0 else None

    @property
    def was_interrupted(self) -> bool:
        """Tell whether a signal, for a cancel or the timeout, has broken into the task."""
        if self.cancelled_by:
            return True
        seconds = time.monotonic() - self.taken_at
        return seconds >= 1 and self.timeout is not None and seconds >= self.timeout  # no limit is shorter

    @property
    def attempt(self) -> int:
        return max(1, min(self.number("attempt") or 1, ATTEMPTS))

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
    def meta(self) -> dict[str, Json]:
        meta = parsed(self.text("meta"))
        return meta if isinstance(meta, dict) else {}
