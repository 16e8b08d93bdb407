"""An installation of version 0.1.0's first shape goes on under this code: every job, pause, entry and row.

tests/data/upgrade holds its SQLite database (SQL) and its Redis (DUMP of every key), written by the code of that time:
one job in each state, a paused queue, a schedule entry, a bulk action that was asked for, and the history of what ran.
"""

import gzip
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import Redis

from tests.jobs.conftest import ROOT, wait_for

pytestmark = pytest.mark.slow

DATA = settings.BASE_DIR / "tests" / "data" / "upgrade"
OLD = json.loads((DATA / "redis.json").read_text())
JOBS = OLD["jobs"]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory) -> Path:
    """The old database, migrated."""
    path = tmp_path_factory.mktemp("upgrade") / "old.sqlite3"
    with sqlite3.connect(path) as database:
        database.executescript(gzip.decompress((DATA / "database.sql.gz").read_bytes()).decode())
    manage(env_of(path), "migrate", "--verbosity", "0")
    return path


def env_of(path: Path) -> dict[str, str]:
    return os.environ | {
        "DATABASE_URL": f"sqlite:///{path}",
        "DJANGO_SETTINGS_MODULE": "tests.jobs.settings",
        "VAR_DIR": str(settings.VAR_DIR),
        "WORKER_CONCURRENCY": "2",
    }


@pytest.fixture
def installation(redis: Redis, migrated, tmp_path) -> dict[str, str]:
    """The environment of an old installation whose database was just migrated."""
    for key, (ttl, value) in OLD["redis"].items():
        redis.restore(b64decode(key), ttl, b64decode(value))
    return env_of(Path(shutil.copy(migrated, tmp_path)))


def manage(env: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


LOOK = """
import json, sys
import django
django.setup()
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect.job_detail import collect
from amazon_pilot.jobs.models import AuditEntry, BulkAction, JobRun, Pause, ScheduleEntry
from amazon_pilot.jobs.operate import operations
if len(sys.argv) > 2:
    for verb in sys.argv[2:]:
        operations.on_job(None, verb, json.loads(sys.argv[1])["held"])
jobs = json.loads(sys.argv[1])
print(json.dumps({
    "states": {name: collect(queues.connection(), job).state for name, job in jobs.items() if len(str(job)) > 20},
    "pauses": [pause.reason for pause in Pause.objects.active()],
    "entries": {entry.name: entry.call for entry in ScheduleEntry.objects.all()},
    "bulk": [action.state for action in BulkAction.objects.all()],
    "attempts": JobRun.objects.filter(job_id=jobs["failed"]).count(),
    "audit": AuditEntry.objects.count(),
}))
"""


def look(env: dict[str, str], *verbs: str) -> dict[str, Any]:
    """What the new code knows of the old installation, after it did verbs to the held job."""
    words = [sys.executable, "-c", LOOK, json.dumps(JOBS), *verbs]
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


WAIT_ON = {"held": "held", "planned": "scheduled", "canceled": "canceled", "dependent": "deferred"}


def test_every_job_pause_entry_and_row_goes_on(installation, redis):
    before = look(installation)
    assert (
        before["states"].items() >= (WAIT_ON | {"queued": "queued", "unique": "queued", "finished": "finished"}).items()
    )
    assert (before["pauses"], before["entries"]["tea"], before["attempts"]) == (["the old one"], [[1, 1], {}], 1)

    worker = subprocess.Popen([sys.executable, "manage.py", "rqworker", "--name", "new"], cwd=ROOT, env=installation)
    try:
        done = (JOBS["queued"], JOBS["unique"])
        wait_for(lambda: all(redis.hget(f"rq:job:{job}", "status") == b"finished" for job in done), "what waited")
        wait_for(lambda: redis.hget(f"rq:job:{JOBS['failed']}", "status") == b"failed", "the retry that was asked for")
        wait_for(lambda: not redis.xlen("pilot:runs") and not redis.llen("rq:queue:critical"), "the rows")
    finally:
        worker.terminate()
        worker.wait(60)

    after = look(installation)
    assert after["states"].items() >= WAIT_ON.items()
    assert (after["pauses"], after["entries"]["tea"]) == (["the old one"], [[1, 1], {}])
    assert after["attempts"] == 2  # that of the old code, and the one of the new
    assert after["audit"] == before["audit"]


def test_what_the_old_code_held_can_be_steered(installation):
    assert look(installation, "release")["states"]["held"] == "queued"
    assert look(installation, "cancel")["states"]["held"] == "canceled"
    assert look(installation, "retry", "hold")["states"]["held"] == "held"
