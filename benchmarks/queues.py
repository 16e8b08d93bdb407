"""Our worker beside other queues, on one machine, in one run, round after round: `make bench`.

Workload: jobs that do nothing but append 24 bytes to a file (`noop`), the same with a sleep of 10 ms (`sleep10`), ten
at a time, the product's whole Django application loaded everywhere; for ours also the pickup of single jobs by an idle
worker, memory, and the shares of three full queues. Each system gets a Redis of its own (Debian's where it is
installed, else the bundled one; without persistence) and is measured from its first job's beginning to its last's.
Ours writes its history to PostgreSQL where that is installed, else to SQLite. Systems take turns; medians are reported.
"""

import argparse
import importlib
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from . import stage

# How many jobs of each kind a system gets: enough for a few seconds, by how fast it is.
PEERS = {
    "rq_fork": {"noop": 400, "sleep10": 400},
    "celery_prefork": {"noop": 4_000, "sleep10": 2_000},
    "dramatiq_threads": {"noop": 8_000, "sleep10": 2_000},
    "huey_process": {"noop": 20_000, "sleep10": 3_000},
    "taskiq_list": {"noop": 8_000, "sleep10": 2_000},
    "asynq": {"noop": 20_000, "sleep10": 3_000},
}
ASYNQ = stage.ROOT / "benchmarks/peers/asynq"
PEERS_PYTHON = Path(sys.prefix) / "peers/bin/python"  # an environment of their own, made by `make bench`
OURS = {"noop": 60_000, "sleep10": 4_000}
SHARES = {"critical": 6, "default": 3, "low": 1}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="These peers alone.")
    parser.add_argument("--apart", help=argparse.SUPPRESS)  # one measurement in a process of its own
    parser.add_argument("--task", default="noop", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.apart:
        print(measure(options.apart, options.task))
        return 0
    return compare(options)


def compare(options: argparse.Namespace) -> int:
    """Run every system in turn and print the table."""
    reason = why_no_asynq()
    peers = [name for name in PEERS if (not options.only or name in options.only) and not (name == "asynq" and reason)]
    rates: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds):
        for task in ("noop", "sleep10"):
            for name in ["ours", *peers]:
                rate = float(apart(name, task))
                rates.setdefault((name, task), []).append(rate)
                print(f"round {number + 1}: {name:18} {task:8} {rate:9.1f} jobs/s", flush=True)
    own = {word: float(value) for word, value in (line.split() for line in apart("self", "").splitlines())}
    medians = {key: statistics.median(values) for key, values in rates.items()}
    table(medians, rates, peers)
    if reason:
        print(f"asynq: skipped, {reason}")
    for name in peers:
        print(f"throughput_vs_{name}: {medians['ours', 'noop'] / medians[name, 'noop']:.2f}")
    print(f"noop_jobs_per_s: {medians['ours', 'noop']:.0f}")
    print(f"sleep10_jobs_per_s: {medians['ours', 'sleep10']:.0f}")
    for word, value in own.items():
        print(f"{word}: {value:g}")
    return 0


def apart(name: str, task: str) -> str:
    """Measure one system in a process of its own, and answer what it printed last."""
    python = PEERS_PYTHON if name in PEERS else sys.executable
    words = [str(python), "-m", "benchmarks.queues", "--apart", name, "--task", task]
    done = subprocess.run(words, cwd=stage.ROOT, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{name} {task} could not be measured:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def table(medians: dict[tuple[str, str], float], rates: dict[tuple[str, str], list[float]], peers: list[str]) -> None:
    print(f"\n{'':18} {'noop/s':>9} {'lowest':>8} {'highest':>8} {'ours is':>8} {'10 ms/s':>9} {'ours is':>8}")
    for name in ["ours", *peers]:
        quick, slow = medians[name, "noop"], medians[name, "sleep10"]
        seen = rates[name, "noop"]
        print(
            f"{name:18} {quick:9.0f} {min(seen):8.0f} {max(seen):8.0f} {medians['ours', 'noop'] / quick:7.1f}x "
            f"{slow:9.0f} {medians['ours', 'sleep10'] / slow:7.2f}x"
        )
    print()


def why_no_asynq() -> str:
    """Answer why Asynq cannot be measured here, '' where it can: Go and its module have to be on this machine."""
    if shutil.which("go") is None:
        return "Go is not installed"
    words = ["go", "build", "-o", os.devnull, "."]
    env = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GO111MODULE": "on"}
    if subprocess.run(words, cwd=ASYNQ, env=env, capture_output=True).returncode:
        return "the module github.com/hibiken/asynq is not on this machine"
    return ""


def asynq(task: str, folder: Path) -> float:
    number = PEERS["asynq"][task]
    env = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "BENCH_JOBS": str(number), "BENCH_TASK": task}
    subprocess.run(["go", "run", "."], cwd=ASYNQ, env=env, check=True, timeout=300)
    return rate(folder / "records")


def measure(name: str, task: str) -> str:
    """Measure one system in this process, and answer its jobs per second, or for `self` what concerns ours alone."""
    folder = Path(tempfile.mkdtemp(prefix="pilot-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(stage.redis_server(folder))
        os.environ |= {
            "VAR_DIR": str(folder),
            "REDIS_URL": url,
            "BENCH_RECORDS": str(folder / "records"),
            "LOG_LEVEL": "WARNING",
        }
        if name == "asynq":
            return f"{asynq(task, folder):.1f}"
        if name in PEERS:
            return f"{peer(name, task, folder):.1f}"
        stack.enter_context(product(folder))
        if name == "ours":
            return f"{ours(task, folder):.1f}"
        return "\n".join(f"{word} {value:g}" for word, value in ourselves(folder).items())


def rate(path: Path) -> float:
    """Answer how many jobs began per second, from the first to the last."""
    begun = [record[0] for record in stage.records(path)]
    return (len(begun) - 1) / (max(begun) - min(begun))


def peer(name: str, task: str, folder: Path) -> float:
    system = importlib.import_module(f"benchmarks.peers.{name}")
    number = PEERS[name][task]
    system.enqueue(task, number)
    with stage.process(system.WORKER, dict(os.environ), folder / "log") as child:
        stage.wait_for_records(folder / "records", number, 120, lambda: child.poll() is None)
    return rate(folder / "records")


class product(ExitStack):  # noqa: N801 - used as a statement
    """The product with the benchmarks' tasks installed, its tables made, in PostgreSQL where that is at hand."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        from tests import both

        if (programs := both.programs()) is not None:
            os.environ["DATABASE_URL"] = self.enter_context(both.cluster(programs))
        else:
            os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
        os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.app.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)


def load(task: str, number: int) -> None:
    """Enqueue jobs, sixty of a hundred on critical, thirty on default, ten on low."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    for place, (queue, share) in enumerate(SHARES.items()):
        calls = [((place, n), {}) for n in range(number * share // sum(SHARES.values()))]
        enqueue(getattr(tasks, task), calls, queue=queue)


def ours(task: str, folder: Path) -> float:
    from amazon_pilot.jobs.models import JobRun

    number = OURS[task]
    load(task, number)
    with stage.process(["manage.py", "rqworker"], dict(os.environ), folder / "log") as child:
        stage.wait_for_records(folder / "records", number, 120, lambda: child.poll() is None)
        end = time.monotonic() + 120
        while JobRun.objects.exclude(outcome="started").count() < number:  # every job has its row, or it does not count
            if time.monotonic() > end:
                raise RuntimeError(f"{JobRun.objects.count()} of {number} jobs have their row")
            time.sleep(0.1)
    return rate(folder / "records")


def ourselves(folder: Path) -> dict[str, float]:
    """Measure how soon an idle worker picks a job up, what it weighs, and the shares of three full queues."""
    from .app import tasks

    found: dict[str, float] = {}
    records = folder / "records"
    with stage.process(["manage.py", "rqworker"], dict(os.environ), folder / "log") as child:
        draw, sent = random.Random(1), {}
        tasks.noop.enqueue(9, 0)
        stage.wait_for_records(records, 1, 60, lambda: child.poll() is None)
        time.sleep(1)
        for n in range(300):
            sent[n] = time.time()
            tasks.noop.enqueue(0, n)
            time.sleep(draw.expovariate(33))
        stage.wait_for_records(records, 301, 60, lambda: child.poll() is None)
        waits = sorted((begun - sent[n]) * 1000 for begun, kind, n in stage.records(records) if kind == 0)
        found["pickup_p50_ms"], found["pickup_p99_ms"] = waits[len(waits) // 2], waits[len(waits) * 99 // 100]
        slots = stage.children(child.pid)[:10]
        found["pss_per_slot_mb"] = statistics.mean(stage.memory(pid) for pid in slots) / 2**20
        found["pss_supervisor_mb"] = stage.memory(child.pid) / 2**20
    records.unlink()
    found["weights_max_deviation_points"] = weights(folder)
    start = time.monotonic()
    load("noop", 10_000)
    found["enqueue_in_bulk_per_s"] = 10_000 / (time.monotonic() - start)
    start = time.monotonic()
    for n in range(1000):
        tasks.noop.enqueue(0, n)
    found["enqueue_one_by_one_per_s"] = 1000 / (time.monotonic() - start)
    return found


def weights(folder: Path) -> float:
    """Answer how far the shares of 5,000 starts lie from 60, 30 and 10 percent while every queue is full, in points."""
    from amazon_pilot.jobs.core.enqueue import enqueue

    from .app import tasks

    for place, queue in enumerate(SHARES):
        enqueue(tasks.noop, [((place, n), {}) for n in range(5_500)], queue=queue)
    with stage.process(["manage.py", "rqworker"], dict(os.environ), folder / "log") as child:
        stage.wait_for_records(folder / "records", 5_000, 60, lambda: child.poll() is None)
    started = Counter(kind for _begun, kind, _n in stage.records(folder / "records")[:5_000])
    whole = sum(SHARES.values())
    return max(abs(started[place] / 50 - share * 100 / whole) for place, share in enumerate(SHARES.values()))


if __name__ == "__main__":
    sys.exit(main())
