"""rq's own Job.cancel and Job.delete while the job runs: it ends soon, does not come back, and has its line of history.

rq knows of no way to ask a run to end, so its lease is taken away; a task that calls them itself, in the first moment,
does so before the records stand by which rq finds a run.
"""

import pytest
from rq import Callback

from amazon_pilot.jobs.core.scripts import script

from . import tasks
from .conftest import ended, wait_for
from .stock import TASKS, fetch, registries

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

ENDED = "The job was deleted or cancelled while it ran, so it was ended."


def enqueue(queue, task, *args):
    """Enqueue a job that our scripts end, one that rq's code ends in its slot, and one that it ends in another slot."""
    plain = queue.enqueue(f"{TASKS}.{task}", *args)
    with_callback = queue.enqueue(f"{TASKS}.{task}", *args, on_success=Callback(tasks.note_success))
    parent = queue.enqueue(f"{TASKS}.{task}", *args)
    return [plain, with_callback, parent], queue.enqueue(f"{TASKS}.do_nothing", depends_on=parent)


def is_as_rq_left_it(redis, job, how):
    assert redis.zcard("rq:wip:default") == 0
    if how == "delete":
        assert not redis.exists(job.key)
        assert registries(job.id) == []
    else:
        assert fetch(job.id).get_status().value == "canceled"
        assert registries(job.id) == ["canceled"]
    assert redis.llen("rq:queue:default") == 0


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_long_job_is_ended_within_seconds(start, queue, redis, how):
    start()
    jobs, child = enqueue(queue, "sleep", 60)
    wait_for(lambda: all(fetch(job.id).started_at for job in jobs))

    for job in jobs:
        getattr(fetch(job.id), how)()

    runs = [ended(job.id) for job in jobs]
    assert [(run.outcome, run.cause, run.message) for run in runs] == [("stopped", "lease lost", ENDED)] * 3
    assert max(run.duration for run in runs) < 10
    for job in jobs:
        is_as_rq_left_it(redis, job, how)
    assert registries(child.id) == ["deferred"]


@pytest.mark.parametrize(("harm", "is_lost"), [("deleted", True), ("canceled", True), ("started", False)])
@pytest.mark.parametrize("is_recorded", [0, 1])
def test_a_job_that_was_given_up_between_two_steps_of_the_worker_has_no_lease(redis, harm, is_lost, is_recorded):
    """rq looks for execution records first and deletes the job later; they may have been written in between."""
    job_id = tasks.add.enqueue(1, 2)
    script("take")(redis, "w1", "pilot-mark-1-", 1, 1, "default", b"\0")
    execution = redis.zrange("rq:wip:default", 0, -1)[0].partition(b":")[2]
    if is_recorded:
        script("record")(redis, "w1", "default", job_id, execution, "now", 1.0, '["started"]', b"")
    if harm == "deleted":
        redis.delete(f"rq:job:{job_id}")
    else:
        redis.hset(f"rq:job:{job_id}", "status", harm)

    gone = script("renew")(redis, "w1", "now", "default", job_id, execution, is_recorded)

    assert gone == [1] * is_lost
    assert redis.zcard("rq:wip:default") == (not is_lost)
    assert redis.zcard(f"rq:executions:{job_id}") == (is_recorded and not is_lost)
    assert redis.exists(f"rq:job:{job_id}") == (harm != "deleted")


@pytest.mark.parametrize("how", ["cancel", "delete"])
@pytest.mark.parametrize(("seconds", "outcome"), [(0, "succeeded"), (60, "stopped")])
def test_a_job_that_does_so_itself_in_its_first_moment(start, queue, redis, how, seconds, outcome):
    jobs, child = enqueue(queue, "give_yourself_up", how, seconds)
    start()

    runs = [ended(job.id) for job in jobs]

    assert [(run.outcome, run.args) for run in runs] == [(outcome, [how, seconds])] * 3
    for job in jobs:
        is_as_rq_left_it(redis, job, how)
    assert registries(child.id) == ["deferred"]
    assert ended(tasks.add.enqueue(1, 1)).outcome == "succeeded"


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_slot_that_dies_under_such_a_job_does_not_bring_it_back(start, queue, redis, how):
    start()
    job = queue.enqueue(f"{TASKS}.give_yourself_up", how, -1)

    run = ended(job.id)

    assert (run.outcome, run.cause) == ("lost", "slot_killed: signal 9 (SIGKILL)")
    assert ended(tasks.add.enqueue(1, 1)).outcome == "succeeded"
    is_as_rq_left_it(redis, job, how)


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_worker_that_leaves_does_not_give_such_a_job_back(start, queue, redis, how):
    worker = start(WORKER_GRACE_SECONDS="1")
    job = queue.enqueue(f"{TASKS}.sleep", 60)
    wait_for(lambda: fetch(job.id).started_at)

    getattr(fetch(job.id), how)()

    assert worker.leave() in (0, 3)  # 0 where the lease was missed before the grace time was over
    assert ended(job.id).outcome == "stopped"
    is_as_rq_left_it(redis, job, how)
