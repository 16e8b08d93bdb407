"""Real scheduler processes and a real Redis: kill -9, signals, outages."""

import signal
import time
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from amazon_pilot.jobs.models import Fire, ScheduleEntry
from amazon_pilot.jobs.schedule import entries
from tests.jobs.killing import kill_while_firing
from tests.jobs.schedule_process import running, wait_for
from tests.jobs.schedule_world import make_entry, queued

pytestmark = pytest.mark.slow


@pytest.fixture
def env(process_env, settings):
    """What a scheduler process sees; the six entries of the settings have unregistered tasks, and rest."""
    entries.load_settings()
    ScheduleEntry.objects.update(paused_at=timezone.now())
    return process_env


def test_a_killed_leader_is_replaced_within_fifteen_seconds(env, redis):
    with running(env) as first:
        wait_for(lambda: entries.health(redis).ok)
        with running(env):
            wait_for(lambda: len(entries.health(redis).schedulers) == 2)
            leader = entries.health(redis).leader
            first.send_signal(signal.SIGKILL)
            killed_at = time.monotonic()
            make_entry(next_at=timezone.now() + timedelta(milliseconds=100))

            wait_for(lambda: len(queued(redis)) == 1, 20)

            assert time.monotonic() - killed_at < 15
            wait_for(lambda: entries.health(redis).leader != leader)


def test_a_fire_is_enqueued_within_a_second_of_its_time(env, redis):
    with running(env):
        wait_for(lambda: entries.health(redis).ok)
        for number in range(20):
            make_entry(f"stock-{number}", next_at=timezone.now() + timedelta(seconds=2))

        wait_for(lambda: Fire.objects.filter(outcome="enqueued").count() == 20)

    assert max(fire.lag_seconds for fire in Fire.objects.filter(outcome="enqueued")) < 1


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly(env, redis, sign):
    with running(env) as process:
        wait_for(lambda: entries.health(redis).ok)
        process.send_signal(sign)
        assert process.wait(60) == 0

    assert redis.get("rq:scheduler_lock") is None
    assert entries.health(redis).schedulers == {}


def test_once_does_one_tick_and_ends(env, redis):
    make_entry(next_at=timezone.now())

    with running(env, "--once") as process:
        assert process.wait(60) == 0

    assert len(queued(redis)) == 1
    assert redis.get("rq:scheduler_lock") is None


def test_it_survives_while_redis_does_not_answer(env, redis):
    with running(env) as process:
        wait_for(lambda: entries.health(redis).ok)
        redis.execute_command("CLIENT", "PAUSE", "1500", "ALL")
        redis.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        make_entry(next_at=timezone.now())

        wait_for(lambda: len(queued(redis)) == 1)
        assert process.poll() is None


def test_it_survives_while_the_database_does_not_answer(env, redis):
    table, away = ScheduleEntry._meta.db_table, "away_for_a_while"
    with running(env) as process:
        wait_for(lambda: entries.health(redis).ok)
        make_entry(next_at=timezone.now() + timedelta(seconds=2))
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {table} RENAME TO {away}")
            try:
                time.sleep(3)  # the time of the fire passes in the meantime
                assert process.poll() is None
                assert queued(redis) == []
            finally:
                cursor.execute(f"ALTER TABLE {away} RENAME TO {table}")

        wait_for(lambda: len(queued(redis)) == 1)


def test_two_schedulers_under_kill_9_fire_each_entry_once(env, redis):
    found = kill_while_firing(env, redis, fires=100, kills=8, seed=4)

    assert (found.missing, found.double, found.pending) == (0, 0, 0)
    assert found.kills == 8
