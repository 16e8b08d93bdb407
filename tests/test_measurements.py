"""The programs of benchmarks/ begin, end by themselves and print what they promise; small, so no figure is judged."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(
    path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py") if "def main" in path.read_text(encoding="utf-8")
)
SMALL = {
    "ingest": ("--products 1500 --only-whole", ["queries_per_batch", "ratio_to_copy", "cpu_ms_per_product"]),
    "pages": ("--products 300 --snapshots 3000 --changes 600 --requests 1", ["p95_ms_seller_home", "sequential_scans"]),
    "cleanup": ("--products 20 --kills 1", ["wrong_rows", "longest_step_s", "s_for_a_day_of_100000_products"]),
    "monitor": ("--runs 500 --waiting 300 --failed 90 --requests 1 --bulk 0", ["p95_ms_queues", "refresh_kb_workers"]),
    "paid": ("--only fault", ["scenarios_wrong", "booked_usd"]),
}


def run(program: str, words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{program}", *words.split()]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_says_how_it_is_called(program):
    done = run(program, "--help")

    assert (done.returncode, "usage:" in done.stdout) == (0, True), done.stderr[-2000:]


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("program", SMALL)
def test_a_program_prints_its_figures(program):
    words, names = SMALL[program]

    done = run(program, words)

    assert done.returncode in (0, 1), done.stderr[-2000:]
    printed = {line.partition(": ")[0] for line in done.stdout.splitlines()}
    assert set(names) <= printed, done.stdout[-2000:] + done.stderr[-2000:]
