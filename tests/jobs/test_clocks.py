"""Clocks that are wrong, and that are set: what compares times between processes follows one clock, Redis's."""

import os
import signal
import time

import pytest
import rq.registry

from amazon_pilot.jobs.core.limits import GRACE, LEASE, RENEW_FIRST
from amazon_pilot.jobs.core.registry import JSONJob
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.core.taken_job import TakenJob
from amazon_pilot.jobs.history import run_event
from amazon_pilot.jobs.history.writer import HistoryWriter
from amazon_pilot.jobs.models import Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import store
from amazon_pilot.jobs.schedule.entries import sync
from amazon_pilot.jobs.worker import outcomes, recoverer

from . import tasks
from .conftest import children, ended
from .schedule_process import running
from .schedule_world import clock, make_entry, scheduler  # noqa: F401 - fixtures

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = 3600


def look(redis):
    return script("recover")(redis, *recoverer._words("default", ahead=0, is_patient=True))


def taken(redis, is_behind=False):
    job_id = tasks.add.enqueue(1, 2)
    script("take")(redis, "a-dead-worker", "pilot-mark-1-", int(not is_behind), 1, "default", b"\0")
    (entry,) = redis.zrange("rq:wip:default", 0, -1)
    return job_id, entry


@pytest.mark.parametrize("hours", [0.05, 1, 24, 24 * 365])
def test_a_lost_job_is_found_though_the_clock_was_set_back(redis, hours):
    _, entry = taken(redis)
    now = time.time()
    redis.zadd("rq:wip:default", {entry: now + LEASE + GRACE + hours * HOUR})  # as it was given before
    redis.set("pilot:looked", now + hours * HOUR)
    redis.set("pilot:renew_first", 1, ex=int(hours * HOUR))

    look(redis)
    assert redis.ttl("pilot:renew_first") <= RENEW_FIRST
    redis.delete("pilot:renew_first")
    look(redis)

    assert redis.zscore("rq:wip:default", entry) <= time.time() + LEASE + GRACE
    redis.zadd("rq:wip:default", {entry: time.time() + GRACE - 1})  # LEASE seconds later
    assert [verdict for _, verdict in recoverer.verdicts(look(redis))] == ["queued"]


@pytest.mark.parametrize("looked", ["x", "", "nan", "inf", "-1", "1e400", "9" * 400])
def test_a_lost_job_is_found_whatever_stands_where_the_last_look_was_noted(redis, looked):
    _, entry = taken(redis)
    redis.zadd("rq:wip:default", {entry: time.time() + GRACE - 1})
    redis.set("pilot:looked", looked)

    found = recoverer.verdicts(look(redis))
    assert redis.ttl("pilot:renew_first") <= RENEW_FIRST
    redis.delete("pilot:renew_first")
    found += recoverer.verdicts(look(redis))

    assert [verdict for _, verdict in found] == ["queued"]


def test_a_stock_workers_entry_is_left_alone(redis):
    far = time.time() + 9 * HOUR
    redis.zadd("rq:wip:default", {"job:execution": far})
    redis.set("pilot:looked", time.time())
    look(redis)
    assert redis.zscore("rq:wip:default", "job:execution") == far


@pytest.mark.parametrize(
    ("is_behind", "is_shown", "loss"), [(True, False, False), (True, True, True), (False, False, True)]
)
def test_a_job_that_lay_behind_another_when_its_worker_died_has_lost_nothing(redis, is_behind, is_shown, loss):
    job_id, entry = taken(redis, is_behind)
    if is_shown:  # it has run for longer than a moment
        redis.hset(b"rq:execution:" + entry, "id", "x")
    redis.zadd("rq:wip:default", {entry: time.time() + GRACE - 1})
    redis.set("pilot:looked", time.time())

    ((_, verdict),) = recoverer.verdicts(look(redis))

    assert verdict == ("queued" if loss else "unopened")
    fields = redis.hmget(f"rq:job:{job_id}", "status", "losses", "attempt")
    assert fields == [b"queued", b"1" if loss else None, b"1" if loss else b"0"]
    assert redis.xlen("pilot:failures") == int(loss)
    assert redis.lrange("rq:queue:default", 0, -1) == [job_id.encode()]


def test_that_a_job_has_begun_is_known_for_a_day_though_its_worker_is_gone(redis):
    """Else a worker that comes back after minutes would call what it had run for an hour unopened."""
    job_id, entry = taken(redis, is_behind=True)
    execution = entry.decode().partition(":")[2]
    script("record")(redis, "a-dead-worker", "default", job_id, execution, "2026-01-01T00:00:00Z", 1.8e9, "[]", "")
    words = ("2026-01-01T00:00:05Z", "default", job_id, execution, 1)
    for step in (lambda: None, lambda: script("renew")(redis, "a-dead-worker", *words)):
        step()
        assert redis.ttl(b"rq:execution:" + entry) > 23 * HOUR

    redis.zadd("rq:wip:default", {entry: time.time() + GRACE - 1})
    redis.set("pilot:looked", time.time())
    assert [verdict for _, verdict in recoverer.verdicts(look(redis))] == ["queued"]
    assert redis.hget(f"rq:job:{job_id}", "losses") == b"1"
    assert not redis.exists(b"rq:execution:" + entry)


@pytest.mark.parametrize("is_recorded", [True, False])
def test_a_job_that_goes_back_before_it_began_leaves_no_row_without_an_end(redis, history, is_recorded):
    job_id = tasks.add.enqueue(1, 2)
    ((reply,), *_) = script("take")(redis, "w1", "pilot-mark-1-", 1, 1, "default", b"\0")
    held = TakenJob.from_reply(reply)
    held.is_recorded = is_recorded
    if is_recorded:
        start = run_event.line(held, "w1", 1, "started", held.taken_on)
        script("record")(redis, "w1", *held.run_id, "2026-01-01T00:00:00Z", held.taken_on, start, held.data)
    outcome = outcomes.unbegun(held, "w1", 1)
    redis.script_load(script("give_back").source)
    assert redis.execute_command(*outcome.command()) == 1

    assert redis.lrange("rq:queue:default", 0, -1) == [job_id.encode()]
    assert [(run.outcome, run.cause) for run in history()] == [("stopped", "unbegun")] * is_recorded


def test_a_job_that_goes_back_unopened_again_and_again_has_losses_in_the_end(redis):
    for _ in range(13):  # ten times unopened, then three losses
        script("take")(redis, "a-dead-worker", "pilot-mark-1-", 0, 1, "default", b"\0")
        if not (entries := redis.zrange("rq:wip:default", 0, -1)):
            job_id, entries = taken(redis, is_behind=True)[0], redis.zrange("rq:wip:default", 0, -1)
        redis.zadd("rq:wip:default", {entries[0]: time.time() + GRACE - 1})
        redis.set("pilot:looked", time.time())
        look(redis)
    assert JSONJob.fetch(job_id, connection=redis).get_status() == "failed"


def test_a_worker_whose_clock_is_ahead_keeps_what_has_not_expired(redis, queue, monkeypatch):
    redis.zadd("rq:finished:default", {"kept": time.time() + HOUR, "over": time.time() - 5})
    monkeypatch.setattr(rq.registry, "current_timestamp", lambda: int(time.time()) + 24 * HOUR)
    writer = HistoryWriter("test", ["default"])
    writer.join()

    writer.keep_house()

    assert redis.zrange("rq:finished:default", 0, -1) == [b"kept"]


def test_fires_go_on_when_a_clock_that_was_ahead_is_set_right(redis, clock, scheduler):  # noqa: F811
    entry = make_entry(cron="0 * * * *", missed=ScheduleEntry.Missed.SKIP)
    sync(redis, clock.now)
    clock.forward(hours=5, minutes=30)
    scheduler.tick()
    assert float(store.read_report(redis)[0]["clock_jump_seconds"]) == pytest.approx(5.5 * HOUR, abs=2)
    assert Fire.objects.filter(outcome=Fire.Outcome.MISSED).count() == 5

    clock.forward(hours=-5)
    scheduler.tick()

    entry.refresh_from_db()
    assert entry.next_at == clock.now.replace(hour=9, minute=0)
    assert float(store.read_report(redis)[0]["clock_jump_seconds"]) == pytest.approx(-5 * HOUR, abs=2)
    clock.forward(minutes=30)
    (fire,) = scheduler.tick()
    assert fire.planned_at == clock.now


@pytest.mark.slow
def test_a_scheduler_that_is_stopped_and_continued_goes_on(process_env, redis):
    with running(process_env) as process:
        freeze(process.pid)
        assert process.poll() is None


@pytest.mark.slow
def test_a_history_writer_that_is_stopped_and_continued_goes_on(start, redis):
    process = start(WORKER_CONCURRENCY="1")
    before = children(process.pid)
    for pid in before:
        freeze(pid)
    assert ended(tasks.add.enqueue(2, 3)).result == 5
    assert children(process.pid) == before


def freeze(pid):
    for _ in range(5):
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.1)
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.2)
