"""Each scrape run is paid once, whatever dies or is lost on its way: `python -m benchmarks.paid`, a quarter of an hour.

The sandbox plays Apify in a web server of its own; two real workers plan, start and collect. Fifteen scenarios: no
fault, a worker killed with -9 at six places, six starts that fail or whose answer is lost, and two ways in which the
search for a lost start fails. Then a slow start by one of two workers, of which one has a clock that is five minutes
ahead: each of them in turn. Prints `name: value` lines; ends with 1 where a run was paid twice or not at all, a product
was not seen once, or what is booked is not what was paid.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import stage
from .chaos import ROOT, prepare, wait
from .told import compile_clock

EACH = 3  # products of a run
LATE = 35  # seconds: a start waits for thirty
SLOW = 25
SWEEP = 10
TRIES = 3  # of one question, which the client asks again
PATIENCE = 900
PRICE = 1500  # millionths of a dollar for a product


@dataclass(frozen=True)
class Scenario:
    """What befalls a run: places at which its worker dies, failures of starts, and failures of the search for it."""

    name: str
    deaths: tuple[str, ...] = ()
    start: dict[str, Any] = field(default_factory=dict)
    search: tuple[dict[str, Any], ...] = ()


LOST = {"breaks": "reset", "commits": True}
# Those with a failure first: the start that is asked for meanwhile has to be the one to meet it.
TOGETHER = (
    Scenario("502 before it began", start={"status": 502}),
    Scenario("502 once it had begun", start={"status": 502, "commits": True}),
    Scenario("connection lost once it had begun", start=LOST),
    Scenario("answer too late", start={"delay": LATE, "commits": True}),
    Scenario("broken JSON once it had begun", start={"breaks": "json", "commits": True}),
    Scenario("no room (429)", start={"status": 429}),
    Scenario("no fault"),
    Scenario("killed after the intent", ("intent",)),
    Scenario("killed after the start", ("start",)),
    Scenario("killed after it was found again", ("start", "receipt")),
    Scenario("killed while storing", ("storing",)),
    Scenario("killed before the commit", ("stored",)),
    Scenario("killed after storing", ("commit",)),
)
# One by one: the search of any run would take another's failure.
ALONE = (
    Scenario(
        "the list shows no user agent",
        start=LOST,
        search=({"on": "list", "hides_agent": True}, {"on": "get", "hides_agent": True}),
    ),
    Scenario("503 while searching", start=LOST, search=({"on": "list", "status": 503, "times": TRIES},)),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="Only scenarios whose name holds this.")
    parser.add_argument("--redis-server", default=shutil.which("redis-server") or "")
    parser.add_argument("--slots", type=int, default=4)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pilot-paid-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        prepare(stack, folder, options)
        (folder / "deaths").mkdir()
        port = stage.free_port()
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "benchmarks.app.settings",
            "BENCH_DEATHS": str(folder / "deaths"),
            "PORT": str(port),
            "APIFY_DAILY_BUDGET_USD": "100.00",
        }
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        web = ["-m", "gunicorn", "amazon_pilot.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "16"]
        stack.enter_context(stage.process(web, dict(os.environ), folder / "web"))
        return Experiment(stack, folder, options.only).run()


class Experiment:
    """The workers, the scenarios and the count."""

    def __init__(self, stack: ExitStack, folder: Path, only: str) -> None:
        from amazon_pilot.sandbox import store
        from amazon_pilot.sandbox.control import ApifyControl

        self.folder, self.only = folder, only
        self.apify = ApifyControl()
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.starts = self.deaths = 0
        self.swept = 0.0
        self.runs: dict[str, Any] = {}
        self.clock = compile_clock(folder)
        store.set_options(run_seconds=0.5)
        stack.callback(self.end_workers)

    def run(self) -> int:
        began = time.monotonic()
        self.live_with("right", "right")
        for scenario in self.chosen(TOGETHER):
            self.begin(scenario)
        self.wait_for_all()
        for scenario in self.chosen(ALONE):
            self.begin(scenario)
            self.wait_for_all()
        for name in self.chosen(("right", "ahead")) if self.clock else ():
            self.begin_beside_a_wrong_clock(name)
        return self.tell(time.monotonic() - began)

    def chosen(self, scenarios: Any) -> list[Any]:
        return [one for one in scenarios if self.only in str(getattr(one, "name", f"clock {one}"))]

    # The workers

    def live_with(self, *clocks: str) -> None:
        """Have workers of these clocks and no others, all of them ready."""
        self.end_workers()
        for clock in clocks:
            self.start(clock)
        wait(lambda: all(map(self.is_ready, self.workers)), "the workers", PATIENCE)

    def start(self, clock: str) -> None:
        self.starts += 1
        name, env = f"{clock}-{self.starts}", dict(os.environ)
        if clock == "ahead":
            env["LD_PRELOAD"] = str(self.clock)
        with open(self.folder / "errors", "ab") as errors:
            words = [sys.executable, "manage.py", "rqworker", "--name", name]
            self.workers[name] = subprocess.Popen(words, cwd=ROOT, stdout=errors, stderr=errors, env=env)

    def is_ready(self, name: str) -> bool:
        from amazon_pilot.jobs.core.queues import connection

        return bool(connection().exists(f"pilot:worker:{name}"))

    def end_workers(self) -> None:
        for popen in self.workers.values():
            popen.terminate()
        for popen in self.workers.values():
            popen.wait(90)
        self.workers.clear()

    # The scenarios

    def begin(self, scenario: Scenario) -> None:
        """Plan a run, and have it meet what the scenario says."""
        for place in scenario.deaths:
            (self.folder / "deaths" / f"{self.asins()[0]}-{place}").touch()
        for fault in (scenario.start, *scenario.search):
            if fault:
                self.apify.fail_next(**fault)
        self.plan(scenario.name)
        self.wait_until(lambda: not self.is_armed("start"), f"the start of: {scenario.name}")

    def begin_beside_a_wrong_clock(self, starter: str) -> None:
        """Have one worker start slowly while the other, whose clock is another, looks after what was lost."""
        other = {"right": "ahead", "ahead": "right"}[starter]
        self.live_with(starter)
        self.apify.fail_next(delay=SLOW)
        self.plan(f"slow start, its clock {starter}, the other's {other}")
        self.wait_until(lambda: not self.is_armed("start"), "the slow start", is_sweeping=False)
        self.start(other)
        self.wait_for_all(every=1)

    def asins(self) -> list[str]:
        return [f"B0PAID{len(self.runs):02}{number:02}" for number in range(EACH)]

    def plan(self, name: str) -> None:
        from django.contrib.auth.models import User

        from products.models import Product, Tracking
        from products.tasks import batch_update_products

        user, _is_new = User.objects.get_or_create(username="seller")
        rows = Product.objects.ensure([("amazon.com", asin) for asin in self.asins()])
        Tracking.objects.watch(user.teams.get(), rows, "own", "3_daily")
        self.runs[name] = rows
        batch_update_products.enqueue([row.pk for row in rows])

    def is_armed(self, operation: str) -> bool:
        from amazon_pilot.sandbox import store

        faults = (store.read(path) for path in store.folder("faults").glob("*.json"))
        return any(fault and fault["on"] == operation for fault in faults)

    def wait_for_all(self, every: float = SWEEP) -> None:
        from products.models import ScrapeRun

        def is_over() -> bool:
            rows = ScrapeRun.objects.all()
            return rows.count() >= len(self.runs) and not rows.open().exists() and not self.deaths_left()

        self.wait_until(is_over, "the runs", every=every)

    def deaths_left(self) -> list[str]:
        return [path.name for path in (self.folder / "deaths").iterdir()]

    def wait_until(
        self, condition: Callable[[], bool], what: str, *, every: float = SWEEP, is_sweeping: bool = True
    ) -> None:
        """Wait, start dead workers again, and sweep as the schedule does, only more often."""
        from products.tasks import resume_unfinished

        end = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > end:
                print(f"# waited in vain for {what}: {self.deaths_left()}", flush=True)
                return
            for name, popen in list(self.workers.items()):
                if popen.poll() is not None:
                    del self.workers[name]
                    self.deaths += 1
                    self.start(name.partition("-")[0])
            if is_sweeping and time.monotonic() - self.swept > every:
                self.swept = time.monotonic()
                resume_unfinished.enqueue()
            time.sleep(0.3)

    # The count

    def tell(self, seconds: float) -> int:
        """Compare what the sandbox was paid for with the rows."""
        from products.models import BudgetUse, DaySpending, ScrapeRun, Snapshot

        paid = Counter(run.urls[0].partition("/dp/")[2][:10] for run in self.apify.runs)
        wrong = 0
        for name, rows in self.runs.items():
            states = [run.state for run in ScrapeRun.objects.filter(targets__product=rows[0])]
            seen = Snapshot.objects.filter(product__in=rows)
            found = (paid[rows[0].asin], states, seen.count(), seen.values("product").distinct().count())
            wrong += found != (1, ["ingested"], EACH, EACH)
            print(f"# {name}: paid {found[0]} times, {', '.join(states)}, {found[2]} looks at {found[3]} of {EACH}")
        booked = sum(DaySpending.objects.values_list("micros", flat=True))
        of_all = sum(BudgetUse.objects.filter(key__startswith="all").values_list("micros", flat=True))
        spent = sum(len(run.urls) for run in self.apify.runs) * PRICE
        figures = {
            "seconds": round(seconds),
            "scenarios": len(self.runs),
            "workers_killed": self.deaths,
            "runs_paid": sum(paid.values()),
            "scenarios_wrong": wrong,
            "paid_usd": spent / 1_000_000,
            "booked_usd": booked / 1_000_000,
            "deaths_not_met": len(self.deaths_left()),
        }
        for name, value in figures.items():
            print(f"{name}: {value}")
        return int(bool(wrong or self.deaths_left()) or not booked == of_all == spent)


if __name__ == "__main__":
    sys.exit(main())
