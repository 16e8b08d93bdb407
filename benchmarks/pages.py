"""The sellers' pages at full size: `python -m benchmarks.pages`, sizes by flags.

Workload: products in PostgreSQL with thirty days of snapshots of half of them, changes and notifications. One agency
watches them all, one seller fifty of them, and one user nothing. Each page is asked for through the whole Django stack.
Prints `p95_ms_<user>_<page>`, `cpu_ms_…` (of this process alone), `queries_…`, and each sequential scan of a big table
that PostgreSQL plans for the seller; ends with 1 where there is one, or where the seller waits over 200 ms at p95.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import both

LARGE = ("product", "tracking", "snapshot", "snapshotrank", "change")
PAGES = {
    "home": "/",
    "list": "/products/",
    "list_by_name": "/products/?sort=name",
    "list_by_price": "/products/?sort=-price",
    "list_by_rank": "/products/?sort=rank",
    "list_by_age": "/products/?sort=seen",
    "list_by_move": "/products/?sort=-day",
    "list_searched": "/products/?q=number+4",
    "list_late": "/products/?state=late",
    "list_gone": "/products/?state=gone",
    "list_changed": "/products/?state=changed",
    "changes": "/changes/",
    "changes_critical": "/changes/?severity=3_critical",
    "changes_of_a_rare_kind": "/changes/?kind=rating_change",
    "changes_own_open": "/changes/?role=own&state=open",
    "notifications": "/notifications/",
    "notifications_unread": "/notifications/?unread=1",
}
LIMIT_MS = 200
TRACKED = """INSERT INTO products_tracking (team_id, product_id, role, frequency, alias, paused, price_threshold,
    bsr_threshold, bsr_unit, rating_threshold, review_threshold, tell_buybox, tell_availability, tell_listing,
    rearm_minutes, price_way, bsr_way, currency, created_at)
  SELECT %(team)s, id, CASE WHEN id %% 5 < 3 THEN 'own' ELSE 'competitor' END, '3_daily', '', false, 10, 30, 'percent',
    0.2, 10, true, true, false, 0, '', '', '', now() - interval '90 days' FROM products_product
  WHERE id %% %(each)s = 0"""
FILLING = (
    """INSERT INTO products_product (marketplace, asin, created_at, title, brand, bullets, description, images,
    categories, content_hash, price, price_seen_at, bsr, bsr_category, bsr_seen_at, rating, review_count, seller,
    seller_id,
    availability, monitored, checked_at, failures, last_outcome)
  SELECT (ARRAY['amazon.com', 'amazon.de', 'amazon.co.uk'])[1 + i %% 3], 'B' || lpad(i::text, 9, '0'), now(),
    'Product number ' || i || ' with the long title that sellers like ' || md5(i::text), 'Brand ' || i %% 500,
    to_jsonb(ARRAY[repeat('bullet ', 40)]), repeat('description ', 60), '[]', '[]', md5(i::text),
    CASE WHEN i %% 20 > 0 THEN i %% 9000 / 100.0 + 1 END, now(), CASE WHEN i %% 15 > 0 THEN i %% 50000 + 1 END,
    'Lamps', now(), (10 + i %% 41) / 10.0, i %% 3000, 'Seller', 'S1',
    CASE WHEN i %% 50 = 0 THEN 'unavailable' ELSE 'in_stock' END, true, now() - i %% 1440 * interval '1 minute', 0, 'ok'
  FROM generate_series(1, %(products)s) i""",
    """INSERT INTO products_scraperun (ref, apify_id, marketplace, asins, state, attempts, busy_answers, created_at,
    polls, cost_cap_usd, shares, error, stops_planning, changes_held)
  SELECT gen_random_uuid(), 'r' || i, 'amazon.com', '[]', 'ingested', 1, 0, now() - i * interval '1 day', 0, 0.1,
    '{}', '', false, false FROM generate_series(0, 29) i""",
    """INSERT INTO products_snapshot (product_id, scrape_run_id, taken_at, price, currency, seller, seller_id,
    availability, availability_text, content_hash, warnings)
  SELECT p.id, r.id, r.created_at, p.price + r.id %% 5, 'USD', 'Seller', 'S1', 'in_stock', '', '', '[]'
  FROM products_scraperun r, products_product p WHERE p.id %% 2 = 0""",
    """INSERT INTO products_snapshotrank (snapshot_id, category, position, rank)
  SELECT id, 'Lamps', 1, id %% 50000 + 1 FROM products_snapshot""",
    """INSERT INTO products_change (tracking_id, team_id, snapshot_id, kind, subject, before, after, percent, direction,
    severity, threshold, before_at, seen_at)
  SELECT t.id, t.team_id, s.id, 'price_change', '', '10.00', '12.00', 20, 'up',
    (ARRAY['1_info', '2_warning', '3_critical'])[1 + s.id %% 3], '10 %%', s.taken_at - interval '1 day', s.taken_at
  FROM (SELECT id, product_id, taken_at FROM products_snapshot LIMIT %(changes)s) s
  JOIN products_tracking t USING (product_id)""",
    """INSERT INTO notifications_notification (key, channel_id, change_id, subject, body, path, state, attempts, error,
    created_at)
  SELECT gen_random_uuid(), n.id, c.id, 'A product: price $10.00 → $12.00', '', '/', 'sent', 1, '', c.seen_at
  FROM products_change c JOIN notifications_channel n ON n.team_id = c.team_id""",
    "ANALYZE",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--changes", type=int, default=1_000_000)
    parser.add_argument("--requests", type=int, default=40)
    options = parser.parse_args()
    programs = both.programs()
    if programs is None:
        print("PostgreSQL's programs are not installed (Debian: apt-get install postgresql).")
        return 1
    folder = Path(tempfile.mkdtemp(prefix="pilot-pages-"))
    try:
        with both.cluster(programs) as address:
            os.environ |= {"VAR_DIR": str(folder), "DATABASE_URL": address, "LOG_LEVEL": "ERROR"}
            os.environ["DJANGO_SETTINGS_MODULE"] = "amazon_pilot.settings"
            import django

            django.setup()
            start = time.monotonic()
            users = fill(options)
            print(f"filled in {time.monotonic() - start:.0f} s", flush=True)
            return measure(users, options.requests)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(options: argparse.Namespace) -> dict[str, Any]:
    """Make the tables and their rows; return the users by name."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    from notifications.models import Notification

    call_command("migrate", verbosity=0)
    users = {name: User.objects.create_user(name) for name in ("agency", "seller", "newcomer")}
    Notification.objects.ensure_app_channels({user.teams.get().pk for user in users.values()})
    with connection.cursor() as cursor:
        for number, statement in enumerate(FILLING):
            cursor.execute(statement, {"products": options.products, "changes": options.changes})
            if number == 0:
                cursor.execute(TRACKED, {"team": users["agency"].teams.get().pk, "each": 1})
                cursor.execute(
                    TRACKED, {"team": users["seller"].teams.get().pk, "each": max(2, options.products // 50)}
                )
    return users


def measure(users: dict[str, Any], requests: int) -> int:
    """Ask each user's pages; return 1 when the seller's are too slow or read what is not theirs."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    faults = 0
    for name, user in users.items():
        client = Client(SERVER_NAME="127.0.0.1", headers={"accept-language": "en"})
        client.force_login(user)
        for page, address in PAGES.items():
            client.get(address)
            times, begun = [], time.process_time()
            for _ in range(requests):
                start = time.perf_counter()
                assert client.get(address).status_code == 200, address
                times.append((time.perf_counter() - start) * 1000)
            cpu = (time.process_time() - begun) * 1000 / requests
            with CaptureQueriesContext(connection) as asked:
                client.get(address)
            p95 = sorted(times)[len(times) * 95 // 100]
            print(
                f"p95_ms_{name}_{page}: {p95:.0f}  cpu_ms_{name}_{page}: {cpu:.0f}  queries_{name}_{page}: {len(asked)}"
            )
            if name == "seller":
                scans = [scan for query in asked.captured_queries for scan in scanned(query["sql"])]
                for scan in scans:
                    print(f"  {scan}")
                faults += bool(scans) or p95 > LIMIT_MS
    return int(bool(faults))


def scanned(statement: str) -> list[str]:
    """Return the sequential scans of large tables that PostgreSQL plans for a statement."""
    from django.db import connection

    if not statement.startswith("SELECT"):
        return []
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {statement.replace('%', '%%')}", ())
        plan = [row[0] for row in cursor.fetchall()]
    tables = [f"products_{table}" for table in LARGE] + ["notifications_notification"]
    found = [table for table in tables for line in plan if f"Seq Scan on {table} " in line]
    return [f"sequential scan of {table}: {statement[:140]}" for table in found]


if __name__ == "__main__":
    sys.exit(main())
