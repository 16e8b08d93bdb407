"""A busy day in the engine room: jobs in every state, workers alive and dead, a history, a pause, an audit."""

import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from amazon_pilot.jobs.core import keys, queues
from amazon_pilot.jobs.inspect import gauges, snapshot
from amazon_pilot.jobs.inspect.stuck import GRACE
from amazon_pilot.jobs.models import (
    Alert,
    AuditEntry,
    Batch,
    BulkAction,
    Cause,
    Fire,
    JobRun,
    JobSubject,
    KeptJob,
    Pause,
    Release,
    Silence,
    Tally,
)  # fmt: skip
from amazon_pilot.jobs.models.cause import Seen
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.worker.supervisor import LEASE
from products.models import Product
from tests.jobs import tasks
from tests.jobs.schedule_world import Clock, make_entry, make_scheduler

MINUTE = timedelta(minutes=1)
TRACEBACK = """Traceback (most recent call last):
  File "/app/products/apify.py", line 118, in start_run
    raise ApifyBusy(f"Apify answered {answer.status_code} for {len(asins)} ASINs of {marketplace}")
products.apify.ApifyBusy: Apify answered 429 for 100 ASINs of US
"""
LOG = "\n".join(f"12:00:{second:02d} INFO products.apify B0LAMP{second:04d} answered in 0.3 s" for second in range(40))


def as_failed(job_id: str, queue: str = "default") -> str:
    """Put a waiting job where a failed one is."""
    connection = queues.connection()
    connection.lrem(queues.key(queue), 1, job_id)
    connection.hset(f"rq:job:{job_id}", mapping={"status": "failed", "ended_at": f"{datetime.now(UTC):%FT%T.%fZ}"})
    connection.zadd(f"rq:failed:{queue}", {job_id: time.time() + 1000})
    return job_id


def as_running(job_id: str, execution: str, worker: str, since: float, lease: float) -> dict[str, Any]:
    """Put a waiting job where a running one is, and answer its slot as the worker shows it."""
    connection = queues.connection()
    connection.lrem(queues.key("default"), 1, job_id)
    connection.hset(f"rq:job:{job_id}", mapping={"status": "started", "worker_name": worker})
    connection.zadd("rq:wip:default", {f"{job_id}:{execution}": time.time() + lease})
    return {
        "job": job_id, "execution": execution, "task": "tests.jobs.tasks.tell_progress", "queue": "default",
        "since": since, "percent": 40, "progress": "four of ten", "memory": 61_000_000,
    }  # fmt: skip


def run(job_id: str, number: int = 1, hours: float = 1, **fields: Any) -> JobRun:
    """Write one ended attempt of a job into the history."""
    began = timezone.now() - timedelta(hours=hours)
    given = {
        "job_id": job_id, "execution_id": f"pilot-{job_id}-{number}", "task": "tests.jobs.tasks.add", "attempt": number,
        "queue": "default", "args": ["B0LAMP0001", {"marketplace": "US"}], "worker": "w1", "slot": 2, "wait": 0.4,
        "duration": 3.2, "enqueued_at": began, "started_at": began, "ended_at": began + timedelta(seconds=3.2),
        "outcome": "succeeded",
    }  # fmt: skip
    return JobRun.objects.create(**given | fields)


def failed_run(job_id: str, number: int = 1, **fields: Any) -> JobRun:
    """Write one attempt that raised."""
    given = {
        "outcome": "failed", "exception": "products.apify.ApifyBusy", "traceback": TRACEBACK, "log": LOG,
        "message": "Apify answered 429 for 100 ASINs of US", "fingerprint": "0123456789abcdef",
    }  # fmt: skip
    return run(job_id, number, **given | fields)


class BusyDay:
    """What a test needs to find again: one job of each state, and the addresses of all pages."""

    def __init__(self) -> None:
        boss = User.objects.create_user("boss", is_staff=True)
        self.long = tasks.do_nothing.enqueue({"asins": [f"B0LAMP{n:04d}" for n in range(400)]})
        self.waiting = tasks.do_nothing.enqueue("B0LAMP0001", {"marketplace": "US"})
        tasks.add.enqueue_many([(n, n + 1) for n in range(30)])
        self.scheduled = tasks.tagged.enqueue_in(timedelta(hours=2))
        self.held = tasks.do_nothing.enqueue("held")
        changes.one("hold", self.held)
        self.failed = as_failed(tasks.add.enqueue(1, 2))
        self.running = tasks.tell_progress.enqueue()
        self.orphan = tasks.tell_progress.enqueue()
        self._workers()
        self._history()
        Pause.objects.begin("queue:low", by=boss, reason="Apify is down", until=timezone.now() + timedelta(hours=1))
        Pause.objects.begin("tag:apify", by=None, reason="The day's budget is spent")
        AuditEntry.objects.record(boss, "pause", "queue:low", reason="Apify is down", count=1)
        self.entry = make_entry("stock", cron="30 2 * * *", zone="America/New_York", args=["daily"])
        make_entry("prices", cron="*/5 * * * *")
        make_scheduler(queues.connection(), Clock(timezone.now())).tick()
        words = {"action": "retry", "query": "state:failed", "by": boss, "reason": "Apify is back"}
        self.bulk = BulkAction.objects.create(
            state="running", expected=1200, seen=500, matched=490, changed=480, **words
        )
        self.bulk_done = BulkAction.objects.create(state="done", expected=3, seen=3, changed=3, **words)
        ended = {"state": "done", "started_at": timezone.now(), "ended_at": timezone.now()}
        self.bulk_deleted = BulkAction.objects.create(**words | ended | {"action": "delete"}, changed=2)
        for job_id in ("deleted", "deleted-too"):
            KeptJob.objects.create(job_id=job_id, bulk=self.bulk_deleted, content=b"", is_deleted=True)
        back = {"action": "restore", "query": "", "undoes": self.bulk_deleted}
        self.bulk_back = BulkAction.objects.create(**words | ended | back, changed=1)
        self.bulk_cancelled = BulkAction.objects.create(**words | ended | {"action": "cancel"}, changed=5, asked=2)
        for minute in (2, 1, 0):
            gauges.take(queues.connection(), timezone.now().replace(second=0, microsecond=0) - MINUTE * minute)
        queues.connection().delete(snapshot.KEY)
        past = timezone.now() - timedelta(hours=5)
        Fire.objects.create(
            entry=self.entry, planned_at=past, decided_at=past, enqueued_at=past, job_id="forgotten", outcome="enqueued"
        )
        missed = timezone.now() - timedelta(hours=2, minutes=30)
        Fire.objects.create(
            entry=self.entry, planned_at=missed, decided_at=missed + timedelta(minutes=30), outcome="missed"
        )

    def _workers(self) -> None:
        now = time.time()
        busy = as_running(self.running, "pilot-live", "w1", now - 12, LEASE + GRACE)
        lost = as_running(self.orphan, "pilot-gone", "w0", now - 90, GRACE - 60)
        self._show("w1", now, [{"slot": 1} | busy, {"slot": 2}, {"slot": 3}])
        self._show("w0", now - 90, [{"slot": 1} | lost, {"slot": 2}, {"slot": 3}])
        queues.connection().set(keys.log("pilot-live"), LOG)

    def _show(self, name: str, seen: float, slots: list[dict[str, Any]]) -> None:
        picture = {
            "worker": name, "state": "working", "pid": 4711, "host": "engine-room-1.example.internal",
            "born": seen - 7200, "seen": seen, "queues": {"critical": 6, "default": 3, "low": 1},
            "takes": {"critical": 12, "default": 7, "low": 1}, "ended": {"succeeded": 1204, "failed": 3, "lost": 0},
            "cpu": 0.31, "runs": {"release": "2026-06-01", "version": "0.1.0", "python": "3.11.2", "rq": "3.0.0"},
            "slots": [{"pid": 1, "jobs": 0} | slot for slot in slots],
        }  # fmt: skip
        queues.connection().set(keys.worker(name), json.dumps(picture))
        queues.connection().zadd(keys.WORKERS, {name: seen})

    def _history(self) -> None:
        failed_run(self.failed, 1, hours=0.3, outcome="retrying", retry_at=timezone.now())
        failed_run(self.failed, 2, hours=0.2)
        failed_run("forgotten", 1, hours=5)
        run("poisoned", 3, hours=3, outcome="lost", cause="slot_killed", is_poison=True)
        for number in range(40):
            run(f"run{number}", hours=number / 60, duration=0.1 * number, result={"sum": number})
        Tally.objects.fold(timezone.now())
        self._on_call()

    def _on_call(self) -> None:
        """Mark a release, and write what an operator on call asks about: causes, subjects, silences, alerts."""
        now = timezone.now()
        Release.objects.note("2026-06-01", at=now - timedelta(minutes=25))
        Cause.objects.note([Seen("0123456789abcdef", "tests.jobs.tasks.add", "products.apify.ApifyBusy", now)])
        self.product = Product.objects.create(marketplace="amazon.com", asin="B0LAMP0009", title="A lamp", failures=2)
        self.subject = f"product:{self.product.pk}"
        JobSubject.objects.note([(self.subject, "forgotten", now), (self.subject, "run3", now)])
        tasks.do_nothing.options(about=[self.subject]).enqueue("B0LAMP0009")
        Silence.objects.note(now - timedelta(hours=3), now - timedelta(hours=2))
        words = {"severity": "critical", "since": now - timedelta(minutes=9), "fired_at": now - timedelta(minutes=8)}
        Alert.objects.create(rule="scheduler_silent", text="The scheduler has been silent for 8 min 2 s.", **words)
        over = words | {"resolved_at": now - timedelta(minutes=2)}
        Alert.objects.create(rule="worker_gone", text="No worker lives: nothing starts.", **over)
        self._hold(now.timestamp())

    def _hold(self, now: float) -> None:
        """Have a batch that is half done, and jobs that hold a unique key and a permit or wait for one."""
        self.batch = Batch.objects.create(task="tests.jobs.tasks.add", children=5, joined=1, sent_at=timezone.now())
        names = [f"run{n}" for n in range(3)] + ["poisoned"]
        JobSubject.objects.note((self.batch.subject, name, timezone.now()) for name in names)
        redis = queues.connection()
        redis.set(f"{keys.UNIQUE}tests.once:1", self.running)
        redis.zadd(keys.UNIQUES, {"tests.once:1": now - 300})
        redis.sadd("rq:rl-keys", "apify")
        redis.hset("rq:rl:apify", "concurrency", 1)
        redis.zadd("rq:rl:apify:allowed", {self.running: now - 200})
        redis.zadd("rq:rl:apify:rate_limited", {self.waiting: now - 100})

    def still_alive(self) -> None:
        """Renew what a living worker renews each second."""
        key, now = keys.worker("w1"), time.time()
        raw: Any = queues.connection().get(key)
        queues.connection().set(key, json.dumps(json.loads(raw) | {"seen": now}))
        queues.connection().zadd("rq:wip:default", {f"{self.running}:pilot-live": now + LEASE + GRACE})

    def pages(self) -> dict[str, str]:
        """Answer the address of every page of the monitor, by a name for it."""
        monitor, rows = "/admin/monitor", "/admin/jobs"
        newest = JobRun.objects.order_by("pk").first()
        assert newest is not None
        jobs = {state: f"{monitor}/job/{getattr(self, state)}" for state in self.states}
        return {
            "overview": "/admin/",
            "jobs": f"{monitor}/jobs",
            "jobs failed": f"{monitor}/jobs?q=state%3Afailed",
            "jobs waiting": f"{monitor}/jobs?q=state%3Aqueued+queue%3Adefault",
            "jobs of nobody": f"{monitor}/jobs?q=B0NOTHERE00",
            "jobs misspelt": f"{monitor}/jobs?q=colour%3Ared",
            **{f"job {state}": address for state, address in jobs.items()},
            "job forgotten": f"{monitor}/job/forgotten",
            "job unknown": f"{monitor}/job/nobody",
            "failures": f"{monitor}/failures",
            "bulk": f"{monitor}/bulk?q=state%3Afailed",
            "bulk retry": f"{monitor}/bulk?action=retry&q=state%3Afailed",
            "bulk move chosen": f"{monitor}/bulk?action=move&id={self.waiting}&id={self.held}",
            "bulk running": f"{monitor}/bulk/{self.bulk.pk}",
            "bulk done": f"{monitor}/bulk/{self.bulk_done.pk}",
            "bulk deleted": f"{monitor}/bulk/{self.bulk_deleted.pk}",
            "bulk brought back": f"{monitor}/bulk/{self.bulk_back.pk}",
            "bulk cancelled": f"{monitor}/bulk/{self.bulk_cancelled.pk}",
            "bulk cancel": f"{monitor}/bulk?action=cancel&q=state%3Astarted",
            "bulk snooze": f"{monitor}/bulk?action=snooze&q=state%3Aqueued",
            "job unknown deleted": f"{monitor}/job/deleted",
            "queues": f"{monitor}/queues",
            "queue": f"{monitor}/queue/default",
            "queue paused": f"{monitor}/queue/low",
            "tasks": f"{monitor}/tasks",
            "task": f"{monitor}/task/tests.jobs.tasks.add",
            "workers": f"{monitor}/workers",
            "stuck": f"{monitor}/stuck",
            "redis": f"{monitor}/redis",
            "retention": f"{monitor}/retention",
            "retention tried": f"{monitor}/retention?days=7",
            "schedule now": f"{monitor}/schedule",
            "alerts": f"{monitor}/alerts",
            "limits": f"{monitor}/limits",
            "batches": f"{monitor}/batches",
            "batch": f"{monitor}/batches/{self.batch.pk}",
            "failures new": f"{monitor}/failures?new=1",
            "about": f"{monitor}/about/{self.subject}",
            "schedule": f"{rows}/scheduleentry/",
            "schedule entry": f"{rows}/scheduleentry/{self.entry.pk}/change/",
            "new schedule entry": f"{rows}/scheduleentry/add/",
            "fires": f"{rows}/fire/",
            "pauses": f"{rows}/pause/",
            "new pause": f"{rows}/pause/add/",
            "audit": f"{rows}/auditentry/",
            "audit line": f"{rows}/auditentry/{AuditEntry.objects.latest('pk').pk}/change/",
            "runs": f"{rows}/jobrun/",
            "run": f"{rows}/jobrun/{newest.pk}/change/",
        }

    states = ("long", "waiting", "scheduled", "held", "failed", "running", "orphan")


@pytest.fixture
def busy_day(transactional_db: None, redis: Any) -> BusyDay:
    """Jobs in every state, as a seller's shop has them at noon."""
    return BusyDay()
