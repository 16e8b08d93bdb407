"""`make chaos`, the shortest of it: the program runs, and its zeros are zeros."""

import os
import subprocess
import sys

import pytest

from .conftest import ROOT

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
def test_nothing_is_lost_in_a_short_storm():
    env = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "VAR_DIR", "REDIS_URL")}
    options = {"jobs": 200, "kills": 6, "outages": 1, "outage-seconds": 3, "freeze-seconds": 0, "slots": 4, "seed": 3}
    words = [f"--{name}={value}" for name, value in options.items()]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", *words], cwd=ROOT, env=env, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(line.split(": ", 1) for line in done.stdout.splitlines() if line and line[0].isalpha())
    assert (figures["jobs"], figures["jobs_ended"]) == ("200", "200")
    for zero in ("jobs_lost", "jobs_repeated_without_kill", "history_rows_missing"):
        assert figures[zero] == "0"
    assert float(figures["recovery_p95_s"]) < 60
