"""`make chaos`, the shortest of it: the program runs, and its zeros are zeros."""

import os
import subprocess
import sys

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
@pytest.mark.long
def test_nothing_is_lost_in_a_short_storm():
    options = {"jobs": 200, "kills": 6, "outages": 1, "outage-seconds": 3, "freeze-seconds": 0, "slots": 4, "seed": 3}
    figures = run("benchmarks.chaos", **options)
    assert (figures["jobs"], figures["jobs_ended"]) == ("200", "200")
    for zero in ("jobs_lost", "jobs_repeated_without_kill", "history_rows_missing"):
        assert figures[zero] == "0"
    assert float(figures["recovery_p95_s"]) < 60


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_nothing_is_lost_while_every_process_and_line_of_the_product_breaks():
    figures = run("benchmarks.storm", seconds=90, seed=3)

    assert int(figures["jobs"]) > 400
    assert int(figures["odd_jobs"]) > 120
    for zero in ("jobs_lost", "odd_jobs_untold", "rows_open", "poisoned_without_blame", "fires_missing", "fires_twice"):
        assert figures[zero] == "0"


def run(module, **options):
    """Run a program that prints `name: value` lines, and return them; fails where it does."""
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "VAR_DIR", "REDIS_URL")}
    words = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run([sys.executable, "-m", module, *words], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split(": ", 1) for line in done.stdout.splitlines() if line and line[0].isalpha())
