"""Make a random sample of mutants and say which of them the fast tests of their area notice; the rest is listed."""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from multiprocessing.connection import Pipe, wait
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOOL = ROOT / ".venv/mutants/bin/python"
MODULES = [
    "products/models/*.py",
    "analysis/*.py",
    "notifications/*.py",
    "amazon_pilot/jobs/schedule/*.py",
    "amazon_pilot/jobs/operate/*.py",
    "amazon_pilot/jobs/core/cron.py",
    *(f"amazon_pilot/jobs/inspect/{name}.py" for name in ("query", "grammar", "conditions", "subjects")),
]
LEFT_OUT = {"admin.py", "apps.py", "urls.py"}
# Where the tests of a module lie, by the beginning of its path.
AREAS = {
    "products/": ("tests/products",),
    "analysis/": ("tests/analysis",),
    "notifications/": ("tests/notifications",),
    "amazon_pilot/jobs/": ("tests/jobs", "tests/monitor"),
}
WORKERS = 2
MIGRATED = Path(".pytest_cache/migrated")


NAME = re.compile(r"^(\S+\.py:\d+ \S+/\d+)", re.M)


def modules() -> list[str]:
    found = [path for glob in MODULES for path in ROOT.glob(glob) if path.name not in LEFT_OUT]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def mutants(words: argparse.Namespace) -> tuple[int, list[dict[str, Any]]]:
    """Return how many mutants there are, and those to try."""
    paths = modules()
    command = [words.tool, "-m", "benchmarks.mutants.making", f"--seed={words.seed}", f"--sample={words.sample}"]
    names = NAME.findall(words.again.read_text()) if words.again else []
    command += [*paths, "--names", *names] if words.again else paths
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout)
    return found["count"], found["mutants"]


def copy_of_the_tree(folder: Path) -> Path:
    """Copy what git knows or would add, so that nobody's own tree is changed, with what was compiled and migrated."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    packages = {Path(name).parent / "__pycache__" for name in names.split("\0")}
    for made in [MIGRATED, *packages]:
        if (ROOT / made).is_dir():
            shutil.copytree(ROOT / made, folder / made)
    return folder


class Worker:
    """A process that tries mutants in a copy of the tree, and the line to it."""

    def __init__(self, folder: Path) -> None:
        self.line, theirs = Pipe()
        tree = copy_of_the_tree(folder)
        program = [sys.executable, "-m", "benchmarks.mutants.trying", str(theirs.fileno())]
        with open(folder.with_suffix(".log"), "w") as log:
            self.popen = subprocess.Popen(
                program, cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)}, stdout=log, stderr=log,
                pass_fds=[theirs.fileno()],
            )  # fmt: skip
        theirs.close()
        self.line.send(AREAS)

    def close(self) -> None:
        with suppress(OSError):
            self.line.send(None)
        self.popen.wait(60)


def digest(paths: Iterable[str]) -> str:
    return sha256(b"".join((ROOT / path).read_bytes() for path in paths)).hexdigest()


def mapped(workers: Sequence[Worker], known: Path | None) -> list[Any]:
    """Have each test run once as it is, to learn what it calls, and tell the workers; name those that fail.

    The file `known` keeps that for the next time, as long as neither the code nor the file of the test has changed.
    """
    names, *_same = [worker.line.recv() for worker in workers]
    files = sorted({name.partition("::")[0] for name in names})
    now = {file: digest([*modules(), file]) for file in files}
    kept = json.loads(known.read_text()) if known and known.exists() else {"files": {}, "rows": []}
    same = {file for file in files if kept["files"].get(file) == now[file]}
    found = [row for row in kept["rows"] if row[0].partition("::")[0] in same and row[0] in set(names)]
    new = sorted(set(names) - {row[0] for row in found}, key=names.index)
    for number, worker in enumerate(workers):
        worker.line.send(("map", new[number :: len(workers)]))
    found += [row for worker in workers for row in worker.line.recv()]
    if known:
        known.write_text(json.dumps({"files": now, "rows": found}))
    for worker in workers:
        worker.line.send(("learn", found))
        worker.line.recv()
    for name, _, is_good, _ in found:
        if not is_good:
            print(f"left out, since it fails without a mutant: {name}", flush=True)
    return found


def tried(workers: Sequence[Worker], sample: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """Yield each mutant with what became of it, as the workers get on."""
    left, busy = list(sample), {}
    idle = [worker.line for worker in workers]
    while left or busy:
        while left and idle:
            line = idle.pop()
            busy[line] = left.pop()
            line.send(("attempt", busy[line]))
        for line in wait(list(busy)):
            outcome, by = line.recv()  # type: ignore[union-attr]
            idle.append(line)  # type: ignore[arg-type]
            yield busy.pop(line), outcome, by  # type: ignore[call-overload]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--sample", type=int, default=300)
    parser.add_argument("--survivors", type=Path, required=True, help="the file in which those that live are listed")
    parser.add_argument("--again", type=Path, help="try those alone that such a file lists")
    parser.add_argument("--known", type=Path, help="a file that keeps which test calls what, for the next time")
    parser.add_argument("--least", type=float, default=85, help="fail if fewer percent are killed")
    parser.add_argument("--tool", default=str(TOOL), help="the Python that has cosmic-ray")
    words = parser.parse_args()
    start = time.monotonic()
    count, sample = mutants(words)
    alive, killed = [], 0
    with tempfile.TemporaryDirectory(prefix="pilot-mutants-") as folder:
        workers = [Worker(Path(folder) / str(number)) for number in range(WORKERS)]
        tests = len(mapped(workers, words.known))
        print(f"{count} mutants, {len(sample)} to try, {tests} tests, {time.monotonic() - start:.0f} s", flush=True)
        for mutant, outcome, by in tried(workers, sample):
            killed += outcome == "killed"
            print(f"{outcome}: {mutant['name']} ({by})", flush=True)
            if outcome != "killed":
                alive.append(f"{mutant['name']}  {outcome} ({by})\n{mutant['diff']}\n")
        for worker in workers:
            worker.close()
    rate = 100 * killed / max(1, len(sample))
    summary = (
        f"Seed {words.seed}: {killed} of {len(sample)} killed, {rate:.1f} %, out of {count} mutants;"
        f" {time.monotonic() - start:.0f} s"
    )
    words.survivors.parent.mkdir(parents=True, exist_ok=True)
    words.survivors.write_text("\n".join([summary, "", *sorted(alive)]))
    print("", *sorted(alive), summary, sep="\n")
    return int(rate < words.least)


if __name__ == "__main__":
    sys.exit(main())
