"""Where a running job is, asked while it runs: the answer comes, and the job does not notice."""

import time

import pytest
from rq.command import send_command

from amazon_pilot.jobs.core import keys

from . import tasks
from .conftest import ended, wait_for

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def lease_of(redis, job_id):
    return next((each.decode() for each in redis.zrange("rq:wip:default", 0, -1) if job_id in each.decode()), "")


def shown_stack(redis, job_id, worker="w1"):
    """Ask as the monitor does, and wait for the answer."""
    execution = wait_for(lambda: lease_of(redis, job_id), "the job to run").partition(":")[2]
    wait_for(lambda: redis.hget(f"rq:job:{job_id}", "started_at"), "the job to have begun")
    send_command(redis, worker, "stack", job_id=job_id)
    return wait_for(lambda: redis.get(keys.stack(execution)), "the stack").decode()


@pytest.mark.parametrize("task", [tasks.sleep, tasks.sleep_alone])
def test_a_running_job_says_where_it_is_and_goes_on(start, redis, task):
    start()
    job_id = task.enqueue(6)

    stack = shown_stack(redis, job_id)

    assert f"in {task.__name__}" in stack
    assert "tests/jobs/tasks.py" in stack
    assert ended(job_id).outcome == "succeeded"


def test_a_second_question_shows_a_second_answer_alone(start, redis):
    start()
    job_id = tasks.sleep.enqueue(8)
    first = shown_stack(redis, job_id)
    redis.delete(keys.stack(lease_of(redis, job_id).partition(":")[2]))

    second = shown_stack(redis, job_id)

    assert second.count("most recent call first") == first.count("most recent call first")


def test_a_job_that_took_the_signal_hides_itself_alone(start, redis):
    start(WORKER_CONCURRENCY="1")
    assert ended(tasks.take_the_stack_signal.enqueue()).outcome == "succeeded"
    time.sleep(1.1)  # after short jobs a slot looks at all its signals once a second
    assert ended(tasks.sleep.enqueue(0.05)).outcome == "succeeded"
    job_id = tasks.sleep.enqueue(6)

    assert "in sleep" in shown_stack(redis, job_id)
    assert ended(job_id).outcome == "succeeded"


@pytest.mark.parametrize("task", [tasks.sleep, tasks.drop_the_stack_signal])
def test_a_job_that_does_not_run_or_has_no_handler_is_not_asked(start, redis, task):
    start(WORKER_CONCURRENCY="1")
    running, waiting = task.enqueue(3), tasks.add.enqueue(1, 2)
    wait_for(lambda: lease_of(redis, running), "the job to run")
    time.sleep(0.3)
    for job_id in (waiting, "nobody", "", *([running] if task is tasks.drop_the_stack_signal else [])):
        send_command(redis, "w1", "stack", job_id=job_id)

    assert ended(running).outcome == ended(waiting).outcome == "succeeded"
    assert list(redis.scan_iter("pilot:stack:*")) == []
