"""The sellers' pages at full size: `python -m benchmarks.pages`, sizes by flags.

Workload: products in PostgreSQL, each looked at twice a day and one of them ten thousand times; changes and
notifications; a few products late, failing, out of stock, paused or named by their team. One agency watches them all,
one seller fifty of them, and one user nothing. Each page is asked for through the whole Django stack; of a file the
beginning is. Prints `p95_ms_<user>_<page>`, `cpu_ms_…` (of this process alone) and `queries_…`, and names
each large table that was read row by row. `--plans FILE` keeps every plan. Ends with 1 where one was, or where somebody
waits over 200 ms at p95.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests import both

LARGE = {f"products_{name}" for name in ("product", "tracking", "snapshot", "snapshotrank", "change", "searchtext")}
LARGE |= {"notifications_notification"}
MANY = 10_000
PAGES = {
    "home": "/",
    "list": "/products/",
    "list_by_move": "/products/?sort=-day",
    "list_searched": "/products/?q=number+4",
    "list_searched_for_one": "/products/?q=B000000200",
    "list_searched_for_a_part": "/products/?q=0000200",
    "list_searched_for_none": "/products/?q=no+such+thing",
    "list_searched_for_two_signs": "/products/?q=zq",
    "list_searched_by_price": "/products/?q=number&sort=price",
    "list_searched_by_name": "/products/?q=client&sort=name",
    "list_own": "/products/?role=own",
    "list_of_a_site": "/products/?site=amazon.de",
    "list_late": "/products/?state=late",
    "list_late_by_name": "/products/?state=late&sort=name",
    "list_gone_by_price": "/products/?state=gone&sort=price",
    "list_failing_by_rank": "/products/?state=failing&sort=rank",
    "list_competitors_by_name": "/products/?role=competitor&sort=name",
    "list_gone": "/products/?state=gone",
    "list_failing": "/products/?state=failing",
    "list_paused": "/products/?state=paused",
    "list_changed": "/products/?state=changed",
    "changes": "/changes/",
    "changes_critical": "/changes/?severity=3_critical",
    "changes_of_a_rare_kind": "/changes/?kind=rating_change",
    "changes_own_open": "/changes/?role=own&state=open",
    "notifications": "/notifications/",
    "notifications_unread": "/notifications/?unread=1",
    "comparison_new": "/comparisons/new/",
    "comparison_new_searched": "/comparisons/new/?own=number+4&q=number+7",
    "comparison_new_searched_for_none": "/comparisons/new/?q=no+such+thing",
    "api_products": "/api/v1/products",
    "api_products_searched": "/api/v1/products?q=number+4&limit=200",
    "api_changes": "/api/v1/changes?limit=200",
    "api_changes_of_a_kind": "/api/v1/changes?kind=rating_change",
    "api_comparisons": "/api/v1/comparisons",
    "export_of_list": "/products/export/",
    "export_of_what_is_late": "/products/export/?state=late",
    "export_of_list_as_xlsx": "/products/export/?as=xlsx",
    "export_of_changes": "/changes/export/",
}
FIRST_PARTS = 3  # of a file: its mark, its head and its first rows; a workbook, packed in blocks, has begun with one
OFTEN = 10_000  # looks at the seller's first product
LIMIT_MS = 200
TRACKED = """INSERT INTO products_tracking (team_id, product_id, role, frequency, alias, paused, price_threshold,
    bsr_threshold, bsr_unit, rating_threshold, review_threshold, tell_buybox, tell_availability, tell_listing,
    rearm_minutes, price_way, bsr_way, currency, created_at)
  SELECT %(team)s, id, CASE WHEN id %% 5 < 3 THEN 'own' ELSE 'competitor' END, '3_daily',
    CASE WHEN id %% 10 = 0 THEN 'Client ' || id %% 977 ELSE '' END, id %% 400 = 1, 10, 30, 'percent',
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
    CASE WHEN i %% 50 = 7 THEN 'unavailable' ELSE 'in_stock' END, i %% 500 <> 3,
    now() - i %% 1440 * interval '1 minute' - CASE WHEN i %% 200 = 77 THEN interval '3 days' ELSE interval '0' END,
    CASE WHEN i %% 300 = 0 THEN 2 ELSE 0 END, 'ok'
  FROM generate_series(1, %(products)s) i""",
    "INSERT INTO products_searchtext SELECT id, UPPER(concat_ws(E'\\n', asin, title, brand)) FROM products_product",
    """INSERT INTO products_scraperun (ref, apify_id, marketplace, asins, state, attempts, busy_answers, created_at,
    polls, cost_cap_usd, shares, error, stops_planning, changes_held)
  SELECT gen_random_uuid(), 'r' || i, 'amazon.com', '[]', 'ingested', 1, 0, now() - i * interval '12 hours', 0, 0.1,
    '{}', '', false, false FROM generate_series(0, %(looks)s - 1) i""",
    """INSERT INTO products_snapshot (product_id, scrape_run_id, taken_at, price, currency, seller, seller_id,
    availability, availability_text, content_hash, warnings)
  SELECT p.id, r.id, r.created_at, p.price + r.id %% 5, 'USD', 'Seller', 'S1', 'in_stock', '', '', '[]'
  FROM products_scraperun r, products_product p""",
    """INSERT INTO products_scraperun (ref, apify_id, marketplace, asins, state, attempts, busy_answers, created_at,
    polls, cost_cap_usd, shares, error, stops_planning, changes_held)
  SELECT gen_random_uuid(), 'o' || i, 'amazon.com', '[]', 'ingested', 1, 0, now() - i * interval '50 minutes', 0, 0.1,
    '{}', '', false, false FROM generate_series(1, %(often)s) i""",
    """INSERT INTO products_snapshot (product_id, scrape_run_id, taken_at, price, currency, seller, seller_id,
    availability, availability_text, content_hash, warnings)
  SELECT %(each)s, id, created_at, 20 + id %% 7, 'USD', 'Seller', 'S' || id %% 3, 'in_stock', '', '', '[]'
  FROM products_scraperun WHERE apify_id LIKE 'o%%'""",
    """INSERT INTO products_snapshotrank (snapshot_id, category, position, rank)
  SELECT id, 'Lamps', 1, id %% 50000 + 1 FROM products_snapshot""",
    """INSERT INTO products_change (tracking_id, team_id, snapshot_id, kind, subject, before, after, percent, direction,
    severity, threshold, before_at, seen_at)
  SELECT t.id, t.team_id, s.id, 'price_change', '', '10.00', '12.00', 20, 'up',
    (ARRAY['1_info', '2_warning', '3_critical'])[1 + s.id %% 3], '10 %%', s.taken_at - interval '1 day', s.taken_at
  FROM (SELECT id, product_id, taken_at FROM products_snapshot WHERE id %% %(changing)s = 0) s
  JOIN products_tracking t USING (product_id)""",
    """INSERT INTO notifications_notification (key, channel_id, change_id, subject, body, path, state, attempts, error,
    created_at)
  SELECT gen_random_uuid(), n.id, c.id, 'A product: price $10.00 → $12.00', '', '/', 'sent', 1, '', c.seen_at
  FROM products_change c JOIN notifications_channel n ON n.team_id = c.team_id""",
    "VACUUM ANALYZE",
)
FILLED = (
    *("products_searchtext", "products_snapshot", "products_snapshotrank", "products_change"),
    "notifications_notification",
)
# Constraints, some with an index of their own, and the other indexes: to make them when the rows are there is faster.
MADE = """SELECT conname, pg_get_constraintdef(oid), true FROM pg_constraint
  WHERE conrelid = %(table)s::regclass AND contype IN ('u', 'c')
  UNION ALL SELECT indexname, indexdef, false FROM pg_indexes WHERE tablename = %(table)s
    AND indexname NOT IN (SELECT conname FROM pg_constraint WHERE conrelid = %(table)s::regclass)"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", type=int, default=100_000)
    parser.add_argument("--snapshots", type=int, default=10_000_000)
    parser.add_argument("--changes", type=int, default=1_000_000, help="And as many notifications.")
    parser.add_argument("--requests", type=int, default=25, help="For each page, after a first one.")
    parser.add_argument("--plans", type=Path, help="A file for the plan of every question.")
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
            import_module("amazon_pilot.wsgi")  # as a web server does
            start = time.monotonic()
            users = fill(options)
            print(f"filled_s: {time.monotonic() - start:.0f}", flush=True)
            return measure(users, options)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(options: argparse.Namespace) -> dict[str, Any]:
    """Make the tables and their rows; return the users by name."""
    from django.contrib.auth.models import User
    from django.core.management import call_command
    from django.db import connection

    from analysis.models import Comparison
    from notifications.models import Notification
    from products.models import Product

    call_command("migrate", verbosity=0)
    users = {name: User.objects.create_user(name) for name in ("agency", "seller", "newcomer")}
    teams = {name: user.teams.get().pk for name, user in users.items()}
    Notification.objects.ensure_app_channels(set(teams.values()))
    words: dict[str, int] = {"products": options.products, "looks": max(2, options.snapshots // options.products)}
    # Of the changes half a hundred are the seller's, and the agency has the others.
    words |= {"often": OFTEN, "each": max(2, options.products // 50)}
    words["changing"] = max(1, words["looks"] * options.products // options.changes)
    with connection.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET max_wal_size = '16GB'")  # nothing of it is ever read again
        cursor.execute("SELECT pg_reload_conf()")
    with connection.cursor() as cursor, without_indexes(cursor, FILLED):
        first, *others = FILLING
        cursor.execute(first, words)
        cursor.execute(TRACKED, {"team": teams["agency"], "each": 1})
        cursor.execute(TRACKED, {"team": teams["seller"], "each": words["each"]})
        for statement in others[:-1]:
            cursor.execute(statement, words)
    with connection.cursor() as cursor:
        cursor.execute(FILLING[-1])
    for name in ("agency", "seller"):
        own, *rivals = Product.objects.tracked_by(teams[name]).filter(marketplace="amazon.com").order_by("pk")[:6]
        Comparison.objects.start(users[name].teams.get(), own, rivals)
    return users


@contextmanager
def without_indexes(cursor: Any, tables: Iterable[str]) -> Iterator[None]:
    """Fill large tables without their indexes, and without looking up what each row refers to."""
    made = []
    for table in tables:
        cursor.execute(MADE, {"table": table})
        for name, definition, is_constraint in cursor.fetchall():
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"' if is_constraint else f'DROP INDEX "{name}"')
            made.append(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}' if is_constraint else definition)
    cursor.execute("SET session_replication_role = replica")
    yield
    cursor.execute("SET session_replication_role = DEFAULT")
    cursor.execute("SET maintenance_work_mem = '512MB'")
    for statement in made:
        cursor.execute(statement)


def pages_of(team: Any) -> dict[str, str]:
    """Return the addresses of a team's pages: of its list by each column the first, the middle and the last as well."""
    from django.urls import reverse

    from analysis.models import Comparison
    from products import keyset
    from products.models import Snapshot, Tracking
    from products.watchlist import SORTS, Wanted, shown_name

    pages, rows = dict(PAGES), Tracking.objects.filter(team=team).annotate(shown=shown_name())
    for name, sort in SORTS.items():
        if sort.is_worked_out:
            continue
        pages[f"list_by_{name}"] = f"/products/?sort={name}"
        ordered = rows.order_by(sort.column, "pk").values_list(sort.column, "pk")
        ordered = ordered.exclude(**{f"{sort.column}__isnull": True}) if sort.nullable else ordered
        known = ordered.count()
        for place, at in (("middle", known // 2), ("last", max(0, known - 10))) if known else ():
            words = {"sort": name, "page": str(keyset.Key(*ordered[at]))}
            pages[f"list_by_{name}_{place}"] = f"/products/?{urlencode(words)}"
    if first := Wanted().rows(team).select_related("product").order_by("pk").first():
        often = Snapshot.objects.order_by("-pk")[0].product
        names = {"": first.product, "often_": often}
        for word, one in names.items():
            for page in ("detail", "chart", "history_export"):
                address = reverse(f"products:{page}", args=[one.marketplace, one.asin])
                pages[f"product_{word}{page}"] = f"{address}?range=all"
            pages[f"api_product_{word}history"] = f"/api/v1/products/{one.marketplace}/{one.asin}/history?limit=200"
        pages["api_changes_of_a_product"] = f"/api/v1/changes?asin={often.asin}"
        pages["export_of_history_as_xlsx"] = f"{pages['product_often_history_export']}&as=xlsx"
    if row := Comparison.objects.filter(team=team).first():
        pages["comparison"] = row.get_absolute_url()
        pages["export_of_comparison"] = reverse("analysis:comparison_export", args=[row.pk])
    return pages


def measure(users: dict[str, Any], options: argparse.Namespace) -> int:
    """Ask each user's pages; return 1 when one is too slow or reads a large table from end to end."""
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    slow, kept, scans = [], [], []
    for name, user in users.items():
        client = Client(SERVER_NAME="127.0.0.1", headers={"accept-language": "en"})
        client.force_login(user)
        for page, address in pages_of(user.teams.get()).items():
            ask(client, address)
            times, begun = [], time.process_time()
            for _ in range(options.requests):
                start = time.perf_counter()
                ask(client, address)
                times.append((time.perf_counter() - start) * 1000)
            cpu = (time.process_time() - begun) * 1000 / options.requests
            with CaptureQueriesContext(connection) as asked:
                ask(client, address)
            p95 = sorted(times)[len(times) * 95 // 100]
            print(f"p95_ms_{name}_{page}: {p95:.0f}\ncpu_ms_{name}_{page}: {cpu:.0f}")
            print(f"queries_{name}_{page}: {len(asked)}", flush=True)
            slow += [f"{name}_{page}"] if p95 > LIMIT_MS else []
            for statement in (query["sql"] for query in asked.captured_queries):
                plan = explained(statement)
                kept.append(f"== {name} {page}\n{statement}\n{json.dumps(plan, indent=1)}" if plan else "")
                for table in scanned(plan):
                    print(f"  sequential scan of {table}: {statement[:200]}")
                    scans.append(f"{name}_{page}")
    if options.plans:
        options.plans.write_text("\n\n".join(filter(None, kept)))
    print(f"over_{LIMIT_MS}_ms: {len(slow)} {' '.join(slow)}\nsequential_scans: {len(scans)} {' '.join(scans)}")
    return int(bool(slow or scans))


def ask(client: Any, address: str) -> None:
    """Ask for a page as a whole, or for the beginning of a file."""
    answer = client.get(address)
    assert answer.status_code == 200, f"{address} answers {answer.status_code}"
    if answer.streaming:
        list(islice(answer.streaming_content, 1 if "as=xlsx" in address else FIRST_PARTS))
        answer.close()


def explained(statement: str) -> Any:
    """Run a question once more and return the plan that PostgreSQL had for it; None for what is no question."""
    from django.db import connection

    if not statement.startswith(("SELECT", "(SELECT", "WITH")):
        return None
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.replace('%', '%%')}", ())
        (plan,) = cursor.fetchone()
    return (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]


def nodes(plan: Any) -> Iterator[Any]:
    """Yield a plan's steps, the outer ones first."""
    yield plan
    for inner in plan.get("Plans", ()):
        yield from nodes(inner)


def scanned(plan: Any) -> Iterator[str]:
    """Yield each large table of which a plan has read many rows one after the other; a limit ends such a scan early."""
    for step in nodes(plan) if plan else ():
        read = (step["Actual Rows"] + step.get("Rows Removed by Filter", 0)) * step["Actual Loops"]
        if step["Node Type"] == "Seq Scan" and step["Relation Name"] in LARGE and read > MANY:
            yield f"{step['Relation Name']} ({read} rows)"


if __name__ == "__main__":
    sys.exit(main())
