"""Nothing that a slot says or Redis holds ends a supervisor: its job fails with the reason, and the others go on."""

import json
import os
import random
import signal
import socket

import pytest

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.fields import TAKEN
from amazon_pilot.jobs.core.limits import LONGEST
from amazon_pilot.jobs.core.shared_memory import SharedMemory
from amazon_pilot.jobs.core.taken_job import TakenJob
from amazon_pilot.jobs.worker import connection, outcomes, pool
from amazon_pilot.jobs.worker.messages import GarbageError, MessageSocket, packed
from amazon_pilot.jobs.worker.pool import SlotHandle
from amazon_pilot.jobs.worker.supervisor import Supervisor

from . import tasks
from .conftest import ended

DEEP = b"[" * 100_000
ODD = [
    b"", b"\0", b"\xff\xfe", b"nan", b"inf", b"-inf", b"1e400", b"9" * 5000, b"-" + b"9" * 30, b"[1,", b"{}", b"[]",
    b"[null]", b'["x"]', b"[NaN]", b"[1e999]", b"[true]", DEEP, b"null", "\u0663".encode(),
]  # fmt: skip
DEATHS = ["cancelled", "leaving", "lease lost", "timeout", "memory", "killed on request", "garbage", "slot_killed: 9"]


def taken_job(job_id: bytes = b"a", **fields: bytes) -> TakenJob:
    values = [fields.get(name) for name in TAKEN]
    return TakenJob.from_reply([b"default", job_id, b"pilot-1-0", 0, values])


def packs(outcome: outcomes.Outcome) -> bool:
    """Tell whether Redis's client takes every command of an outcome."""
    client = connection.open_connection()
    commands = [part.command for part in outcomes.commit([outcome], "w1")]
    try:
        return bool(client.pack_commands(commands))
    finally:
        client.disconnect()


@pytest.mark.slow
@pytest.mark.parametrize("name", TAKEN)
def test_whatever_a_field_holds_a_dead_slots_job_is_settled(redis, name):
    for value in [*ODD, *(random.Random(n).randbytes(40) for n in range(20))]:
        job = taken_job(b"\xff:\xfe", **{name: value})
        for because in DEATHS:
            outcome = outcomes.of_the_dead(job, "w1", 1, SharedMemory(), because)
            assert packs(outcome)
        assert job.timeout is None or 0 < job.timeout <= LONGEST
        assert all(0 <= wait <= LONGEST for wait in job.retry_intervals)


@pytest.mark.parametrize("number", range(1, signal.NSIG))
def test_every_signal_has_a_name(number):
    assert pool.death_cause(number).startswith(f"slot_killed: signal {number} (SIG")


def test_a_child_that_somebody_else_has_collected_is_dead():
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    assert pool.reaped(child) == pool.GONE
    assert "somebody else" in pool.death_cause(pool.GONE)


@pytest.mark.parametrize("seed", range(200))
def test_what_no_slot_says_is_refused(seed):
    ours, theirs = MessageSocket.pair()
    draw = random.Random(seed)
    theirs.send(("idle",))
    theirs.socket.send(draw.choice([draw.randbytes(draw.randrange(12, 200)), theirs.mark + b"\xff" * 40]))
    arrived = ours.arrived()
    assert next(arrived) == ("idle",)
    with pytest.raises(GarbageError):
        list(arrived)
    theirs.send(("idle",))
    assert list(ours.arrived()) == [("idle",)]


@pytest.mark.parametrize(
    "message",
    [
        ("done",),
        ("done", "x", "", "", 0.0, 0.0, "", ""),
        ("failed", "failed"),
        ("what",),
        (1,),
        ("settled", b"x"),
        (None,),
    ],
)
def test_a_message_that_tells_of_no_outcome_is_refused(message):
    with pytest.raises(GarbageError):
        outcomes.from_message(message, taken_job(), "w1")


@pytest.mark.later
@pytest.mark.parametrize(
    "words",
    [
        DEEP, b"[]", b"1", b"\xff", b'{"command": ["stop-job"]}', b'{"command": "stop-job", "grace": "x"}',
        b'{"command": "stop-job", "grace": 1e999}', b'{"command": "stop-job", "grace": NaN, "job_id": {"a": []}}',
        b'{"command": "kill-horse", "slot": Infinity}', b'{"command": "kill-horse", "slot": "' + b"9" * 9000 + b'"}',
        b'{"command": null}', b'{"command": "stop-job", "job_id": "\\ud800", "by": []}',
    ],
)  # fmt: skip
def test_whatever_is_published_a_worker_goes_on(redis, monkeypatch, words):
    worker = Supervisor(["default"], name="w1", size=1)
    monkeypatch.setattr(worker.connection, "read_messages", lambda: [connection.decode(words)])
    worker.heed_messages()
    assert worker.exit_code is None


def test_a_slot_that_cannot_be_settled_is_told_of_and_buried(redis, monkeypatch):
    worker = Supervisor(["default"], name="w1", size=1)
    handle: SlotHandle = worker.pool.handles[0]
    handle.pid, handle.hands = 1, handle.hands.__class__([taken_job(b"a"), taken_job(b"b")])
    ours, theirs = socket.socketpair()
    handle.message_socket = MessageSocket(ours, b"mark")
    theirs.send(b"rubbish" * 9)
    monkeypatch.setattr(worker.pool, "dead", lambda: [(handle, 9)])
    monkeypatch.setattr(worker, "hire", lambda: None)
    monkeypatch.setattr(pool, "kill_group", lambda pid: None)
    monkeypatch.setattr(outcomes, "of_the_dead", lambda *args: 1 / 0)
    worker.a_child_died = True

    worker.bury_the_dead()

    told = worker.broker.outcomes[0]
    assert "What became of this job could not be told" in json.loads(told.words[-1])[-1]["message"]
    assert handle.pid == 0


# In a real worker


pytest_process = pytest.mark.django_db(transaction=True)


@pytest_process
@pytest.mark.slow
def test_a_worker_outlives_what_jobs_and_redis_do_to_it(start, redis, queue):
    process = start()
    signalled = tasks.die_of.enqueue(40)
    scribbled = tasks.write_to_every_descriptor.enqueue()
    closed = tasks.close_every_descriptor.enqueue()
    odd = {b"\xff\xfe": {}, b"r": {"retry_intervals": "no JSON", "retries_left": "2"}, b"t": {"timeout": "9" * 30}}
    odd |= {b"l": {"result_ttl": 10**20, "failure_ttl": 10**20}, b"n": {"attempt": "nan", "losses": "nan"}}
    odd |= {b"d": {"dependency_ids": "[true]", "data": json.dumps(["tests.jobs.tasks.die_unless", None, [5], {}])}}
    call = json.dumps(["tests.jobs.tasks.add", None, [1, 2], {}])
    for job_id, fields in odd.items():
        redis.hset(b"rq:job:" + job_id, mapping={"status": "queued", "data": call, "origin": "default"} | fields)
    redis.set("rq:job:s", "no hash")
    redis.hset("pilot:paused", "tag:x", "no number")
    redis.rpush("rq:queue:default", *odd, "s")
    redis.publish("pilot:control", DEEP)
    redis.publish("rq:pubsub:w1", DEEP)

    assert ended(tasks.add.enqueue(2, 3)).result == 5
    assert ended(signalled).cause == "slot_killed: signal 40 (SIGRTMIN+6)"
    run = ended(scribbled)
    assert (run.outcome, run.exception) == ("failed", "garbage")
    assert "wrote into the line" in run.message
    run = ended(closed)
    assert (run.outcome, run.result, run.attempt) == ("succeeded", "closed", 1)
    for job_id in ("r", "t", "l", "n", "d"):
        ended(job_id)
    assert process.popen.poll() is None


def test_words_that_a_slot_leaves_are_read():
    shared = SharedMemory()
    assert shared.last_words == b""
    shared.leave(packed(("idle",)))
    assert shared.last_words == packed(("idle",))
    shared.write("a log")
    shared.memory[250:300] = b"x" * 50
    assert shared.last_words in (b"", packed(("idle",)))
    assert queues.names()
