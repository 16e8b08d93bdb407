"""A scheduler that is killed: at each step in turn, another one goes on, and each fire comes once."""

import pytest
from django.db import connection

from amazon_pilot.jobs.models import Fire, ScheduleEntry
from tests.jobs.schedule_world import Clock, at, clock, make_entry, make_scheduler, queued, scheduler
from tests.jobs.tripwire import Killed, Tripwire

__all__ = ["clock", "scheduler"]

NINE = at("2026-01-05 09:00")
# More than one tick takes; the tests below fail when a tick grows beyond them.
MOST_STEPS = 32
MOST_STATEMENTS = 24


def three_entries_are_due(clock: Clock) -> None:
    for name in ("bread", "milk", "tea"):
        make_entry(name, next_at=NINE, overlap="cancel")
    clock.now = NINE


def the_survivor_makes_up_for_it(redis, clock) -> None:
    """Let a second scheduler tick once the lease of the first has run out, and count."""
    redis.delete("rq:scheduler_lock")
    survivor = make_scheduler(redis, clock, "survivor")
    survivor.tick()
    survivor.tick()
    assert sorted(queued(redis)) == [f"{name}-{int(NINE.timestamp())}" for name in ("bread", "milk", "tea")]
    assert sorted(Fire.objects.values_list("entry_id", "outcome")) == [
        ("bread", "enqueued"),
        ("milk", "enqueued"),
        ("tea", "enqueued"),
    ]
    assert set(ScheduleEntry.objects.values_list("next_at", flat=True)) == {at("2026-01-06 09:00")}
    scores = {score for _member, score in redis.zrange("rq:scheduler:scheduled_jobs", 0, -1, withscores=True)}
    assert scores == {at("2026-01-06 09:00").timestamp()}


@pytest.mark.parametrize("fatal", range(1, MOST_STEPS + 1))
def test_a_kill_before_any_redis_command_loses_nothing_and_doubles_nothing(db, redis, clock, fatal):
    three_entries_are_due(clock)
    wire = Tripwire(redis, fatal)
    victim = make_scheduler(wire, clock, "victim")

    try:
        victim.tick()
    except Killed:
        assert wire.steps == fatal
    else:
        assert wire.steps < MOST_STEPS

    the_survivor_makes_up_for_it(redis, clock)


class DatabaseTripwire:
    """Raises Killed in place of the statement numbered `fatal`, from 1."""

    def __init__(self, fatal: int) -> None:
        self.fatal = fatal
        self.steps = 0

    def __call__(self, execute, sql, params, many, context):
        self.steps += 1
        if self.steps == self.fatal:
            raise Killed
        return execute(sql, params, many, context)


@pytest.mark.parametrize("fatal", range(1, MOST_STATEMENTS + 1))
def test_a_kill_before_any_database_statement_loses_nothing_and_doubles_nothing(transactional_db, redis, clock, fatal):
    three_entries_are_due(clock)
    wire = DatabaseTripwire(fatal)

    try:
        with connection.execute_wrapper(wire):
            make_scheduler(redis, clock, "victim").tick()
    except Killed:
        assert wire.steps >= fatal  # rolling back is a statement too
    else:
        assert wire.steps < MOST_STATEMENTS

    the_survivor_makes_up_for_it(redis, clock)


def test_a_fire_whose_outcome_could_not_be_stored_is_sent_again_and_suppressed(scheduler, redis, clock):
    three_entries_are_due(clock)
    scheduler.tick()
    enqueued_at = Fire.objects.get(entry_id="tea").enqueued_at
    Fire.objects.filter(entry_id="tea").update(outcome="pending", enqueued_at=None)  # as after a kill before settling
    clock.forward(seconds=10)

    scheduler.tick()

    assert len(queued(redis)) == 3
    fire = Fire.objects.get(entry_id="tea")
    assert (fire.outcome, fire.suppressed, fire.enqueued_at) == ("enqueued", 1, enqueued_at)


def test_a_fire_is_one_command_so_no_kill_falls_inside(scheduler, redis, clock, settings):
    settings.SCHEDULER_SYNC_INTERVAL = 86400.0
    make_entry("tea", next_at=NINE)
    clock.now = NINE

    with redis.monitor() as monitor:
        scheduler.tick()
        redis.echo("that was all")
        seen = []
        while "that was all" not in (command := monitor.next_command())["command"]:
            seen.append((command["client_type"] == "lua", command["command"]))

    ours = [(in_script, text) for in_script, text in seen if "tea-" in text or "schedule-tea" in text]
    outer = [text.split()[0] for in_script, text in ours if not in_script]
    inner = [text.split()[0] for in_script, text in ours if in_script]
    assert outer == ["EVALSHA"]
    assert inner == ["GET", "SET", "HSET", "RPUSH", "ZADD"]


def test_a_pending_fire_is_given_up_before_redis_forgets_it(scheduler, redis, clock):
    make_entry("tea", next_at=at("2026-02-01 09:00"))
    Fire.objects.create(
        entry_id="tea", planned_at=NINE, decided_at=NINE, outcome="pending", becomes="enqueued", job_id="tea-1"
    )
    clock.now = at("2026-01-12 09:00")

    scheduler.tick()

    assert (Fire.objects.get().outcome, queued(redis)) == ("missed", [])


def test_a_pending_fire_of_a_deleted_entry_is_settled(scheduler, redis, clock):
    Fire.objects.create(
        entry_id="gone", planned_at=NINE, decided_at=NINE, outcome="pending", becomes="enqueued", job_id="gone-1"
    )
    clock.now = NINE

    scheduler.tick()

    assert (Fire.objects.get().outcome, queued(redis)) == ("missed", [])
