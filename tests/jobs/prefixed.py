"""A program that sets our engine beside rq's own classes under another key prefix; a worker has to run beside it.

rq reads the prefix when it is imported, so this cannot be done inside the tests' own process.
"""

from datetime import UTC, datetime, timedelta

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.test import Client  # noqa: E402
from django.urls import reverse  # noqa: E402
from rq import Queue, Worker  # noqa: E402
from rq.command import send_stop_job_command  # noqa: E402
from rq.registry import FailedJobRegistry  # noqa: E402
from rq.serializers import JSONSerializer  # noqa: E402
from rq.suspension import resume, suspend  # noqa: E402

from amazon_pilot.jobs.core import queues  # noqa: E402
from amazon_pilot.jobs.core.registry import JSONJob  # noqa: E402
from amazon_pilot.jobs.operate import changes  # noqa: E402
from amazon_pilot.jobs.worker import forwarder  # noqa: E402
from tests.jobs import tasks  # noqa: E402
from tests.jobs.conftest import ended, wait_for  # noqa: E402
from tests.jobs.stock import TASKS, fetch, registries, until  # noqa: E402

redis = queues.connection()


def jobs_end_as_ever() -> None:
    queue = Queue("default", connection=redis, job_class=JSONJob, serializer=JSONSerializer)
    parent = queue.enqueue(f"{TASKS}.sleep", 0.3)
    child = queue.enqueue(f"{TASKS}.add", 2, 3, depends_on=parent)
    assert until(child.id, "finished").return_value() == 5
    assert registries(parent.id) == ["finished"]

    bad = tasks.fail_once_for_all.enqueue()
    until(bad, "failed")
    FailedJobRegistry("default", connection=redis, job_class=JSONJob).requeue(bad)
    assert ended(bad, attempt=2).outcome == "failed"

    retried = tasks.fail.enqueue()
    until(retried, "scheduled")
    assert registries(retried) == ["scheduled"]
    forwarder.forward("default", ahead=timedelta(minutes=1))
    assert ended(retried, attempt=2).outcome == "retrying"

    dead = tasks.die.enqueue()
    assert ended(dead, is_poison=True).attempt == 3
    assert registries(dead) == ["failed"]


def a_running_job_is_stopped_and_its_worker_seen() -> None:
    job_id = tasks.sleep.enqueue(60)
    wait_for(lambda: fetch(job_id).started_at)
    [worker] = Worker.all(connection=redis, serializer=JSONSerializer, job_class=JSONJob)
    assert [each.job_id for each in worker.get_current_executions()] == [job_id]
    send_stop_job_command(redis, job_id, serializer=JSONSerializer)
    until(job_id, "stopped")


def waiting_jobs_are_arranged() -> None:
    suspend(redis)
    ids = [tasks.do_nothing.enqueue(n) for n in range(4)]
    held, put_off, moved, cancelled = ids
    assert changes.one("hold", held)
    assert changes.one("snooze", put_off, (datetime.now(UTC) + timedelta(hours=1)).timestamp())
    assert changes.one("move", moved, "low")
    assert changes.cancel(cancelled) == "removed"
    assert [registries(each) for each in ids] == [["deferred"], ["scheduled"], [], ["canceled"]]
    assert queues.size("low") == 1
    pages_show_them(ids)
    resume(redis)
    until(moved, "finished")
    assert changes.one("release", held)
    until(held, "finished")


def pages_show_them(ids: list[str]) -> None:
    client = Client(headers={"host": "localhost"})
    client.force_login(User.objects.create_superuser("root", password="x"))
    for job_id in ids:
        answer = client.get(reverse("monitor:job", args=[job_id]), follow=True)
        assert job_id in answer.content.decode(), job_id
    assert client.get(reverse("monitor:overview")).status_code == 200
    assert client.get("/admin/django_rq/dashboard/queues/1/deferred/").status_code == 200


if __name__ == "__main__":
    assert queues.key("default") == "other:queue:default"
    settings.ALLOWED_HOSTS.append("localhost")
    jobs_end_as_ever()
    a_running_job_is_stopped_and_its_worker_seen()
    waiting_jobs_are_arranged()
