"""The engine's metrics: honest numbers, counters that never fall, and a scrape that changes nothing."""

import json
import math
import time
from datetime import timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from amazon_pilot.jobs.core import keys, queues
from amazon_pilot.jobs.history import retention, rows
from amazon_pilot.jobs.inspect import metrics, snapshot, store
from amazon_pilot.jobs.models import AuditEntry, Fire, JobRun, Tally, Total
from amazon_pilot.jobs.operate import operations
from tests.busy_day import as_running, busy_day, failed_run, run  # noqa: F401 - a fixture
from tests.jobs import tasks
from tests.jobs.schedule_world import Clock, at, make_entry, make_scheduler
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)


def told(part):
    """Answer the samples of one part as {name: {labels in their order: value}}."""
    found = {}
    for family in part():
        for each in family.samples:
            found.setdefault(each.name, {})[tuple(each.labels.values())] = each.value
    return found


def anew():
    store.connect().delete(snapshot.KEY, snapshot.LOCK)


def lost(job_id, **fields):
    given = {"outcome": "lost", "cause": "worker_lost", "ended_at": now(), "started_at": now()}
    words = {"job_id": job_id, "execution_id": f"e-{job_id}", "task": "tests.jobs.tasks.add", "queue": "low"}
    return JobRun(**words | given | fields)


def line_of_loss(job_id, **fields):
    """Return a line as common.lua's `lose` writes it."""
    told = {"outcome": "lost", "id": job_id, "execution": f"e-{job_id}", "task": "tests.jobs.tasks.add", "queue": "low"}
    return json.dumps(told | {"cause": "worker_lost", "ended": time.time()} | fields).encode()


@pytest.mark.later
def test_fires_are_counted_for_ever(redis):
    clock = Clock(at("2026-01-05 09:00"))
    make_entry("tea", next_at=clock.now)
    make_entry("cake", next_at=clock.now, missed="skip", cron="* * * * *")
    clock.forward(minutes=10)
    make_scheduler(redis, clock).tick()
    before = told(metrics.schedule_gauges)["pilot_cron_fires_total"]
    assert (before["tea", "caught_up"], before["cake", "missed"], before["cake", "enqueued"]) == (1, 9, 2)

    retention.clean_up(clock.now + timedelta(days=91))

    assert not Fire.objects.exists()
    assert told(metrics.schedule_gauges)["pilot_cron_fires_total"] == before


def test_a_fire_that_is_settled_twice_counts_once(redis):
    entry = make_entry("tea")
    fire = Fire.objects.create(entry=entry, planned_at=now(), decided_at=now(), outcome="pending")
    fire.outcome = "enqueued"

    Fire.objects.settle([fire])
    Fire.objects.settle([fire])

    assert told(metrics.schedule_gauges)["pilot_cron_fires_total"]["tea", "enqueued"] == 1


def test_the_counts_begin_with_the_rows_that_are_still_kept():
    entry = make_entry("tea")
    for minute, outcome in enumerate(("missed", "missed", "pending")):
        planned = now() - timedelta(minutes=minute)
        Fire.objects.create(entry=entry, planned_at=planned, decided_at=planned, outcome=outcome)
    AuditEntry.objects.record(None, "hold", "job:1", count=3)
    lost("a", cause="slot_killed: signal 9").save()
    lost("b", is_poison=True).save()
    Total.objects.all().delete()

    import_module("amazon_pilot.jobs.migrations.0012_count_what_is_kept").count(apps, None)

    assert {(row.name, row.subject, row.outcome, row.count) for row in Total.objects.all()} == {
        ("fires", "tea", "missed", 2),
        ("actions", "hold", "done", 1),
        ("recovered", "low", "slot_killed", 1),
        ("poisoned", "low", "tests.jobs.tasks.add", 1),
    }


def test_every_outcome_of_an_entry_begins_at_nought():
    make_entry("tea")

    assert told(metrics.schedule_gauges)["pilot_cron_fires_total"]["tea", "missed"] == 0


def test_lost_jobs_are_counted_once_however_often_they_are_told():
    lines = [line_of_loss("a"), line_of_loss("b", cause="slot_killed: signal 9"), line_of_loss("c", poison=True)]

    for _ in range(2):
        rows.write(rows.row_of(line, b"") for line in [*lines, line_of_loss("d")])

    found = told(metrics.losses)
    assert found["pilot_tasks_recovered_total"]["low", "worker_lost"] == 2
    assert found["pilot_tasks_recovered_total"]["low", "slot_killed"] == 1
    assert found["pilot_tasks_recovered_total"]["critical", "worker_lost"] == 0
    assert found["pilot_tasks_poisoned_total"]["low", "tests.jobs.tasks.add"] == 1


def test_acts_are_counted_and_stay_counted():
    AuditEntry.objects.record(None, "pause", "queue:low")
    AuditEntry.objects.record(None, "pause", "queue:low", count=0)
    AuditEntry.objects.all().delete()

    found = told(metrics.monitor_numbers)["pilot_monitor_actions_total"]

    assert found == {("pause", "done"): 1, ("pause", "nothing"): 1}


def test_an_act_that_changed_nothing_counts_as_such():
    job_id = tasks.do_nothing.enqueue()

    operations.on_job(None, "hold", job_id)
    operations.on_job(None, "hold", job_id)
    operations.drain(None, "low", reason="A test")

    found = told(metrics.monitor_numbers)["pilot_monitor_actions_total"]
    assert found == {("hold", "done"): 1, ("hold", "nothing"): 1, ("drain", "begun"): 1}


def test_queues_tell_who_serves_them_and_when_they_are_empty(redis):
    tasks.do_nothing.enqueue_many([(n,) for n in range(5)])
    serve(busy=1)
    anew()
    found = told(metrics.queue_gauges)
    assert found["pilot_queue_workers"] == {("critical",): 0, ("default",): 1, ("low",): 0}
    assert found["pilot_queue_drain_seconds"] == {("critical",): 0, ("low",): 0}  # of the full one nobody knows yet
    assert set(found["pilot_queue_starved"].values()) == {0}

    seen = snapshot.current()
    for queue in seen.queues:
        queue.in_per_minute, queue.out_per_minute, queue.retries = 9.0, 4.0, 3
    seen.queues[2].waiting, seen.queues[2].in_per_minute = 10, 2.0
    store.connect().set(snapshot.KEY, json.dumps(snapshot.asdict(seen)))
    found = told(metrics.queue_gauges)
    assert math.isnan(found["pilot_queue_drain_seconds"]["default",])
    assert found["pilot_queue_drain_seconds"]["low",] == 10 / 2 * 60
    assert found["pilot_tasks"]["default", "retry"] == 3


@pytest.mark.later
def test_workers_tell_their_state_and_the_longest_silence(busy_day):  # noqa: F811
    busy_day.still_alive()
    anew()

    found = told(metrics.worker_gauges)

    assert found["pilot_workers"] == {("idle",): 0, ("busy",): 1, ("quiet",): 0, ("dead",): 1}
    assert found["pilot_worker_heartbeat_age_seconds_max"][()] == pytest.approx(90, abs=30)


def test_stuck_jobs_are_told_by_queue_and_reason(redis):
    ids = [tasks.tell_progress.enqueue() for _n in range(3)]
    slots = [
        as_running(ids[0], "pilot-a", "w1", time.time(), -5 + 60),
        as_running(ids[1], "pilot-b", "w1", time.time(), 2 + 60),
        as_running(ids[2], "pilot-c", "w1", time.time() - 10_000, 20 + 60),
    ]
    picture = {
        "worker": "w1", "state": "working", "seen": time.time(), "queues": {"default": 3}, "takes": {},
        "slots": [{"slot": n} | slot for n, slot in enumerate(slots)],
    }  # fmt: skip
    redis.set(keys.worker("w1"), json.dumps(picture))
    redis.zadd(keys.WORKERS, {"w1": time.time()})
    anew()

    found = told(metrics.stuck_gauges)["pilot_tasks_stuck"]

    assert {key: value for key, value in found.items() if value} == {
        ("default", "lost"): 1, ("default", "unrenewed"): 1, ("default", "overdue"): 1,
    }  # fmt: skip
    assert len(found) == len(queues.names()) * 3


@pytest.mark.later
def test_one_scheduler_leads_and_entries_tell_their_lag_and_last_success(redis):
    make_entry("tea", next_at=now() - timedelta(seconds=20))
    clock = Clock(now())
    make_scheduler(redis, clock, "first").tick()
    make_scheduler(redis, clock, "second").tick()
    ended = now() - timedelta(hours=2)
    run("good", schedule_entry="tea", ended_at=ended, hours=2)
    failed_run("bad", schedule_entry="tea", hours=1)
    anew()

    found = told(metrics.schedule_gauges)

    assert found["pilot_scheduler_leader"] == {("first",): 1, ("second",): 0}
    assert found["pilot_cron_lag_seconds"]["tea",] == pytest.approx(20, abs=2)
    assert found["pilot_cron_last_success_timestamp_seconds"]["tea",] == pytest.approx(ended.timestamp())


def test_the_last_success_of_an_entry_is_found_through_the_index_of_its_runs():
    make_entry("tea")

    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET LOCAL enable_seqscan = off")  # a small table would be read whole
        plan = metrics.with_last().explain()

    assert "runs_of_a_schedule_entry" in plan


def test_names_beyond_two_hundred_share_a_label_and_no_counter_falls(monkeypatch):
    monkeypatch.setattr(metrics, "MOST_NAMES", 2)
    for n, name in enumerate(("z", "y", "x", "a")):
        Total.objects.raise_ended({("low", name, "failed"): n + 1})
    Total.objects.raise_by(Total.Name.FIRES, {(f"e{n}", "missed"): 1 for n in range(5)})

    assert told(metrics.attempts)["pilot_attempts_total"] == {
        ("low", "z", "failed"): 1, ("low", "y", "failed"): 2, ("low", "other", "failed"): 7,
    }  # fmt: skip
    assert told(metrics.schedule_gauges)["pilot_cron_fires_total"]["other", "missed"] == 3


def test_a_scrape_is_cheap_and_changes_nothing(admin_client, busy_day, redis, commands):  # noqa: F811
    admin_client.get("/metrics")
    before, rows = sorted(redis.keys()), [model.objects.count() for model in (JobRun, Tally, Total, Fire)]
    commands.clear()

    with CaptureQueriesContext(connection) as asked:
        text = admin_client.get("/metrics").content.decode()

    assert sorted(redis.keys()) == before
    assert [model.objects.count() for model in (JobRun, Tally, Total, Fire)] == rows
    assert not [query for query in asked if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert len(asked) < 40
    assert len(commands) <= 20
    assert 'pilot_build_info{django="' in text
    assert 'pilot_monitor_sample_age_seconds{sample="queues"}' in text
    assert busy_day.running not in text


# Histograms, and asynq's names


def test_how_long_jobs_waited_and_ran_is_a_histogram_of_each_task():
    moment = now() - timedelta(minutes=10)
    for n, (wait, duration) in enumerate([(0.005, 0.2), (0.3, 2), (7200, 2)]):
        run(f"r{n}", task="t", wait=wait, duration=duration, ended_at=moment)
    Tally.objects.fold(now())

    found = told(metrics.durations)

    waits = {le: number for (task, le), number in found["pilot_task_wait_seconds_bucket"].items() if task == "t"}
    assert (waits["0.01"], waits["0.5"], waits["1800.0"], waits["+Inf"]) == (1, 2, 2, 3)
    assert found["pilot_task_wait_seconds_count"]["t",] == 3
    assert found["pilot_task_run_seconds_sum"]["t",] == pytest.approx(4.2)
    assert found["pilot_task_run_seconds_count"]["tests.jobs.tasks.add",] == 0


def test_a_histogram_has_at_most_two_hundred_tasks_of_its_own(monkeypatch):
    monkeypatch.setattr(metrics, "MOST_NAMES", 2)
    Total.objects.raise_by("run", {(f"t{n}", "3"): 1 for n in range(50)})

    found = told(metrics.durations)["pilot_task_run_seconds_count"]

    assert len(found) == 3
    assert sum(found.values()) == 50


def test_asynqs_names_say_what_asynqs_exporter_says(redis, settings):
    tasks.do_nothing.enqueue_many([(n,) for n in range(3)])
    tasks.do_nothing.enqueue_in(60)
    bad = {("default", "t", outcome): 1 for outcome in ("failed", "retrying", "lost", "stopped")}
    Total.objects.raise_ended({("default", "t", "succeeded"): 5} | bad)
    anew()

    found = told(metrics.asynq_names)

    states = {state: n for (queue, state), n in found["asynq_tasks_enqueued_total"].items() if queue == "default"}
    assert (states["pending"], states["scheduled"], states["active"], states["aggregating"]) == (3, 1, 0, 0)
    assert found["asynq_queue_size"]["default",] == 4
    assert found["asynq_tasks_processed_total"]["default",] == 9
    assert found["asynq_tasks_failed_total"] == {("critical",): 0, ("default",): 3, ("low",): 0}
    assert set(found) == {
        "asynq_tasks_enqueued_total", "asynq_queue_size", "asynq_queue_latency_seconds", "asynq_queue_paused_total",
        "asynq_tasks_processed_total", "asynq_tasks_failed_total",
    } | ({"asynq_queue_memory_usage_approx_bytes"} & set(found))  # fmt: skip
    settings.METRICS_ASYNQ_NAMES = False
    assert told(metrics.asynq_names) == {}
