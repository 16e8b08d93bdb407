"""A look at many products, from the schedule's round to the rows: `python -m benchmarks.ingest`.

The sandbox plays Apify over HTTP, in a web server of its own; the real worker starts the runs, collects them and writes
into a durable PostgreSQL. Prints `name: value` lines; the rate counts from the round's job to the last ingested run.
Half of the products are looked at first, unless `--only-whole`: twice as many should take about twice as long.
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
    parser.add_argument("--only-whole", action="store_true", help="Leave out the look at half of the products.")
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
        show(statements())
        half = None if options.only_whole else looked_at(options.products // 2, folder)
        figures = looked_at(options.products, folder)
        if half:
            figures["seconds_for_half"] = half["seconds"]
            figures["times_half_the_products"] = figures["seconds"] / half["seconds"]
        show(figures)
    return 0


def show(figures: dict[str, Any]) -> None:
    """Print figures as `name: value` lines."""
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", flush=True)


def add(number: int) -> None:
    """Have one team watch so many products, spread over three sites."""
    from django.contrib.auth.models import User
    from django.db import connection

    from products.models import Product, Tracking

    team = User.objects.create_user("seller").teams.get()
    names = ((SITES[n % len(SITES)], f"B0{n:08d}") for n in range(number))
    rows = Product.objects.bulk_create((Product(marketplace=site, asin=asin) for site, asin in names), batch_size=5000)
    Tracking.objects.bulk_create((Tracking(team=team, product=row) for row in rows), batch_size=5000)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")  # which PostgreSQL would do by itself a minute later


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
    first, again = beside_copy(left), beside_copy(left)
    print("# COPY takes rows that are ready: it reads, compares and judges nothing, marks no target, books no cost,")
    print("# and adds the products where ingest changes them. Tables, keys, indexes and durability are alike.")
    for name in first:
        found[name], found[f"{name}_first_look"] = again[name], first[name]
    return found


def beside_copy(products: list[Any]) -> dict[str, float]:
    """Look at these products and return what a product took, and the share that COPY of the same rows needs of it.

    Each batch is ingested and then copied, from the rows as Python has them and from their text, so that whatever else
    the machine does meets both.
    """
    peer, spent, ingested = Peer(), 0.0, 0.0
    for start in range(0, len(products), BATCH):
        run, answer = run_of(products[start : start + BATCH])
        began, cpu = time.monotonic(), time.process_time()
        run.ingest(answer)
        ingested += time.monotonic() - began
        spent += time.process_time() - cpu
        peer.copy(run.pk)
    peer.drop()
    return {
        "ingest_cpu_ms_per_product": spent * 1000 / len(products),
        "ingest_ms_per_product": ingested * 1000 / len(products),
        "ratio_to_copy": peer.of_rows / ingested,
        "ratio_to_copy_of_ready_text": peer.of_text / ingested,
    }


class Peer:
    """COPY of the rows that a run wrote into tables with the same indexes and foreign keys, a transaction a run."""

    def __init__(self) -> None:
        from products.models import Product, RunTarget, Snapshot, SnapshotRank

        product, target, snapshot, rank = (
            model._meta.db_table for model in (Product, RunTarget, Snapshot, SnapshotRank)
        )
        self.of_rows = self.of_text = 0.0
        self.questions = {
            product: f"SELECT p.* FROM {product} p JOIN {target} t ON t.product_id = p.id WHERE t.scrape_run_id = %s",
            target: f"SELECT * FROM {target} WHERE scrape_run_id = %s",
            snapshot: f"SELECT * FROM {snapshot} WHERE scrape_run_id = %s",
            rank: f"SELECT r.* FROM {rank} r JOIN {snapshot} s ON s.id = r.snapshot_id WHERE s.scrape_run_id = %s",
        }
        self.copies = [f"{kind}_{table}" for kind in ("rows", "text") for table in self.questions]
        keys = {"product_id": product, "snapshot_id": snapshot}
        for name in self.copies:
            kind, _mark, table = name.partition("_")
            self.run(f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
            for model in (RunTarget, Snapshot, SnapshotRank):
                for field in model._meta.concrete_fields if model._meta.db_table == table else ():
                    if field.is_relation:
                        other = f"{kind}_{keys[field.column]}" if field.column in keys else "products_scraperun"
                        self.run(f"ALTER TABLE {name} ADD FOREIGN KEY ({field.column}) REFERENCES {other}")

    def run(self, sql: str) -> None:
        from django.db import connection

        with connection.cursor() as cursor:
            cursor.execute(sql)

    def copy(self, run: int) -> None:
        from django.db import connection, transaction

        rows, texts = {}, {}
        with connection.cursor() as cursor:
            for table, question in self.questions.items():
                cursor.execute(question, [run])
                rows[table] = cursor.fetchall()
                with cursor.copy(f"COPY ({question.replace('%s', str(run))}) TO STDOUT") as out:
                    texts[table] = b"".join(bytes(piece) for piece in out)
        began = time.monotonic()
        with transaction.atomic(), connection.cursor() as cursor:
            for table, values in rows.items():
                with cursor.copy(f"COPY rows_{table} FROM STDIN") as into:
                    for row in values:
                        into.write_row(row)
        self.of_rows += time.monotonic() - began
        began = time.monotonic()
        with transaction.atomic(), connection.cursor() as cursor:
            for table, text in texts.items():
                with cursor.copy(f"COPY text_{table} FROM STDIN") as into:
                    into.write(text)
        self.of_text += time.monotonic() - began

    def drop(self) -> None:
        for name in reversed(self.copies):
            self.run(f"DROP TABLE {name} CASCADE")


def looked_at(number: int, folder: Path) -> dict[str, Any]:
    """Have the worker look at the first so many products, and return how fast it was and what it took."""
    from django.db.models import Count

    from products.models import Product, ScrapeRun, Snapshot
    from products.tasks import update_due_products

    chosen = list(Product.objects.order_by("pk").values_list("pk", flat=True)[:number])
    Product.objects.update(checked_at=None, monitored=False, failures=0, retry_at=None)
    Product.objects.filter(pk__lte=chosen[-1]).update(monitored=True)
    known = ScrapeRun.objects.count()
    sites = Product.objects.filter(monitored=True).order_by().values_list("marketplace").annotate(Count("pk"))
    wanted = sum(-(-count // BATCH) for _site, count in sites)
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
    costs = {name.lower().replace(" ", "_"): cost for name, cost in spent.items()}
    return {
        "products": number,
        "snapshots": Snapshot.objects.count(),
        "seconds": seconds,
        "products_per_s": number / seconds,
        "cpu_ms_per_product": within * 1000 / number,
        **{f"{name}_cpu_ms_per_product": cost * 1000 / number for name, cost in costs.items()},
        # At rest, before the first job: pages shared with the supervisor become a slot's own once it works.
        "pss_idle_mb": weights[0],
        "pss_first_fifth_mb": weights[len(weights) // 5],
        "pss_middle_mb": weights[len(weights) // 2],
        "pss_last_mb": weights[-1],
    }


if __name__ == "__main__":
    sys.exit(main())
