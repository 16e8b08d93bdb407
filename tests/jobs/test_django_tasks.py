"""The engine as a backend of Django's Tasks interface, and both kinds of task alike in the monitor."""

import os
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.urls import reverse
from django.utils import timezone
from django_tasks import TaskResultStatus, default_task_backend, task
from django_tasks.exceptions import InvalidTaskError, TaskResultDoesNotExist, TaskResultMismatch
from django_tasks.signals import task_enqueued

from amazon_pilot.jobs import CallError, PayloadError
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import TASKS
from amazon_pilot.jobs.operate import operations
from amazon_pilot.jobs.worker.supervisor import Supervisor
from tests.jobs import tasks

pytestmark = pytest.mark.django_db(transaction=True)


@task
def double(number: int) -> int:
    return 2 * number


@task(queue_name="low")
async def double_later(number: int) -> int:
    return 2 * number


@task(takes_context=True)
def tell_attempt(context, word: str = "at") -> str:
    return f"{word} {context.attempt}"


@task
def break_down() -> None:
    raise ValueError("as asked")


@pytest.fixture
def work(history):
    """A real worker, forked so that it knows the tasks of this module; it leaves when nothing waits."""

    def go() -> None:
        connections.close_all()  # before the fork: whoever closes a shared line closes it for both
        if not (pid := os.fork()):
            queues._connections.clear()
            os._exit(Supervisor(queues.names(), name="tasks", size=2, burst=True).work())
        assert os.waitpid(pid, 0)[1] == 0
        history()

    return go


def test_what_the_backend_can_do():
    backend = default_task_backend
    assert backend.supports_defer
    assert backend.supports_async_task
    assert backend.supports_get_result
    assert not backend.supports_priority


def test_a_task_is_called_here_and_now():
    assert double.call(3) == 6
    assert double_later.call(3) == 6


def test_a_task_waits_until_the_commit():
    with transaction.atomic():
        result = double.enqueue(3)
        assert queues.size("default") == 0
    assert queues.size("default") == 1
    assert result.status == TaskResultStatus.READY
    assert (result.args, result.kwargs, result.is_finished, result.attempts) == ([3], {}, False, 0)
    assert double.get_result(result.id).status == TaskResultStatus.READY
    with pytest.raises(ValueError, match="not finished"):
        _ = result.return_value


def test_enqueued_is_told():
    told = []

    def hear(task_result, **words):
        told.append(task_result.id)

    task_enqueued.connect(hear)
    try:
        result = double.enqueue(1)
    finally:
        task_enqueued.disconnect(hear)
    assert told == [result.id]


@pytest.mark.slow
def test_results_are_told(work):
    plain, later, context, broken = (
        double.enqueue(3),
        double_later.enqueue(4),
        tell_attempt.enqueue("no"),
        break_down.enqueue(),
    )
    work()

    for result, value in ((plain, 6), (later, 8), (context, "no 1")):
        result.refresh()
        assert (result.status, result.return_value, result.attempts) == (TaskResultStatus.SUCCESSFUL, value, 1)
        assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at
        assert result.worker_ids == ["tasks"]
    broken.refresh()
    assert broken.status == TaskResultStatus.FAILED
    assert broken.errors[0].exception_class is ValueError
    assert "as asked" in broken.errors[0].traceback
    with pytest.raises(ValueError, match="failed"):
        _ = broken.return_value


@pytest.mark.slow
def test_a_result_outlives_redis(work, redis):
    result = double.enqueue(5)
    work()
    redis.flushdb()

    assert double.get_result(result.id).return_value == 10


def test_using_changes_a_call_alone():
    assert double.using(queue_name="critical").enqueue(1)
    assert (queues.size("critical"), queues.size("default")) == (1, 0)
    assert TASKS[double.module_path].queue == "default"

    result = double.using(run_after=timezone.now() + timedelta(hours=1)).enqueue(1)
    assert queues.size("default") == 0
    assert double.get_result(result.id).status == TaskResultStatus.READY


REFUSED = (
    {"queue_name": "nowhere"},
    {"priority": 5},
    {"priority": 1000},
    {"run_after": timezone.now().replace(tzinfo=None)},
)


@pytest.mark.parametrize("words", REFUSED)
def test_what_cannot_be_is_refused(words):
    with pytest.raises(InvalidTaskError):
        double.using(**words)


def test_a_function_inside_another_is_refused():
    with pytest.raises(InvalidTaskError):
        task(lambda: None)


def test_calls_are_checked_when_enqueued():
    with pytest.raises(CallError):
        double.enqueue()
    with pytest.raises(CallError):
        tell_attempt.enqueue("a", "b")
    with pytest.raises((PayloadError, TypeError)):
        double.enqueue(object())


def test_results_of_others_are_not_told():
    with pytest.raises(TaskResultDoesNotExist):
        double.get_result("unknown")
    with pytest.raises(TaskResultDoesNotExist):
        double.get_result(tasks.do_nothing.enqueue())  # a task under @job
    with pytest.raises(TaskResultMismatch):
        double.get_result(tell_attempt.enqueue().id)


@pytest.mark.slow
def test_both_kinds_are_seen_retried_and_deleted_alike(work, admin_client):
    ids = [break_down.enqueue().id, tasks.fail_once_for_all.enqueue()]
    work()

    for job_id in ids:
        assert "Retry now" in admin_client.get(reverse("monitor:job", args=[job_id])).content.decode()
        assert operations.on_job(None, "retry", job_id).count == 1
        assert operations.on_job(None, "delete", job_id).count == 1
