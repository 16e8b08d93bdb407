"""Workers for tests: one that is stepped by hand inside the test, and real ones that can be killed."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from redis import Redis
from rq import Queue
from rq.serializers import JSONSerializer

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.history.writer import HistoryWriter
from amazon_pilot.jobs.models import JobRun
from tests import nursery

ROOT = Path(__file__).parents[2]
PATIENCE = 100  # seconds: where many others want the processors too, a row comes late


def wait_for(condition: Callable[[], Any], what: str = "") -> Any:
    """Poll until `condition` is true and answer its value; fail after PATIENCE seconds."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {PATIENCE} seconds in vain for {what or condition}")


@pytest.fixture(autouse=True)
def _connection_of_this_test() -> Iterator[None]:
    yield
    for client in queues._connections.values():
        client.close()
    queues._connections.clear()


@pytest.fixture(scope="session", autouse=True)
def _nurseries_of_this_run() -> Iterator[None]:
    yield
    nursery.close_all()


class Process:
    """A real worker process."""

    def __init__(self, env: dict[str, str], *words: str) -> None:
        self.popen = nursery.start(env, "rqworker", *words)
        self.pid = self.popen.pid

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(PATIENCE)

    def leave(self) -> int:
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(PATIENCE)


@pytest.fixture
def env(process_env: dict[str, str]) -> dict[str, str]:
    return process_env | {
        "DJANGO_SETTINGS_MODULE": "tests.jobs.settings",
        "VAR_DIR": str(settings.VAR_DIR),
        "WORKER_CONCURRENCY": "3",
    }


@pytest.fixture
def start(env: dict[str, str], redis: Redis) -> Iterator[Callable[..., Process]]:
    """Start a worker and answer it once its slots stand ready."""
    started: list[Process] = []

    def begin(*words: str, name: str = "w1", ready: bool = True, **more: str) -> Process:
        process = Process(env | more, "--name", name, *words)
        started.append(process)
        if ready:
            wait_for(lambda: redis.exists(f"pilot:worker:{name}") or process.popen.poll() is not None, "a worker")
        return process

    yield begin
    for process in started:
        if process.popen.poll() is None:
            process.popen.kill()
        process.popen.communicate(timeout=PATIENCE)


@pytest.fixture
def queue(redis: Redis) -> Queue:
    """rq's own queue, as a program that knows nothing of us would use it, with JSON."""
    return Queue("default", connection=redis, job_class=JSONJob, serializer=JSONSerializer)


@pytest.fixture
def history(transactional_db: None) -> Callable[[], list[JobRun]]:
    """Write what the stream holds and answer all runs, the oldest first."""

    def read() -> list[JobRun]:
        historian = HistoryWriter("test", queues.names())
        historian.join()
        while historian.write_some():
            pass
        return list(JobRun.objects.order_by("started_at", "attempt"))

    return read


def run_of(job_id: str, **wanted: Any) -> JobRun | None:
    """Answer a job's ended run, if its row is there; that it was given back before it began is none."""
    runs = JobRun.objects.filter(job_id=job_id, ended_at__isnull=False, **wanted).exclude(cause="unbegun")
    return runs.order_by("-attempt").first()


def ended(job_id: str, **wanted: Any) -> JobRun:
    """Wait for a job's run to end and answer its row."""
    return wait_for(lambda: run_of(job_id, **wanted), f"job {job_id} to end")


def children(pid: int) -> list[int]:
    """Answer the processes that a worker has forked."""
    path = f"/proc/{pid}/task/{pid}/children"
    return [int(word) for word in Path(path).read_text().split()] if os.path.exists(path) else []
