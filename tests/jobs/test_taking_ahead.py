"""Short jobs are handed to a slot several at a time; what it has not begun can be taken back at any moment."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.taken_job import TakenJob
from amazon_pilot.jobs.models import JobRun, Pause
from amazon_pilot.jobs.worker import broker as broker_module
from amazon_pilot.jobs.worker import messages
from amazon_pilot.jobs.worker.messages import MESSAGE_LIMIT, MessageSocket, SlotQueue
from amazon_pilot.jobs.worker.outcomes import Failed, GivenBack, Succeeded
from amazon_pilot.jobs.worker.pool import Pool
from amazon_pilot.jobs.worker.prefetch import DEEPEST, Prefetch
from amazon_pilot.jobs.worker.recent_outcomes import PLACE, PLACES, RecentOutcomes
from amazon_pilot.jobs.worker.supervisor import Supervisor

from . import tasks
from .conftest import children, ended, wait_for


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def flood(path: Path, number: int) -> list[str]:
    """Enqueue many short jobs; each writes its number."""
    return tasks.write_line.enqueue_many([(str(path), str(n)) for n in range(number)])


def test_a_letter_is_read_by_one_side_alone():
    slot_queue = SlotQueue()
    for n in range(3):
        assert slot_queue.put(("job", n))
    slot_queue.post()

    assert slot_queue.next() == ("job", 0)
    assert slot_queue.take_back() == 2
    assert slot_queue.take_back() == 0
    slot_queue.put(("job", 3))
    slot_queue.post()
    assert slot_queue.next() == ("job", 3)
    slot_queue.close_inlet()
    assert slot_queue.next() is None


def test_what_is_too_large_for_a_letter_is_refused():
    assert not SlotQueue().put((b"x" * (MESSAGE_LIMIT + 1),))


@pytest.mark.later
def test_nothing_is_laid_behind_what_came_by_wire():
    """Taken back, its message would be gone and its words still on the socket, for the slot to read as the next job."""

    def taken_job(job_id: bytes, size: int) -> TakenJob:
        return TakenJob.from_reply([b"default", job_id, b"pilot-1", 0, [None, os.urandom(size), *[None] * 14]])

    pool = Pool("w", 1, lambda: None)
    (handle,) = pool
    handle.pid, handle.slot_queue = os.getpid(), SlotQueue()
    handle.message_socket, slot_side = MessageSocket.pair()
    large, small = taken_job(b"large", 2 * MESSAGE_LIMIT), taken_job(b"small", 10)

    handle.hands.append(large)
    assert pool.tell(handle, [large.message]) == 1
    handle.hands.append(small)
    assert pool.tell(handle, [small.message]) == 0
    assert handle.slot_queue.next() == ("follows",)
    assert slot_side.receive() == large.message


@pytest.mark.later
def test_a_slot_waits_for_a_worker_that_was_stopped(monkeypatch):
    """It knows what became of its job, and a worker that was suspended wakes up again."""
    monkeypatch.setattr(messages, "SEND_SECONDS", 1)
    ours, theirs = MessageSocket.pair()
    long = ("done", b"x" * 5_000_000)
    speaker = threading.Thread(target=theirs.send, args=(long,))
    speaker.start()
    time.sleep(2)
    assert speaker.is_alive()

    assert wait_for(lambda: list(ours.arrived())) == [long]
    speaker.join()
    with pytest.raises(OSError, match="unavailable"):  # nobody reads on this side
        ours.send(long)


def outcome(seconds: float) -> Succeeded:
    return Succeeded(TakenJob("low", "j", "e", False, []), "w", (60, "", "", 0.0, seconds, "", ""))


def test_nothing_is_taken_ahead_until_jobs_have_shown_to_be_short():
    prefetch = Prefetch()
    assert prefetch.depth == 0
    for _ in range(200):
        prefetch.note(outcome(0.0001))
    assert prefetch.depth == DEEPEST

    prefetch.note(outcome(1))  # one long job is enough
    assert prefetch.depth == 0
    for _ in range(200):
        prefetch.note(outcome(0.0001))
    prefetch.note(GivenBack(TakenJob("low", "j", "e", False, []), "w"))
    assert prefetch.depth == 0
    for _ in range(200):
        prefetch.note(outcome(0.01))
    assert prefetch.depth == 2


def test_neither_a_quick_failure_nor_a_lost_turn_on_the_processor_makes_short_jobs_long():
    prefetch = Prefetch(0.0001)
    failure = Failed(
        TakenJob("low", "j", "e", False, []), "w", ("failed", 0, 0, 60, "", "", "", "", 0.0, 0.001, "", "")
    )
    for _ in range(7):  # most jobs are as short as before
        prefetch.note(failure)
        assert prefetch.depth == DEEPEST
    for seconds in (0.09, 0.0001, 0.05, 0.0001):
        prefetch.note(outcome(seconds))
        assert prefetch.depth >= 20


def test_jobs_behind_a_long_one_go_to_other_slots(start, tmp_path, history):
    path, is_over = tmp_path / "lines", tmp_path / "over"
    flood(path, 1500)
    long = [tasks.stay_until.enqueue(str(is_over)) for _ in range(2)]
    flood(path, 1500)
    start()

    wait_for(lambda: len(lines(path)) == 3000, "all short jobs, with two of three slots taken")
    assert {run.outcome for run in JobRun.objects.filter(job_id__in=long)} <= {"started"}
    is_over.touch()
    assert Counter(lines(path)) == Counter({str(n): 2 for n in range(1500)})
    assert set(wait_for(lambda: _ended(3000), "the history").values_list("attempt", flat=True)) == {1}


def all_of(runs, number):
    """Answer the runs once so many have not been lost."""
    return runs if sum(run.outcome != "lost" for run in runs) >= number else None


def _ended(number):
    runs = JobRun.objects.filter(task__endswith="write_line", ended_at__isnull=False)
    return runs if runs.count() >= number else None


def test_a_pause_reaches_what_was_taken_ahead(start, tmp_path, transactional_db):
    path = tmp_path / "lines"
    flood(path, 20_000)
    start()
    wait_for(lambda: len(lines(path)) > 500, "the flood")

    Pause.objects.begin("queue:default", by=None, reason="A test")
    time.sleep(0.5)
    at_pause = len(lines(path))
    assert at_pause < 20_000
    time.sleep(0.5)
    assert len(lines(path)) == at_pause
    assert queues.size("default") == 20_000 - at_pause  # nothing is kept in a slot queue
    Pause.objects.end("queue:default", by=None)
    wait_for(lambda: len(lines(path)) == 20_000, "the rest")


def test_a_slot_killed_in_a_flood_costs_the_job_in_its_hands_alone(start, tmp_path, history):
    path = tmp_path / "lines"
    flood(path, 6000)
    worker = start()
    wait_for(lambda: len(lines(path)) > 300, "the flood")
    for pid in children(worker.pid)[:3]:
        os.kill(pid, signal.SIGKILL)

    wait_for(lambda: len(set(lines(path))) == 6000, "every job")
    worker.leave()
    # A historian that did not get everything written in its five seconds leaves the rest to the next one.
    runs = wait_for(lambda: all_of(history(), 6000), "the history")
    lost = [run for run in runs if run.outcome == "lost"]
    assert len(lost) <= 3
    assert len(runs) == 6000 + len(lost)
    assert len(lines(path)) <= 6000 + len(lost)  # a job may have written before its slot died


def test_a_worker_killed_in_a_flood_costs_the_jobs_in_its_slots_hands_alone(start, tmp_path, redis, history):
    """What its slots had ended is committed by the writer of the history, though the worker had not come to it."""
    path = tmp_path / "lines"
    flood(path, 6000)
    worker = start()
    wait_for(lambda: len(lines(path)) > 1000, "the flood")
    beside = children(worker.pid)
    worker.kill()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in beside), "the end of what was its own")

    start(name="w2")
    wait_for(lambda: len(set(lines(path))) == 6000 and redis.zcard("rq:wip:default") == 0, "every job")
    assert len(lines(path)) <= 6000 + 3  # three slots
    runs = wait_for(lambda: all_of(history(), 6000), "the history")
    assert sum(run.outcome == "lost" for run in runs) <= 3


@pytest.mark.parametrize(("line", "outcome", "status"), [("x", "succeeded", b"finished"), (1, "failed", b"failed")])
def test_what_had_ended_and_was_shown_as_running_ends_for_a_killed_worker(
    start, redis, tmp_path, line, outcome, status
):
    """No other worker is there: the writer of the history alone can have told it. Nothing is left of the run."""
    job_id = tasks.write_line.enqueue(str(tmp_path / "lines"), line, 0.5)
    start(PILOT_FAULT="before commit", WORKER_CONCURRENCY="1", ready=False)

    assert ended(job_id).outcome == outcome
    assert redis.hget(f"rq:job:{job_id}", "status") == status
    assert redis.zcard("rq:wip:default") == redis.zcard(f"rq:executions:{job_id}") == 0
    assert redis.scard("rq:worker:w1:executions") == 0
    assert not list(redis.scan_iter("rq:execution:*"))


@pytest.mark.parametrize("harm", [b"", b"\0" * 64, b"\xff" * 4096, os.urandom(4096)])
def test_recent_outcomes_are_read_whole_or_not_at_all(harm):
    ring = RecentOutcomes()
    for n in range(PLACES + 2):
        ring.keep(("job", n), ("done", n))
    ring.keep(("job", b"x" * PLACE), ("done",))  # too large to be kept
    ring.memory[: len(harm)] = harm

    assert [answer for _, answer in ring] == [
        ("done", n) for n in [*([] if harm else [PLACES]), PLACES + 1, *range(2, PLACES)]
    ]


def test_a_worker_that_leaves_in_a_flood_gives_back_what_has_not_begun(start, tmp_path, redis, history):
    path = tmp_path / "lines"
    flood(path, 20_000)
    worker = start()
    wait_for(lambda: len(lines(path)) > 300, "the flood")

    assert worker.leave() == 0
    done = len(lines(path))
    assert done + queues.size("default") == 20_000
    assert redis.zcard("rq:wip:default") == 0
    runs = wait_for(lambda: all_of(history(), done), "the history")
    assert {run.outcome for run in runs} == {"succeeded"}


@pytest.fixture
def broker(redis, transactional_db, monkeypatch):
    """A broker whose four slots seem to live and to do short jobs; nobody hands the jobs out, or waits for a pace."""
    monkeypatch.setattr(broker_module, "PACE", 0)
    worker = Supervisor(["default"], size=4)
    worker.connection.come_up()
    for handle in worker.pool:
        handle.pid = os.getpid()
    worker.broker.prefetch = Prefetch(0.001)
    worker.broker.is_flooded = True
    yield worker.broker
    worker.connection.close()


def test_while_no_slot_waits_what_has_ended_is_sent_together_at_a_pace(broker, tmp_path, monkeypatch):
    flood(tmp_path / "lines", 300)
    broker.post(may_take=True)
    came = broker.collect()
    monkeypatch.setattr(broker_module, "PACE", 3600)
    broker.next_packet = 0

    def end(handle, taken_job):
        handle.hands.remove(taken_job)
        broker.outcomes.append(GivenBack(taken_job, broker.worker))

    end(*came[0])
    assert broker.is_due(may_take=True)
    assert broker.post(may_take=True)
    broker.collect()
    end(*came[1])
    assert not broker.is_due(may_take=True)
    assert not broker.post(may_take=True)
    assert 3500 < broker.rest <= 3600
    handle = came[1][0]
    for taken_job in [*handle.hands]:  # now it has nothing before it
        end(handle, taken_job)
    assert broker.rest == 0
    assert broker.is_due(may_take=True)
    assert broker.post(may_take=True)
    assert not broker.outcomes


@pytest.mark.later
def test_two_packets_under_way_ask_for_no_more_than_the_slots_have_room_for(broker, tmp_path):
    jobs = set(flood(tmp_path / "lines", 300))
    room = 4 * (1 + broker.depth)
    assert broker.post(may_take=True)
    assert not broker.post(may_take=True)  # the first has asked for all the room there is

    came = broker.collect()
    assert len(came) == room
    assert {taken_job.job_id for _, taken_job in came} <= jobs
    for _, taken_job in came[:10]:
        handle = broker.pool.holder(taken_job.job_id)
        handle.hands.remove(taken_job)
        broker.outcomes.append(GivenBack(taken_job, broker.worker))
    assert broker.post(may_take=True)
    for _, taken_job in came[10:15]:
        broker.pool.holder(taken_job.job_id).hands.remove(taken_job)
        broker.outcomes.append(GivenBack(taken_job, broker.worker))
    assert broker.post(may_take=True)
    assert [len(packet.free) for packet in broker.packets] == [10, 5]
    assert len(broker.held()) == 15

    assert [len(broker.collect()), len(broker.collect())] == [10, 5]
    assert not broker.packets
    assert not broker.held()
    assert [len(handle.hands) for handle in broker.pool] == [1 + broker.depth] * 4
    assert queues.counts("default")["started"] == room


def test_outcomes_of_every_packet_under_way_are_kept_when_the_line_breaks(broker, tmp_path):
    flood(tmp_path / "lines", 300)
    broker.post(may_take=True)
    came = [taken_job for _, taken_job in broker.collect()]
    for taken_job in came[:2]:
        broker.pool.holder(taken_job.job_id).hands.remove(taken_job)
        broker.outcomes.append(GivenBack(taken_job, broker.worker))
        broker.post(may_take=True)
    assert len(broker.packets) == 2

    broker.connection.go_down("cut in the test")
    broker.settle()

    assert [outcome.taken_job for outcome in broker.outcomes] == came[:2]
    assert all(handle.asked == 0 for handle in broker.pool)


def test_a_bell_rests_when_it_rings_in_vain_again_and_again(broker):
    for rests in (False, True):
        broker.heed_wake_up()
        broker.post(may_take=True)
        assert broker.collect() == []
        assert (broker.wake_up_rest_until > 0) is rests

    tasks.do_nothing.enqueue()
    broker.heed_wake_up()
    broker.post(may_take=True)
    assert len(broker.collect()) == 1
    assert broker.vain_rings == 0
