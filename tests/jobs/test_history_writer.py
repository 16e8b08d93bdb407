"""The writer of the history: whatever a line says its run has a row, failures first, and no kill or clock costs one."""

import json
import os
import signal
import time
from itertools import permutations

import pytest

from amazon_pilot.jobs.core import keys, queues
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.history import rows, writer
from amazon_pilot.jobs.inspect import snapshot
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.worker import slot

from .conftest import children

pytestmark = pytest.mark.django_db(transaction=True)

NOW = 1_790_000_000.25
CALL = json.dumps(["tests.jobs.tasks.add", None, [1, 2], {"password": "hush"}]).encode()


def line(outcome, job_id="a", **words):
    """Return a line as run_event.line writes it."""
    ended = {} if outcome == "started" else {"ended": NOW + 1}
    values = [outcome, job_id, "e1", "low", "tests.jobs.tasks.add", 1, "2026-09-21T12:26:39.000000Z", "w1", 3, NOW]
    return json.dumps([*values, ended | words]).encode()


def told(*lines):
    """Put lines on the streams as Redis's own scripts do."""
    for n, text in enumerate(lines):
        script("tell")(queues.connection(), "w1", "low", f"gone-{n}", "e", text, CALL)


def reader(name="test"):
    keeper = writer.HistoryWriter(name, queues.names())
    keeper.join()
    return keeper


def written():
    keeper = reader()
    while keeper.write_some():
        pass
    return {run.job_id: run for run in JobRun.objects.all()}


def test_a_row_says_what_its_line_says():
    told(line("failed", exception="ValueError", message="no", fingerprint="f1", retry_in=0, log="x", percent=7))

    run = written()["a"]

    assert (run.outcome, run.task, run.queue, run.worker, run.slot) == (
        "failed",
        "tests.jobs.tasks.add",
        "low",
        "w1",
        3,
    )
    assert (run.args, run.kwargs, run.meta, run.result) == ([1, 2], {"password": "…"}, {}, None)
    assert (run.started_at.timestamp(), run.ended_at.timestamp(), run.duration) == (NOW, NOW + 1, 1.0)
    assert run.wait == NOW - run.enqueued_at.timestamp()
    assert (run.exception, run.fingerprint, run.progress, run.log) == ("ValueError", "f1", 7, "x")
    assert run.search == "1 2 … no ValueError ValueError"
    assert JobRun.objects.filter(ended_at=run.ended_at, started_at=run.started_at).exists()


@pytest.mark.parametrize("order", list(permutations(["started", "lost", "succeeded", "started"])))
@pytest.mark.parametrize("together", [True, False])
def test_an_end_stands_whatever_comes_before_or_after_it(order, together):
    found = [rows.row_of(line(outcome), CALL) for outcome in order]
    for batch in [found] if together else [[row] for row in found]:
        rows.write(batch)

    last = [outcome for outcome in order if outcome != "started"][-1]
    assert list(JobRun.objects.values_list("outcome", flat=True)) == [last]


DEEP = "[" * 5000 + "]" * 5000
HOSTILE = {
    "a number that is none": {"result": "NaN"},
    "an endless number": {"result": '{"a": Infinity}'},
    "a deep result": {"result": DEEP},
    "deep meta": {"meta": DEEP},
    "meta that is no object": {"meta": "[1]"},
    "half a pair": {"message": "\ud83d"},
    "a nul": {"log": "a\0b", "result": json.dumps("\0")},
    "a slot beyond its column": {"slot": 10**9},
    "a percentage beyond its column": {"percent": 2**40},
    "a long name of a worker": {"worker": "w" * 5000},
    "a cause in many letters": {"cause": "c" * 5000},
    "a time beyond the calendar": {"enqueued_at": "99999-01-01T00:00:00Z"},
    "a start beyond the calendar": {"started": 1e20},
    "an end beyond the calendar": {"ended": 1e300},
    "a time that is none": {"enqueued_at": "yesterday"},
    "many attempts": {"attempt": 2**50},
    "a wait without end": {"retry_in": 1e18},
    "an id of 300 letters": {"id": "i" * 300},
    "a message that is a number": {"message": 7},
}


@pytest.mark.parametrize("words", HOSTILE.values(), ids=HOSTILE)
def test_whatever_a_line_says_its_run_and_its_neighbours_have_a_row(words):
    told(line("succeeded", "before"), line("succeeded", "odd", **words), line("succeeded", "after"))

    found = written()

    assert {"before", "after"} < set(found)
    [odd] = set(found) - {"before", "after"}
    assert odd[:80] == words.get("id", "odd")[:80]
    assert found[odd].outcome == "succeeded"


@pytest.mark.parametrize("data", [b"", b"[", DEEP.encode(), b"\xff\0", b'["a", null, [NaN], {}]', b'["a",null,1,2]'])
def test_arguments_that_cannot_be_told_keep_no_run_from_its_row(data):
    script("tell")(queues.connection(), "w1", "low", "gone", "e", line("succeeded"), data)

    assert written()["a"].outcome == "succeeded"


@pytest.mark.parametrize("outcome", ["failed", "retrying", "stopped", "lost"])
def test_a_failure_does_not_wait_behind_what_went_well(outcome):
    keeper = reader()
    told(*[line("succeeded", f"good{n}") for n in range(keeper.batch * 3)], line(outcome, "bad"))

    keeper.write_some()

    assert JobRun.objects.filter(job_id="bad", outcome=outcome).exists()
    assert JobRun.objects.filter(outcome="succeeded").count() < 300


@pytest.mark.parametrize(
    ("number", "seconds", "then"), [(100, 0.1, 200), (100, 0.3, 100), (100, 9, 50), (7, 0.1, 100), (7, 9, 50)]
)
def test_a_step_takes_as_much_as_it_can_write_soon(number, seconds, then):
    keeper = reader()
    keeper.adjust(number, seconds)
    assert keeper.batch == then

    for _ in range(20):
        keeper.adjust(keeper.batch, seconds)
    assert keeper.batch in (writer.LEAST, 100, writer.MOST)


@pytest.mark.parametrize("outcome", ["failed", "retrying", "stopped", "lost"])
def test_what_did_not_go_well_has_a_stream_of_its_own(redis, outcome):
    told(line("started"), line("succeeded", "b"), line(outcome, "c"))

    assert (redis.xlen(keys.RUNS), redis.xlen(keys.FAILURES)) == (2, 1)
    assert set(written()) == {"a", "b", "c"}
    assert (redis.xlen(keys.RUNS), redis.xlen(keys.FAILURES)) == (0, 0)


@pytest.mark.parametrize("first", ["succeeded", "failed"])
def test_the_history_is_as_old_as_the_oldest_line_of_both_streams(redis, first):
    told(line(first))
    time.sleep(0.05)
    told(line("failed" if first == "succeeded" else "succeeded", "b"))
    oldest = redis.xrange(keys.RUNS if first == "succeeded" else keys.FAILURES)[0][0]

    seen = snapshot.take(redis)

    assert seen.unwritten == 2
    assert seen.written_until == int(oldest.split(b"-")[0]) / 1000


def test_what_a_killed_writer_had_taken_is_written_as_soon_as_it_is_back(redis):
    told(line("succeeded", "good"), line("failed", "bad"))
    assert sum(len(lines) for lines in reader("again").read(b">").values()) == 2  # and dies before it writes

    reader("another")
    assert not JobRun.objects.exists()
    reader("again")
    assert set(JobRun.objects.values_list("job_id", flat=True)) == {"good", "bad"}
    assert redis.xpending(keys.RUNS, keys.RUNS_GROUP)["pending"] == 0


@pytest.mark.slow
def test_it_has_the_share_of_the_processor_that_its_worker_has(start):
    """At a lower one two processes that spin beside it were enough to stop the history; the slots give way instead."""
    worker = start()
    shares = sorted(os.getpriority(os.PRIO_PROCESS, pid) for pid in children(worker.pid))

    own = os.getpriority(os.PRIO_PROCESS, worker.pid)
    assert shares == [own, *[own + slot.NICE] * 3]


def test_it_rests_only_where_nothing_waits(monkeypatch):
    rests = []
    keeper = reader()
    monkeypatch.setattr(keeper, "rest", rests.append)
    told(*[line("succeeded", f"good{n}") for n in range(keeper.batch)], line("failed", "bad"))

    keeper.write_in_step()
    told(line("succeeded", "last"))
    keeper.write_in_step()
    keeper.write_in_step()

    assert rests == [0, writer.PERIOD, 0]


def test_the_registries_go_by_the_clock_of_redis(monkeypatch, redis):
    redis.zadd("rq:finished:low", {"fresh": time.time() + 3600, "over": time.time() - 3600})
    redis.zadd("rq:failed:low", {"fresh": time.time() + 3600})
    monkeypatch.setattr("rq.registry.current_timestamp", lambda: int(time.time()) + 86_400)  # this machine's is ahead

    reader("keeper").keep_house()

    assert redis.zrange("rq:finished:low", 0, -1) == [b"fresh"]
    assert redis.zrange("rq:failed:low", 0, -1) == [b"fresh"]


@pytest.mark.later
@pytest.mark.parametrize(("sign", "leaves"), [(signal.SIGCONT, False), (signal.SIGTERM, True)])
def test_a_writer_that_was_stopped_and_goes_on_does_not_leave(sign, leaves):
    pid = os.fork()
    if pid == 0:
        keeper = writer.HistoryWriter("frozen", [])
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        keeper.rest(3)
        os._exit(7 if keeper.is_leaving else 3)
    for _ in range(3):
        time.sleep(0.3)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(pid, signal.SIGCONT)
    os.kill(pid, sign)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == (7 if leaves else 3)


def test_what_it_was_told_once_holds_through_whatever_comes_between():
    """Redis may fall silent in the same moment, and then it rests once more."""
    keeper = writer.HistoryWriter("w", ["default"])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        keeper.rest(0)
        assert not keeper.is_leaving
        signal.raise_signal(signal.SIGTERM)  # to this thread: others of the suite would not hold it back, and die
        keeper.rest(0)
        keeper.rest(0)
        assert keeper.is_leaving
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
