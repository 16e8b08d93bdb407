"""Our worker alone: until the last start, the last end and the last visible row, and what each process spends on it.

The clock of a flood runs from the first job's record. Its last *end* is the moment at which Redis holds every job as
ended, its last *row* that at which another connection to the database sees every row; both are looked for ten times a
second, which is the error of each figure.
"""

import os
import signal
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import stage

SHARES = {"critical": 6, "default": 3, "low": 1}
SLOTS = 10
LOOK = 0.1  # seconds
ONE_FAILS = 200  # of so many jobs
PATIENCE = 300  # seconds


class Product(ExitStack):
    """The product with the benchmarks' tasks installed, its tables made, in a durable PostgreSQL where there is one."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from tests import both

        if (programs := both.programs()) is not None:
            os.environ["DATABASE_URL"] = self.enter_context(both.cluster(programs, is_durable=True))
        else:
            os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.app.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)


def load(task: str, number: int, one_fails: int = 0) -> int:
    """Enqueue jobs, sixty of a hundred on critical, thirty on default, ten on low; return how many."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    whole = 0
    for place, (queue, share) in enumerate(SHARES.items()):
        calls = [((place, n), {}) for n in range(number * share // sum(SHARES.values()))]
        failing = calls[::one_fails] if one_fails else []
        step = one_fails or len(calls)
        for n in range(0, len(calls), step):
            enqueue(getattr(tasks, task), calls[n : n + step], queue=queue)
            if one_fails:
                enqueue(tasks.fails, [calls[n]], queue=queue)
        whole += len(calls) + len(failing)
    return whole


class Watcher(threading.Thread):
    """Sees rows appear: how long after its job's end each became visible, of all and of those that failed."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.lags: list[float] = []
        self.failures: list[float] = []
        self.last_row = 0.0
        self.is_over = threading.Event()

    def run(self) -> None:
        from django.db import connection
        from django.db.models import Q

        from amazon_pilot.jobs.models import JobRun

        newest, begun = 0, set[int]()
        while not self.is_over.wait(LOOK):
            rows = JobRun.objects.filter(Q(pk__gt=newest) | Q(pk__in=begun)).order_by()
            found = list(rows.values_list("pk", "ended_at", "outcome"))
            now = time.time()
            newest = max([newest, *(pk for pk, _ended_at, _outcome in found)])
            begun = {pk for pk, ended_at, _outcome in found if ended_at is None}
            ended = [(outcome, now - ended_at.timestamp()) for _pk, ended_at, outcome in found if ended_at]
            self.lags += [lag for _outcome, lag in ended]
            self.failures += [lag for outcome, lag in ended if outcome != "succeeded"]
            self.last_row = now if ended else self.last_row
        connection.close()

    def wait_for(self, number: int) -> None:
        """Wait until so many rows were seen; raise RuntimeError where they do not come."""
        end = time.monotonic() + PATIENCE
        while len(self.lags) < number:
            if time.monotonic() > end:
                raise RuntimeError(f"{len(self.lags)} of {number} jobs have their row")
            time.sleep(0.02)
        self.is_over.set()
        self.join()


class Worker:
    """One worker, ready and held back, and the processor time of each of its processes."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.writer = sorted(stage.children(pid))[SLOTS]  # it is forked after the slots
        self.before = self.seconds()

    def seconds(self) -> dict[str, float]:
        slots = [pid for pid in stage.children(self.pid) if pid != self.writer]
        own, ended = stage.cpu(self.pid)
        return {
            "supervisor": own,
            "slots": ended + sum(sum(stage.cpu(pid)) for pid in slots),
            "history writer": sum(stage.cpu(self.writer)),
            "Redis": stage.family_cpu(redis_pid()),
            "database": stage.family_cpu(pid) if (pid := database_pid()) else 0.0,
        }

    def spent(self) -> dict[str, float]:
        """Return the seconds of each since it stood ready."""
        return {name: seconds - self.before[name] for name, seconds in self.seconds().items()}

    def memory(self) -> float:
        """Return the proportional set size of all its processes, in MB."""
        return sum(stage.memory(pid) for pid in [self.pid, *stage.children(self.pid)]) / 2**20


def redis() -> Any:
    from amazon_pilot.jobs.core.queues import connection

    return connection()


def redis_pid() -> int:
    return int(redis().info("server")["process_id"])


def database_pid() -> int:
    """Return PostgreSQL's postmaster, 0 where the history goes to SQLite, whose work is the writer's own."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (backend,) = cursor.fetchone()
    return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def held_back(folder: Path) -> Iterator[Worker]:
    """Start a worker that takes nothing yet; it does when the block calls `go`."""
    redis().set("rq:suspended", 1)
    with stage.process(["manage.py", "rqworker"], dict(os.environ), folder / "log") as child:
        end = time.monotonic() + PATIENCE
        while not redis().zcard("pilot:workers") or len(stage.children(child.pid)) <= SLOTS:
            if time.monotonic() > end or child.poll() is not None:
                raise RuntimeError("the worker did not come up")
            time.sleep(0.1)
        time.sleep(2)
        yield Worker(child.pid)


def go() -> None:
    redis().delete("rq:suspended")


def ended() -> int:
    """Return how many jobs Redis holds as ended."""
    return sum(redis().zcard(f"rq:{name}:{queue}") for name in ("finished", "failed") for queue in SHARES)


def flood(task: str, number: int, folder: Path) -> dict[str, float]:
    """Work off so many jobs, some of which fail, and return every figure of it."""
    empty = redis().info("memory")["used_memory"]
    number = load(task, number, ONE_FAILS if task == "noop" else 0)
    watcher = Watcher()
    with held_back(folder) as worker:
        watcher.start()
        go()
        end = time.monotonic() + PATIENCE
        while (done := ended()) < number:
            if time.monotonic() > end:
                raise RuntimeError(f"{done} of {number} jobs have ended")
            time.sleep(LOOK)
        last_end = time.time()
        watcher.wait_for(number)
        spent = worker.spent()
        time.sleep(2)  # the last lines are acknowledged
        kept = redis().info("memory")["used_memory"] - empty
        begun = [record[0] for record in stage.records(folder / "records")]
        found = {
            "rate_last_start": (number - 1) / (max(begun) - min(begun)),
            "rate_last_end": number / (last_end - min(begun)),
            "rate_last_row": number / (watcher.last_row - min(begun)),
            "cpu_s_per_10k": sum(spent.values()) * 10_000 / number,
            "redis_bytes_per_finished_job": kept / number,
            "failure_lag_p99_s": stage.percentile(watcher.failures, 99),
            "flood_row_lag_p99_s": stage.percentile(watcher.lags, 99),
            "pss_total_mb": worker.memory(),
        }
        return found | {f"cpu of {name}": seconds * 10_000 / number for name, seconds in spent.items()}


def steady(rate: int, seconds: int, folder: Path) -> dict[str, float]:
    """Enqueue so many jobs a second for a while; return how late their rows were."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    watcher, step = Watcher(), 0.05
    with held_back(folder):
        watcher.start()
        go()
        start, number = time.monotonic(), 0
        while (passed := time.monotonic() - start) < seconds:
            wanted = int(passed * rate) - number
            if wanted:
                enqueue(tasks.noop, [((0, n), {}) for n in range(number, number + wanted)], queue="critical")
            number += wanted
            time.sleep(step)
        watcher.wait_for(number)
    return {"row_lag_p99_s": stage.percentile(watcher.lags, 99), "steady_jobs_per_s": number / seconds}


def killed(number: int, folder: Path) -> dict[str, float]:
    """Kill a worker with -9 amid a flood; return how many jobs ran again and how many losses were counted."""
    from amazon_pilot.jobs.models import JobRun

    load("noop", number)
    with held_back(folder) as worker:
        go()
        stage.wait_for_records(folder / "records", number // 3, PATIENCE, lambda: True)
        os.kill(worker.pid, signal.SIGKILL)
    with stage.process(["manage.py", "rqworker"], dict(os.environ), folder / "log"):
        end = time.monotonic() + PATIENCE
        while len({record[1:] for record in stage.records(folder / "records")}) < number or ended() < number:
            if time.monotonic() > end:
                raise RuntimeError(f"{ended()} of {number} jobs have ended")
            time.sleep(LOOK)
        time.sleep(3)  # the last rows
        lost = JobRun.objects.filter(outcome="lost").count()
    runs = Counter(record[1:] for record in stage.records(folder / "records"))
    again = sum(times - 1 for times in runs.values())
    return {"rerun_after_kill": again, "lost_after_kill": lost}


def at_rest(folder: Path) -> dict[str, float]:
    """Return how soon an idle worker picks a job up, and what it weighs."""
    import random

    from .app import tasks

    draw, sent, records = random.Random(1), {}, folder / "records"
    with held_back(folder) as worker:
        weight = worker.memory()
        slots = sorted(stage.children(worker.pid))[:SLOTS]
        each = statistics.mean(stage.memory(pid) for pid in slots) / 2**20
        supervisor = stage.memory(worker.pid) / 2**20
        go()
        tasks.noop.enqueue(9, 0)
        stage.wait_for_records(records, 1, 60, lambda: True)
        time.sleep(1)
        for n in range(300):
            sent[n] = time.time()
            tasks.noop.enqueue(0, n)
            time.sleep(draw.expovariate(33))
        stage.wait_for_records(records, 301, 60, lambda: True)
    waits = [(begun - sent[n]) * 1000 for begun, kind, n in stage.records(records) if kind == 0]
    return {
        "pickup_p50_ms": stage.percentile(waits, 50),
        "pickup_p99_ms": stage.percentile(waits, 99),
        "pss_total_mb": weight,
        "pss_per_slot_mb": each,
        "pss_supervisor_mb": supervisor,
    }


def producing(folder: Path) -> dict[str, float]:
    """Return how far shares lie from their weights in 5,000 starts, in points, and how fast jobs are enqueued."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    for place, queue in enumerate(SHARES):
        enqueue(tasks.noop, [((place, n), {}) for n in range(5_500)], queue=queue)
    with held_back(folder):
        go()
        stage.wait_for_records(folder / "records", 5_000, 60, lambda: True)
    started = Counter(kind for _begun, kind, _n in stage.records(folder / "records")[:5_000])
    whole = sum(SHARES.values())
    points = max(abs(started[place] / 50 - share * 100 / whole) for place, share in enumerate(SHARES.values()))
    start = time.monotonic()
    load("noop", 10_000)
    in_bulk = 10_000 / (time.monotonic() - start)
    start = time.monotonic()
    for n in range(1000):
        tasks.noop.enqueue(0, n)
    one_by_one = 1000 / (time.monotonic() - start)
    return {
        "weights_max_deviation_points": points,
        "enqueue_in_bulk_per_s": in_bulk,
        "enqueue_one_by_one_per_s": one_by_one,
    }
