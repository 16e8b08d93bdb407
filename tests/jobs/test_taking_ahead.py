"""Short jobs are handed to a slot several at a time; what it has not begun can be taken back at any moment."""

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.taken_job import Assignment
from amazon_pilot.jobs.models import JobRun, Pause
from amazon_pilot.jobs.worker import messages
from amazon_pilot.jobs.worker.messages import LETTER_LIMIT, Mailbox, Wire
from amazon_pilot.jobs.worker.outcomes import GivenBack, Succeeded
from amazon_pilot.jobs.worker.pool import Crew
from amazon_pilot.jobs.worker.prefetch import DEEPEST, Pace
from amazon_pilot.jobs.worker.supervisor import Worker

from . import tasks
from .conftest import children, wait_for


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def flood(path: Path, number: int) -> list[str]:
    """Enqueue many short jobs; each writes its number."""
    return tasks.write_line.enqueue_many([(str(path), str(n)) for n in range(number)])


def test_a_letter_is_read_by_one_side_alone():
    mailbox = Mailbox()
    for n in range(3):
        assert mailbox.put(("job", n))
    mailbox.post()

    assert mailbox.next() == ("job", 0)
    assert mailbox.take_back() == 2
    assert mailbox.take_back() == 0
    mailbox.put(("job", 3))
    mailbox.post()
    assert mailbox.next() == ("job", 3)
    mailbox.close_inlet()
    assert mailbox.next() is None


def test_what_is_too_large_for_a_letter_is_refused():
    assert not Mailbox().put((b"x" * (LETTER_LIMIT + 1),))


def test_nothing_is_laid_behind_what_came_by_wire():
    """Taken back, its letter would be gone and its words still on the wire, for the slot to read as the next job."""

    def assignment(job_id: bytes, size: int) -> Assignment:
        return Assignment.from_reply([b"default", job_id, b"pilot-1", 0, [None, os.urandom(size), *[None] * 14]])

    crew = Crew("w", 1, lambda: None)
    (place,) = crew
    place.pid, place.mailbox = os.getpid(), Mailbox()
    place.wire, slot_side = Wire.pair()
    large, small = assignment(b"large", 2 * LETTER_LIMIT), assignment(b"small", 10)

    place.hands.append(large)
    assert crew.tell(place, [large.message]) == 1
    place.hands.append(small)
    assert crew.tell(place, [small.message]) == 0
    assert place.mailbox.next() == ("follows",)
    assert slot_side.receive() == large.message


def test_a_slot_waits_for_a_worker_that_was_stopped(monkeypatch):
    """It knows what became of its job, and a worker that was suspended wakes up again."""
    monkeypatch.setattr(messages, "SEND_SECONDS", 1)
    ours, theirs = Wire.pair()
    long = ("done", b"x" * 5_000_000)
    speaker = threading.Thread(target=theirs.send, args=(long,))
    speaker.start()
    time.sleep(2)
    assert speaker.is_alive()

    assert wait_for(ours.arrived) == [long]
    speaker.join()
    with pytest.raises(OSError, match="unavailable"):  # nobody reads on this side
        ours.send(long)


def ending(seconds: float) -> Succeeded:
    return Succeeded(Assignment("low", "j", "e", False, []), "w", (60, "", "", 0.0, seconds, "", ""))


def test_nothing_is_taken_ahead_until_jobs_have_shown_to_be_short():
    pace = Pace()
    assert pace.depth == 0
    for _ in range(200):
        pace.note(ending(0.0001))
    assert pace.depth == DEEPEST

    pace.note(ending(1))  # one long job is enough
    assert pace.depth == 0
    for _ in range(200):
        pace.note(ending(0.0001))
    pace.note(GivenBack(Assignment("low", "j", "e", False, []), "w"))
    assert pace.depth == 0
    for _ in range(200):
        pace.note(ending(0.01))
    assert pace.depth <= 1


def test_jobs_behind_a_long_one_go_to_other_slots(start, tmp_path, history):
    path = tmp_path / "lines"
    flood(path, 1500)
    long = [tasks.sleep.enqueue(8) for _ in range(2)]
    flood(path, 1500)
    start()

    wait_for(lambda: len(lines(path)) == 3000, "all short jobs, with two of three slots asleep")
    assert {run.outcome for run in JobRun.objects.filter(job_id__in=long)} <= {"started"}
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
    assert queues.size("default") == 20_000 - at_pause  # nothing is kept in a mailbox
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
def exchange(redis, transactional_db):
    """An exchange whose four slots seem to live and to do short jobs; nobody hands the jobs out."""
    worker = Worker(["default"], size=4)
    worker.link.come_up()
    for place in worker.crew:
        place.pid = os.getpid()
    worker.exchange.pace.mean = 0.001
    worker.exchange.is_flooded = True
    yield worker.exchange
    worker.link.close()


def test_two_packets_under_way_ask_for_no_more_than_the_slots_have_room_for(exchange, tmp_path):
    jobs = set(flood(tmp_path / "lines", 300))
    room = 4 * (1 + exchange.depth)
    assert exchange.post(may_take=True)
    assert not exchange.post(may_take=True)  # the first has asked for all the room there is

    came = exchange.collect()
    assert len(came) == room
    assert {assignment.job_id for _, assignment in came} <= jobs
    for _, assignment in came[:10]:
        place = exchange.crew.holder(assignment.job_id)
        place.hands.remove(assignment)
        exchange.outcomes.append(GivenBack(assignment, exchange.worker))
    assert exchange.post(may_take=True)
    for _, assignment in came[10:15]:
        exchange.crew.holder(assignment.job_id).hands.remove(assignment)
        exchange.outcomes.append(GivenBack(assignment, exchange.worker))
    assert exchange.post(may_take=True)
    assert [len(packet.free) for packet in exchange.packets] == [10, 5]
    assert len(exchange.held()) == 15

    assert [len(exchange.collect()), len(exchange.collect())] == [10, 5]
    assert not exchange.packets
    assert not exchange.held()
    assert [len(place.hands) for place in exchange.crew] == [1 + exchange.depth] * 4
    assert queues.counts("default")["started"] == room


def test_outcomes_of_every_packet_under_way_are_kept_when_the_line_breaks(exchange, tmp_path):
    flood(tmp_path / "lines", 300)
    exchange.post(may_take=True)
    came = [assignment for _, assignment in exchange.collect()]
    for assignment in came[:2]:
        exchange.crew.holder(assignment.job_id).hands.remove(assignment)
        exchange.outcomes.append(GivenBack(assignment, exchange.worker))
        exchange.post(may_take=True)
    assert len(exchange.packets) == 2

    exchange.link.go_down("cut in the test")
    exchange.settle()

    assert [ending.assignment for ending in exchange.outcomes] == came[:2]
    assert all(place.asked == 0 for place in exchange.crew)


def test_a_bell_rests_when_it_rings_in_vain_again_and_again(exchange):
    for rests in (False, True):
        exchange.heed_bell()
        exchange.post(may_take=True)
        assert exchange.collect() == []
        assert (exchange.bell_rest_until > 0) is rests

    tasks.do_nothing.enqueue()
    exchange.heed_bell()
    exchange.post(may_take=True)
    assert len(exchange.collect()) == 1
    assert exchange.vain_rings == 0
