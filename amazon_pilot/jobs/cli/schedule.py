"""`manage.py jobs schedule`: what runs when, what came of it, and the verbs of its pages."""

import json
from argparse import ArgumentParser
from datetime import datetime
from typing import Any, cast

from django.core.exceptions import ValidationError

from ..core.values import Answer, Json
from ..inspect import as_json
from ..models import ScheduleEntry
from ..models.person import Actor
from ..operate import operations, schedule
from ..schedule import as_json as schedule_as_json
from ..schedule.entries import EDITABLE
from .options import Options, Told

LOOKS = ("list", "show", "history")
CHANGES = ("pause", "resume", "run-now", "create", "edit", "delete")


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("what", nargs="?", default="list", choices=[*LOOKS, *CHANGES])
    parser.add_argument("name", nargs="?", default="", help="The entry's; not for list.")
    parser.add_argument("--until", default="", help="When a pause ends, such as 2026-06-01T12:00:00Z.")
    parser.add_argument("--minutes", type=int, default=0, help="When a pause ends, from now.")
    parser.add_argument("--limit", type=int, default=as_json.PAGE, help="Fires of the history.")
    parser.add_argument("--from", dest="cursor", default="", help="The `next` of an earlier history.")
    parser.add_argument("--yes", action="store_true", help="Delete without being asked again.")
    fields = parser.add_argument_group("fields of an entry, for create and edit")
    fields.add_argument("--cron", help='A cron line, or a phrase such as "daily at 09:00".')
    fields.add_argument("--zone", help="The time zone whose clock is meant.")
    fields.add_argument("--task", help="The task's whole name.")
    fields.add_argument("--args", dest="arguments", help='JSON, a list such as ["daily"].')
    fields.add_argument("--queue", help="The queue of its jobs.")
    fields.add_argument("--missed", choices=ScheduleEntry.Missed.values, help="What is done with missed fires.")
    fields.add_argument("--missed-limit", type=int, help="How many missed fires are run at most.")
    fields.add_argument("--missed-window", help="None older is run, such as 1 00:00:00.")
    fields.add_argument("--overlap", choices=ScheduleEntry.Overlap.values, help="While the last job has not ended.")


def look(by: Actor, options: Options) -> tuple[Answer, list[str]]:
    """Return what was asked for as JSON and as lines; raises ValidationError."""
    schedule.allow(by, "history" if options["what"] == "history" else "list")
    if options["what"] == "list":
        entries = schedule_as_json.told(ScheduleEntry.objects.order_by("name"))
        return {"entries": entries}, [line_of(entry) for entry in entries]
    if options["what"] == "show":
        entry = schedule_as_json.one(name_in(options))
        return entry, lines_of(entry)
    page: Told = schedule_as_json.past(name_in(options), options["limit"], options["cursor"])
    lines = [line_of_fire(fire) for fire in page["fires"]]
    return page, [*lines, f"More: --from {page['next']}"] if page["next"] else lines


def act(by: Actor, options: Options, until: datetime | None) -> operations.Done:
    """Do one verb to one entry; raises ValidationError, and PermissionDenied."""
    what, name, reason = options["what"], name_in(options), options["reason"]
    if what == "pause":
        return schedule.pause(by, name, reason=reason, until=until)
    if what == "create":
        return schedule.create(by, name, fields_in(options), reason=reason)
    if what == "edit":
        return schedule.edit(by, name, fields_in(options), reason=reason)
    plain = {"resume": schedule.resume, "run-now": schedule.run_now, "delete": schedule.delete}
    return plain[what](by, name, reason=reason)


def name_in(options: Options) -> str:
    name: str = options["name"]
    if not name:
        raise ValidationError("Name the entry.")
    return name


def fields_in(options: Options) -> schedule.Given:
    """Return the fields that were given; raises ValidationError where the arguments are no JSON."""
    given = cast(dict[str, Json], options) | {"args": options["arguments"]}
    fields = {field: given[field] for field in EDITABLE if given[field] is not None}
    if "args" in fields:
        try:
            fields["args"] = json.loads(options["arguments"])
        except ValueError as error:
            raise ValidationError(f"--args is not JSON: {error}.") from error
    return fields


def line_of(entry: Told) -> str:
    """Return an entry in one line."""
    coming = entry["next_fires"][0]["local"] if entry["next_fires"] else "-"
    call = f"{entry['task']}({arguments(entry['args'])})"
    parts = [f"{entry['name']:24}", f"{coming:25}", entry["words"], entry["zone"], call, entry["queue"], last(entry)]
    return "  ".join([*parts, *state(entry)])


def arguments(given: list[Json] | dict[str, Any]) -> str:
    """Return the arguments of an entry as a call writes them."""
    named = given.get("kwargs", {}) if isinstance(given, dict) else {}
    placed = given.get("args", []) if isinstance(given, dict) else given
    return ", ".join([*map(json.dumps, placed), *(f"{name}={json.dumps(value)}" for name, value in named.items())])


def last(entry: Told) -> str:
    fire = entry["last_fire"]
    return f"last {moment(fire['planned_at'])} {result(fire)}" if fire else "never fired"


def result(fire: Told) -> str:
    """Return what came of a fire: of the fire itself, and of its job where that has started."""
    return " ".join([fire["outcome"], *([fire["run"]["outcome"]] if fire["run"] else [])])


def state(entry: Told) -> list[str]:
    """Say why an entry does not fire; nothing where it does."""
    if entry["broken"]:
        return [f"BROKEN: {entry['broken']}"]
    if not entry["paused"]:
        return []
    paused = entry["paused"]
    until = moment(paused["until"]) if paused["until"] else "somebody resumes it"
    return [f"PAUSED by {paused['by'] or 'the machine'} until {until}: {paused['reason']}"]


def lines_of(entry: Told) -> list[str]:
    """Return an entry with all that is known of it."""
    lines = [f"{name}: {entry[name]}" for name in ("name", "words", *EDITABLE, "from_settings")]
    lines += [f"next: {each['local']} {each['note']}".rstrip() for each in entry["next_fires"]]
    return [*lines, last(entry), *state(entry)]


def line_of_fire(fire: Told) -> str:
    """Return a fire in one line: planned, actual, lag, what came of it, its job, the note."""
    actual = moment(fire["enqueued_at"]) if fire["enqueued_at"] else "-"
    lag = "-" if fire["lag_seconds"] is None else f"{fire['lag_seconds']:.3f} s"
    parts = [moment(fire["planned_at"]), f"{actual:24}", f"{lag:>10}", result(fire), fire["job_id"], fire["note"]]
    return "  ".join(part for part in parts if part)


def moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
