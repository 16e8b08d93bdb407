"""rq's webhooks: an HTTP server of the test's own hears of a job's end, whoever ends it."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rq import Retry
from rq.command import send_stop_job_command
from rq.job import Dependency
from rq.serializers import JSONSerializer
from rq.webhook import Webhook

from amazon_pilot.jobs.models import JobRun

from .conftest import children, ended, wait_for
from .stock import TASKS, fetch, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


@pytest.fixture
def listener():
    """A server that keeps what it was sent."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            time.sleep(server.seconds)
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            """Say nothing: the test looks at `heard`."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.heard = heard
    server.seconds = 0.0  # until it reads what it is sent
    server.url = f"http://127.0.0.1:{server.server_port}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def hooks(listener):
    return [Webhook(listener.url, status, method="POST") for status in ("finished", "failed")]


def heard_of(listener, job):
    return wait_for(lambda: [words for words in listener.heard if words["job_id"] == job.id], "the webhook")


def test_a_success_and_a_failure_are_told_once(start, queue, listener):
    start()
    good = queue.enqueue(f"{TASKS}.add", 1, 2, webhooks=hooks(listener))
    bad = queue.enqueue(f"{TASKS}.fail_once_for_all", webhooks=hooks(listener), retry=Retry(max=1))
    until(good.id, "finished")
    until(bad.id, "failed")

    [told] = heard_of(listener, good)
    assert (told["status"], told["func_name"]) == ("finished", f"{TASKS}.add")
    assert told["ended_at"].startswith(fetch(good.id).ended_at.isoformat()[:19])
    [told] = heard_of(listener, bad)  # the first attempt is retried, so it is no end
    assert told["status"] == "failed"
    assert "TemporaryError: no policy" in told["exc_info"]
    assert [ended(bad.id, attempt=number).outcome for number in (1, 2)] == ["retrying", "failed"]


@pytest.mark.parametrize(
    ("task", "says"),
    [("swallow_every_exception", "did not listen to its timeout of 1 seconds"), ("die", "the job was lost")],
)
def test_a_job_whose_slot_had_to_be_killed_or_died_is_told_of(start, queue, listener, task, says):
    start()
    limit = {"job_timeout": 1} if task == "swallow_every_exception" else {}
    job = queue.enqueue(f"{TASKS}.{task}", webhooks=hooks(listener), **limit)
    until(job.id, "failed")

    [told] = heard_of(listener, job)
    assert told["status"] == "failed"
    assert says in told["exc_info"]


@pytest.mark.parametrize("task", ["swallow_every_exception", "fail_once_for_all", "add"])
def test_a_slow_listener_is_waited_for_though_the_job_has_ended(start, queue, listener, task):
    """Longer than the lease is renewed, and for a job that was killed long after its deadline."""
    start()
    listener.seconds = 7
    limit = {"job_timeout": 1} if task == "swallow_every_exception" else {}
    arguments = (1, 2) if task == "add" else ()
    job = queue.enqueue(f"{TASKS}.{task}", *arguments, webhooks=hooks(listener), **limit)
    after = queue.enqueue(f"{TASKS}.add", 3, 4, depends_on=Dependency(job, allow_failure=True))

    [told] = heard_of(listener, job)
    assert told["status"] == ("finished" if task == "add" else "failed")
    assert until(after.id, "finished").return_value() == 7
    ended(job.id)
    assert [run.outcome for run in JobRun.objects.filter(job_id=job.id)] == ["succeeded" if task == "add" else "failed"]


@pytest.mark.parametrize("ends", ["failed", "finished"])
def test_a_slot_that_dies_while_it_tells_keeps_nothing_waiting(start, queue, listener, ends):
    """Neither a dependent, nor the row of a job that Redis does not keep."""
    worker = start()
    listener.seconds = 5
    task, options = ("fail_once_for_all", {}) if ends == "failed" else ("do_nothing", {"result_ttl": 0})
    job = queue.enqueue(f"{TASKS}.{task}", webhooks=hooks(listener), **options)
    after = queue.enqueue(f"{TASKS}.add", 3, 4, depends_on=Dependency(job, allow_failure=True))
    until(after.id, "finished") if ends == "finished" else until(job.id, "failed")
    for pid in children(worker.pid):
        os.kill(pid, signal.SIGKILL)

    assert until(after.id, "finished").return_value() == 7
    assert ended(job.id).outcome == ("failed" if ends == "failed" else "succeeded")
    assert JobRun.objects.filter(job_id=job.id).count() == 1
    assert worker.leave() == 0


def test_a_job_that_was_stopped_is_not_told_of_as_in_rq(start, queue, listener, redis):
    start()
    job = queue.enqueue(f"{TASKS}.sleep", 60, webhooks=hooks(listener))
    wait_for(lambda: fetch(job.id).started_at)
    send_stop_job_command(redis, job.id, serializer=JSONSerializer)
    until(job.id, "stopped")
    after = queue.enqueue(f"{TASKS}.add", 1, 1, webhooks=hooks(listener))

    heard_of(listener, after)
    assert {words["job_id"] for words in listener.heard} == {after.id}


def test_a_listener_that_does_not_answer_fails_no_job(start, queue):
    start()
    dead = [Webhook("http://127.0.0.1:9/", "finished", timeout=1)]
    job = queue.enqueue(f"{TASKS}.add", 1, 2, webhooks=dead)

    assert until(job.id, "finished").return_value() == 3
    assert ended(job.id).outcome == "succeeded"
