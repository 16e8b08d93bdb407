"""The monitor's pages at full size: part of `make bench`, sizes by flags.

Workload: job runs in PostgreSQL over three days, a tenth of them failed for three causes, among them twelve needles;
waiting and failed jobs in Redis. Each page is asked fifty times, after a first time in which the process reads what it
keeps, through the whole Django stack, with the shared sample forgotten before every tenth request, by somebody who may
do everything; `--pages search_asin,overview` asks these alone.
Prints `p95_ms_<page>: …` and `redis_commands_<page>: …` (the most that one request sent) and ends with 1 where a
page took more than 300 ms at p95 or sent more than 20 commands. `refresh_kb_<page>` is what a refresh sends beside a
hundred workers, `refresh_gzip_kb_<page>` the same compressed, as the web server in front does.
"""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from . import stage
from .ours import SHARES, Product
from .pages import without_indexes

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
    parser.add_argument("--pages", default="", help="Some, with commas between, and nothing else.")
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
        if not os.environ["DATABASE_URL"].startswith("postgres"):
            print("PostgreSQL's programs are not installed (Debian: apt-get install postgresql).")
            return 1
        start = time.monotonic()
        chosen(options.pages)
        fill(options)
        print(f"filled in {time.monotonic() - start:.0f} s", flush=True)
        return measure(options)


# Filling


FILLING = """INSERT INTO jobs_jobrun (job_id, execution_id, task, queue, args, kwargs, tags, attempt, enqueued_at,
    started_at, ended_at, wait, duration, worker, slot, outcome, cause, is_poison, exception, message, traceback,
    fingerprint, progress_text, log, log_is_cut, schedule_entry, fire, meta, search)
  SELECT CASE WHEN is_bad AND place < %(failed)s THEN 'failed-' || %(failed)s - 1 - place ELSE 'run-' || n END, 'e',
    (%(tasks)s::text[])[1 + floor(random() * 5)], CASE WHEN is_bad THEN 'default' ELSE queue END,
    jsonb_build_array(asin, n), '{}'::jsonb, '', CASE WHEN is_odd THEN 9 WHEN n %% 20 = 0 THEN 2 ELSE 1 END,
    began, began, began + interval '1 second', odd_hours * 5 * 3600 - ln(1 - random()) / 2,
    odd_hours * 2 * 3600 - ln(1 - random()), CASE WHEN is_odd THEN 'odd-1-0000' ELSE worker END, n %% 10,
    CASE WHEN is_bad THEN 'failed' ELSE 'succeeded' END, '', false, kind, said,
    CASE WHEN is_bad THEN concat_ws(' ', 'Traceback …', kind, said) ELSE '' END, left(kind, 8), '', '', false, '', '',
    '{}'::jsonb, trim(concat_ws(' ', asin, n, said, kind))
  FROM (SELECT n, n / %(share)s AS place, n %% %(share)s = 0 AS is_bad,
      (%(queues)s::text[])[1 + floor(random() * 3)] AS queue,
      'B0' || lpad(floor(random() * 10000)::text, 8, '0') AS asin,
      n - %(runs)s / 3 BETWEEN 0 AND %(needles)s - 1 AS is_odd,
      concat_ws('-', 'engine', n %% 3, lpad(to_hex(n::bigint * 40 / %(runs)s), 6, '0')) AS worker,
      now() - interval '3 days' + n * (interval '3 days' / %(runs)s) AS began
    FROM generate_series(0, %(runs)s - 1) AS n) AS run
  CROSS JOIN LATERAL (SELECT is_odd::int AS odd_hours,
    CASE WHEN is_bad THEN (%(kinds)s::text[])[1 + place %% 3] ELSE '' END AS kind,
    CASE WHEN is_bad THEN (%(texts)s::text[])[1 + place %% 3] ||
      CASE WHEN place %% %(rare)s = %(rare)s / 2 THEN ' in the haystack' ELSE '' END ELSE '' END AS said) AS cause"""
TASKS = [f"products.tasks.{name}" for name in ("update_product", "batch_update_products", "collect_scrape_run")]
TASKS += ["analysis.tasks.competitor_analysis", "notifications.tasks.send_notification"]
CAUSES = {"TimeoutError": "The answer took too long", "ApifyBusy": "No room", "ValueError": "No such price"}
# Jobs as the enqueueing script leaves them, their arguments their place and number. Arguments: the queue, the task, the
# place, the first number and the last one, and the fields that all have in common.
WAITING = """local queue, task, place = ARGV[1], ARGV[2], ARGV[3]
for n = tonumber(ARGV[4]), tonumber(ARGV[5]) do
  local id, call = string.format('%08x%024x', place, n), string.format('%d, %d', place, n)
  redis.call('HSET', 'rq:job:' .. id, 'data', '["' .. task .. '", null, [' .. call .. '], {}]',
    'description', task .. '(' .. call .. ')', unpack(ARGV, 6))
  redis.call('RPUSH', 'rq:queue:' .. queue, id)
end"""
AT_ONCE = 2_000


def fill(options: argparse.Namespace) -> None:
    """Put the waiting and failed jobs into Redis and the runs into PostgreSQL, the oldest first, and count them."""
    from django.db import connection
    from django.utils import timezone

    from amazon_pilot.jobs.models import Tally

    start = time.monotonic()
    for place, queue in enumerate(SHARES):
        wait(place, queue, options.waiting // len(SHARES))
    fail(options.failed)
    print(f"queues filled after {time.monotonic() - start:.0f} s", flush=True)
    words = {"runs": options.runs, "failed": options.failed, "share": FAILED_SHARE, "needles": NEEDLES}
    words |= {"rare": max(1, options.runs // FAILED_SHARE // NEEDLES), "tasks": TASKS, "queues": list(SHARES)}
    words |= {"kinds": list(CAUSES), "texts": list(CAUSES.values())}
    with connection.cursor() as cursor:
        with without_indexes(cursor, ("jobs_jobrun",)):
            cursor.execute(FILLING, words)
        cursor.execute("VACUUM ANALYZE")
    print(f"history written after {time.monotonic() - start:.0f} s", flush=True)
    Tally.objects.fold(timezone.now())  # for the charts, as the minutely task does


def wait(place: int, queue: str, number: int) -> None:
    """Have so many jobs wait in a queue, each with arguments of its own."""
    from amazon_pilot.jobs.core import queues
    from amazon_pilot.jobs.core.enqueue import fields, payloads

    from .app import tasks

    words = iter(fields(tasks.noop, queue, payloads(tasks.noop, [((place, 0), {})])[0]))
    common: list[Any] = ["status", "queued"]
    for pair in zip(words, words, strict=True):
        common += pair if pair[0] not in ("data", "description") else ()
    queues.connection().sadd("rq:queues", queues.key(queue))
    put = queues.connection().register_script(WAITING)
    for first in range(0, number, AT_ONCE):
        put(args=[queue, tasks.noop.name, place, first, min(number, first + AT_ONCE) - 1, *common])


def fail(number: int) -> None:
    """Put jobs among the failed of `default`, as fail.lua leaves them: `failed-0` and so on."""
    from amazon_pilot.jobs.core import queues
    from amazon_pilot.jobs.core.enqueue import fields, payloads

    from .app import tasks

    data = payloads(tasks.noop, [((1, 1), {})])[0]
    words = fields(tasks.noop, "default", data)
    now = time.time()
    for first in range(0, number, AT_ONCE):
        with queues.connection().pipeline(transaction=False) as pipeline:
            for n in range(first, min(number, first + AT_ONCE)):
                pipeline.execute_command("HSET", f"rq:job:failed-{n}", "status", "failed", "attempt", 1, *words)
                pipeline.zadd("rq:failed:default", {f"failed-{n}": now + 2_592_000 + n / 1000})
            pipeline.execute()


# Measuring


def addresses() -> dict[str, str]:
    from django.urls import reverse
    from django.utils.http import urlencode

    from amazon_pilot.jobs.core import queues

    last: Any = queues.connection().lindex(queues.key("low"), -1)
    waiting = last.decode() if last else ""

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


def chosen(names: str) -> dict[str, str]:
    """Return the addresses of some pages, of all where none is named; ends the program where there is no such page."""
    pages = addresses()
    wanted = names.split(",") if names else list(pages)
    if strange := [name for name in wanted if name not in pages]:
        sys.exit(f"There is no page {', '.join(strange)}; there are {', '.join(pages)}.")
    return {name: pages[name] for name in wanted}


def measure(options: argparse.Namespace) -> int:
    from django.contrib.auth.models import User
    from django.test import Client

    from amazon_pilot.jobs.core import queues

    client = Client(SERVER_NAME="127.0.0.1", headers={"accept-language": "en"})
    client.force_login(User.objects.create_superuser("bench", password="x"))
    found: dict[str, float] = {}
    pages = chosen(options.pages)
    for name, address in pages.items():
        client.get(address)
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
    if not options.pages:
        found |= exported(client) | (crowded(options.workers, client) if options.workers else {})
    if options.bulk and not options.pages:
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
