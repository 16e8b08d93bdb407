"""The pages of workers, of stuck work and of Redis: who lives, what comes back when, and which setting loses jobs."""

import gzip
import json
import time

import pytest
from django.urls import reverse
from django.utils import timezone

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.core.scripts import script
from amazon_pilot.jobs.history.writer import HistoryWriter
from amazon_pilot.jobs.inspect import redis_health, snapshot, store, stuck
from amazon_pilot.jobs.models import AuditEntry, JobRun
from amazon_pilot.jobs.worker.heartbeat import Heartbeat
from tests.jobs import tasks
from tests.jobs.conftest import env, start, wait_for  # noqa: F401 - fixtures
from tests.staff import serve

pytestmark = pytest.mark.django_db(transaction=True)


def look(client, name):
    store.connect().delete(snapshot.KEY)
    answer = client.get(reverse(f"monitor:{name}"))
    assert answer.status_code == 200
    return answer.content.decode()


def tell(client, verb, worker="w1", **form):
    store.connect().delete(snapshot.KEY)
    return client.post(reverse(f"monitor:worker-{verb}", args=[worker]), {"reason": "A test"} | form, follow=True)


def shown(name="w1"):
    store.connect().delete(snapshot.KEY)
    return next(worker for worker in snapshot.current().workers if worker["worker"] == name)


def test_a_worker_shows_what_each_slot_runs(person, start):  # noqa: F811
    job_id = tasks.tell_progress.enqueue(30)
    start()
    client = person("view")
    wait_for(lambda: shown()["busy"] == 1, "the start")

    text = wait_for(lambda: ("four of ten" in (text := look(client, "workers"))) and text, "progress")

    assert reverse("monitor:job", args=[job_id]) in text
    assert "1 / 3" in text
    assert "Kill" not in text


@pytest.mark.parametrize("page", ["overview", "queues", "workers"])
def test_a_refresh_beside_a_hundred_busy_workers_and_two_hundred_queues_is_small(person, settings, page):
    settings.QUEUE_WEIGHTS = settings.QUEUE_WEIGHTS | {f"queue-{n}": 1 for n in range(197)}
    redis, now = store.connect(), time.time()
    slot = {"job": "j", "execution": "e", "task": "products.tasks.look", "queue": "default", "since": now, "percent": 1}
    rest = {"progress": "", "memory": 1, "cancelled": False, "pid": 1, "jobs": 1}
    for number in range(100):
        slots = [slot | rest | {"slot": each, "job": f"{number}-{each}"} for each in range(1, 11)]
        picture = {"worker": f"w{number}", "host": "h", "pid": 1, "state": "working", "born": now, "clock": now}
        picture |= {"queues": dict.fromkeys(settings.QUEUE_WEIGHTS, 1), "takes": {}}
        picture |= {"ended": dict.fromkeys(("succeeded", "failed", "lost"), 0), "cpu": number / 100}
        picture |= {"runs": {"release": f"r{number}", "version": "0.1.0", "python": "3.11.2", "rq": "3.0.0"}}
        failed = {"outcome": "failed", "exception": f"shop.Error{number}", "fingerprint": "f", "worker": f"w{number}"}
        JobRun.objects.create(job_id=f"f{number}", execution_id="e", task="t", started_at=timezone.now(), **failed)
        redis.set(f"pilot:worker:w{number}", json.dumps(picture | {"slots": slots}))
        redis.zadd("pilot:workers", {f"w{number}": now})
    redis.delete(snapshot.KEY)
    wishes = {"HX-Request": "true", "Accept-Encoding": "gzip"}

    answer = person("admin").get(reverse(f"monitor:{page}"), headers=wishes)

    assert answer["Content-Encoding"] == "gzip"
    assert len(answer.content) < 100_000
    text = gzip.decompress(answer.content).decode()
    assert page != "workers" or text.count('<section class="panel"') == 100
    assert page == "workers" or "queue-196" in text


def test_a_quiet_worker_takes_no_jobs_until_it_is_woken(person, start):  # noqa: F811
    start()
    client = person("admin")

    assert "takes no more jobs" in tell(client, "quiet").content.decode()
    wait_for(lambda: shown()["state"] == "quiet", "quiet")
    tasks.do_nothing.enqueue()
    time.sleep(2)
    assert queues.size("default") == 1

    tell(client, "wake")
    wait_for(lambda: queues.size("default") == 0, "the job to start")
    wait_for(lambda: shown()["state"] == "working", "its snapshot")
    assert sorted(AuditEntry.objects.values_list("action", "target")) == [("quiet", "worker:w1"), ("wake", "worker:w1")]


def test_a_worker_is_stopped(person, start):  # noqa: F811
    process = start()

    tell(person("admin"), "stop", reason="Upgrade")

    assert process.popen.wait(30) == 0
    assert AuditEntry.objects.get().reason == "Upgrade"
    assert not snapshot.take(queues.connection()).workers  # who left in order is gone


def test_a_worker_whose_clock_is_wrong_is_seen_when_it_shows_itself(redis):
    serve()
    picture = json.loads(redis.get("pilot:worker:w1")) | {"seen": time.time() - 3600}  # what an older version wrote
    script("show")(redis, "w1", json.dumps(picture), 3600, 10)

    (worker,) = snapshot.take(redis).workers
    assert worker["is_alive"]
    assert worker["silence"] < 5


GARBAGE = [
    "x", "", "[]", "null", "{}", '{"worker": "w2"}', b"\xff", "[" * 10_000,
    '{"worker": 5, "state": [], "pid": "x", "born": null, "seen": "x", "slots": "x", "queues": 3}',
    '{"worker":"w2","state":"working","pid":1,"host":"h","born":1,"queues":{},"takes":{},"ended":{},"slots":[null, 5]}',
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
def test_a_worker_that_cannot_be_read_hides_no_other_and_no_page(admin_client, redis, garbage):
    """It may be of another version, in the middle of a roll-out."""
    serve()
    redis.set("pilot:worker:w2", garbage)
    redis.zadd("pilot:workers", {"w2": time.time(), b"\xff": time.time(), "gone": 1e300})

    assert [worker["worker"] for worker in snapshot.take(redis).workers] == ["w1"]
    for name in ("overview", "workers", "schedule"):
        assert "could not be loaded" not in look(admin_client, name)
    assert "w1" in look(admin_client, "workers")


def test_the_names_of_killed_workers_leave_the_lists_of_rq(redis):
    heartbeat = Heartbeat("w1", ["default", "low"], [1, 1])
    redis.script_load(script("insist").source)
    redis.execute_command(*heartbeat.birth())
    for key in ("rq:workers", "rq:workers:low"):
        redis.sadd(key, "rq:worker:killed", "rq:worker:w1")
    writer = HistoryWriter("test", ["default", "low"])
    writer.join()

    writer.keep_house()

    assert redis.smembers("rq:workers") == redis.smembers("rq:workers:low") == {b"rq:worker:w1"}
    redis.execute_command(*heartbeat.death())
    assert redis.smembers("rq:workers") == redis.smembers("rq:workers:default") == set()


def test_one_slot_is_killed_and_its_job_fails(person, start):  # noqa: F811
    tasks.sleep.enqueue(30)
    start("--slots", "1")
    slot = wait_for(lambda: next((slot for slot in shown()["slots"] if slot.get("job")), None), "the start")

    said = tell(person("admin"), "kill", slot=str(slot["slot"]))
    assert "was told to kill" in said.content.decode()

    wait_for(lambda: JobRun.objects.filter(job_id=slot["job"], outcome="failed").exists(), "its end")
    assert AuditEntry.objects.get().detail == {"slot": slot["slot"]}


@pytest.mark.parametrize("verb", ["quiet", "wake", "stop", "kill"])
def test_only_who_administers_steers_workers(person, verb):
    serve()

    assert tell(person("edit"), verb).status_code == 403
    assert person("admin").get(reverse(f"monitor:worker-{verb}", args=["w1"])).status_code == 405
    assert not AuditEntry.objects.exists()


def test_a_worker_that_is_none_is_told_nothing(person):
    assert "There is no worker w9." in tell(person("admin"), "stop", "w9").content.decode()
    assert not AuditEntry.objects.exists()


def test_a_dead_worker_shows_what_it_held_and_when_it_comes_back(person, start):  # noqa: F811
    job_id = tasks.sleep.enqueue(50)
    process = start()
    wait_for(lambda: shown()["busy"] == 1, "the start")
    process.kill()
    client = person("admin")

    text = wait_for(lambda: ("fell silent" in (text := look(client, "workers"))) and text, "its death to be seen")
    assert reverse("monitor:job", args=[job_id]) in text

    lease = wait_for(stuck.old_leases, "its lease to be overdue")[0]
    assert (lease.job_id, lease.queue, lease.worker, lease.task) == (job_id, "default", "w1", "tests.jobs.tasks.sleep")
    assert lease.remaining < 10
    assert "data-countdown" in look(client, "stuck") or lease.is_lost

    client.post(reverse("monitor:recover"), {"reason": "Too early"})  # the lease may still be renewed
    if not lease.is_lost:
        assert queues.size("default") == 0
    wait_for(lambda: stuck.old_leases()[0].is_lost, "the lease to be lost")
    assert "lost: at the next look" in look(client, "stuck")
    client.post(reverse("monitor:recover"), {"reason": "Now"})

    assert queues.size("default") == 1
    assert list(AuditEntry.objects.order_by("at").values_list("action", "reason", "count")) == [
        ("recover", "Too early", 0), ("recover", "Now", 1),
    ]  # fmt: skip


def test_a_healthy_job_is_not_stuck(person, start):  # noqa: F811
    tasks.sleep.enqueue(30)
    start()
    wait_for(lambda: shown()["busy"] == 1, "the start")
    time.sleep(6)

    assert "Every running job is renewed in time." in look(person("view"), "stuck")


def test_only_who_administers_brings_back(person):
    assert person("edit").post(reverse("monitor:recover")).status_code == 403


# Redis


def test_redis_tells_memory_persistence_and_slow_commands(person, redis):
    text = look(person("view"), "redis")

    for words in ("Eviction policy", "Append-only file", "Slow commands", "queue:default", "pilot:runs"):
        assert words in text


def test_a_setting_that_loses_jobs_is_warned_of(person, redis):
    before = redis.config_get("maxmemory-policy")["maxmemory-policy"]
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert "The eviction policy is allkeys-lru" in look(person("view"), "redis")
    finally:
        redis.config_set("maxmemory-policy", before)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"aof_enabled": 0}, "no append-only file"),
        ({"role": "slave"}, "replica"),
        ({"maxmemory": 100, "used_memory": 90}, "90 %"),
        ({"evicted_keys": 3}, "3 keys were evicted"),
        ({"aof_last_write_status": "err"}, "could not be written"),
        ({"rdb_last_bgsave_status": "err"}, "last snapshot failed"),
        ({}, ""),
    ],
)
def test_each_risk_is_told_and_none_where_there_is_none(change, said):
    good = {"maxmemory_policy": "noeviction", "role": "master", "aof_enabled": 1}

    told = [risk.text for risk in redis_health.warnings(good | change)]

    assert len(told) == (1 if said else 0)
    assert said in "".join(told)


@pytest.mark.parametrize(
    ("command", "shown_as"),
    [
        (b"AUTH secret", "AUTH"),
        (b"CONFIG SET requirepass secret", "CONFIG"),
        (b"HSET rq:job:1 data " + b"x" * 500, "HSET rq:job:1 data " + "x" * 40 + " …"),
        (b"PING", "PING"),
    ],
)
def test_a_slow_command_shows_no_secret_and_no_payload(command, shown_as):
    assert redis_health.shortened(command) == shown_as


@pytest.mark.parametrize("name", ["workers", "stuck", "redis"])
def test_a_page_costs_few_commands(person, commands, redis, name):
    serve(busy=2)
    client = person("admin")
    store.connect().delete(snapshot.KEY)
    commands.clear()

    assert client.get(reverse(f"monitor:{name}")).status_code == 200
    assert len(commands) <= 20, commands


@pytest.mark.slow
@pytest.mark.parametrize("name", ["queues", "tasks", "workers", "stuck", "redis"])
def test_a_page_loads_without_redis(person, redis_away, name):
    answer = person("admin").get(reverse(f"monitor:{name}"))

    assert answer.status_code == 200
    assert "Redis" in answer.content.decode()


def test_a_slow_command_that_carries_bytes_is_shown(person, redis):
    redis.config_set("slowlog-log-slower-than", 0)
    redis.set("bytes", b"\x8b\xff" * 100)
    redis.config_set("slowlog-log-slower-than", 10000)

    assert "SET bytes" in person("view").get(reverse("monitor:redis")).content.decode()
