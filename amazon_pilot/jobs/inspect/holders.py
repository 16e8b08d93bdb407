"""Unique keys and rate limits: who holds what, until when, and who waits. A bounded part of each is read."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from rq.utils import as_text, utcparse

from ..core.fields import HOLDER
from ..core.payload import shown_call_of, unpacked
from ..core.scripts import script
from ..core.values import Call
from . import store
from .words import moment_at, whole_number

LOOKED_AT, KEYS_SHOWN, LIMITS_SHOWN, JOBS_SHOWN = 400, 100, 50, 10


@dataclass(frozen=True)
class Holder:
    """A job that holds a key or a permit, or waits for one; `since` is when it took it or began to wait."""

    id: str
    since: datetime
    fields: dict[str, str]
    call: Call
    due: datetime | None = None

    @property
    def state(self) -> str:
        status = self.fields["status"]
        return "held" if status == "deferred" and self.fields["held"] else status

    @property
    def started_at(self) -> datetime | None:
        """When it began; None while it waits."""
        return moment(self.fields["started_at"]) if self.state == "started" else None

    @property
    def until(self) -> datetime | None:
        """When what it holds is free at the latest, by its timeout; None while it does not run, or may run for ever."""
        seconds = whole_number(self.fields["timeout"], 10**9)
        return self.started_at + timedelta(seconds=seconds) if self.started_at and seconds else None

    @property
    def joined(self) -> int:
        """How many further calls with the same arguments joined it instead of becoming jobs."""
        return whole_number(self.fields["joined"], 10**9) or 0


@dataclass(frozen=True)
class Limit:
    """One rate limit: how many permits it has, how many are held, how many jobs wait, and the first of each."""

    name: str
    permits: int | None
    held: int
    waiting: int
    holders: list[Holder] = field(default_factory=list)
    next: list[Holder] = field(default_factory=list)


@dataclass(frozen=True)
class Holders:
    """What is shown at once. `is_whole` is False if there are more unique keys than were looked at or are shown."""

    keys: list[Holder]
    limits: list[Limit]
    following: str
    is_whole: bool


def look(cursor: str = "0") -> Holders:
    """Return the unique keys that are held, the oldest first, and the part of the rate limits behind a cursor.

    One command, whose work is bounded however many there are.
    """
    at = cursor if cursor.isascii() and cursor.isdigit() and len(cursor) < 20 else "0"
    command = LOOKED_AT, KEYS_SHOWN, at, LIMITS_SHOWN, JOBS_SHOWN
    known, keys, following, limits = script("holders")(store.connect(), *command)
    return Holders(
        keys=[holder(id, since, job) for _name, since, id, job in keys],
        limits=sorted((limit(row) for row in limits), key=lambda each: (-each.waiting, -each.held, each.name)),
        following="" if following == b"0" else as_text(following),
        is_whole=known <= LOOKED_AT and len(keys) < KEYS_SHOWN,
    )


def limit(row: list[Any]) -> Limit:
    """Return one limit out of the script's answer."""
    name, permits, held, waiting, holders, following = row
    return Limit(
        name.decode(errors="replace"), whole_number(as_text(permits), 10**9), held, waiting,
        [holder(*each) for each in holders], [holder(*each) for each in following],
    )  # fmt: skip


def holder(id: bytes, since: bytes, job: list[bytes]) -> Holder:
    """Return one job out of the script's answer."""
    *words, data, due = job
    fields = dict(zip(HOLDER, (word.decode(errors="replace") for word in words), strict=True))
    payload = unpacked(data).decode(errors="replace")
    call = shown_call_of(payload, fields["task"]) if data else (fields["task"], [], {})
    return Holder(id.decode(errors="replace"), moment_at(since), fields, call, moment_at(due) if due else None)


def moment(text: str) -> datetime | None:
    """Return a time as rq writes it, None for what is none."""
    try:
        return utcparse(text) if text else None
    except ValueError:
        return None
