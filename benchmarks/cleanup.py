"""Clean up what a year of looks left: `python -m benchmarks.cleanup`, sizes by flags.

Workload: so many products looked at twice a day for a year, in runs of a hundred, with two ranks a look, raw items and
outcomes, in a durable PostgreSQL. Real processes clean up and are killed with -9 amid their steps, while another client
reads and changes the same products and looks. Done for half the products and for all of them: twice the rows should
take about twice the time. Prints `name: value` lines and ends with 1 where a wrong row went or stayed, or a step took a
second.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import both

LOOKS_A_DAY, DAYS = 2, 365
LONGEST_STEP = 1.0  # seconds
FILLING = (
    """INSERT INTO products_product (marketplace, asin, created_at, title, brand, bullets, description, images,
    categories, content_hash, bsr_category, seller, seller_id, availability, monitored, failures, last_outcome)
  SELECT 'amazon.com', 'B' || lpad(i::text, 9, '0'), now(), '', '', '[]', '', '[]', '[]', '', '', '', '',
    '', true, 0, 'ok' FROM generate_series(1, %(products)s) i""",
    """INSERT INTO products_scraperun (ref, apify_id, marketplace, asins, state, attempts, busy_answers, created_at,
    polls, cost_cap_usd, shares, error, stops_planning, changes_held)
  SELECT gen_random_uuid(), '', 'amazon.com', to_jsonb(p.first), 'ingested', 1, 0, now() - n * interval '12 hours', 0,
    0.1, '{}', '', false, false
  FROM generate_series(0, %(looks)s - 1) n,
    (SELECT min(id) AS first FROM products_product WHERE bsr_category = '' GROUP BY id / 100) p ORDER BY n DESC""",
    """INSERT INTO products_snapshot (product_id, scrape_run_id, taken_at, price, currency, seller, seller_id,
    availability, availability_text, content_hash, warnings, raw)
  SELECT p.id, r.id, r.created_at, 9.99, 'USD', 'Seller', 'S1', 'in_stock', '', '', '[]',
    decode(repeat(md5(r.id::text), 30), 'hex')
  FROM products_scraperun r JOIN products_product p ON p.id / 100 = (r.asins #>> '{}')::bigint / 100""",
    """INSERT INTO products_snapshotrank (snapshot_id, category, position, rank)
  SELECT id, c.name, c.place, id %% 5000 + 1
  FROM products_snapshot, (VALUES ('Lamps', 0), ('Desks', 1)) c (name, place)""",
    """INSERT INTO products_runtarget (scrape_run_id, product_id, asin, outcome, reason, answer)
  SELECT scrape_run_id, product_id, '', 'ok', '', '' FROM products_snapshot""",
    "ANALYZE",
)
EMPTYING = """TRUNCATE products_product, products_scraperun, products_snapshot, products_snapshotrank,
  products_runtarget, products_cleanup CASCADE"""
# What stays, by another road than the clean-up's.
WRONG = """WITH told AS (
    SELECT id, product_id, taken_at, CASE WHEN taken_at < date_trunc('day', now()) - interval '91 days'
      THEN date_trunc('day', taken_at)::text ELSE id::text END AS period FROM was),
  kept AS (SELECT DISTINCT ON (product_id, period) id FROM told ORDER BY product_id, period, taken_at DESC, id DESC)
  SELECT (SELECT count(*) FROM kept WHERE id NOT IN (SELECT id FROM products_snapshot))
    + (SELECT count(*) FROM was WHERE id NOT IN (SELECT id FROM kept) AND id IN (SELECT id FROM products_snapshot))
    + (SELECT count(*) FROM products_snapshot WHERE raw IS NOT NULL AND taken_at < now() - interval '31 days')
    + (SELECT count(*) FROM products_runtarget t JOIN products_scraperun r ON r.id = t.scrape_run_id
       WHERE r.created_at < now() - interval '91 days')"""
CHILD = """
import sys, time, django
django.setup()
from products.models import Cleanup
for row in Cleanup.objects.filter(ended_at=None):
    began = time.monotonic()
    while row.step():
        print(time.monotonic() - began, flush=True)
        began = time.monotonic()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    options = parser.parse_args()
    if (programs := both.programs()) is None:
        raise SystemExit("This needs PostgreSQL's programs (Debian: apt-get install postgresql).")
    with ExitStack() as stack:
        os.environ["VAR_DIR"] = stack.enter_context(tempfile.TemporaryDirectory(prefix="pilot-cleanup-"))
        os.environ["DATABASE_URL"] = stack.enter_context(both.cluster(programs, is_durable=True))
        os.environ["DJANGO_SETTINGS_MODULE"] = "amazon_pilot.settings"
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        half = cleaned(options.products // 2, options.kills)
        whole = cleaned(options.products, options.kills)
    figures = whole | {"times_half_the_products": whole["seconds"] / half["seconds"]}
    figures["s_for_a_day_of_100000_products"] = whole["seconds"] / DAYS * 100_000 / options.products
    for name, value in figures.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", flush=True)
    longest = max(half["longest_step_s"], whole["longest_step_s"], whole["longest_wait_s"])
    return int(bool(half["wrong_rows"] or whole["wrong_rows"]) or longest >= LONGEST_STEP)


def ask(sql: str, **values: Any) -> Any:
    """Run one statement and return the first value of what it answers."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(sql.replace("%%", "%") if not values else sql, values or None)
        return cursor.fetchone()[0] if cursor.description else None


def cleaned(products: int, kills: int) -> dict[str, Any]:
    """Fill, clean up and count for so many products."""
    from products.models import Cleanup

    ask(EMPTYING)
    for statement in FILLING:
        ask(statement, products=products, looks=LOOKS_A_DAY * DAYS)
    ask("DROP TABLE IF EXISTS was")
    ask("CREATE TABLE was AS SELECT id, product_id, taken_at FROM products_snapshot")
    before = ask("SELECT count(*) FROM was")
    print(f"# {products} products, {before} looks", flush=True)
    Cleanup.objects.begin()
    seller = Seller()
    seller.start()
    began, draw, steps = time.monotonic(), random.Random(1), list[float]()
    for kill in range(kills + 1):
        steps += child(draw.uniform(2, 5) if kill < kills else None)
    seconds = time.monotonic() - began
    seller.is_over.set()
    seller.join()
    return {
        "products": products,
        "looks": before,
        "looks_kept": ask("SELECT count(*) FROM products_snapshot WHERE id IN (SELECT id FROM was)"),
        "wrong_rows": ask(WRONG),
        "killed": kills,
        "steps": len(steps),
        "longest_step_s": max(steps),
        "longest_wait_s": max(seller.waits),
        "seconds": seconds,
    }


def child(life: float | None) -> list[float]:
    """Clean up in a process that is killed after `life` seconds, never where None; return its steps in seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )
    if life is not None:
        threading.Timer(life, process.send_signal, [signal.SIGKILL]).start()
    output, _error = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise SystemExit(f"the clean-up ended with {process.returncode}")
    return [float(line) for line in output.splitlines() if "." in line]


class Seller(threading.Thread):
    """Reads and changes a product and its oldest look while the clean-up works, and notes how long each took."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.waits = [0.0]
        self.is_over = threading.Event()

    def run(self) -> None:
        """Write and read twenty times a second."""
        from django.db import connection, transaction

        from products.models import Product, ScrapeRun, Snapshot

        run = ScrapeRun.objects.order_by("-created_at").first()
        draw, keys = random.Random(2), list(Product.objects.values_list("pk", flat=True))
        while not self.is_over.wait(0.05):
            began = time.monotonic()
            with transaction.atomic():
                product = Product.objects.get(pk=draw.choice(keys))
                old = product.snapshots.only("pk").order_by("taken_at").first()
                Product.objects.filter(pk=product.pk).update(failures=0)
                if old is not None and run is not None:
                    Snapshot.objects.filter(pk=old.pk).update(seller="Seen")
            self.waits.append(time.monotonic() - began)
        connection.close()


if __name__ == "__main__":
    sys.exit(main())
