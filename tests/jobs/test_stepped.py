"""What befalls a job because of the one before it, or of the moment in which it ends: nothing."""

import json
import subprocess
import sys

import pytest

from .conftest import PATIENCE, ROOT

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

FINISHED, FAILED, STOPPED = ["finished", 0], ["failed", 0], ["stopped", 0]


@pytest.mark.parametrize(
    ("scene", "became"),
    [
        ("the_next_job_when_the_one_before_ends_by_itself", {"first": FINISHED, "second": FINISHED}),
        ("the_next_job_when_the_one_before_was_to_be_killed", {"first": FINISHED, "second": FINISHED}),
        ("the_job_behind_a_cancelled_one", {"first": STOPPED, "second": FINISHED}),
        ("a_timeout_after_a_callback", {"first": FINISHED, "second": FAILED, "is_the_same_slot": True}),
        ("a_hanging_job_in_a_slot_that_retires", {"first": FINISHED, "second": FAILED}),
        ("the_end_of_a_job_before_a_backlog", {"parent": FINISHED, "child": ["queued", 0], "is_early": True}),
        ("a_cancelled_job_whose_worker_leaves_at_once", {"job": STOPPED, "exit": 4}),
        ("a_callback_that_never_ends", {"job": STOPPED, "calls": 2}),
    ],
)
def test_it(env, redis, scene, became):
    done = subprocess.run(
        [sys.executable, "-m", "tests.jobs.stepped", scene],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=2 * PATIENCE,
    )  # fmt: skip
    said = done.stdout.splitlines()  # what tasks print comes before it
    assert said, done.stderr
    assert json.loads(said[-1]) == became, done.stderr
