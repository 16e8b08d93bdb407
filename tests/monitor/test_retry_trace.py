"""A click on *retry* is short to read: few files stand between the view and the script that does it."""

import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.scripts import Script
from tests.jobs import tasks

pytestmark = pytest.mark.django_db(transaction=True)
JOBS = Path(settings.BASE_DIR) / "amazon_pilot" / "jobs"


def test_a_retry_passes_four_files_between_the_view_and_the_script(person, redis, monkeypatch):
    job_id = tasks.do_nothing.enqueue()
    redis.lrem("rq:queue:default", 0, job_id)
    redis.hset(f"rq:job:{job_id}", "status", "failed")
    redis.zadd("rq:failed:default", {job_id: 2e9})
    client = person("edit")
    stacks = []

    def profile(frame, event, argument):
        if event == "call" and frame.f_code is Script.__call__.__code__ and frame.f_locals["self"].name == "rearrange":
            files = []
            while frame is not None:
                path = Path(frame.f_code.co_filename)
                if JOBS in path.parents:
                    files.append(str(path.relative_to(JOBS)))
                frame = frame.f_back
            stacks.append(list(dict.fromkeys(reversed(files))))

    sys.setprofile(profile)
    try:
        answer = client.post(reverse("monitor:job-retry", args=[job_id]), {"reason": "again"})
    finally:
        sys.setprofile(None)
    assert answer.status_code < 400
    assert queues.size("default") == 1
    (passed,) = stacks
    between = passed[passed.index("web/job.py") + 1 : passed.index("core/scripts/__init__.py")]
    assert between == ["operate/operations.py", "operate/operation.py", "operate/jobs.py", "operate/changes.py"]
