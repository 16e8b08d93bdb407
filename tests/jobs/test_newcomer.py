"""The newcomer's exercise: by CONTRIBUTING.md alone a task is written, tested, scheduled and seen in the monitor."""

import os
import re
import shlex
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.urls import reverse

from amazon_pilot.jobs import Task
from amazon_pilot.jobs.core import queues, registry
from amazon_pilot.jobs.models import ScheduleEntry
from amazon_pilot.jobs.worker.supervisor import Supervisor
from tests.jobs import newcomer

PAGE = Path(settings.BASE_DIR) / "CONTRIBUTING.md"


@pytest.fixture
def worker():
    """A real worker with one slot that knows the task of the page, since it is forked; it leaves when nothing waits."""

    def work() -> None:
        connections.close_all()  # before the fork: whoever closes a shared line closes it for both
        if not (pid := os.fork()):
            queues._connections.clear()
            os._exit(Supervisor(queues.names(), name="newcomer", size=1, burst=True).work())
        assert os.waitpid(pid, 0)[1] == 0

    return work


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.S)


@pytest.fixture
def count_to(monkeypatch):
    """The task of CONTRIBUTING, written into a module of its own as it stands there."""
    code = next(block for block in blocks("python") if "def count_to" in block)
    monkeypatch.setattr(newcomer, "__name__", "products.tasks")  # where the page tells to write it
    known = dict(registry.TASKS)
    exec(compile(code, "products/tasks.py", "exec"), vars(newcomer))
    yield newcomer.count_to
    registry.TASKS.clear()
    registry.TASKS.update(known)


@pytest.mark.django_db(transaction=True)
def test_a_task_is_written_and_tested(count_to):
    assert isinstance(count_to, Task)
    assert count_to.name == "products.tasks.count_to"
    code = next(block for block in blocks("python") if "at_once" in block)
    words = {"count_to": count_to}
    exec(code, words)
    words["test_counting_is_asked_for"]()


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_it_is_scheduled_runs_and_is_seen_in_the_monitor(count_to, admin_client, history, worker):
    create, run_now = (line for block in blocks("sh") for line in block.splitlines() if "jobs schedule" in line)
    call_command(*shlex.split(create.partition("manage.py ")[2]))
    assert ScheduleEntry.objects.get(name="count").call == ([10], {"step": 2})
    call_command(*shlex.split(run_now.partition("manage.py ")[2]))

    worker()
    (run,) = [run for run in history() if run.task == "products.tasks.count_to"]

    assert (run.outcome, run.result, run.kwargs) == ("succeeded", 10, {"step": 2})
    found = admin_client.get(reverse("monitor:jobs"), {"q": "task:count_to"}).content.decode()
    assert "products.count_to" in found
    assert "succeeded" in admin_client.get(reverse("monitor:job", args=[run.job_id])).content.decode()
