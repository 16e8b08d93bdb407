"""A look at many products, from the schedule's round to the rows: `python -m benchmarks.ingest`.

The sandbox plays Apify over HTTP, in a web server of its own; the real worker starts the runs, collects them and writes
into a durable PostgreSQL. Prints `name: value` lines; the rate counts from the round's job to the last ingested run.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

from . import ours, stage

SITES = ("amazon.com", "amazon.de", "amazon.co.jp")
BATCH = 100
SIZES = (10, 50, 100)  # of the batches whose statements are counted
COPIED = 20  # batches beside the same rows by COPY
PATIENCE = 3600


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=100_000)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="pilot-ingest-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        port = stage.free_port()
        os.environ |= {
            "VAR_DIR": str(folder),
            "REDIS_URL": stack.enter_context(stage.redis_server(folder, is_durable=True)),
            "LOG_LEVEL": "ERROR",
            "PORT": str(port),
            "APIFY_DAILY_BUDGET_USD": "9000.00",
        }
        stack.enter_context(ours.Product(folder))
        web = ["-m", "gunicorn", "amazon_pilot.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "8"]
        stack.enter_context(stage.process(web, dict(os.environ), folder / "web"))
        from amazon_pilot.sandbox import store

        store.set_options(run_seconds=0.5, least_answer_seconds=0.0, most_answer_seconds=0.0)
        add(options.products)
        figures = statements() | looked_at(options.products, folder)
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", flush=True)
    return 0


def add(number: int) -> None:
    """Have one team watch so many products, spread over three sites."""
    from django.contrib.auth.models import User

    from products.models import Product, Tracking

    team = User.objects.create_user("seller").teams.get()
    names = ((SITES[n % len(SITES)], f"B0{n:08d}") for n in range(number))
    rows = Product.objects.bulk_create((Product(marketplace=site, asin=asin) for site, asin in names), batch_size=5000)
    Tracking.objects.bulk_create((Tracking(team=team, product=row) for row in rows), batch_size=5000)


def run_of(products: list[Any]) -> Any:
    """Return a run of these products that Apify has started, and what it answers for it at its end."""
    from products import apify
    from products.models import ScrapeRun

    run = ScrapeRun.objects.plan(products)
    assert run is not None
    assert run.claim()
    run.mark_started(apify.start_run(run.asins, run.marketplace, ref=run.ref))
    run.refresh_from_db()
    while (answer := apify.fetch_run(run.apify_id, run.marketplace, run.asins)) is None or answer.is_running:
        time.sleep(0.2)
    return run, answer


def statements() -> dict[str, Any]:
    """Return how many statements a batch takes, and how its rate compares with COPY of the rows that it wrote."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from products.models import Product

    found: dict[str, Any] = {}
    rows = iter(Product.objects.filter(marketplace=SITES[0]).order_by("pk").iterator())
    for size in SIZES:
        run, answer = run_of([next(rows) for _ in range(size)])
        with CaptureQueriesContext(
            connection,
        ) as asked:
            run.ingest(answer)
        found[f"queries_per_batch_{size}"] = len(asked)
    found["queries_per_batch"] = found[f"queries_per_batch_{SIZES[-1]}"]
    left = list(islice(rows, COPIED * BATCH))
    batches = [run_of(left[n : n + BATCH]) for n in range(0, len(left), BATCH)]
    began, spent = time.monotonic(), time.process_time()
    for run, answer in batches:
        run.ingest(answer)
    ingested = time.monotonic() - began
    found["ingest_cpu_ms_per_product"] = (time.process_time() - spent) * 1000 / len(left)
    found["ratio_to_copy"] = copied([run.pk for run, _answer in batches]) / ingested
    return found


def copied(runs: list[int]) -> float:
    """Return how long COPY takes for the rows of these runs, into tables with the same indexes, a run at a time."""
    from django.db import connection, transaction

    from products.models import Product, RunTarget, Snapshot, SnapshotRank

    wanted = {
        Product: "SELECT p.* FROM {0} p JOIN {1} t ON t.product_id = p.id WHERE t.scrape_run_id = %s",
        RunTarget: "SELECT * FROM {0} WHERE scrape_run_id = %s",
        Snapshot: "SELECT * FROM {0} WHERE scrape_run_id = %s",
        SnapshotRank: "SELECT r.* FROM {0} r JOIN {2} s ON s.id = r.snapshot_id WHERE s.scrape_run_id = %s",
    }
    names = [model._meta.db_table for model in (RunTarget, Snapshot)]
    texts: list[list[tuple[str, bytes]]] = []
    with connection.cursor() as cursor:
        for model in wanted:
            table = model._meta.db_table
            cursor.execute(f"CREATE TABLE copied_{table} (LIKE {table} INCLUDING ALL)")
        for run in runs:
            texts.append([])
            for model, question in wanted.items():
                table = model._meta.db_table
                question = question.format(table, *names).replace("%s", str(run))
                with cursor.copy(f"COPY ({question}) TO STDOUT") as out:
                    texts[-1].append((table, b"".join(bytes(piece) for piece in out)))
    began = time.monotonic()
    for run_texts in texts:
        with transaction.atomic(), connection.cursor() as cursor:
            for table, text in run_texts:
                with cursor.copy(f"COPY copied_{table} FROM STDIN") as into:
                    into.write(text)
    return time.monotonic() - began


def looked_at(number: int, folder: Path) -> dict[str, Any]:
    """Have the worker look at every product, and return how fast it was and what it took."""
    from products.models import Product, ScrapeRun, Snapshot
    from products.tasks import update_due_products

    Product.objects.update(checked_at=None)
    known = ScrapeRun.objects.count()
    wanted = -(-number // len(SITES) // BATCH) * len(SITES)
    update_due_products.enqueue("daily")
    with ours.held_back(folder) as worker:
        ours.go()
        began, weights, told = time.monotonic(), [worker.memory()], time.monotonic()
        while (ended := ScrapeRun.objects.filter(state="ingested").count() - known) < wanted:
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"{ended} of {wanted} runs were ingested in {PATIENCE} s")
            time.sleep(0.25)
            weights.append(worker.memory())
            if time.monotonic() - told > 30:
                told = time.monotonic()
                print(f"# {told - began:.0f} s: {ended} of {wanted} runs, {weights[-1]:.0f} MB", flush=True)
        seconds, spent = time.monotonic() - began, worker.spent()
    within = spent["supervisor"] + spent["slots"] + spent["history writer"]
    return {
        "products": number,
        "snapshots": Snapshot.objects.count(),
        "seconds": seconds,
        "products_per_s": number / seconds,
        "cpu_ms_per_product": within * 1000 / number,
        "database_cpu_ms_per_product": spent["database"] * 1000 / number,
        "pss_first_mb": weights[0],
        "pss_middle_mb": weights[len(weights) // 2],
        "pss_last_mb": weights[-1],
    }


if __name__ == "__main__":
    sys.exit(main())
