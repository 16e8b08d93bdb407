"""Changes told to many users through real mail and web servers that fail in every way, while workers are killed.

Workload: 2,000 changes and more of prices that this program makes up, so that it knows by itself who has to hear of
what: 20 teams with rules of their own, each with these pages, a webhook, a mail address and a webhook that leads
nowhere. Three real workers store and send; one of them has a clock that is five minutes ahead, all are killed at random
with kill -9. Prints `name: value` lines; ends with 1 where one of the zeros is none. Half an hour with the waits of the
product itself; `--pace 20` divides them.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any

from . import receivers
from .chaos import ROOT, Chaos, Worker, prepare
from .receivers import Receivers, Told
from .stage import free_port

AHEAD = 300  # seconds
WATCHERS = 5  # of each product
PERCENTS = (6, 12, 25, 60, -8, -15, -35)
THRESHOLDS = (5, 10, 30)
LOST = 90  # seconds after which a look is asked for again
SEVERITIES = ("1_info", "2_warning")
NOWHERE = (
    "https://224.0.0.1/x", "https://[64:ff9b::7f00:1]/x", "https://[::127.0.0.1]/x", "https://[2002:7f00:1::]/x",
    "https://example.com:99999/x", "https://[::1/x", f"https://{'a' * 64}.example.com/x", "http://10.1.2.3/x",
)  # fmt: skip
GOOD = (*receivers.GOOD_HOOKS, *receivers.GOOD_MAIL)
SILENT = (*receivers.SILENT_HOOKS, *receivers.SILENT_MAIL)
HOOKS = (*receivers.GOOD_HOOKS, *receivers.SILENT_HOOKS, *receivers.REFUSING_HOOKS, *receivers.BUSY_HOOKS)
MAIL = (*receivers.GOOD_MAIL, *receivers.SILENT_MAIL, *receivers.REFUSING_MAIL, *receivers.BUSY_MAIL)
BEGUN = datetime(2026, 6, 1, 12, tzinfo=UTC)
CLOCK = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    int code = syscall(SYS_clock_gettime, id, t);
    if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE) t->tv_sec += AHEAD;
    return code;
}
int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec; t->tv_usec = now.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *t) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (t) *t = now.tv_sec;
    return now.tv_sec;
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=2000, help="How many changes are to be told at least.")
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--kill-every", type=float, default=2, help="Seconds between two kills, on average.")
    parser.add_argument("--pace", type=float, default=1, help="By how much the product's own waits are divided.")
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis-server", default=shutil.which("redis-server") or "")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pilot-told-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        prepare(stack, folder, options)
        mail = free_port()
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "benchmarks.app.settings",
            "WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8",
            "EMAIL_URL": f"smtp://127.0.0.1:{mail}",
            "APIFY_DAILY_BUDGET_USD": "9000.00",
            "TOLD_PACE": str(options.pace),
            "LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        from django.core.management import call_command

        from notifications import transports

        import_module("benchmarks.app.tasks")  # for the pace
        call_command("migrate", verbosity=0)
        received = Receivers(transports.WEBHOOK_SECONDS)
        stack.callback(received.listen_for_mail(mail).stop)
        return Experiment(stack, folder, options, received).run()


@dataclass
class Expected:
    """What has to be told, by this program's own arithmetic."""

    messages: set[Told] = field(default_factory=set)
    on_pages: Counter[int] = field(default_factory=Counter)  # by team
    changes: int = 0


@dataclass
class Watched:
    """One product, its price now, and who watches it from which step on, in percent."""

    row: Any
    price: Decimal
    thresholds: dict[int, int]
    had: set[Decimal] = field(default_factory=set)  # prices; none comes twice, so that it names its change
    waits: tuple[int, str, str] | None = None  # the arguments of the look that is on its way
    asked: float = 0.0


def compile_clock(folder: Path) -> Path | None:
    """Make the library that puts a process's clock ahead; None without a compiler."""
    if not (compiler := shutil.which("cc")):
        print("# No C compiler (cc): every clock is right.")
        return None
    source, library = folder / "clock.c", folder / "clock.so"
    source.write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", f"-DAHEAD={AHEAD}", "-o", str(library), str(source)], check=True)
    return library


class Experiment(Chaos):
    """The whole of it, with the workers and the kills of chaos.py."""

    def __init__(self, stack: ExitStack, folder: Path, options: argparse.Namespace, received: Receivers) -> None:
        super().__init__(stack, folder, options)
        self.received = received
        self.expected = Expected()
        self.ahead: set[str] = set()
        self.clock = compile_clock(folder)
        self.stamps_ahead = 0
        self.teams: dict[int, list[tuple[str, str]]] = {}  # of each: addresses, and the severity from which they hear
        self.swept = time.time()
        self.watched = self.fill()

    def fill(self) -> list[Watched]:
        """Make the users with their channels and rules, and the products with their first look."""
        from django.contrib.auth import get_user_model

        from notifications.models import Channel, ChannelKind
        from products.models import Product, Tracking

        for number in range(self.options.users):
            team = get_user_model()._default_manager.create_user(f"user{number}").teams.get()
            hook = f"{self.received.web}/{number}/{HOOKS[number % len(HOOKS)]}"
            mail = f"{MAIL[number % len(MAIL)]}.{number}@example.com"
            addresses = [(hook, ChannelKind.WEBHOOK), (mail, ChannelKind.EMAIL)]
            addresses.append((f"{NOWHERE[number % len(NOWHERE)]}{number}", ChannelKind.WEBHOOK))
            self.teams[team.pk] = []
            for address, kind in addresses:
                least = self.random.choice(SEVERITIES)
                Channel.objects.create(team=team, kind=kind, address=address, least_severity=least)
                self.teams[team.pk].append((address, least))
        count = max(8, self.options.changes // WATCHERS // 4)
        rows = Product.objects.ensure([("amazon.com", f"B0{number:08d}") for number in range(count)])
        found = []
        for row in rows:
            watchers = self.random.sample(sorted(self.teams), min(WATCHERS, len(self.teams)))
            found.append(Watched(row, Decimal("20.00"), {pk: self.random.choice(THRESHOLDS) for pk in watchers}))
            for pk, threshold in found[-1].thresholds.items():
                alias = self.random.choice(["", "The lamp\r\nBcc: everybody@example.com"])
                Tracking.objects.create(team_id=pk, product=row, price_threshold=threshold, alias=alias)
        return found

    # The workers

    def start(self) -> Worker:
        """Start a worker; one of those that live has the clock that is ahead."""
        self.starts += 1
        name, env = f"told-{self.starts}", dict(os.environ)
        if self.clock and not any(each.name in self.ahead and each.popen.poll() is None for each in self.workers):
            self.ahead.add(name)
            env["LD_PRELOAD"] = str(self.clock)
        with open(self.folder / "errors", "ab") as errors:
            words = [sys.executable, "manage.py", "rqworker", "--name", name]
            return Worker(name, subprocess.Popen(words, cwd=ROOT, stdout=errors, stderr=errors, env=env))

    # What happens

    def storm(self) -> None:
        """Look at the products again and again until enough has changed, and kill all the while."""
        looks = 0
        while self.expected.changes < self.options.changes:
            looks += 1
            for number, each in enumerate(self.watched):
                self.look(each, looks)
                if number % 10 == 9:
                    self.live(0.5)
            while any(each.waits for each in self.watched):
                self.live(2)
                self.forget_ended()
            print(
                f"# {time.time() - self.began:.0f} s: {self.expected.changes} changes, {dict(self.kills)}", flush=True
            )

    def look(self, each: Watched, number: int) -> None:
        """Have a product seen at another price, and note who has to hear of it."""
        from products.apify import Receipt
        from products.models import ScrapeRun

        from .app.tasks import look

        at = BEGUN + timedelta(hours=5 * number)
        before = each.price
        if number > 1:
            steps = [round(before * (100 + percent) / 100, 2) for percent in PERCENTS]
            each.price = self.random.choice([price for price in steps if 5 < price < 900 and price not in each.had])
            self.expect(each, before)
        each.had.add(each.price)
        run = ScrapeRun.objects.plan([each.row])
        assert run is not None
        run.mark_started(Receipt(f"run{run.pk}", "data", at))
        each.waits = (run.pk, str(each.price), at.isoformat())
        each.asked = time.time()
        look.enqueue(*each.waits)

    def expect(self, each: Watched, before: Decimal) -> None:
        """Note who hears of a price that moved: above the threshold, and graded as docs say, from 10 and 20 percent."""
        moved = abs(each.price - before) / before * 100
        severity = "3_critical" if moved >= 20 else "2_warning" if moved >= 10 else "1_info"
        for team, threshold in each.thresholds.items():
            if moved > threshold:
                self.expected.changes += 1
                self.expected.on_pages[team] += 1
                said = f"{each.row.asin} {each.price}"
                heard = {(address, said) for address, least in self.teams[team] if severity >= least}
                assert not heard & self.expected.messages
                self.expected.messages |= heard

    def forget_ended(self) -> None:
        """Note which looks are stored; one whose job was put aside is asked for again, as the product's sweep does."""
        from products.models import ScrapeRun

        from .app.tasks import look

        waits = {each.waits[0]: each for each in self.watched if each.waits}
        for pk in ScrapeRun.objects.filter(pk__in=waits, state="ingested").values_list("pk", flat=True):
            waits.pop(pk).waits = None
        for each in waits.values():
            if each.waits and time.time() - each.asked > LOST:
                each.asked = time.time()
                look.enqueue(*each.waits)

    def live(self, seconds: float, *, is_killing: bool = True) -> None:
        """Let time pass: kill at random, and sweep once a minute as the schedule does."""
        end = time.time() + seconds
        while time.time() < end:
            self.sweep()
            if is_killing and self.random.random() < 0.1 / self.options.kill_every:
                self.kill()
            time.sleep(0.1)

    def kill(self) -> None:
        """Kill a slot or a worker, once all have begun: workers killed at their start again and again do nothing."""
        if all(worker.children() for worker in self.workers):
            super().kill()

    def sweep(self) -> None:
        from django.db import connection

        from notifications.models import Notification
        from notifications.tasks import send_due_notifications

        if time.time() - self.swept < max(3, 60 / self.options.pace):
            return
        self.swept = time.time()
        send_due_notifications.enqueue()
        table = Notification._meta.db_table
        with connection.cursor() as cursor:
            late = (
                "CURRENT_TIMESTAMP + interval '1 minute'"
                if connection.vendor == "postgresql"
                else "datetime('now','+1 minute')"
            )
            cursor.execute(f"SELECT count(*) FROM {table} WHERE created_at > {late} OR sent_at > {late}")
            self.stamps_ahead = max(self.stamps_ahead, cursor.fetchone()[0])

    def settle(self) -> None:
        """Go on killing for half of what waits, then wait for the last; nothing may be tried for ever."""
        from notifications.models import Notification

        waiting = Notification.objects.filter(state__in=("pending", "sending"))
        end, told = time.time() + 600 + 1500 / self.options.pace, 0.0
        half = waiting.count() / 2
        while (left := waiting.count()) and time.time() < end:
            self.live(1, is_killing=left > half)
            if time.time() - told > 30:
                told = time.time()
                print(f"# {told - self.began:.0f} s: {left} messages wait, {dict(self.kills)} killed", flush=True)
        while self.jobs_left() and time.time() < end:
            time.sleep(1)
        self.left = self.jobs_left()
        for worker in self.workers:
            worker.popen.terminate()
        self.exit_codes = [worker.popen.wait(60) for worker in self.workers]

    def jobs_left(self) -> int:
        """Return how many jobs of sending wait or are to be tried again."""
        import django_rq
        from rq.registry import ScheduledJobRegistry, StartedJobRegistry

        queue = django_rq.get_queue("critical")
        registries = (ScheduledJobRegistry(queue=queue), StartedJobRegistry(queue=queue))
        return int(queue.count) + sum(len(each.get_job_ids(cleanup=False)) for each in registries)

    # The count

    def count(self) -> Any:
        """Compare the rows, and what reached the receivers, with what had to be told."""
        from notifications.models import MAX_ATTEMPTS, Channel, Notification
        from products.models import Change

        rows = list(Notification.objects.select_related("channel", "change__tracking__product"))
        by_message: dict[Told, list[Any]] = defaultdict(list)
        pages: Counter[int] = Counter()
        for row in rows:
            if row.channel.kind == "app":
                pages[row.channel.team_id or 0] += row.change_id is not None
            else:
                by_message[row.channel.address, said_by(row)].append(row)
        taken, asked = self.received.taken, self.received.asked
        paused = {channel.address: channel for channel in Channel.objects.exclude(disabled_reason="")}
        expected = self.expected.messages
        about_changes = {told for told, found in by_message.items() if found[0].change_id}
        missing = expected - about_changes
        ended = [row for row in rows if row.channel.kind != "app"]
        self.states = Counter((self.group(row), row.state) for row in ended)
        self.zeros = {
            "changes_missing": self.expected.changes - Change.objects.count(),
            "on_pages_wrong": (self.expected.on_pages - pages).total() + (pages - self.expected.on_pages).total(),
            "messages_missing": sum(address not in paused for address, _said in missing),
            "messages_unexpected": len(about_changes - expected),
            "rows_doubled": sum(len(found) - 1 for found in by_message.values()),
            "arrived_twice": sum(count - 1 for count in taken.values()),
            "arrived_unexpected": sum(told not in by_message for told in taken),
            "sent_not_arrived": sum(row.state == "sent" and not taken[key(row)] for row in ended),
            "arrived_and_failed": sum(row.state == "failed" and taken[key(row)] > 0 for row in ended),
            "good_and_failed": sum(self.group(row) == "good" and row.state == "failed" for row in ended),
            "bad_and_sent": sum(
                self.group(row) in ("refusing", "busy", "nowhere", "silent") and row.state == "sent" for row in ended
            ),
            "unended": sum(row.state in ("pending", "sending") for row in ended),
            "without_reason": sum(row.state in ("failed", "unknown") and not row.error for row in ended),
            "attempts_beyond": sum(row.attempts > MAX_ATTEMPTS for row in ended),
            "asked_beyond": sum(count > MAX_ATTEMPTS for count in asked.values()),
            "owners_untold": sum(not self.is_told(channel, rows) for channel in paused.values()),
            "headers_injected": self.received.injected,
            "stamps_ahead": self.stamps_ahead,
            "jobs_left": self.left,
            "workers_unwell": sum(code != 0 for code in self.exit_codes),
        }
        return len(missing)

    def group(self, row: Any) -> str:
        """Return what kind of receiver a row goes to."""
        address = row.channel.address
        mood = address.rpartition("/")[2] if "/" in address else address.split(".")[0]
        if mood in GOOD or mood in SILENT:
            return "good" if mood in GOOD else "silent"
        if mood in HOOKS or mood in MAIL:
            return "busy" if mood in (*receivers.BUSY_HOOKS, *receivers.BUSY_MAIL) else "refusing"
        return "nowhere"

    def is_told(self, channel: Any, rows: list[Any]) -> bool:
        """Tell whether a paused channel's team reads of it on its pages."""
        notices = [row for row in rows if row.change_id is None and row.channel.team_id == channel.team_id]
        return any(row.channel.kind == "app" and channel.address in row.body for row in notices)

    def is_bad(self, found: Any) -> bool:
        return any(self.zeros.values())

    def tell(self, found: Any) -> None:
        """Print what became of everything."""
        print()
        for group in ("good", "silent", "busy", "refusing", "nowhere"):
            words = [f"{count} {state}" for (name, state), count in sorted(self.states.items()) if name == group]
            print(f"  receivers that are {group + ':':10} {', '.join(words)}")
        print()
        figures = {
            "seed": self.options.seed,
            "seconds": round(time.time() - self.began),
            "changes": self.expected.changes,
            "messages_expected": len(self.expected.messages),
            "messages_arrived": sum(self.received.taken.values()),
            "messages_not_written_as_paused": found,
            "killed_slots": self.kills["slots"],
            "killed_workers": self.kills["workers"],
            "workers_ahead": len(self.ahead),
        }
        for name, value in (figures | self.zeros).items():
            print(f"{name}: {value}")


def said_by(row: Any) -> str:
    """Return what a row says, in the words of the receivers."""
    return f"{row.change.tracking.product.asin} {row.change.after}" if row.change else str(row.subject)


def key(row: Any) -> Told:
    """Return by what the receivers know a row."""
    return row.channel.address, said_by(row)


if __name__ == "__main__":
    sys.exit(main())
