"""Our worker beside other queues, on one machine, in one run, round after round: `make bench`.

Workload: jobs that do nothing but append 24 bytes to a file (`noop`), the same with a sleep of 10 ms (`sleep10`), ten
at a time, the product's whole Django application loaded everywhere. Each system gets a Redis of its own (Debian's where
it is installed, else the bundled one), with an append-only file synced each second as the product ships it, or without
by `--no-persistence`. Ours writes its history to a durable PostgreSQL where that is installed, else to SQLite.

A rate counts from the first job's beginning. That of the others ends with the last job's beginning, so what they do
after it costs them nothing; ours stands beside it to its last start, its last end and its last visible row, and
`throughput_vs_…` takes the last end. Systems take turns; medians are reported.
"""

import argparse
import importlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from . import growth, ours, stage

# How many jobs of each kind a system gets: enough for a few seconds, by how fast it is.
PEERS = {
    "rq_fork": {"noop": 400, "sleep10": 400},
    "celery_prefork": {"noop": 4_000, "sleep10": 2_000},
    "dramatiq_threads": {"noop": 8_000, "sleep10": 2_000},
    "huey_process": {"noop": 20_000, "sleep10": 3_000},
    "taskiq_list": {"noop": 8_000, "sleep10": 2_000},
    "bullmq": {"noop": 20_000, "sleep10": 3_000},
    "asynq": {"noop": 20_000, "sleep10": 3_000},
}
FOREIGN = {"bullmq", "asynq"}  # programs in another language
BUSY = ("ours", "asynq", "huey_process", "bullmq")  # measured beside spinning processes as well
ASYNQ = stage.ROOT / "benchmarks/peers/asynq"
BULLMQ = stage.ROOT / "benchmarks/peers/bullmq/main.js"
PEERS_PYTHON = Path(sys.prefix) / "peers/bin/python"  # an environment of their own, made by `make bench`
NODE_MODULES = Path(sys.prefix) / "peers/bullmq/node_modules"
ALONE = ("steady", "killed", "at_rest", "producing", "growth")  # what is measured of ours only, once
Figures = dict[str, float]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=["ours", *PEERS], help="These systems alone.")
    parser.add_argument("--jobs", type=int, default=60_000, help="How many no-op jobs ours gets.")
    parser.add_argument("--seconds", type=int, default=60, help="For how long 1,000 jobs a second are enqueued.")
    parser.add_argument("--spinners", type=int, default=8, help="How many processes spin beside it; 0 leaves it out.")
    parser.add_argument("--no-growth", action="store_true", help="Leave out the million jobs and the like.")
    parser.add_argument("--no-persistence", action="store_true", help="Redis without its append-only file.")
    parser.add_argument("--apart", help=argparse.SUPPRESS)  # one measurement in a process of its own
    options = parser.parse_args()
    if options.apart:
        print(json.dumps(measure(options, *options.apart.split(":"))))
        return 0
    return compare(options)


def compare(options: argparse.Namespace) -> int:
    """Run every system in turn and print the tables."""
    names = [name for name in ["ours", *PEERS] if not options.only or name in options.only]
    missing = {} if PEERS_PYTHON.exists() else dict.fromkeys(PEERS, "its environment is missing: make bench makes it")
    missing |= {name: reason for name, reason in (("asynq", why_no_asynq()), ("bullmq", why_no_bullmq())) if reason}
    there = [name for name in names if name not in missing]
    print(about(options), flush=True)
    found: dict[str, list[Figures]] = {}
    for number in range(options.rounds):
        for name in there:
            for task in ("noop", "sleep10"):
                tell(found, options, f"{name}:{task}", f"round {number + 1}")
            if name == "ours":
                tell(found, options, "unlooked:noop", f"round {number + 1}")
            if options.spinners and name in BUSY:
                tell(found, options, f"{name}:noop:{options.spinners}", f"round {number + 1}")
    if "ours" in there:
        for what in alone(options):
            tell(found, options, f"{what}:", "ours")
    report({key: medians(each) for key, each in found.items()}, found, there, options)
    for name in names:
        if name in missing:
            print(f"{name}: skipped, {missing[name]}")
    return 0


def alone(options: argparse.Namespace) -> list[str]:
    return [what for what in ALONE if what != "growth" or not options.no_growth]


def about(options: argparse.Namespace) -> str:
    """Return the command, the machine and the versions."""
    redis, postgres = version("redis-server").split("sha")[0].strip(), version("psql")
    kept = "no persistence" if options.no_persistence else "append-only file, everysec"
    return (
        f"make bench ARGS={' '.join(sys.argv[1:])!r}: {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at "
        f"the start, Python {platform.python_version()}, {redis or 'bundled Redis'} ({kept}), {postgres} (fsync on)"
    )


def version(program: str) -> str:
    """Return what a program says of its version, '' where it is not on this machine."""
    if shutil.which(program) is None:
        return ""
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()


def tell(found: dict[str, list[Figures]], options: argparse.Namespace, key: str, when: str) -> None:
    """Measure one thing, keep it and print it."""
    figures = apart(options, key)
    found.setdefault(key, []).append(figures)
    print(f"{when}: {key:24} " + ", ".join(f"{name} {value:,.4g}" for name, value in figures.items()), flush=True)


def apart(options: argparse.Namespace, key: str) -> Figures:
    """Measure one thing in a process of its own, and return what it printed last."""
    python = PEERS_PYTHON if key.partition(":")[0] in PEERS.keys() - FOREIGN else sys.executable
    words = [str(python), "-m", "benchmarks.queues", "--apart", key, "--jobs", str(options.jobs)]
    words += ["--seconds", str(options.seconds), *(["--no-persistence"] if options.no_persistence else [])]
    done = subprocess.run(words, cwd=stage.ROOT, capture_output=True, text=True, timeout=1200)
    if done.returncode:
        raise SystemExit(f"{key} could not be measured:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    figures: Figures = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def medians(each: list[Figures]) -> Figures:
    return {name: statistics.median(figures[name] for figures in each) for name in each[0]}


# Telling


def report(
    middle: dict[str, Figures], found: dict[str, list[Figures]], there: list[str], options: argparse.Namespace
) -> None:
    """Print the table of all systems, that of our processes, and each figure by its name."""
    print(
        f"\n| | no-op/s | lowest | highest | 10 ms/s | beside {options.spinners} spinning |\n|---|---|---|---|---|---|"
    )
    for name in there:
        rates = [figures["rate_last_start"] for figures in found[f"{name}:noop"]]
        busy = middle.get(f"{name}:noop:{options.spinners}", {}).get("rate_last_start")
        print(
            f"| {name:18} | {statistics.median(rates):,.0f} | {min(rates):,.0f} | {max(rates):,.0f} "
            f"| {middle[f'{name}:sleep10']['rate_last_start']:,.0f} | {f'{busy:,.0f}' if busy else '–'} |"
        )
    print()
    for name in there:
        if busy := middle.get(f"{name}:noop:{options.spinners}"):
            print(f"busy_fall_{name}: {middle[f'{name}:noop']['rate_last_start'] / busy['rate_last_start']:.2f}")
    if "ours" in there:
        report_ours(middle, there)


def report_ours(middle: dict[str, Figures], there: list[str]) -> None:
    flood = middle["ours:noop"]
    for name in there:
        if name != "ours":
            print(f"throughput_vs_{name}: {flood['rate_last_end'] / middle[f'{name}:noop']['rate_last_start']:.2f}")
    if "asynq" in there:
        print(f"rows_vs_asynq: {flood['rate_last_row'] / middle['asynq:noop']['rate_last_start']:.2f}")
    else:
        print("rows_vs_asynq: skipped, Asynq was not measured")
    unlooked = middle["unlooked:noop"]
    for name in ("rate_last_end", "rate_last_row", "cpu of slots"):
        print(f"isolation_{name.replace(' ', '_')}_with_vs_without: {flood[name] / unlooked[name]:.3f}")
    print(f"isolation_us_per_job: {(flood['cpu of slots'] - unlooked['cpu of slots']) * 100:.1f}")
    print(f"sleep10_jobs_per_s: {middle['ours:sleep10']['rate_last_start']:.0f}")
    once = {name: value for what in ALONE for name, value in middle.get(f"{what}:", {}).items()}
    for name, value in (flood | once).items():
        print(f"{name.replace(' ', '_')}: {value:.4g}" if value < 1000 else f"{name.replace(' ', '_')}: {value:.0f}")


# Measuring


def measure(options: argparse.Namespace, name: str, task: str, spinners: str = "0") -> Figures:
    """Measure one thing in this process."""
    folder = Path(tempfile.mkdtemp(prefix="pilot-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(stage.redis_server(folder, not options.no_persistence))
        os.environ |= {
            "VAR_DIR": str(folder),
            "REDIS_URL": url,
            "BENCH_RECORDS": str(folder / "records"),
            "LOG_LEVEL": "WARNING",
        }
        if name not in PEERS:
            stack.enter_context(ours.Product(folder))
        stack.enter_context(stage.spinning(int(spinners)))
        if name == "unlooked":
            os.environ["BENCH_WITHOUT_LOOKING"] = "1"
        if name in ("ours", "unlooked"):
            return ours.flood(task, options.jobs if task == "noop" else 4_000, folder)
        if name in PEERS:
            return foreign(name, task, folder) if name in FOREIGN else peer(name, task, folder)
        if name == "steady":
            return ours.steady(1000, options.seconds, folder)
        if name == "killed":
            return ours.killed(options.jobs // 3 // 10 * 10, folder)
        if name == "growth":
            return growth.measure(folder)
        return getattr(ours, name)(folder)  # type: ignore[no-any-return]


def rate(path: Path) -> Figures:
    """Return how many jobs began per second, from the first to the last."""
    begun = [record[0] for record in stage.records(path)]
    return {"rate_last_start": (len(begun) - 1) / (max(begun) - min(begun))}


def peer(name: str, task: str, folder: Path) -> Figures:
    system = importlib.import_module(f"benchmarks.peers.{name}")
    number = PEERS[name][task]
    system.enqueue(task, number)
    with stage.process(system.WORKER, dict(os.environ), folder / "log") as child:
        stage.wait_for_records(folder / "records", number, 300, lambda: child.poll() is None)
    return rate(folder / "records")


def why_no_asynq() -> str:
    """Return why Asynq cannot be measured here, '' where it can: Go and its module have to be on this machine."""
    if shutil.which("go") is None:
        return "Go is not installed"
    words = ["go", "build", "-o", os.devnull, "."]
    env = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GO111MODULE": "on"}
    if subprocess.run(words, cwd=ASYNQ, env=env, capture_output=True).returncode:
        return "the module github.com/hibiken/asynq is not on this machine"
    return ""


def why_no_bullmq() -> str:
    """Return why BullMQ cannot be measured here, '' where it can."""
    if shutil.which("node") is None:
        return "Node is not installed"
    return "" if NODE_MODULES.exists() else "its packages are missing: make bench installs them"


def foreign(name: str, task: str, folder: Path) -> Figures:
    """Measure a queue of another language, whose program enqueues, works and ends by itself."""
    number = PEERS[name][task]
    words, where = (["go", "run", "."], ASYNQ) if name == "asynq" else (["node", str(BULLMQ)], folder)
    env = os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "NODE_PATH": str(NODE_MODULES)}
    subprocess.run(words, cwd=where, env=env | {"BENCH_JOBS": str(number), "BENCH_TASK": task}, check=True, timeout=300)
    return rate(folder / "records")


if __name__ == "__main__":
    sys.exit(main())
