"""Operations on jobs in every state, held against an oracle: a job is in one place, and runs as often as it should."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django_rq.queues import get_queue
from rq.job import JobStatus

from amazon_pilot.jobs.apps import MOST_QUEUES
from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.models import Pause
from amazon_pilot.jobs.operate import changes, deletion, operations
from amazon_pilot.jobs.worker import forwarder

from . import tasks

pytestmark = pytest.mark.django_db(transaction=True)

REGISTRIES = {
    "wip": "started", "scheduled": "scheduled", "deferred": "deferred", "failed": "failed", "canceled": "canceled",
    "finished": "finished", "ready": "ready_to_enqueue",
}  # fmt: skip
FAR = datetime.now(UTC) + timedelta(days=2)
PAUSES = {"queue": "queue:default", "task": "task:tests.jobs.tasks.tagged", "tag": "tag:apify"}
PARENTS = ("waiting", "running", "finished", "failed", "deleted", "canceled")


def redis():
    return queues.connection()


def places(job_id):
    """Return everywhere a job stands, by Redis: (place, queue) once for each time."""
    found = []
    for queue in queues.names():
        found += [("queued", queue)] * [id.decode() for id in redis().lrange(queues.key(queue), 0, -1)].count(job_id)
        for name, place in REGISTRIES.items():
            ids = [member.decode().partition(":")[0] for member in redis().zrange(f"rq:{name}:{queue}", 0, -1)]
            found += [(place, queue)] * ids.count(job_id)
    return found


def status(job_id):
    return (redis().hget(f"rq:job:{job_id}", "status") or b"").decode()


def rq_queue():
    return get_queue("default", commit_mode="auto")


def take():
    """Have a worker take all that waits and let it end well, in the order of the queues; return the ids that ran."""
    ran = []
    names = queues.names()
    while True:
        order = bytes(range(len(names)))
        jobs, _resting, _more = script("take")(redis(), "w1", "w1x", 10, len(names), *names, *[order] * 10)
        if not jobs:
            return ran
        for queue, id, execution, *_rest in jobs:
            ran.append(id.decode())
            end(id.decode(), queue.decode(), execution.decode())


def end(job_id, queue, execution, verdict="finished"):
    """End a running job as a worker does: among the finished or failed, and what waits for it goes on by rq's code."""
    redis().zrem(f"rq:wip:{queue}", f"{job_id}:{execution}")
    redis().hset(f"rq:job:{job_id}", "status", verdict)
    redis().zadd(f"rq:{verdict}:{queue}", {job_id: 1e10})
    job = JSONJob.fetch(job_id, connection=redis())
    rq_queue().enqueue_dependents(job)


def start(job_id):
    """Have a worker take the next job, which has to be this one; return its execution."""
    [found], _resting, _more = script("take")(redis(), "w1", "w1x", 1, 1, "default", b"\0")
    assert found[1].decode() == job_id
    return found[2].decode()


# How a job comes into each state.


def queued():
    return tasks.tagged.enqueue()


def scheduled():
    return tasks.tagged.enqueue_in(timedelta(hours=1))


def retry():
    job_id = scheduled()
    redis().hset(f"rq:job:{job_id}", mapping={"attempt": 1, "retries_left": 2})
    return job_id


def held():
    job_id = queued()
    assert changes.one("hold", job_id)
    return job_id


def held_planned():
    job_id = scheduled()
    assert changes.one("hold", job_id)
    return job_id


def started():
    job_id = queued()
    start(job_id)
    return job_id


def ended(verdict):
    def make():
        job_id = queued()
        end(job_id, "default", start(job_id), "failed" if verdict == "stopped" else verdict)
        redis().hset(f"rq:job:{job_id}", "status", verdict)
        return job_id

    return make


def canceled():
    job_id = queued()
    assert changes.cancel(job_id) == "removed"
    return job_id


def forgotten():
    job_id = queued()
    assert changes.delete(job_id)
    return job_id


def parked(kind):
    def make():
        job_id = queued()
        Pause.objects.begin(PAUSES[kind], by=None, reason="A test")
        take()
        return job_id

    return make


PARENT_OF: dict[str, Any] = {}
EXECUTIONS: dict[str, str] = {}


def child(parent):
    """Return the maker of a job whose parent is in a state; the parent's id is kept beside it."""

    def make():
        first = rq_queue().enqueue("tests.jobs.tasks.do_nothing", 1)
        second = rq_queue().enqueue("tests.jobs.tasks.tagged", depends_on=first)
        PARENT_OF[second.id] = first.id
        if parent == "canceled":
            assert changes.cancel(first.id) == "removed"
        elif parent == "deleted":
            assert changes.delete(first.id)
        elif parent != "waiting":
            EXECUTIONS[first.id] = start(first.id)
        if parent == "failed":
            end(first.id, "default", EXECUTIONS[first.id], "failed")
        elif parent == "finished":  # and the slot that was to tell its dependents died before that
            redis().zrem("rq:wip:default", f"{first.id}:{EXECUTIONS[first.id]}")
            redis().hset(f"rq:job:{first.id}", "status", "finished")
            redis().zadd("rq:finished:default", {first.id: 1e10})
        return second.id

    return make


STATES = {
    "queued": queued, "scheduled": scheduled, "retry": retry, "held": held, "held_planned": held_planned,
    "started": started, "failed": ended("failed"), "stopped": ended("stopped"), "finished": ended("finished"),
    "canceled": canceled, "forgotten": forgotten,
    **{f"parked_{kind}": parked(kind) for kind in ("task", "tag")},
    **{f"child_{parent}": child(parent) for parent in PARENTS},
}  # fmt: skip
OPERATIONS = ("retry", "run now", "hold", "release", "snooze", "cancel", "move", "delete")
LETS_GO = ("run now", "release", "snooze")  # what lets a job go whose parents are gone
VALUES = {"snooze": {"until": FAR}, "move": {"queue": "low"}}
LIVING, GONE = ("child_waiting", "child_running"), ("child_finished", "child_failed", "child_deleted", "child_canceled")
PARKED = ("parked_task", "parked_tag")
WAITS = ("queued", "scheduled", "retry", "held", "held_planned", *PARKED)
HERE = {"queued": "queued", "scheduled": "scheduled", "retry": "scheduled", "started": "started"} | {
    name: name for name in ("failed", "finished", "canceled")
}


def place_of(state):
    """Return where a job of a state is before anything is done."""
    if state == "stopped":
        return "failed"
    return "" if state == "forgotten" else HERE.get(state, "deferred")


def oracle(operation, state):
    """Return where a job has to be afterwards (place, queue), or None if nothing may be done."""
    table = {
        "retry": {"failed": "queued", "stopped": "queued", "canceled": "queued"},
        "run now": dict.fromkeys(("scheduled", "retry", *GONE), "queued"),
        "hold": dict.fromkeys(("queued", "scheduled", "retry"), "deferred"),
        "release": dict.fromkeys(("held", *PARKED, *GONE), "queued") | {"held_planned": "scheduled"},
        "snooze": dict.fromkeys((*WAITS, *GONE), "scheduled"),
        "cancel": dict.fromkeys((*WAITS, *GONE, *LIVING), "canceled"),
        "move": {name: place_of(name) for name in (*WAITS, *GONE, *LIVING)},
        "delete": dict.fromkeys((*WAITS, *GONE, *LIVING, "failed", "stopped", "finished", "canceled"), ""),
    }
    place = table[operation].get(state)
    return None if place is None else (place, "low" if operation == "move" else "default")


def act(operation, job_id):
    return operations.on_job(None, operation, job_id, reason="A test", **VALUES.get(operation, {}))


def unpause_and_run_everything():
    """End all pauses, bring all planned jobs forward, and run whatever waits until nothing is left; return the ids."""
    for name in PAUSES.values():
        Pause.objects.end(name, by=None)
        while script("resume")(redis(), name, 100, 0) > 0:
            pass
    ran = []
    for _turn in range(4):
        for queue in queues.names():
            forwarder.forward(queue, ahead=timedelta(days=4))
        ran += take()
    return ran


def runs_in_the_end(operation, state, done):
    """Return how often the job may run from here on, if its parent ends well where it still lives."""
    if not done:
        # What the worker that runs it does is not followed here; what waits for a parent that is gone waits.
        return int(state in (*WAITS, *LIVING) and state not in ("held", "held_planned"))
    if operation in ("cancel", "delete", "hold"):
        return 0
    if operation == "move":
        return int(state not in ("held", "held_planned", *GONE))
    return 1


@pytest.mark.slow
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_job_is_in_one_place_and_runs_as_often_as_it_should(operation, state):
    job_id = STATES[state]()
    before = place_of(state)
    assert places(job_id) == ([(before, "default")] if before else [])
    expected = oracle(operation, state)
    if operation == "retry" and state == "finished":
        done = act(operation, job_id)
        assert done.count == 1
        assert places(done.job_id) == [("queued", "default")]
        assert places(job_id) == [("finished", "default")]
        return

    done = act(operation, job_id) if (operation, state) != ("cancel", "started") else None

    if done is not None:
        assert done.count == int(expected is not None), done.text
        assert done.text
    wanted = expected or ((before, "default") if before else ("", ""))
    assert places(job_id) == ([wanted] if wanted[0] else [])
    if state in LIVING and not (expected and expected[0] in ("canceled", "")):
        assert PARENT_OF[job_id] in changes.parents(job_id)
    if state == "child_running":
        end(PARENT_OF[job_id], "default", EXECUTIONS[PARENT_OF[job_id]])
    if state == "started":
        return
    ran = unpause_and_run_everything()
    assert ran.count(job_id) == runs_in_the_end(operation, state, expected is not None)
    assert len(places(job_id)) <= 1


@pytest.mark.parametrize("second", ["retry", "delete"])
@pytest.mark.parametrize("parent", PARENTS)
def test_a_cancelled_child_that_is_retried_still_runs_once(parent, second):
    job_id = child(parent)()
    assert act("cancel", job_id).count == 1
    assert act(second, job_id).count == 1

    is_alive = parent in ("waiting", "running")
    assert places(job_id) == ([] if second == "delete" else [("deferred" if is_alive else "queued", "default")])
    if parent == "running":
        end(PARENT_OF[job_id], "default", EXECUTIONS[PARENT_OF[job_id]])
    assert unpause_and_run_everything().count(job_id) == int(second == "retry")


@pytest.mark.slow
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("parents", ["finished failed", "deleted canceled", "held running"])
def test_a_child_of_two_parents_is_in_one_place_and_runs_once_at_most(parents, operation):
    parents = parents.split()
    ids = [rq_queue().enqueue("tests.jobs.tasks.do_nothing", 1).id for _parent in parents]
    job_id = rq_queue().enqueue("tests.jobs.tasks.tagged", depends_on=ids).id
    for parent, other in zip(parents, ids, strict=True):
        if parent in ("held", "canceled", "deleted"):
            assert act({"held": "hold", "canceled": "cancel", "deleted": "delete"}[parent], other).count == 1
        else:
            EXECUTIONS[other] = start(other)
            if parent != "running":
                end(other, "default", EXECUTIONS[other], parent)
    waits = "held" in parents

    done = act(operation, job_id)

    assert done.count == int(operation in ("cancel", "move", "delete") or (not waits and operation in LETS_GO))
    assert len(places(job_id)) == int(operation != "delete")
    if "running" in parents:
        end(ids[1], "default", EXECUTIONS[ids[1]])
    assert unpause_and_run_everything().count(job_id) == int(not waits and operation in LETS_GO)
    assert len(places(job_id)) <= 1


def test_a_chain_goes_on_once_its_second_is_let_go():
    ids = [rq_queue().enqueue("tests.jobs.tasks.do_nothing", 1).id]
    for _n in range(3):
        ids.append(rq_queue().enqueue("tests.jobs.tasks.tagged", depends_on=ids[-1]).id)
    assert act("delete", ids[0]).count == 1
    assert [act("release", job_id).count for job_id in ids[2:]] == [0, 0]
    assert act("release", ids[1]).count == 1

    assert unpause_and_run_everything() == ids[1:]


@pytest.mark.parametrize("operation", ["run now", "release", "snooze"])
@pytest.mark.parametrize("parent", ["failed", "canceled"])
def test_a_child_that_was_let_go_does_not_run_again_when_its_parent_does(parent, operation):
    job_id = child(parent)()
    assert act(operation, job_id).count == 1
    assert act("retry", PARENT_OF[job_id]).count == 1

    ran = unpause_and_run_everything()
    assert sorted(ran) == sorted([job_id, PARENT_OF[job_id]])


@pytest.mark.parametrize("state", [*STATES])
def test_a_job_that_was_deleted_and_brought_back_is_in_one_place_and_runs_as_often(state):
    job_id = STATES[state]()
    if not act("delete", job_id).count:
        assert state in ("started", "forgotten")
        return

    is_back = deletion.restore_one(job_id)

    if state in GONE:  # nobody is left who would put it on its queue
        assert not is_back
    assert places(job_id) == ([(place_of(state), "default")] if is_back else [])
    if state == "child_running":
        end(PARENT_OF[job_id], "default", EXECUTIONS[PARENT_OF[job_id]])
    runs = int(bool(is_back) and state in (*WAITS, *LIVING) and state not in ("held", "held_planned"))
    assert unpause_and_run_everything().count(job_id) == runs


@pytest.mark.parametrize("count", [1, 3, 26, 128, MOST_QUEUES])
def test_each_of_so_many_queues_is_looked_at_in_the_order_drawn(count):
    names = [f"q{n}" for n in range(count)]
    for name in names:
        queued()
        redis().rename("rq:queue:default", f"rq:queue:{name}")
    orders = queues.draw_orders([1] * count, random.Random(count), count + 1)
    assert all(sorted(order) == list(range(count)) for order in orders)

    jobs, _resting, more = script("take")(redis(), "w1", "w1x", count, count, *names, *orders)

    came, left = [names.index(queue.decode()) for queue, *_rest in jobs], set(range(count))
    for order, number in zip(orders, came, strict=False):
        assert number == next(n for n in order if n in left)  # the first of its order that is not empty yet
        left.remove(number)
    assert (left, more) == (set(), 0)


def test_a_sentence_says_for_which_job_one_waits():
    job_id = child("waiting")()

    for operation in ("run now", "release", "snooze", "hold"):
        assert f"the job waits for {PARENT_OF[job_id]}" in act(operation, job_id).text


@pytest.mark.parametrize("operation", ["retry", "restore"])
def test_an_ended_unique_job_does_not_come_back_beside_another(operation):
    job_id = tasks.once_at_a_time.enqueue("kettle")
    act("cancel" if operation == "retry" else "delete", job_id)
    other = tasks.once_at_a_time.enqueue("kettle")

    assert operations.on_job(None, operation, job_id, reason="A test").count == 0
    assert places(other) == [("queued", "default")]
    assert ("queued", "default") not in places(job_id)
    changes.cancel(other)
    assert operations.on_job(None, operation, job_id, reason="A test").count == 1
    assert tasks.once_at_a_time.enqueue("kettle") == job_id


@pytest.mark.parametrize("status", ["queued", "started", "scheduled"])
def test_a_unique_call_that_is_run_again_joins_the_one_that_waits_or_runs(status):
    old = tasks.once_at_a_time.enqueue("kettle")
    redis().delete(queues.key("default"))
    redis().hset(f"rq:job:{old}", "status", JobStatus.FINISHED)
    redis().zadd("rq:finished:default", {old: 1e10})
    other = tasks.once_at_a_time.enqueue("kettle")
    redis().hset(f"rq:job:{other}", "status", status)

    done = act("retry", old)

    assert done.count == 0
    assert other in done.text
    assert queues.size("default") == 1


def test_bulk_retry_brings_back_one_of_several_unique_jobs_with_the_same_arguments():
    ids = []
    for _n in range(3):
        ids.append(tasks.once_at_a_time.enqueue("kettle"))
        changes.cancel(ids[-1])

    assert changes.rearrange("requeue", [*ids, uuid.uuid4().hex]) == 1
    assert queues.size("default") == 1
