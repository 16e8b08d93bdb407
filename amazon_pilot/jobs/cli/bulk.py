"""`manage.py jobs bulk`: look at what would be done, have it done, watch it, stop it."""

import sys
import time
import uuid
from argparse import ArgumentParser

from django.core.exceptions import ValidationError
from django.core.management.base import CommandError, OutputWrapper

from ..core.values import Answer
from ..inspect.words import whole_number
from ..models import BulkAction
from ..models.person import Actor
from ..operate import bulk, preview
from ..operate.operation import slug
from ..operate.preview import ask
from ..operate.table import in_bulk
from . import lines
from .options import Options, Told

LOOK_SECONDS = 0.5
COUNTS = ("expected", "seen", "matched", "changed", "left_alone")


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the verb takes."""
    parser.add_argument("what", choices=[*map(slug, in_bulk()), bulk.RESTORE, "show", "abort"])
    whose = "As in the search box; for show, abort and restore (of a deletion) the action's number."
    parser.add_argument("question", nargs="?", help=whose)
    parser.add_argument("--job", action="append", default=[], dest="ids", help="One job instead of a question.")
    parser.add_argument("--to", default="", dest="queue", help="The queue to which jobs are moved.")
    parser.add_argument("--until", default="", help="Until when jobs are put off, such as 2026-06-01T12:00:00Z.")
    parser.add_argument("--minutes", type=int, default=0, help="For so long they are put off.")
    parser.add_argument("--dry-run", action="store_true", help="Say how many, show some, change nothing.")
    parser.add_argument("--confirm", type=int, help=f"The number of jobs, needed beyond {bulk.MANY}.")
    parser.add_argument("--token", default="", help="A UUID: asked for twice with the same one, it is done once.")
    parser.add_argument("--wait", action="store_true", help="Wait for its end; fail where not every job was changed.")


def handle(by: Actor, options: Options, given: dict[str, str], out: OutputWrapper) -> tuple[Answer, list[str]]:
    """Do what was asked and answer it as JSON and as lines; raises CommandError where it was not done."""
    if options["what"] in ("show", "abort"):
        row = find(options["question"])
        if options["what"] == "abort" and not bulk.abort(by, row, reason=options["reason"]):
            raise CommandError("Nothing was done: it had ended before.")
        return followed(row, options, out)
    if options["what"] == bulk.RESTORE:
        token = token_in(options)
        row, _is_new = bulk.restore(by, find(options["question"]), token=token, reason=options["reason"])
        return followed(row, options, out)
    if not options["ids"] and options["question"] is None:
        raise CommandError('Say which jobs: a question such as "state:failed task:update_product", or --job.')
    action = preview.verb_of(options["what"])
    seen = preview.previewed(by, action, options["question"] or "", options["ids"], given)
    if options["dry_run"]:
        return seen, lines_of(seen)
    return followed(start(by, action, seen, options, given), options, out)


def followed(row: BulkAction, options: Options, out: OutputWrapper) -> tuple[Answer, list[str]]:
    """Return an action, with --wait once it has ended."""
    row.refresh_from_db()
    if options["wait"]:
        wait(row, out)
    return told(row)


def find(number: str | None) -> BulkAction:
    row = BulkAction.objects.filter(pk=int(number)).first() if number and number.isdigit() else None
    if row is None:
        raise CommandError("Name a bulk action by its number.")
    return row


def start(
    by: Actor, action: str, seen: Told, options: Options, given: dict[str, str]
) -> BulkAction:  # fmt: skip
    """Ask for what was looked at; a large number is confirmed by --confirm, or typed where a person sits."""
    confirmed = options["confirm"]
    if seen["confirm"] is not None and confirmed is None and sys.stdin.isatty():
        answer = input("\n".join([*lines_of(seen), f"Type {seen['confirm']} to confirm: "]))
        confirmed = whole_number(answer.strip(), 10**12)
    if seen["confirm"] not in (None, confirmed):
        raise CommandError(f"Nothing was done. This is about {seen['confirm']} jobs: add --confirm {seen['confirm']}.")
    row, _is_new = ask(
        by, action, token=token_in(options), text=options["question"] or "", ids=options["ids"], given=given,
        reason=options["reason"], shown=seen["confirm"], typed=confirmed,
    )  # fmt: skip
    return row


def token_in(options: Options) -> uuid.UUID:
    """Return --token, or one of our own; raises ValidationError where it is no UUID."""
    try:
        return uuid.UUID(options["token"]) if options["token"] else uuid.uuid4()
    except ValueError as error:
        raise ValidationError("Write --token as a UUID.") from error


def wait(row: BulkAction, out: OutputWrapper) -> None:
    """Wait until an action has ended, and tell a terminal how far it is."""
    is_seen = out.isatty()
    try:
        while row.ended_at is None:
            if is_seen:
                out.write(f"\r{line_of(row)}\033[K", str, ending="")  # without the colour of an error
                out.flush()
            time.sleep(LOOK_SECONDS)
            row.refresh_from_db()
    except KeyboardInterrupt:
        raise CommandError(f"It goes on without you; stop it with: manage.py jobs bulk abort {row.pk}") from None
    finally:
        if is_seen:
            out.write("\r\033[K", str, ending="")


def line_of(row: BulkAction) -> str:
    percent = "" if row.percent is None else f" {row.percent} %"
    counts = ", ".join(f"{name.replace('_', ' ')} {getattr(row, name)}" for name in COUNTS)
    if row.action == "cancel":
        counts += f" (removed {row.removed}, asked {row.asked}, too late {row.left_alone})"
    return f"#{row.pk} {row.action} {row.state}{percent}: {counts}"


def told(row: BulkAction) -> tuple[Answer, list[str]]:
    """Return an action as JSON and as lines."""
    return preview.of_row(row), [line_of(row), *([row.error] if row.error else [])]


def lines_of(seen: Told) -> list[str]:
    """Return a preview as lines."""
    number = f"more than {seen['confirm']}" if seen["number"] is None else str(seen["number"])
    how = "jobs" if seen["is_exact"] else "are looked at; those of them that match are changed"
    return [seen["effect"], f"{number} {how}", *lines.lines_of(seen["sample"]), *seen["jobs"]]


def problem(row: Told) -> str:
    """Say what an action that has ended left undone; '' where nothing."""
    if row["state"] != BulkAction.State.DONE:
        return f"It ended as {row['state']}."
    return f"{row['left_alone']} of {row['matched']} were left alone." if row["left_alone"] else ""
