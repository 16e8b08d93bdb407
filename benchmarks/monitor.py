"""The monitor's pages at full size: part of `make bench`, sizes by flags.

Workload: job runs in PostgreSQL (SQLite where that is not installed) over three days, a tenth of them failed for three
causes, among them twelve needles; waiting and failed jobs in Redis. Each page is asked fifty times through the whole
Django stack, with the shared sample forgotten before every tenth request, by somebody who may do everything.
Prints `p95_ms_<page>: …` and `redis_commands_<page>: …` (the most that one request sent) and ends with 1 where a page
took more than 300 ms at p95 or sent more than 20 commands. `refresh_kb_<page>` is what a refresh sends beside a hundred
workers, `refresh_gzip_kb_<page>` the same compressed, as the web server in front does.
"""

import argparse
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from . import stage
from .ours import SHARES, Product

LINEAR = {"KEYS", "SMEMBERS", "HGETALL", "SCAN", "SORT", "LREM", "LPOS"}  # by the size of what they read
SMALL = {"pilot:paused", "rq:workers", "pilot:scheduler", "pilot:schedulers"}  # a handful of fields, whatever waits
FAILED_SHARE = 10
NEEDLES = 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--waiting", type=int, default=1_000_000)
    parser.add_argument("--failed", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=50)
    parser.add_argument(
        "--bulk", type=int, default=200_000, help="Failed jobs that one bulk action retries; 0 for none."
    )
    parser.add_argument("--workers", type=int, default=100, help="With ten busy slots each, for what a refresh sends.")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pilot-monitor-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.environ |= {
            "VAR_DIR": str(folder),
            "REDIS_URL": stack.enter_context(stage.redis_server(folder)),
            "BENCH_RECORDS": str(folder / "records"),
            "LOG_LEVEL": "ERROR",
        }
        stack.enter_context(Product(folder))
        start = time.monotonic()
        fill(options)
        print(f"filled in {time.monotonic() - start:.0f} s", flush=True)
        return measure(options)


# Filling


def fill(options: argparse.Namespace) -> None:
    from django.db import connection

    from amazon_pilot.jobs.core.enqueue import enqueue
    from amazon_pilot.jobs.models import JobRun

    from .app import tasks

    start = time.monotonic()
    for place, queue in enumerate(("critical", "default", "low")):
        number = options.waiting // 3
        for first in range(0, number, 50_000):
            enqueue(tasks.noop, [((place, n), {}) for n in range(first, min(number, first + 50_000))], queue=queue)
    print(f"queues filled after {time.monotonic() - start:.0f} s", flush=True)
    failed = fail(options.failed)
    columns = [field for field in JobRun._meta.concrete_fields if not field.primary_key]
    if connection.vendor == "postgresql":
        names = ", ".join(f'"{field.column}"' for field in columns)
        with connection.cursor() as cursor:
            with cursor.copy(f'COPY "{JobRun._meta.db_table}" ({names}) FROM STDIN') as copy:
                for run in runs(options.runs, failed):
                    copy.write_row([plain(getattr(run, field.attname)) for field in columns])
            cursor.execute("VACUUM ANALYZE")
    else:
        JobRun.objects.bulk_create(runs(options.runs, failed), batch_size=2_000)
    print(f"history written after {time.monotonic() - start:.0f} s", flush=True)
    tally()


def plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def fail(number: int) -> list[str]:
    """Put jobs among the failed of `default`, as fail.lua leaves them; answers their ids."""
    from amazon_pilot.jobs.core import queues
    from amazon_pilot.jobs.core.enqueue import fields, payloads

    from .app import tasks

    data = payloads(tasks.noop, [((1, 1), {})])[0]
    words = fields(tasks.noop, "default", data)
    ids = [f"failed-{n}" for n in range(number)]
    now = time.time()
    for first in range(0, number, 2_000):
        with queues.connection().pipeline(transaction=False) as pipeline:
            for n in range(first, min(number, first + 2_000)):
                pipeline.execute_command("HSET", f"rq:job:{ids[n]}", "status", "failed", "attempt", 1, *words)
                pipeline.zadd("rq:failed:default", {ids[n]: now + 2_592_000 + n / 1000})
            pipeline.execute()
    return ids


def runs(number: int, failed: list[str]) -> Iterator[Any]:
    """Yield unsaved runs, the oldest first; every tenth has failed."""
    from django.utils import timezone

    from amazon_pilot.jobs.models import JobRun

    draw = random.Random(1)
    names = [f"products.tasks.{name}" for name in ("update_product", "batch_update_products", "collect_scrape_run")]
    names += ["analysis.tasks.competitor_analysis", "notifications.tasks.send_notification"]
    causes = [("TimeoutError", "The answer took too long"), ("ApifyBusy", "No room"), ("ValueError", "No such price")]
    first, span = timezone.now() - timedelta(days=3), timedelta(days=3) / number
    rare = set(draw.sample(range(number // FAILED_SHARE), NEEDLES))
    for n in range(number):
        started: datetime = first + span * n
        asin = f"B0{draw.randrange(10_000):08}"
        wait, duration, attempt = draw.expovariate(2), draw.expovariate(1), 2 if n % 20 == 0 else 1
        worker = f"engine-{n % 3}-{n * 40 // number:06x}"
        if number // 3 <= n < number // 3 + NEEDLES:  # what the rare searches look for, far from the newest rows
            wait, duration, attempt, worker = wait + 5 * 3600, duration + 2 * 3600, 9, "odd-1-0000"
        run = JobRun(
            job_id=f"run-{n}", execution_id="e", task=draw.choice(names), queue=draw.choice(list(SHARES)),
            args=[asin, n], started_at=started, enqueued_at=started, ended_at=started + timedelta(seconds=1), wait=wait,
            duration=duration, outcome="succeeded", worker=worker, slot=n % 10, search=f"{asin} {n}", attempt=attempt,
        )  # fmt: skip
        if n % FAILED_SHARE == 0:
            place = n // FAILED_SHARE
            kind, text = causes[place % 3]
            text += " in the haystack" if place in rare else ""
            run.job_id = failed[-1 - place] if place < len(failed) else run.job_id
            run.outcome, run.exception, run.message, run.fingerprint = "failed", kind, text, f"{kind:.8}"
            run.traceback, run.queue = f"Traceback …\n{kind}: {text}", "default"
            run.search += f" {text} {kind}"
        yield run


def tally() -> None:
    """Count the history for the charts, as the minutely task does."""
    from django.utils import timezone

    from amazon_pilot.jobs.models import Tally

    Tally.objects.fold(timezone.now())


# Measuring


def addresses() -> dict[str, str]:
    from django.urls import reverse
    from django.utils.http import urlencode

    from amazon_pilot.jobs.core import queues

    last: Any = queues.connection().lindex(queues.key("low"), -1)
    waiting = last.decode()

    def asked(question: str) -> str:
        return reverse("monitor:jobs") + "?" + urlencode({"q": question})

    return {
        "overview": reverse("admin:index"),
        "overview_part": reverse("monitor:overview"),
        "queues": reverse("monitor:queues"),
        "queue": reverse("monitor:queue", args=["default"]),
        "jobs": asked(""),
        "jobs_waiting": asked("state:queued"),
        "jobs_failed": asked("state:failed"),
        "search_needles": asked('state:failed error:"haystack"'),
        "search_needles_history": asked('error:"haystack"'),
        "search_asin": asked("B000000042"),
        "search_duration": asked("duration>2h"),
        "search_duration_none": asked("duration>9d"),
        "search_duration_some": asked("duration>8s"),
        "search_attempts": asked("attempts>5"),
        "search_attempts_none": asked("attempts<1"),
        "search_wait": asked("wait>5h"),
        "search_wait_none": asked("wait>9d"),
        "search_worker": asked("worker:odd-1"),
        "search_worker_none": asked("worker:nobody"),
        "search_worker_old": asked("worker:engine-1-000002"),
        "search_not": asked("-worker:engine -duration<1h"),
        "search_and_not": asked("attempts>1 wait>3s NOT queue:low outcome:failed"),
        "search_or": asked("duration>2h OR worker:odd-1"),
        "search_or_none": asked("duration>9d OR wait>9d OR attempts>50"),
        "search_or_error": asked('duration>2h OR error:"haystack"'),
        "search_waiting_argument": asked("state:queued arg.1:777 queue:low"),
        "search_everywhere": asked("arg.1:77"),
        "search_everywhere_none": asked("task:noop B0NOTHERE00"),
        "search_id_waiting": asked(waiting),
        "search_id_run": asked("id:run-1"),
        "failures": reverse("monitor:failures"),
        "bulk_preview": reverse("monitor:bulk_preview") + "?" + urlencode({"action": "retry", "q": "state:failed"}),
        "job": reverse("monitor:job", args=["failed-7"]),
        "tasks": reverse("monitor:tasks"),
        "task": reverse("monitor:task", args=["products.tasks.update_product"]),
        "workers": reverse("monitor:workers"),
        "stuck": reverse("monitor:stuck"),
        "redis": reverse("monitor:redis"),
        "retention": reverse("monitor:retention"),
        "retention_tried": reverse("monitor:retention") + "?days=7",
    }


def measure(options: argparse.Namespace) -> int:
    from django.contrib.auth.models import User
    from django.test import Client

    from amazon_pilot.jobs.core import queues

    client = Client(SERVER_NAME="127.0.0.1", headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("bench", password="x"))
    found: dict[str, float] = {}
    pages = addresses()
    for name, address in pages.items():
        times, commands, text = [], [0], ""
        for n in range(options.requests):
            if n % 10 == 0:
                queues.connection().delete("pilot:sample", "pilot:sample:lock")
            with watched() as seen:
                start = time.perf_counter()
                answer = client.get(address)
                times.append((time.perf_counter() - start) * 1000)
            assert answer.status_code == 200, f"{name} answers {answer.status_code}"
            text = answer.content.decode()
            commands.append(len(seen))
            if wrong := [each for each in seen if is_linear(*each.split()[:2])]:
                found[f"linear_{name}"] = len(wrong)
                print(f"{name} sends {wrong[0][:80]}")
        if name.startswith("search_needles"):
            found[f"found_{name}"] = text.count(" in the haystack</span>")
        if name in ("search_everywhere", "search_id_waiting"):
            found[f"found_{name}"] = text.count('class="state queued"')
        found[f"p95_ms_{name}"] = sorted(times)[len(times) * 95 // 100]
        found[f"redis_commands_{name}"] = max(commands)
    found |= exported(client) | (crowded(options.workers, client) if options.workers else {})
    if options.bulk:
        found |= bulk(options.bulk, client)
    print()
    for name, value in found.items():
        print(f"{name}: {value:.0f}")
    slow = [name for name in pages if found[f"p95_ms_{name}"] > 300 or found[f"redis_commands_{name}"] > 20]
    if slow:
        print(f"over the limits: {', '.join(slow)}")
    return int(bool(slow))


def is_linear(command: str, key: str = "") -> bool:
    """Tell whether a command takes longer the more jobs there are."""
    return command in LINEAR and key not in SMALL and not key.startswith("rq:job:")


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect the commands that this process sends to Redis meanwhile; a pipeline counts as its commands."""
    from redis.connection import AbstractConnection

    seen: list[str] = []
    send_command, pack_commands = AbstractConnection.send_command, AbstractConnection.pack_commands

    def one(connection: Any, *words: Any, **options: Any) -> Any:
        seen.append(" ".join(map(str, words[:2])))
        return send_command(connection, *words, **options)

    def many(connection: Any, commands: Any) -> Any:
        commands = list(commands)
        seen.extend(" ".join(map(str, words[:2])) for words in commands)
        return pack_commands(connection, commands)

    AbstractConnection.send_command, AbstractConnection.pack_commands = one, many  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        AbstractConnection.send_command = send_command  # type: ignore[method-assign]
        AbstractConnection.pack_commands = pack_commands  # type: ignore[method-assign]


def exported(client: Any) -> dict[str, float]:
    """Export the whole history, and answer how many rows that were, how long it took and by how many MB it grew."""
    before, start, lines = resident(), time.perf_counter(), 0
    for some in client.get("/admin/monitor/jobs/export?q=duration>=0&as=jsonl").streaming_content:
        lines += some.count(b"\n")
    found = {"export_rows": lines, "export_seconds": time.perf_counter() - start}
    return found | {"export_grew_mb": resident() - before}


def bulk(number: int, client: Any) -> dict[str, float]:
    """Retry many failed jobs by one bulk action, and answer how long that took and by how many MB it grew."""
    from uuid import uuid4

    from django.contrib.auth.models import User

    from amazon_pilot.jobs.core import queues
    from amazon_pilot.jobs.models import BulkAction
    from amazon_pilot.jobs.operate import bulk as bulks

    queues.connection().delete("rq:failed:default")
    fail(number)
    words = {"action": "retry", "token": str(uuid4()), "q": "state:failed", "reason": "A measurement"}
    start = time.perf_counter()
    client.post("/admin/monitor/bulk/start", words | {"number": number, "typed": number})
    found = {"bulk_request_ms": (time.perf_counter() - start) * 1000}
    row = BulkAction.objects.get()
    before, start = resident(), time.perf_counter()
    bulks.run(row.pk)
    row.refresh_from_db()
    found |= {"bulk_seconds": time.perf_counter() - start, "bulk_changed": row.changed}
    found |= {"bulk_grew_mb": resident() - before, "bulk_left_failed": queues.counts("default")["failed"]}
    boss = User.objects.get(username="bench")
    return found | aborted(boss, number) | undone(boss, number)


def aborted(by: Any, number: int) -> dict[str, float]:
    """Abort a bulk action a second after it began, and answer how long it went on."""
    import threading
    from uuid import uuid4

    from django.db import connection

    from amazon_pilot.jobs.operate import bulk as bulks

    fail(number)
    row, _is_new = bulks.start(
        by, "retry", token=uuid4(), query="state:failed", reason="A measurement", expected=number
    )
    asked: list[float] = []

    def stop() -> None:
        bulks.abort(by, row)
        asked.append(time.perf_counter())
        connection.close()

    timer = threading.Timer(1, stop)
    timer.start()
    bulks.run(row.pk)
    ended = time.perf_counter()
    timer.join()
    row.refresh_from_db()
    return {"bulk_abort_ms": max(0, ended - asked[0]) * 1000, "bulk_changed_before_abort": row.changed}


def undone(by: Any, number: int) -> dict[str, float]:
    """Delete many failed jobs and bring them back; answers how long that took, and how long Redis stood still."""
    from uuid import uuid4

    from amazon_pilot.jobs.core import queues
    from amazon_pilot.jobs.models import KeptJob
    from amazon_pilot.jobs.operate import bulk as bulks

    redis = queues.connection()
    redis.flushdb()
    fail(number)
    redis.config_set("slowlog-log-slower-than", 1000)
    redis.slowlog_reset()
    words = {"query": "state:failed", "reason": "A measurement", "expected": number}
    row, _is_new = bulks.start(by, "delete", token=uuid4(), **words)
    before, start = resident(), time.perf_counter()
    bulks.run(row.pk)
    row.refresh_from_db()
    found = {"delete_seconds": time.perf_counter() - start, "deleted": row.changed, "kept": KeptJob.objects.count()}
    back, _is_new = bulks.restore(by, row, token=uuid4(), reason="A measurement")
    start = time.perf_counter()
    bulks.run(back.pk)
    back.refresh_from_db()
    found |= {"restore_seconds": time.perf_counter() - start, "restored": back.changed}
    slowest: Any = redis.slowlog_get(128)
    found["undo_redis_ms"] = max((each["duration"] / 1000 for each in slowest), default=0)
    return found | {"undo_grew_mb": resident() - before, "undo_failed": queues.counts("default")["failed"]}


def crowded(workers: int, client: Any) -> dict[str, float]:
    """Have so many workers of ten busy slots, and answer how large each part is that refreshes itself, in kB.

    As it is sent without and with compression, to somebody who may do everything.
    """
    import gzip

    from amazon_pilot.jobs.core import keys, queues

    redis, now = queues.connection(), time.time()
    for number in range(workers):
        name = f"crowd-{number}"
        slots = [
            {"slot": n, "pid": n, "jobs": 9, "job": f"{n:08x}-0000-4000-8000-{number:012x}",
             "execution": f"{n}{number}", "task": "products.tasks.collect_scrape_run", "queue": "default",
             "since": now - n, "percent": 40, "progress": "4 of 10", "memory": 50_000_000, "cancelled": False}
            for n in range(1, 11)
        ]  # fmt: skip
        picture = {
            "worker": name, "host": "engine-1", "pid": number, "state": "working", "born": now - 900,
            "clock": now + 60, "queues": SHARES, "takes": {"default": 9}, "slots": slots,
            "ended": {"succeeded": 9, "failed": 1, "lost": 0},
        }  # fmt: skip
        redis.set(f"{keys.WORKER}{name}", json.dumps(picture), ex=600)
        redis.zadd(keys.WORKERS, {name: now + 60})
    found: dict[str, float] = {}
    pages = addresses()
    for name in ("overview_part", "queues", "queue", "workers", "stuck", "failures"):
        redis.delete("pilot:sample", "pilot:sample:lock")
        text = client.get(pages[name], headers={"HX-Request": "true"}).content
        found |= {f"refresh_kb_{name}": len(text) / 1000, f"refresh_gzip_kb_{name}": len(gzip.compress(text)) / 1000}
    return found


def resident() -> float:
    """Answer the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    sys.exit(main())
