"""What the sandbox remembers, as small JSON files under var/sandbox, so that several web processes share it.

A file appears whole (written beside its place, then renamed), and belongs to whoever removes it first. A run's file
says when it started and how it will end; its state at any time follows from the clock, so no process advances it.
"""

import contextlib
import json
import os
import secrets
import shutil
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.conf import settings

MOST_RUNS = 3000


@dataclass(frozen=True)
class Options:
    """How long things take, in seconds: a run, and a completion at least and at most."""

    run_seconds: float = 3.0
    least_answer_seconds: float = 0.5
    most_answer_seconds: float = 2.0


@dataclass(frozen=True)
class Fault:
    """One failure, for the next call of `service` whose operation is `on` (empty: any operation).

    Operations: start, get, abort, list, items, input, webhook (with `breaks` one call is lost); completion. `status`,
    with `kind` and `message`, answers an error; `breaks` spoils the answer: reset (the connection ends), json, html,
    drip (in pieces, for `delay` seconds); `delay` alone is a slow answer. `commits` says that a start does its work,
    and is paid, before it fails. `ends` and `items` make a run end as FAILED, ABORTED or TIMED-OUT with so many items.
    `hides_agent` leaves the user agent out. `body` is served in place of the items, `cost_usd` as what a run cost.
    `output` spoils what the model writes:
    truncated, refused, filtered, invalid, prose, thinking, bom, tail, unstorable (signs that no database keeps), empty,
    unmetered, countless (10**12 tokens).
    """

    service: str
    on: str = ""
    status: int = 0
    kind: str = ""
    message: str = "Asked for by the sandbox's control."
    retry_after: float | None = None
    delay: float = 0.0
    breaks: str = ""
    commits: bool = False
    ends: str = ""
    items: int | None = None
    hides_agent: bool = False
    body: str = ""
    cost_usd: float | None = None
    output: str = ""


@dataclass(frozen=True)
class Run:
    """One run of an actor; times are seconds since 1970."""

    id: str
    actor: str
    started: float
    seconds: float
    input: dict[str, Any]
    user_agent: str
    max_items: int | None = None
    ends: str = "SUCCEEDED"
    items: int | None = None
    aborted: float | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def ended(self) -> float:
        """Answer when the run ends or has ended."""
        return self.started + self.seconds if self.aborted is None else self.aborted

    @property
    def urls(self) -> list[str]:
        """Answer the addresses that the input asks for; a wrong key gives an empty dataset, as at Apify."""
        urls = self.input.get("urls")
        return [url for url in urls if isinstance(url, str)] if isinstance(urls, list) else []

    def status_at(self, now: float) -> str:
        """Answer READY for the first fifth, then RUNNING, then how it ended."""
        if self.aborted is not None:
            return "ABORTED"
        if now >= self.ended:
            return self.ends
        return "READY" if now < self.started + self.seconds / 5 else "RUNNING"

    def item_count_at(self, now: float) -> int:
        """Answer how many items the dataset holds: they appear evenly while the run works, and stay when it fails."""
        most = len(self.urls) if self.max_items is None else min(self.max_items, len(self.urls))
        most = most if self.items is None else min(self.items, most)
        until = min(now, self.ended)
        return most if until >= self.started + self.seconds else int(most * (until - self.started) / self.seconds)


def folder(name: str = "") -> Path:
    """Answer a folder of the sandbox's state, made when absent."""
    path = Path(settings.VAR_DIR) / "sandbox" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def write(path: Path, content: dict[str, Any]) -> None:
    """Put a file in place whole; a reader sees the old one or the new one."""
    beside = path.with_suffix(f".{os.getpid()}-{secrets.token_hex(4)}.tmp")
    beside.write_text(json.dumps(content))
    beside.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """Answer the content of a file, None when it is gone or was never there."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content if isinstance(content, dict) else None


def clear() -> None:
    """Forget every run, fault and option."""
    shutil.rmtree(folder(), ignore_errors=True)


def options() -> Options:
    """Answer how long things take now."""
    return Options(**(read(folder() / "options.json") or {}))


def set_options(**changes: float) -> Options:
    """Change how long things take; raises TypeError for an unknown option."""
    changed = replace(options(), **changes)
    write(folder() / "options.json", asdict(changed))
    return changed


def add_run(run: Run) -> Run:
    """Keep a new run, and forget the oldest beyond a few hundred."""
    write(folder("runs") / f"{run.id}.json", asdict(run))
    kept = sorted(folder("runs").glob("*.json"))
    for path in kept[:-MOST_RUNS]:
        path.unlink(missing_ok=True)
    return run


def new_run_id() -> str:
    """Answer an id of Apify's length; ids of later runs sort later."""
    return f"{time.time_ns():x}"[:16] + secrets.token_hex(1)[:1]


def run(run_id: str) -> Run | None:
    """Answer a run, None when unknown."""
    is_id = run_id.isascii() and run_id.isalnum() and len(run_id) < 40
    content = read(folder("runs") / f"{run_id}.json") if is_id else None
    return Run(**content) if content else None


def runs() -> list[Run]:
    """Answer the runs that are kept, oldest first."""
    found = (read(path) for path in sorted(folder("runs").glob("*.json")))
    return [Run(**content) for content in found if content]


def abort(stored: Run) -> Run:
    """End a run now, unless it has ended."""
    if time.time() < stored.ended and stored.aborted is None:
        stored = replace(stored, aborted=time.time())
        write(folder("runs") / f"{stored.id}.json", asdict(stored))
    return stored


def add_fault(fault: Fault) -> None:
    """Have the next matching call fail; faults are used up in the order in which they were asked for."""
    write(folder("faults") / f"{time.time_ns():020d}-{secrets.token_hex(2)}.json", asdict(fault))


def take_fault(service: str, operation: str) -> Fault | None:
    """Answer and use up the first fault for this call; of several processes, only one gets it."""
    for path in sorted(folder("faults").glob("*.json")):
        content = read(path)
        if content and content["service"] == service and content["on"] in ("", operation):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
                return Fault(**content)
    return None


def stamp(seconds: float) -> str:
    """Answer an instant as Apify writes it: 2026-01-02T03:04:05.678Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
