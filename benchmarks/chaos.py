"""Three real workers, killed at random while jobs of mixed length run; `make chaos`, long: see docs/worker.md.

Workload: jobs of 0.05 to 5 s (mean 0.7 s) fed evenly onto three queues. Every few seconds one victim dies by kill -9:
a slot (three times out of four) or a whole worker, which is started again. Redis is stopped and started again, and
one worker is frozen by SIGSTOP for longer than its lease. Each run appends a line to a file when it begins and when it
ends, so that runs are counted by something else than our records. Redis and PostgreSQL are this program's own.
Prints `jobs_lost: 0`, `jobs_repeated_without_kill: 0`, `recovery_p95_s: …`; ends with 1 where a zero is none.
"""

import argparse
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

ROOT = Path(__file__).parents[1]
WORKERS = 3
SETTLING = 5.0  # seconds after an outage within which every worker has told what it held
UNHEARD = 0.3  # a run that ended so shortly before the kill may not have been committed yet
PATIENCE = 180
QUEUES = {"critical": 6, "default": 3, "low": 1}
TERMINAL = {b"finished", b"failed"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--outages", type=int, default=1, help="How often Redis is stopped.")
    parser.add_argument("--outage-seconds", type=float, default=5)
    parser.add_argument("--freeze-seconds", type=float, default=40, help="How long a worker is stopped; 0 = never.")
    parser.add_argument("--slots", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis-server", default="", help="Another server program than the bundled one.")
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pilot-chaos-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        prepare(stack, folder, options)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        return Chaos(stack, folder, options).run()


def prepare(stack: ExitStack, folder: Path, options: argparse.Namespace) -> None:
    """Start Redis and PostgreSQL and write where they are into the environment."""
    from tests.both import cluster, programs
    from tests.jobs.redis_process import OwnRedis

    options.redis = OwnRedis(folder, *([options.redis_server] if options.redis_server else [])).start()
    stack.callback(options.redis.stop)
    found = programs()
    if found is None:
        print("PostgreSQL's programs are not installed, so the history goes to SQLite.")
    # Durable: a server that answers before it has written loses rows when the storm kills it.
    durable = cluster(found, is_durable=True) if found else nullcontext(f"sqlite:///{folder}/chaos.sqlite3")
    options.database = stack.enter_context(durable)
    os.environ |= {
        "VAR_DIR": str(folder),
        "DJANGO_SETTINGS_MODULE": "tests.jobs.settings",
        "DATABASE_URL": options.database,
        "REDIS_URL": options.redis.url,
        "WORKER_CONCURRENCY": str(options.slots),
        "LOG_LEVEL": "ERROR",
    }


@dataclass
class Worker:
    """One worker process; each start has a name of its own."""

    name: str
    popen: subprocess.Popen[bytes]
    is_frozen: bool = False

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children")
        return [int(word) for word in path.read_text().split()] if path.exists() else []


@dataclass
class Run:
    """One execution of a job, as its own two lines tell it."""

    job: str
    worker: str
    pid: int
    started: float
    ended: float | None = None


@dataclass
class Found:
    """What the lines, Redis and the history say in the end."""

    runs: dict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    ended: set[str] = field(default_factory=set)
    poison: int = 0
    interrupted: int = 0  # runs that a kill cut short
    unheard: int = 0  # runs that had ended, but whose worker was killed or frozen before Redis heard of it
    repeated: int = 0
    missing: int = 0
    refused: int = 0
    recoveries: list[tuple[float, float]] = field(default_factory=list)  # from the kill to the next begin
    outcomes: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)


class Chaos:
    """The whole experiment."""

    def __init__(self, stack: ExitStack, folder: Path, options: argparse.Namespace) -> None:
        self.stack = stack
        self.options = options
        self.random = Random(options.seed)
        self.folder = folder
        self.lines = folder / "lines"
        self.lines.touch()
        self.redis = options.redis
        self.workers: list[Worker] = []
        self.starts = 0
        self.ids: list[str] = []
        self.killed_pids: dict[int, float] = {}
        self.killed_workers: dict[str, float] = {}
        self.frozen_workers: dict[str, list[float]] = {}
        self.outages: list[list[float]] = []
        self.is_up = True
        self.kills: Counter[str] = Counter()
        self.exit_codes: list[int] = []

    def run(self) -> int:
        options = self.options
        self.began = time.time()
        database = options.database.partition(":")[0]
        print(
            f"# {platform.platform()}, {os.cpu_count()} cores, Redis {self.version()}, {database}, seed {options.seed}"
        )
        for _ in range(WORKERS):
            self.workers.append(self.start())
        self.stack.callback(self.end_all)
        wait(lambda: len(self.seen()) == WORKERS, "the workers", PATIENCE)
        self.storm()
        self.settle()
        found = self.count()
        self.tell(found)
        if any(self.exit_codes):
            print((self.folder / "errors").read_text()[-5000:], file=sys.stderr)
        return int(self.is_bad(found))

    def is_bad(self, found: Found) -> bool:
        return bool(self.options.jobs - len(found.ended) or found.repeated or found.missing)

    def version(self) -> str:
        with self.redis.client() as client:
            return str(client.info("server")["redis_version"])

    def seen(self) -> list[Any]:
        with self.redis.client() as client:
            return [worker.name for worker in self.workers if client.exists(f"pilot:worker:{worker.name}")]

    def start(self) -> Worker:
        self.starts += 1
        name = f"chaos-{self.starts}"
        words = [sys.executable, "manage.py", "rqworker", "--name", name]
        with open(self.folder / "errors", "ab") as errors:
            return Worker(name, subprocess.Popen(words, cwd=ROOT, stderr=errors))

    def end_all(self) -> None:
        for worker in self.workers:
            if worker.popen.poll() is None:
                worker.popen.kill()
                worker.popen.wait()

    # The storm

    def storm(self) -> None:
        """Feed the jobs evenly, and let each event come at its drawn time."""
        options = self.options
        calm = options.outages * (options.outage_seconds + SETTLING)
        seconds = max(20.0, options.kills * 2.0 + calm, options.freeze_seconds + 5 + calm, options.jobs / 28)
        print(f"# about {seconds:.0f} s of storm, then the last recoveries", flush=True)
        events = self.events(seconds)
        began = told = time.time()
        while events or len(self.ids) < options.jobs:
            now = time.time()
            while events and events[0][0] <= now - began:
                events.pop(0)[1]()
            due = min(options.jobs, int(options.jobs * (now - began) / seconds) + 1)
            if self.is_up and len(self.ids) < due:
                self.feed(due - len(self.ids))
            if now - told > 15:
                told = now
                print(f"# {now - began:.0f} s: {len(self.ids)} jobs, {dict(self.kills)} killed", flush=True)
            time.sleep(0.02)

    def events(self, seconds: float) -> list[tuple[float, Callable[[], None]]]:
        """Draw what happens when: kills anywhere, outages one after the other, one freeze."""
        options, random = self.options, self.random
        found: list[tuple[float, Callable[[], None]]] = []
        found += [(random.uniform(1, seconds), self.kill) for _ in range(options.kills)]
        frozen = options.freeze_seconds
        if frozen:
            found += [(3.0, self.freeze), (3.0 + frozen, self.thaw)]
        calm = 5.0 + frozen  # the freeze comes first: an outage in it would keep its jobs from being given away
        part = (seconds - calm) / (options.outages or 1)
        for number in range(options.outages):
            at = calm + number * part + random.uniform(0.1, 0.9) * max(0.0, part - options.outage_seconds - SETTLING)
            found += [(at, self.stop_redis), (at + options.outage_seconds, self.start_redis)]
        return sorted(found, key=lambda event: event[0])

    def feed(self, count: int) -> None:
        from amazon_pilot.jobs.core.enqueue import enqueue
        from tests.jobs.tasks import note_start_and_end

        for _ in range(0, count, 20):
            queue = self.random.choices(list(QUEUES), list(QUEUES.values()))[0]
            calls = [((str(self.lines), self.length()), {}) for _ in range(min(20, count))]
            self.ids += enqueue(note_start_and_end, calls[: self.options.jobs - len(self.ids)], queue=queue)

    def length(self) -> float:
        low, high = self.random.choices([(0.05, 0.2), (0.5, 1.5), (2, 5)], [6, 3, 1])[0]
        return round(self.random.uniform(low, high), 3)

    def kill(self) -> None:
        """Kill one slot or one whole worker, and start the worker again."""
        victims = [number for number, worker in enumerate(self.workers) if not worker.is_frozen]
        number = self.random.choice(victims)
        worker = self.workers[number]
        children = sorted(worker.children())
        if children and self.random.random() < 0.75:
            pid = self.random.choice(children)
            self.killed_pids[pid] = time.time()
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                del self.killed_pids[pid]
            self.kills["slots"] += 1
        else:
            worker.popen.kill()
            self.killed_workers[worker.name] = time.time()
            worker.popen.wait()
            self.kills["workers"] += 1
            self.workers[number] = self.start()

    def stop_redis(self) -> None:
        self.is_up = False
        self.outages.append([time.time(), float("inf")])
        self.redis.stop()

    def start_redis(self) -> None:
        self.redis.start()
        self.outages[-1][1] = time.time()
        self.is_up = True

    def freeze(self) -> None:
        worker = self.random.choice(self.workers)
        worker.is_frozen = True
        worker.popen.send_signal(signal.SIGSTOP)
        self.frozen_workers[worker.name] = [time.time(), float("inf")]

    def thaw(self) -> None:
        for worker in self.workers:
            if worker.is_frozen:
                worker.popen.send_signal(signal.SIGCONT)
                self.frozen_workers[worker.name][1] = time.time()
                worker.is_frozen = False

    def settle(self) -> None:
        """Wait until no job is pending and the history is written, then have the workers leave."""
        print(f"# {time.time() - self.began:.0f} s: all jobs fed, waiting for the last", flush=True)
        with self.redis.client() as client:
            try:
                wait(lambda: not self.pending(client), "the last jobs", PATIENCE)
                wait(lambda: not client.xlen("pilot:runs") + client.xlen("pilot:failures"), "the history", PATIENCE)
            except TimeoutError as error:
                print(f"# {error}")
        for worker in self.workers:
            worker.popen.terminate()
        self.exit_codes = [worker.popen.wait(60) for worker in self.workers]

    def pending(self, client: Any) -> list[str]:
        with client.pipeline(transaction=False) as pipeline:
            for job_id in self.ids:
                pipeline.hget(f"rq:job:{job_id}", "status")
            states = pipeline.execute()
        return [job_id for job_id, state in zip(self.ids, states, strict=True) if state not in TERMINAL]

    # The count

    def count(self) -> Found:
        from amazon_pilot.jobs.models import JobRun

        found = Found()
        self.read_lines(found)
        rows: dict[str, list[JobRun]] = defaultdict(list)
        for row in JobRun.objects.defer("log", "traceback", "search").iterator():
            rows[row.job_id].append(row)
            found.outcomes[row.outcome] += 1
            if row.outcome == "lost":
                found.causes[row.cause] += 1
        with self.redis.client() as client:
            pending = set(self.pending(client))
        for job_id in self.ids:
            self.judge(found, job_id, rows[job_id], job_id in pending)
        return found

    def read_lines(self, found: Found) -> None:
        by_token: dict[str, Run] = {}
        for line in self.lines.read_text().splitlines():
            kind, job, token, worker, pid, at = line.split()
            if kind == "start":
                by_token[token] = Run(job, worker, int(pid), float(at))
                found.runs[job].append(by_token[token])
            else:
                by_token[token].ended = float(at)

    def judge(self, found: Found, job_id: str, rows: list[Any], is_pending: bool) -> None:
        """Compare what the lines, Redis and the history say of one job."""
        runs = sorted(found.runs[job_id], key=lambda run: run.started)
        poison = any(row.is_poison for row in rows)
        has_ended = any(run.ended for run in runs) and any(row.outcome == "succeeded" for row in rows)
        if not is_pending and (has_ended or poison):
            found.ended.add(job_id)
        found.poison += poison
        found.missing += max(0, len(runs) - len(rows)) + sum(row.ended_at is None for row in rows)
        hits: list[tuple[Run, float]] = []
        for number, run in enumerate(runs):
            at = self.hit(run)
            if at is None:
                continue
            if run.ended is None:
                found.interrupted += 1
            elif number + 1 < len(runs):
                found.unheard += 1
            else:
                continue
            hits.append((run, at))
            if number + 1 < len(runs):
                found.recoveries.append((at, runs[number + 1].started))
        found.repeated += max(0, len(runs) - 1 - len(hits))
        given_away = {row.worker for row in rows if row.outcome == "lost" and row.cause == "worker_lost"}
        found.refused += sum(
            run.ended is not None and run.worker in given_away and run.ended > self.frozen_workers[run.worker][0]
            for run in runs
            if run.worker in self.frozen_workers
        )

    def hit(self, run: Run) -> float | None:
        """Answer when a kill or the freeze fell on a run before Redis had heard of its end, or None."""
        moments = [self.killed_pids.get(run.pid), self.killed_workers.get(run.worker)]
        for at in moments:
            if at is not None and run.started < at and (run.ended is None or self.unheard(run.ended, at)):
                return at
        if frozen := self.frozen_workers.get(run.worker):
            at, thawed = frozen
            if run.started < thawed and (run.ended is None or run.ended > at - UNHEARD):
                return at
        return None

    def with_redis(self, since: float, until: float) -> float:
        """Answer how many seconds of a span Redis was there: without it nothing can be brought back."""
        away = sum(max(0.0, min(until, end) - max(since, begin)) for begin, end in self.outages)
        return until - since - away

    def unheard(self, ended: float, killed: float) -> bool:
        """Tell whether a run's end may not have reached Redis when its worker was killed."""
        if ended > killed - UNHEARD:
            return True
        return any(since - UNHEARD < ended and killed < until + SETTLING for since, until in self.outages)

    def tell(self, found: Found) -> None:
        options = self.options
        executions = sum(len(runs) for runs in found.runs.values())
        waits = sorted(max(0.0, self.with_redis(*span)) for span in found.recoveries)
        all_waits = sorted(until - since for since, until in found.recoveries)
        print(f"""
  killed with -9             {self.kills["slots"]} slots, {self.kills["workers"]} workers (each started again)
  Redis stopped              {len(self.outages)} times for {options.outage_seconds:g} s
  worker frozen              {len(self.frozen_workers)} times for {options.freeze_seconds:g} s
  runs by their own lines    {executions}, {executions - len(found.runs)} more than jobs that ran
  runs by the history        {", ".join(f"{count} {name}" for name, count in sorted(found.outcomes.items()))}
  losses by cause            {", ".join(f"{count} {name}" for name, count in sorted(found.causes.items()))}
  put aside as poison        {found.poison}
  exit codes in the end      {", ".join(map(str, self.exit_codes))}
""")
        figures = {
            "seed": options.seed,
            "seconds": round(time.time() - self.began),
            "jobs": len(self.ids),
            "jobs_ended": len(found.ended),
            "jobs_lost": options.jobs - len(found.ended),
            "attempts_extra": executions - len(found.runs),
            "kills_on_running": found.interrupted,
            "ends_unheard": found.unheard,
            "jobs_repeated_without_kill": found.repeated,
            "history_rows_missing": found.missing,
            "recovery_p50_s": percentile(waits, 50),
            "recovery_p95_s": percentile(waits, 95),
            "recovery_outages_counted_p95_s": percentile(all_waits, 95),
            "late_results_refused": found.refused,
        }
        for name, value in figures.items():
            print(f"{name}: {value}")


def percentile(values: list[float], share: int) -> float:
    return round(values[min(len(values) - 1, len(values) * share // 100)], 2) if values else 0.0


def wait(condition: Callable[[], Any], what: str, seconds: float = 60) -> None:
    """Wait until `condition` holds; raises TimeoutError with the name of what was awaited."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
