"""The clean-up beside people and workers: nobody waits for it for a second, as PostgreSQL itself tells of its locks."""

import threading
import time

import pytest
from django.db import connection, transaction
from django.db.models import F

from benchmarks.cleanup import FILLING
from products.models import Cleanup, Product, Snapshot, SnapshotRank

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif("connection.vendor != 'postgresql'", reason="SQLite has one lock for all, and no table of them"),
]
LONGEST = 1.0  # seconds
# Who waits for a lock that the clean-up holds, since when; and for how long its transaction has been open.
WAITS = """SELECT coalesce(max(extract(epoch FROM clock_timestamp() - waitstart)), 0) FROM pg_locks
  WHERE NOT granted AND %s = ANY(pg_blocking_pids(pid))"""
OPEN = """SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0) FROM pg_stat_activity
  WHERE pid = %s AND state <> 'idle'"""


@pytest.fixture(params=[25, pytest.param(100, marks=pytest.mark.long)])
def year(request):
    """A year of looks at so many products, twice a day, as the benchmark of the clean-up has them."""
    with connection.cursor() as cursor:
        for statement in FILLING:
            values = (
                {"products": request.param, "looks": 730}
                if "(products)s" in statement or "(looks)s" in statement
                else None
            )
            cursor.execute(statement if values else statement.replace("%%", "%"), values)
    assert Snapshot.objects.count() > 500 * request.param


class Beside(threading.Thread):
    """Does something again and again beside the clean-up, and keeps the longest answer."""

    def __init__(self, turn):
        super().__init__()
        self.turn, self.longest, self.turns, self.odd, self.is_over = turn, 0.0, 0, [], threading.Event()

    def run(self):
        try:
            while not self.is_over.wait(0.01):
                self.longest = max(self.longest, self.turn())
                self.turns += 1
        except Exception as error:
            self.odd.append(error)
        finally:
            connection.close()


def wrote(pks=[]):  # noqa: B006 - kept between the calls
    """Change what the clean-up goes through, old and new: products, and ranks of old looks; return the seconds."""
    pks[:] = pks or Product.objects.values_list("pk", flat=True)
    began = time.monotonic()
    with transaction.atomic():
        Product.objects.filter(pk__in=pks[:50]).update(failures=F("failures") + 1)
        oldest = Snapshot.objects.order_by("taken_at").values_list("pk", flat=True)[:50]
        SnapshotRank.objects.filter(snapshot__in=list(oldest)).update(rank=F("rank") + 1)
        Snapshot.objects.filter(pk__in=list(oldest)).update(price=F("price") + 1)
    return time.monotonic() - began


def test_nobody_waits_for_the_clean_up_for_a_second(year):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        pid = cursor.fetchone()[0]

    def asked(question):
        with connection.cursor() as cursor:
            cursor.execute(question, [pid])
            return float(cursor.fetchone()[0])

    writer = Beside(wrote)
    waits, transactions = Beside(lambda: asked(WAITS)), Beside(lambda: asked(OPEN))
    before = Snapshot.objects.count()
    for each in (writer, waits, transactions):
        each.start()
    try:
        Cleanup.objects.begin()
        for row in Cleanup.objects.all():
            while row.step():
                pass
    finally:
        for each in (writer, waits, transactions):
            each.is_over.set()
            each.join()

    assert [writer.odd, waits.odd, transactions.odd] == [[], [], []]
    assert Snapshot.objects.count() < before * 3 / 4
    assert min(each.turns for each in (writer, waits, transactions)) > 10
    assert waits.longest < LONGEST
    assert transactions.longest < LONGEST
