"""Everything at once: each process and each line of the product is killed, frozen and cut off at random; `make chaos`.

Three workers, two schedulers, a web server, Redis and PostgreSQL, all of this program's own. Beside honest jobs, which
are counted as in benchmarks/chaos.py, run jobs that leak into their slot, kill it, die of signals and cannot be
described. Prints `name: value` lines; ends with 1 where one of the zeros is none.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from .chaos import ROOT, Chaos, Found, prepare, wait
from .stage import free_port

PATIENCE = 400
RATE = 5  # honest jobs a second
ODD_RATE = 1.5
ENTRY = "storm"  # of the schedule: one fire a minute


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--redis-server", default=shutil.which("redis-server") or "")
    options = parser.parse_args()
    options.jobs = options.seconds * RATE
    options.outage_seconds = options.freeze_seconds = 0
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="pilot-storm-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        prepare(stack, folder, options)
        import django

        django.setup()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        return Storm(stack, folder, options).run()


class Storm(Chaos):
    """The experiment of chaos.py under worse weather."""

    def __init__(self, stack: ExitStack, folder: Path, options: argparse.Namespace) -> None:
        super().__init__(stack, folder, options)
        self.schedulers: list[subprocess.Popen[bytes]] = []
        self.odd: dict[str, str] = {}  # of the ids of odd jobs: what they do
        self.ended_by_themselves = 0
        self.port = free_port()
        self.waits: list[float] = []  # how long the web took to answer
        self.base = Path(self.query("SHOW data_directory"))
        self.freezes: list[tuple[float, Callable[[], None]]] = []

    # The processes

    def run(self) -> int:
        self.web = self.start_web()
        self.schedulers = [self.start_scheduler(), self.start_scheduler()]
        self.add_entry()
        threading.Thread(target=self.look, daemon=True).start()
        return super().run()

    def spawn(self, *words: str) -> "subprocess.Popen[bytes]":
        with open(self.folder / "errors", "ab") as errors:
            return subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=errors, stderr=errors)

    def start_scheduler(self) -> "subprocess.Popen[bytes]":
        return self.spawn("manage.py", "rqscheduler")

    def start_web(self) -> "subprocess.Popen[bytes]":
        return self.spawn("-m", "gunicorn", "amazon_pilot.wsgi", "--bind", f"127.0.0.1:{self.port}", "--threads", "4")

    def end_all(self) -> None:
        super().end_all()
        for each in (*self.schedulers, self.web):
            each.kill()
            each.wait()

    def add_entry(self) -> None:
        from django.contrib.auth import get_user_model

        from amazon_pilot.jobs.operate import schedule

        person = get_user_model()._default_manager.create_superuser("storm", "storm@localhost", "storm")
        call = {"task": "tests.jobs.tasks.write_line", "args": [str(self.folder / "fires"), "fire"]}
        schedule.create(person, ENTRY, {"cron": "* * * * *", "zone": "UTC", "queue": "critical", **call})

    def look(self) -> None:
        """Ask the web server for its health again and again, as a balancer does."""
        while True:
            began = time.monotonic()
            with (
                suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=60) as answer,
            ):
                answer.read()
            self.waits.append(time.monotonic() - began)
            time.sleep(1)

    # PostgreSQL

    def query(self, sql: str) -> str:
        import psycopg

        with psycopg.connect(self.options.database, autocommit=True) as line:
            found = line.execute(sql).fetchone()
        return str(found[0]) if found else ""

    def postgres(self) -> list[int]:
        """Return the processes of the server, its backends included."""
        first = int((self.base / "postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text()
        return [first, *map(int, children.split())]

    def kill_postgres(self) -> None:
        pids = self.postgres()
        self.signal(pids, signal.SIGKILL)
        self.later(3, self.start_postgres)

    def start_postgres(self) -> None:
        from tests.both import programs

        folder = programs()
        assert folder is not None
        (self.base / "postmaster.pid").unlink(missing_ok=True)
        options = (self.base / "postmaster.opts").read_text().partition(" ")[2].strip()
        words = f"{folder}/pg_ctl -D {self.base} -w -l {self.base.parent}/log -o '{options.replace(chr(34), '')}' start"
        user = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        subprocess.run(["sh", "-c", words], check=True, cwd=self.base.parent, stdout=subprocess.DEVNULL, **user)

    # What happens

    def storm(self) -> None:
        seconds = self.options.seconds
        weather: list[tuple[float, Callable[[], None]]] = [
            (4, self.kill), (15, self.kill_scheduler), (25, self.freeze_worker), (40, self.kill_web),
            (45, self.kill_redis), (45, self.freeze_redis), (12, self.cut_redis), (45, self.kill_postgres),
            (45, self.freeze_postgres), (12, self.cut_postgres), (40, self.freeze_scheduler),
        ]  # fmt: skip
        draw = self.random.expovariate
        due = [[draw(1 / mean), mean, event] for mean, event in weather]
        began = told = time.time()
        while (past := time.time() - began) < seconds:
            for row in due:
                if row[0] <= past:
                    row[0] = past + draw(1 / row[1])
                    self.happen(row[2])
            self.thaw_due()
            self.feed_due(past)
            self.look_after()
            if time.time() - told > 15:
                told = time.time()
                print(f"# {past:.0f} s: {len(self.ids)} + {len(self.odd)} jobs, {dict(self.kills)}", flush=True)
            time.sleep(0.02)
        while self.freezes:
            self.thaw_due()
            time.sleep(0.1)
        self.options.jobs = len(self.ids)

    def happen(self, event: Callable[[], None]) -> None:
        if event.__name__.endswith(("_redis", "_postgres")) and self.freezes:
            return  # one of the two at a time, else nothing ever runs
        event()
        if event.__name__ != "kill":  # it counts slots and workers apart
            self.kills[event.__name__] += 1

    def kill(self) -> None:
        """Kill a slot or a worker, once all have begun: workers killed at their start again and again do nothing."""
        if all(worker.is_frozen or worker.children() for worker in self.workers):
            super().kill()

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        self.freezes.append((time.time() + seconds, step))

    def thaw_due(self) -> None:
        for row in [row for row in self.freezes if row[0] <= time.time()]:
            self.freezes.remove(row)
            row[1]()

    def signal(self, pids: list[int], number: int) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill_scheduler(self) -> None:
        number = self.random.randrange(2)
        self.schedulers[number].kill()
        self.schedulers[number].wait()
        self.schedulers[number] = self.start_scheduler()

    def freeze_scheduler(self) -> None:
        pid = self.random.choice(self.schedulers).pid
        self.signal([pid], signal.SIGSTOP)
        self.later(self.random.uniform(1, 40), lambda: self.signal([pid], signal.SIGCONT))

    def kill_web(self) -> None:
        children = Path(f"/proc/{self.web.pid}/task/{self.web.pid}/children").read_text().split()
        self.signal([self.web.pid, *map(int, children)], signal.SIGKILL)  # as when its container dies
        self.web.wait()
        self.web = self.start_web()

    def freeze_worker(self) -> None:
        if any(worker.is_frozen for worker in self.workers):
            return
        worker = self.random.choice(self.workers)
        if worker.name in self.frozen_workers:
            return
        worker.is_frozen = True
        worker.popen.send_signal(signal.SIGSTOP)
        self.frozen_workers[worker.name] = [time.time(), float("inf")]
        self.later(self.random.uniform(1, 40), self.thaw)

    def kill_redis(self) -> None:
        self.away()
        self.redis.popen.kill()
        self.redis.popen.wait()
        self.redis.stop()
        self.later(2, self.start_redis)

    def freeze_redis(self) -> None:
        self.away()
        self.redis.popen.send_signal(signal.SIGSTOP)
        self.later(self.random.uniform(1, 12), self.thaw_redis)

    def thaw_redis(self) -> None:
        self.redis.popen.send_signal(signal.SIGCONT)
        self.back()

    def cut_redis(self) -> None:
        """Drop every line to Redis, as a firewall that was restarted does."""
        self.away()
        with self.redis.client() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        self.back()

    def away(self) -> None:
        self.is_up = False
        self.outages.append([time.time(), float("inf")])

    def back(self) -> None:
        self.outages[-1][1] = time.time()
        self.is_up = True

    def freeze_postgres(self) -> None:
        pids = self.postgres()
        self.signal(pids, signal.SIGSTOP)
        self.later(self.random.uniform(1, 15), lambda: self.signal(pids, signal.SIGCONT))

    def cut_postgres(self) -> None:
        self.query("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")

    def look_after(self) -> None:
        """Start again what has ended by itself, and count it: nothing of the product may."""
        for number, worker in enumerate(self.workers):
            if not worker.is_frozen and worker.popen.poll() is not None:
                self.mourn(f"worker {worker.name}", worker.popen)
                self.killed_workers[worker.name] = time.time()
                self.workers[number] = self.start()
        for number, scheduler in enumerate(self.schedulers):
            if scheduler.poll() is not None:
                self.mourn("a scheduler", scheduler)
                self.schedulers[number] = self.start_scheduler()
        if self.web.poll() is not None:
            self.mourn("the web server", self.web)
            self.web = self.start_web()

    def mourn(self, who: str, popen: "subprocess.Popen[bytes]") -> None:
        print(f"# {who} ended by itself with {popen.returncode}", flush=True)
        self.ended_by_themselves += 1

    # The jobs

    def feed_due(self, past: float) -> None:
        from redis.exceptions import RedisError

        if not self.is_up:
            return
        with suppress(RedisError):  # whose answer was lost may run, and is not counted
            while len(self.ids) < past * RATE:
                self.feed(min(20, int(past * RATE) + 1 - len(self.ids)))
            while len(self.odd) < past * ODD_RATE:
                what, enqueue = self.random.choice(odd_jobs())
                self.odd[enqueue()] = what

    def settle(self) -> None:
        print(f"# {time.time() - self.began:.0f} s: the storm is over, waiting for the last", flush=True)
        with self.redis.client() as client:
            try:
                wait(lambda: not self.left(client), "the last jobs", PATIENCE)
                wait(lambda: not client.xlen("pilot:runs") + client.xlen("pilot:failures"), "the history", PATIENCE)
                wait(self.is_web_well, "the web server", PATIENCE)
            except TimeoutError as error:
                self.ended_by_themselves += 1
                print(f"# {error}; waits for: {self.left(client)[:9]}")
        for worker in self.workers:
            worker.popen.terminate()
        self.exit_codes = [worker.popen.wait(60) for worker in self.workers]

    def is_web_well(self) -> bool:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=10) as answer:
            return bool(answer.status == 200)
        return False

    def left(self, client: Any) -> list[str]:
        ids, self.ids = self.ids, [*self.ids, *self.odd]
        try:
            return self.pending(client)
        finally:
            self.ids = ids

    # The count

    def count(self) -> Found:
        from django.db import connection

        from amazon_pilot.jobs.models import Fire, JobRun

        connection.close()  # it was cut off, as all others
        found = super().count()
        self.tell_of_open_rows(found)

        rows = list(
            JobRun.objects.filter(job_id__in=self.odd).values_list("job_id", "outcome", "ended_at", "is_poison")
        )
        told = {job_id for job_id, _, ended_at, _ in rows if ended_at}
        self.untold = [what for job_id, what in self.odd.items() if job_id not in told]
        self.open_rows = sum(ended_at is None for _, _, ended_at, _ in rows)
        blamed = {job_id for job_id, what in self.odd.items() if what.startswith("die")}
        self.blameless = [self.odd[job_id] for job_id, _, _, poison in rows if poison and job_id not in blamed]
        self.odd_outcomes = Counter(outcome for _, outcome, _, _ in rows)
        fires = list(Fire.objects.filter(entry=ENTRY).values_list("planned_at", "outcome"))
        begun = datetime.fromtimestamp(self.began, UTC).replace(second=0, microsecond=0) + timedelta(minutes=2)
        until = datetime.fromtimestamp(self.began + self.options.seconds, UTC)
        minutes = {begun + timedelta(minutes=n) for n in range(1000) if begun + timedelta(minutes=n) < until}
        self.fires_missing = len(minutes - {at for at, _ in fires})
        self.fires_twice = len(fires) - len({at for at, _ in fires})
        self.fires = Counter(outcome for _, outcome in fires)
        return found

    def tell_of_open_rows(self, found: Found) -> None:
        """Say of each run that has a row without an end what else is known of its job."""
        from amazon_pilot.jobs.models import JobRun

        for job_id in {*JobRun.objects.filter(ended_at=None).values_list("job_id", flat=True)}:
            print(f"# open: {job_id} {self.odd.get(job_id, '')}")
            for row in JobRun.objects.filter(job_id=job_id).order_by("started_at"):
                print(f"#   {row.execution_id} {row.worker} {row.outcome} {row.cause} {row.started_at} {row.ended_at}")
            for run in found.runs[job_id]:
                times = [datetime.fromtimestamp(at, UTC).time() if at else None for at in (run.started, run.ended)]
                print(f"#   ran in {run.pid} of {run.worker}: {times[0]} to {times[1]}")

    def judge(self, found: Found, job_id: str, rows: list[Any], is_pending: bool) -> None:
        before = found.interrupted + found.unheard, found.poison
        super().judge(found, job_id, rows, is_pending)
        hits = found.interrupted + found.unheard - before[0]
        if found.poison > before[1] and hits < 3:
            found.causes["poison without blame"] += 1

    def tell(self, found: Found) -> None:
        super().tell(found)
        slowest = max(self.waits, default=0.0)
        figures = {
            "odd_jobs": len(self.odd),
            "odd_outcomes": ", ".join(f"{count} {name}" for name, count in sorted(self.odd_outcomes.items())),
            "odd_jobs_untold": len(self.untold),
            "rows_open": self.open_rows,
            "poisoned_without_blame": found.causes["poison without blame"] + len(self.blameless),
            "processes_ended_by_themselves": self.ended_by_themselves,
            "fires": ", ".join(f"{count} {name}" for name, count in sorted(self.fires.items())),
            "fires_missing": self.fires_missing,
            "fires_twice": self.fires_twice,
            "web_slowest_answer_s": round(slowest, 1),
        }
        for name, value in figures.items():
            print(f"{name}: {value}")
        if self.untold or self.blameless:
            print(f"# untold: {self.untold[:9]}, blameless: {self.blameless[:9]}")

    def is_bad(self, found: Found) -> bool:
        zeros = (
            found.repeated, found.missing, len(self.untold), self.open_rows, len(self.blameless),
            found.causes["poison without blame"], self.ended_by_themselves, self.fires_missing, self.fires_twice,
            self.options.jobs - len(found.ended), *self.exit_codes,
        )  # fmt: skip
        return any(zeros)


def odd_jobs() -> list[tuple[str, Callable[[], str]]]:
    """Return what misbehaves, each with how it is enqueued."""
    from tests.jobs import hard_to_tell, leaks, tasks

    found: list[tuple[str, Callable[[], str]]] = []
    found += [(f"leak {what}", lambda what=what: leaks.leak.enqueue(what)) for what in leaks.LEAKS]
    sessions = [*leaks.SESSIONS, *leaks.POSTGRESQL]
    found += [(f"session {what}", lambda what=what: leaks.leave_session.enqueue(what)) for what in sessions]
    tables = [
        (hard_to_tell.succeed, hard_to_tell.RESULTS), (hard_to_tell.fail, hard_to_tell.ERRORS),
        (hard_to_tell.fail_with_meta, hard_to_tell.METAS), (hard_to_tell.log, hard_to_tell.LOGS),
    ]  # fmt: skip
    for task, table in tables:
        found += [(f"{task.name} {what}", lambda task=task, what=what: task.enqueue(what)) for what in table]
    found += [(f"die of {number}", lambda number=number: tasks.die_of.enqueue(number)) for number in (6, 9, 11, 15, 40)]
    return [*found, ("die", tasks.die.enqueue)]


if __name__ == "__main__":
    sys.exit(main())
