"""Jobs that misbehave, on a real worker: each ends in one way, with a sentence that a person can read."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rq import Queue

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.enqueue import PayloadError
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.models import JobRun, Pause
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.worker import forwarder
from amazon_pilot.jobs.worker import supervisor as worker_module

from . import tasks
from .conftest import children, ended, run_of, wait_for
from .redis_process import OwnRedis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def running(job_id):
    """Wait until a job is shown as running and answer its row."""
    return wait_for(lambda: JobRun.objects.filter(job_id=job_id, ended_at=None).first(), f"job {job_id} to run")


def status(job_id):
    return JSONJob.fetch(job_id, connection=queues.connection()).get_status().value


def the_worker_still_works():
    assert ended(tasks.add.enqueue(2, 3)).result == 5


# Jobs that do not end


def test_a_job_blocked_in_c_is_killed_when_it_is_cancelled(start):
    start()
    job_id = tasks.block_in_c.enqueue()
    running(job_id)

    assert changes.cancel(job_id, grace=0.5, by="alice") == "asked"

    run = ended(job_id)
    assert (run.outcome, run.attempt) == ("stopped", 1)
    assert run.message == "The job was cancelled, did not end when it was asked to, and was killed."
    assert run.duration < 10
    the_worker_still_works()


def test_a_sleeping_job_ends_by_itself_when_it_is_cancelled(start):
    start()
    job_id = tasks.sleep.enqueue(60)
    running(job_id)

    changes.cancel(job_id, grace=20)

    run = ended(job_id)
    assert (run.outcome, run.cause) == ("stopped", "cancelled: asked")
    assert run.message == "The job was cancelled while it ran, and ended when it was asked to."
    assert status(job_id) == "stopped"


def test_a_job_that_swallows_every_exception_is_killed_after_its_timeout(start):
    start()
    run = ended(tasks.swallow_every_exception.enqueue())

    assert (run.outcome, run.exception) == ("failed", "timeout")
    assert run.message == "The task did not listen to its timeout of 1 seconds and was killed."
    assert "swallowed" in run.log
    the_worker_still_works()


def test_a_sleeping_job_meets_its_timeout(start):
    start()
    run = ended(tasks.sleep_beyond_its_timeout.enqueue())

    assert (run.outcome, run.exception) == ("failed", "rq.timeouts.JobTimeoutException")
    assert run.message == "The task exceeded its timeout of 1 seconds."
    assert 1 <= run.duration < 3


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_task_killed_for_its_timeout_is_retried_as_its_policy_says(start, attempt):
    job_id = tasks.swallow_and_retry.enqueue()
    if attempt == 2:
        queues.connection().hset(f"rq:job:{job_id}", mapping={"retries_left": 1, "attempt": 1})
    start()  # only now: a worker that runs takes the job within a millisecond

    run = ended(job_id)

    assert (run.outcome, run.attempt) == ("retrying", attempt)
    waits = (run.retry_at - run.ended_at).total_seconds()
    first = 100 * 2 ** (attempt - 1)
    assert first / 2 <= waits <= first
    assert status(job_id) == "scheduled"


def test_a_task_whose_timeout_is_permanent_is_not_retried_after_the_kill(start):
    start()
    job_id = tasks.swallow_for_good.enqueue()

    assert ended(job_id).outcome == "failed"
    assert status(job_id) == "failed"


# Jobs that harm their process


def test_a_job_that_forks_answers_once(start):
    start()
    job_id = tasks.fork_and_return.enqueue()

    run = ended(job_id)
    assert run.outcome == "succeeded"
    the_worker_still_works()
    assert JobRun.objects.filter(job_id=job_id).count() == 1


@pytest.mark.parametrize("grace", [0, 20])
def test_a_child_that_a_job_started_dies_with_it(start, tmp_path, grace):
    start()
    job_id = tasks.start_a_child.enqueue(str(tmp_path / "pid"))
    child = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    running(job_id)

    changes.cancel(job_id, grace=grace)

    assert ended(job_id).outcome == "stopped"
    wait_for(lambda: not lives(child), "the child to end")


def test_a_child_that_a_job_started_dies_at_its_timeout(start, tmp_path):
    job_id = tasks.start_a_child.enqueue(str(tmp_path / "pid"))
    queues.connection().hset(f"rq:job:{job_id}", "timeout", 1)
    start()
    child = int(wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))

    assert ended(job_id).outcome == "failed"
    wait_for(lambda: not lives(child), "the child to end")


def lives(pid):
    """Tell whether a process runs; one that waits to be collected does not."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_job_that_asks_for_too_much_memory_fails_with_a_memory_error(start):
    start(WORKER_SLOT_MEMORY_MB="256")
    run = ended(tasks.eat_memory.enqueue())

    assert (run.outcome, run.exception) == ("failed", "MemoryError")
    the_worker_still_works()


def test_a_job_that_shares_out_too_much_memory_is_killed_and_told_why(start):
    start(WORKER_SLOT_MEMORY_MB="256")
    run = ended(tasks.eat_shared_memory.enqueue())

    assert (run.outcome, run.exception) == ("failed", "memory")
    assert run.message == "The task used more than 256 MB of memory and was killed."
    the_worker_still_works()


def test_a_job_whose_slot_dies_runs_again_at_once(start, tmp_path):
    start()
    job_id = tasks.die_unless.enqueue(str(tmp_path / "seen"))

    assert ended(job_id, outcome="succeeded").attempt == 2
    lost = run_of(job_id, outcome="lost")
    assert lost.cause == "slot_killed: signal 9 (SIGKILL)"
    assert not lost.is_poison


@pytest.mark.parametrize(("how", "cause"), [
        ("kill", "signal 9 (SIGKILL)"), ("exit", "it left with code 3"), ("abort", "signal 6 (SIGABRT)"),
        ("exec", "it left with code 0"),
    ])  # fmt: skip
def test_a_job_that_kills_its_slot_three_times_is_put_aside(start, how, cause):
    start()
    job_id = tasks.die.enqueue(how)

    run = ended(job_id, is_poison=True)
    assert (run.attempt, run.cause) == (3, f"slot_killed: {cause}")
    assert status(job_id) == "failed"
    job = JSONJob.fetch(job_id, connection=queues.connection())
    assert job.latest_result().exc_string.startswith("Lost three times within 72 hours")
    the_worker_still_works()


def test_slots_make_room_for_fresh_ones_after_their_share(start):
    start(WORKER_SLOT_JOBS="2", WORKER_CONCURRENCY="1")
    ids = tasks.process_id.enqueue_many([(n,) for n in range(6)])

    pids = [ended(job_id).result for job_id in ids]
    assert len(set(pids)) == 3
    assert not JobRun.objects.exclude(outcome="succeeded").exists()


def test_a_language_and_a_time_zone_do_not_leak_into_the_next_job(start):
    start(WORKER_CONCURRENCY="1")
    tasks.dirty_the_process.enqueue()

    assert ended(tasks.what_is_active.enqueue()).result == ["en", "UTC"]


# Jobs that fail


def test_a_failing_job_waits_longer_each_time_and_fails_in_the_end(start):
    start()
    job_id = tasks.fail.enqueue()
    waits = []
    for attempt in (1, 2):
        run = ended(job_id, attempt=attempt)
        assert run.outcome == "retrying"
        waits.append((run.retry_at - run.ended_at).total_seconds())
        wait_for(lambda: forwarder.forward("default", ahead=timedelta(minutes=5)) or status(job_id) != "scheduled")
    assert ended(job_id, attempt=3).outcome == "failed"

    assert 5 <= waits[0] <= 10
    assert 7.5 <= waits[1] <= 15


def test_a_permanent_error_is_not_retried(start):
    start()
    job_id = tasks.fail.enqueue("permanent")

    run = ended(job_id)
    assert (run.outcome, run.exception) == ("failed", "tests.jobs.tasks.PermanentError")
    assert status(job_id) == "failed"


def test_a_service_that_names_a_time_is_asked_again_then(start):
    start()
    run = ended(tasks.fail.enqueue("wait"))

    assert (run.retry_at - run.ended_at).total_seconds() == 77


def test_an_unknown_task_is_not_run_and_says_so(start, tmp_path):
    start()
    queue = Queue("default", connection=queues.connection(), job_class=JSONJob)
    job = queue.enqueue("tests.jobs.tasks.not_a_task", str(tmp_path / "ran"))

    run = ended(job.id)
    assert run.outcome == "failed"
    assert run.message == "tests.jobs.tasks.not_a_task is not a registered task, so it was not run."
    assert not (tmp_path / "ran").exists()


def test_a_payload_in_pickle_is_never_opened(start, tmp_path):
    start()
    queue = Queue("default", connection=queues.connection())  # rq's own default: pickle
    job = queue.enqueue("os.system", f"touch {tmp_path / 'ran'}")

    run = ended(job.id)
    assert run.message == "The payload of this job is not a call in JSON, so nothing was run."
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "data", [b"\xff\x00 not json", b"[]", b"{}", b"null", b'["tests.jobs.tasks.add", null, 3]', b""]
)
def test_a_payload_that_is_no_call_fails_and_the_worker_goes_on(start, data):
    start()
    job_id = tasks.do_nothing.enqueue_in(timedelta(hours=1))
    queues.connection().hset(f"rq:job:{job_id}", "data", data)
    forwarder.forward("default", ahead=timedelta(hours=2))

    run = ended(job_id)
    assert (run.outcome, run.message) == (
        "failed",
        "The payload of this job is not a call in JSON, so nothing was run.",
    )
    the_worker_still_works()


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("half an emoji \ud83d", "half an emoji "),
        ("whole \N{GRINNING FACE}", "whole \N{GRINNING FACE}"),
        ("a\0b", "ab"),
        ("a\0", "a"),
        ("\0x\0y", "xy"),
        (r"escaped \u0000", r"escaped \u0000"),
        (["\0", {"k\0": "\udc00"}], ["", {"k": ""}]),
    ],
)
def test_what_no_database_stores_as_text_is_left_out_of_the_history_alone(start, value, kept):
    start()
    job_id = tasks.give_back.enqueue(value)
    beside = tasks.add.enqueue(1, 2)

    run = ended(job_id)
    assert (run.outcome, run.args, run.result) == ("succeeded", [kept], kept)
    assert ended(beside).result == 3


def test_a_message_with_an_escaped_character_is_kept(start):
    start()
    job_id = tasks.raise_words.enqueue(r"bad escape \u0000 and \ud83d")

    assert ended(job_id).message == r"bad escape \u0000 and \ud83d"


@pytest.mark.parametrize(
    "message",
    [
        {"command": "stop-job", "job_id": "x", "grace": None},
        {"command": "stop-job", "job_id": "x", "grace": "soon"},
        {"command": "kill-horse", "slot": [1]},
        {"command": ["look"]},
        {"command": "dance"},
    ],
)
def test_a_command_that_cannot_be_is_passed_over(start, redis, message):
    worker = start()
    redis.publish("rq:pubsub:w1", json.dumps(message))
    redis.publish("rq:pubsub:w1", b"\xff")

    the_worker_still_works()
    assert worker.leave() == 0


def test_a_worker_that_leaves_with_nothing_to_wait_for_tells_the_handlers_first(start, redis):
    """The telling belongs to no job that the worker still holds."""
    queue = Queue("default", connection=redis, job_class=JSONJob)
    job = queue.enqueue("tests.jobs.tasks.swallow_every_exception", job_timeout=1)
    worker = start("--burst", ready=False)

    assert worker.popen.wait(60) == 0
    assert job.get_status() == "failed"
    assert redis.lrange("handled", 0, -1) == [b"LostError: timeout: the job was killed and is failed now"]


def test_five_megabytes_of_arguments_are_refused_at_once():
    with pytest.raises(PayloadError, match=r"take 5\.0 MB; 1 MB is the limit\. Keep them in a row and pass its id\."):
        tasks.do_nothing.enqueue("x" * 5 * 1024**2)
    assert queues.size("default") == 0


@pytest.mark.parametrize("argument", [datetime(2026, 1, 1, tzinfo=UTC), object(), {1, 2}, b"bytes", float("nan")])
def test_arguments_that_are_not_json_are_refused_at_once(argument):
    with pytest.raises(PayloadError, match=r"takes what JSON can carry, such as ids and words: .*Pass the id of a row"):
        tasks.do_nothing.enqueue(argument)
    assert queues.size("default") == 0


def test_a_stock_job_with_five_megabytes_still_runs_and_harms_nobody(start):
    start()
    queue = Queue("default", connection=queues.connection(), job_class=JSONJob)
    job = queue.enqueue("tests.jobs.tasks.do_nothing", "x" * 5 * 1024**2)

    assert ended(job.id).outcome == "succeeded"
    the_worker_still_works()


def test_a_result_that_is_not_json_does_not_fail_the_job(start):
    start()
    run = ended(tasks.return_an_object.enqueue())

    assert (run.outcome, run.result) == ("succeeded", "Unserializable return value")


def test_a_huge_result_is_not_kept_and_does_not_fail_the_job(start):
    start()
    run = ended(tasks.return_letters.enqueue(5 * 1024**2))

    assert run.outcome == "succeeded"
    assert run.result == f"A result of {5 * 1024**2 + 2} bytes was not kept; 65536 is the limit."
    the_worker_still_works()


# Leaving and pausing


def test_sigterm_waits_for_what_runs_and_takes_no_more(start):
    worker = start()
    job_id = tasks.sleep.enqueue(2)
    running(job_id)
    worker.popen.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    later = tasks.do_nothing.enqueue()

    assert worker.popen.wait(20) == 0
    assert ended(job_id).outcome == "succeeded"
    assert status(later) == "queued"


def test_sigterm_gives_back_what_takes_longer_than_the_grace_time(start):
    worker = start(WORKER_GRACE_SECONDS="1")
    job_id = tasks.sleep.enqueue(50)
    running(job_id)

    began = time.monotonic()
    assert worker.leave() == 3

    assert 1 <= time.monotonic() - began < 8
    run = ended(job_id)
    assert (run.outcome, run.cause, run.message) == ("stopped", "leaving", "The worker left; the job was given back.")
    assert status(job_id) == "queued"
    assert queues.size("default") == 1
    start(name="w2")
    assert running(job_id).attempt == 1  # a job that was given back has lost no attempt


@pytest.mark.parametrize("signs", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT), (signal.SIGQUIT,)])
def test_a_second_signal_and_sigquit_give_back_at_once(start, signs):
    worker = start()
    job_id = tasks.sleep.enqueue(50)
    running(job_id)

    for sign in signs:
        worker.popen.send_signal(sign)
        time.sleep(0.3)

    assert worker.popen.wait(10) == 4
    assert status(job_id) == "queued"


def test_a_pause_and_its_end_are_heard_within_a_second(start):
    start()
    the_worker_still_works()
    Pause.objects.begin("queue:default", by=None, reason="a test")
    job_id = tasks.do_nothing.enqueue()
    time.sleep(1.5)
    assert status(job_id) == "queued"

    began = time.monotonic()
    Pause.objects.end("queue:default", by=None)
    wait_for(lambda: status(job_id) == "finished")

    assert time.monotonic() - began < 1


def test_a_slot_that_hangs_while_it_is_idle_does_not_keep_jobs_from_the_others(start):
    worker = start(WORKER_CONCURRENCY="2")
    slots = [pid for pid in children(worker.pid) if os.getpgid(pid) == pid][:1]
    os.kill(slots[0], signal.SIGSTOP)

    ids = tasks.do_nothing.enqueue_many([() for _ in range(4)])

    wait_for(lambda: sum(status(job_id) == "finished" for job_id in ids) >= 3)
    os.kill(slots[0], signal.SIGCONT)
    wait_for(lambda: all(status(job_id) == "finished" for job_id in ids))


# A worker whose helpers are gone


def test_a_worker_leaves_although_redis_and_its_historian_do_not_answer(start, tmp_path, redis):
    own = OwnRedis(tmp_path).start()
    worker = start(ready=False, REDIS_URL=own.url)
    with own.client() as client:
        wait_for(lambda: client.exists("pilot:worker:w1"), "the worker")
    own.stop()
    for pid in children(worker.pid):
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)  # all of them are forked again, and the new historian waits for Redis

    began = time.monotonic()
    worker.popen.send_signal(signal.SIGTERM)

    assert worker.popen.wait(40) == 0
    assert time.monotonic() - began < 20


def test_a_historian_that_does_not_hear_is_killed(monkeypatch):
    monkeypatch.setattr(worker_module, "WRITER_SECONDS", 0.5)
    worker = worker_module.Supervisor(["default"], size=1)
    worker.writer_pid = deaf = os.fork()
    if not deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)
    time.sleep(0.1)  # it has stopped listening by now

    began = time.monotonic()
    worker.dismiss_writer()

    assert time.monotonic() - began < 5
    with pytest.raises(ChildProcessError):
        os.waitpid(deaf, 0)
