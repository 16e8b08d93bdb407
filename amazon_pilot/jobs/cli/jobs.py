"""jobs: the monitor's verbs for scripts, with the same permissions and the same audit."""

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import cast

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.serializers.json import DjangoJSONEncoder
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from redis.exceptions import RedisError

from ..apps import TAG
from ..core import registry
from ..core.values import Answer
from ..inspect import as_json, export, retention, store, workers
from ..inspect import stats as inspect_stats
from ..inspect.grammar import QueryError
from ..inspect.job_detail import collect
from ..inspect.query import parse
from ..inspect.words import whole_number
from ..models import Source, acting_from
from ..models.person import Actor
from ..operate import operations, roles
from ..operate.jobs import parse_arguments
from ..operate.operation import ARGS, QUEUE, UNTIL, Done, Operation
from ..operate.table import OPERATIONS
from . import bulk, schedule, stats
from . import lines as cli_lines
from .options import Options, Told

ON_WORKERS = {
    "quiet": "Have a worker take no more jobs.",
    "wake": "Have a quiet worker take jobs again.",
    "stop": "Have a worker leave when what it runs has ended.",
    "kill": "Kill what a worker's slot runs.",
}
ARGUMENTS = 'JSON: [17], or {"args": [17], "kwargs": {}}.'


class Command(BaseCommand):
    help = "Look at jobs and queues and steer them; exits with 1 where anything was not done."
    requires_system_checks = (TAG,)

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")

        def verb(name: str, help: str) -> ArgumentParser:
            sub: ArgumentParser = verbs.add_parser(name, help=help)
            sub.add_argument("--json", action="store_true", help="Answer JSON.")
            sub.add_argument(
                "--user", default="", help="Act as this user, within the user's role; else as the machine."
            )
            sub.add_argument("--reason", default="", help="Why, for the audit.")
            return sub

        verb("queues", "What each queue holds.")
        verb("stats", "All queues at a glance, with what ended today, the workers and Redis.")
        past = verb("queue-history", "What ended on each of the last days.")
        past.add_argument("queue", nargs="?", default="", help="All queues where none is named.")
        past.add_argument("--days", type=int, default=inspect_stats.DAYS)
        kept = verb("retention", "How long rows are kept, and what the next clean-up deletes.")
        kept.add_argument("--days", type=int, help="Show what would be deleted if rows were kept so long.")
        listed = verb("list", "Jobs of every state, by a question such as 'state:failed task:update_product'.")
        listed.add_argument("question", nargs="?", default="")
        listed.add_argument("--limit", type=int, default=as_json.PAGE)
        listed.add_argument("--all", action="store_true", help="All that match, written as they are read.")
        listed.add_argument("--jsonl", action="store_true", help="Answer a line of JSON for each job.")
        listed.add_argument("--from", dest="cursor", default="", help="The `next` of an earlier answer.")
        verb("show", "All that is known of one job.").add_argument("job")
        for name, row in on_jobs().items():
            sub = verb(name, row.help)
            sub.add_argument("jobs", nargs="+", metavar="job")
            if UNTIL in row.fields:
                until_when(sub)
            if QUEUE in row.fields:
                sub.add_argument("--to", required=True, dest="queue", help="The queue to which they go.")
        edit = verb("edit", "Run a job's task with other arguments, as a new job.")
        edit.add_argument("job")
        edit.add_argument("arguments", help=ARGUMENTS)
        paused = verb("pause", "Pause queue:…, task:… or tag:….")
        paused.add_argument("name")
        until_when(paused)
        verb("resume", "End a pause.").add_argument("name")
        bulk.add_arguments(verb("bulk", "Act on all jobs that a question asks for, in the background."))
        schedule.add_arguments(verb("schedule", "What runs when, what came of it, and its verbs."))
        drained = verb("drain", "Delete all jobs that wait in a queue now, in the background.")
        drained.add_argument("queue")
        told = {name: verb(name, text) for name, text in ON_WORKERS.items()}
        for sub in told.values():
            sub.add_argument("worker")
        told["kill"].add_argument("--slot", type=int, required=True, help="Its number; 0 for all of the worker's.")
        for sub in (drained, told["stop"], told["kill"]):
            sub.add_argument("--yes", action="store_true", help="Do it without being asked again.")
        limited = verb("limits", "Unique keys and rate limits: who holds what, and who waits.")
        fanned = verb("batches", "Fan-outs and how far each is, the newest first.")
        for sub in (limited, fanned):
            sub.add_argument("--from", dest="cursor", default="", help="The `next` of an earlier answer.")
        verb("workers", "The workers that were seen within an hour.")
        verb("recover", "Bring back at once the jobs that count as lost.")
        dashed = verb("dash", "Watch queues and jobs in this terminal.")
        dashed.add_argument("--refresh", type=float, default=5, help="Seconds between two looks, at least 1.")
        run = verb("run", "Enqueue one call of a task.")
        run.add_argument("task")
        run.add_argument("arguments", nargs="?", default="[]", help=ARGUMENTS)

    def handle(self, *args: object, **given: object) -> None:
        registry.discover()
        options = cast(Options, given)
        by = self.person(options["user"])
        act = getattr(self, f"do_{options['verb'].replace('-', '_')}", self.do_on_jobs)
        try:
            with acting_from(Source.COMMAND):
                act(by, options)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except PermissionDenied as error:
            raise CommandError(str(error)) from error
        except RedisError as error:
            raise CommandError(f"Redis does not answer: {error}") from error

    def person(self, name: str) -> User | None:
        """Return the user in whose name this is done, None for the machine; looking needs a role as well."""
        if not name:
            return None
        user = get_user_model().objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user {name}.")
        if not roles.may(user, "view"):
            raise CommandError("Your role does not allow this.")
        return user

    def tell(self, options: Options, value: object, lines: list[str]) -> None:
        """Write an answer: as JSON where that was asked for, else as lines."""
        text = json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False) if options["json"] else "\n".join(lines)
        self.stdout.write(cli_lines.shown(text))

    def do_queues(self, by: Actor, options: Options) -> None:
        seen: Told = as_json.queues_now()
        columns = ("waiting", "running", "scheduled", "deferred", "failed")
        lines = [
            f"{queue['name']:12}" + "  ".join(f"{name} {queue[name]}" for name in columns)
            + ("  PAUSED" if queue["paused"] else "")
            for queue in seen["queues"]
        ]  # fmt: skip
        self.tell(options, seen, lines)

    def do_stats(self, by: Actor, options: Options) -> None:
        seen = inspect_stats.glance()
        self.tell(options, seen, stats.lines_of(seen))

    def do_queue_history(self, by: Actor, options: Options) -> None:
        past = inspect_stats.past(options["days"], options["queue"])
        self.tell(options, past, stats.lines_of_days(past))

    def do_retention(self, by: Actor, options: Options) -> None:
        seen = retention.as_json(options["days"])
        self.tell(options, seen, stats.lines_of_retention(seen))

    def do_limits(self, by: Actor, options: Options) -> None:
        seen = as_json.limits_now(options["cursor"])
        self.tell(options, seen, cli_lines.lines_of_limits(seen))

    def do_batches(self, by: Actor, options: Options) -> None:
        before = whole_number(options["cursor"], 10**17)
        if options["cursor"] and before is None:
            raise CommandError("--from takes the `next` of an earlier answer.")
        seen = as_json.batches_now(before)
        self.tell(options, seen, cli_lines.lines_of_batches(seen))

    def do_list(self, by: Actor, options: Options) -> None:
        if options["json"] and (options["all"] or options["jsonl"]):
            raise CommandError("--all is written line by line, so ask for --jsonl instead of --json.")
        if options["all"]:
            try:
                found = map(asdict, export.rows(parse(options["question"])))
            except QueryError as error:
                raise CommandError(str(error)) from error
            line_of = export.json_line if options["jsonl"] else lambda row: f"{cli_lines.lines_of([row])[0]}\n"
            self.stdout.writelines(cli_lines.shown(line_of(row)) for row in found)
            return
        if not 1 <= options["limit"] <= as_json.MOST:
            raise CommandError(f"--limit has to be from 1 to {as_json.MOST}.")
        page: Told = as_json.found(options["question"], options["limit"], options["cursor"])
        present = page["present"] or {"jobs": [], "looked_at": 0, "total": 0}
        rows = [*present["jobs"], *page["jobs"]]
        if options["jsonl"]:
            self.stdout.writelines(cli_lines.shown(export.json_line(row)) for row in rows)
            return
        lines = cli_lines.lines_of(rows)
        if present["looked_at"] < present["total"]:
            lines.append(
                f"{present['looked_at']} of {present['total']} jobs that wait or run were looked at; name a state"
            )
        self.tell(options, page, [*lines, page["note"]] if page["note"] else lines)

    def do_show(self, by: Actor, options: Options) -> None:
        known = collect(store.connect(), options["job"])
        if not known.is_known:
            raise CommandError(f"Neither Redis nor the history knows a job {options['job']}.")
        told: Told = as_json.job_of(known)
        lines = [f"{name}: {told[name]}" for name in ("job_id", "state", "task", "queue", "args", "kwargs", "waits")]
        for run in told["attempts"]:
            lines.append(f"attempt {run['attempt']}: {run['outcome']} {run['exception']} {run['message']}".rstrip())
            lines += [text.rstrip() for text in (run["traceback"], run["log"]) if text]
        self.tell(options, told, lines)

    def do_dash(self, by: Actor, options: Options) -> None:
        if options["refresh"] < 1:
            raise CommandError("--refresh has to be at least 1.")
        if not sys.stdout.isatty() or options["json"]:
            raise CommandError("The dash needs a terminal; `jobs queues --json` answers the same to a script.")
        from . import terminal  # curses is missing on some systems, and nothing else needs it

        try:
            terminal.run(options["refresh"])
        except terminal.curses.error as error:
            raise CommandError(f"This terminal cannot show the dash: {error}") from error

    def do_on_jobs(self, by: Actor, options: Options) -> None:
        """Do one verb to each job; all are tried, and one that was left alone makes the command fail at its end."""
        row, reason = on_jobs()[options["verb"]], options["reason"]
        values = row.read(given(options))
        answers = {job: operations.on_job(by, row.name, job, reason=reason, **values) for job in options["jobs"]}
        told = [
            {"job": job, "count": done.count, "message": done.text, "new_job": done.job_id}
            for job, done in answers.items()
        ]
        self.tell(options, told, [f"{row['job']}: {row['message']} {row['new_job']}".rstrip() for row in told])
        if left := sum(not done.count for done in answers.values()):
            raise CommandError(f"{left} of {len(answers)} were left alone.")

    def do_edit(self, by: Actor, options: Options) -> None:
        words, reason = options["arguments"], options["reason"]
        self.finish(options, operations.on_job(by, "edit", options["job"], reason=reason, args=words))

    def do_pause(self, by: Actor, options: Options) -> None:
        self.finish(options, operations.pause(by, options["name"], reason=options["reason"], until=moment(options)))

    def do_resume(self, by: Actor, options: Options) -> None:
        self.finish(options, operations.resume(by, options["name"], reason=options["reason"]))

    def do_run(self, by: Actor, options: Options) -> None:
        positional, named = parse_arguments(options["arguments"])
        self.finish(options, operations.run(by, options["task"], positional, named, reason=options["reason"]))

    def do_bulk(self, by: Actor, options: Options) -> None:
        answer, lines = bulk.handle(by, options, given(options), self.stderr)
        self.tell(options, answer, lines)
        if options["wait"] and (problem := bulk.problem(answer)):
            raise CommandError(problem)

    def do_schedule(self, by: Actor, options: Options) -> None:
        if options["what"] in schedule.LOOKS:
            self.tell(options, *schedule.look(by, options))
            return
        if options["what"] == "delete":
            name = schedule.name_in(options)
            self.confirm(options, f"delete the schedule entry {name}", name)
        self.finish(options, schedule.act(by, options, moment(options)))

    def do_drain(self, by: Actor, options: Options) -> None:
        self.confirm(options, f"delete all that waits in {options['queue']}", options["queue"])
        done = operations.drain(by, options["queue"], reason=options["reason"])
        self.tell(options, told_of(done), [f"{done.text} {done.job_id}"])

    def do_on_worker(self, by: Actor, options: Options) -> None:
        worker, slot = options["worker"], options.get("slot") or 0
        if options["verb"] in ("stop", "kill"):
            self.confirm(options, f"{options['verb']} {worker}", worker)
        self.finish(options, operations.on_worker(by, options["verb"], worker, reason=options["reason"], slot=slot))

    do_quiet = do_wake = do_stop = do_kill = do_on_worker

    def do_workers(self, by: Actor, options: Options) -> None:
        seen: Told = {"workers": workers.told()}
        self.tell(options, seen, [cli_lines.line_of_worker(row) for row in seen["workers"]])

    def do_recover(self, by: Actor, options: Options) -> None:
        """Bring back what is lost; that nothing was is no failure."""
        done = operations.recover(by, reason=options["reason"])
        self.tell(options, told_of(done), [done.text])

    def confirm(self, options: Options, what: str, word: str) -> None:
        """Have a person type a word, and a script say --yes; raises CommandError where neither happens."""
        if options["yes"] or (sys.stdin.isatty() and input(f"To {what}, type {word}: ").strip() == word):
            return
        raise CommandError(f"Nothing was done: this cannot be undone, so say --yes to {what}.")

    def finish(self, options: Options, done: Done) -> None:
        """Tell what came of one act, and fail where nothing was changed."""
        self.tell(options, told_of(done), [f"{done.text} {done.job_id}".rstrip()])
        if not done.count:
            raise CommandError("Nothing was changed.")


def on_jobs() -> dict[str, Operation]:
    """Return the operations that are done to any number of jobs, by the word of the command line."""
    return {row.slug: row for row in OPERATIONS.values() if ARGS not in row.fields}


def until_when(parser: ArgumentParser) -> None:
    """Say that a verb takes a time, as --until or --minutes."""
    parser.add_argument("--until", default="", help="A time such as 2026-06-01T12:00:00Z.")
    parser.add_argument("--minutes", type=int, default=0, help="The same, from now.")


def given(options: Options) -> dict[str, str]:
    """Return what was said of the fields of an operation, as Operation.read wants it; raises ValidationError."""
    until = moment(options) if "until" in options else None
    if options.get("verb") in on_jobs() and UNTIL in on_jobs()[options["verb"]].fields and until is None:
        raise CommandError("Say how long: --until or --minutes.")
    return {UNTIL.name: until.isoformat() if until else "", QUEUE.name: options.get("queue", "")}


def told_of(done: Done) -> Answer:
    """Return what came of one act as JSON."""
    return {"count": done.count, "message": done.text, "job": done.job_id}


def moment(options: Options) -> datetime | None:
    """Return --until or --minutes as a time, None where neither is given; raises ValidationError where it is none."""
    text = options["until"]
    if options["minutes"] > 0 and not text:
        return timezone.now() + timedelta(minutes=options["minutes"])
    try:
        when = parse_datetime(text) if text else None
    except ValueError:
        when = None
    if text and when is None:
        raise ValidationError("Write --until as 2026-06-01T12:00:00Z.")
    return when if when is None or timezone.is_aware(when) else timezone.make_aware(when)
