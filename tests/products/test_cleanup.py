"""What is kept for how long: an oracle over random looks says what stays, however often the clean-up is broken off."""

import os
import random
import signal
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from products.models import Change, Cleanup, Product, RunTarget, ScrapeRun, Snapshot, SnapshotRank
from products.models.cleanup import WORK, Kind
from products.models.rows import insert
from products.tasks import clean_up, resume_unfinished
from products.tasks import cleanup as begin
from tests.world import enqueued, listing, run_jobs, started_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def small_steps(monkeypatch):
    for kind, work in WORK.items():
        monkeypatch.setitem(WORK, kind, replace(work, step=7))


def look(products: list[Product], times: list[datetime]) -> None:
    """Have each product seen at each time, in a run of its own."""
    for at in times:
        run = started_run(products)
        rows = [Snapshot.of(listing(asin=product.asin, raw={"a": 1}), product, run, at) for product in products]
        insert(rows)
        insert([rank for row in rows for rank in row.ranks_of(listing())])
        run.targets.update(outcome="ok", answer="what was said")
        ScrapeRun.objects.filter(pk=run.pk).update(created_at=at, state="ingested", finished_at=at)


def kept(at: datetime) -> set[int]:
    """Return by another road which snapshots stay: all of 91 days, then the last of a day, after a year of a week."""
    today = at.replace(hour=0, minute=0, second=0, microsecond=0)
    daily, year = today - timedelta(days=91), at - timedelta(days=365)
    weekly = year.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=year.weekday())
    groups = defaultdict(list)
    for pk, product, taken in Snapshot.objects.values_list("pk", "product", "taken_at"):
        period = taken.isocalendar()[:2] if taken < weekly else taken.date() if taken < daily else pk
        groups[product, period].append((taken, pk))
    return {max(group)[1] for group in groups.values()}


def work_off() -> None:
    for row in Cleanup.objects.all():
        while row.step():
            pass


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_what_stays_is_what_the_oracle_says(lamp, competitors, small_steps, seed):
    draw = random.Random(seed)
    products = [lamp, *competitors[:2]]
    for product in products:
        look([product], [now() - timedelta(hours=draw.randrange(1, 24 * 800), microseconds=1) for _ in range(25)])
    look(products, [now() - timedelta(days=91 + n % 3, hours=n * 5) for n in range(12)])
    wanted = kept(now())

    begin()
    for row in list(Cleanup.objects.all()):  # broken off anywhere, and begun anew
        for _ in range(draw.randrange(5)):
            row.step()
    Cleanup.objects.begin()
    work_off()

    assert set(Snapshot.objects.values_list("pk", flat=True)) == wanted
    assert SnapshotRank.objects.count() == 2 * len(wanted)
    assert Snapshot.objects.filter(raw__isnull=False).exclude(taken_at__gt=now() - timedelta(days=30)).count() == 0
    assert not RunTarget.objects.exclude(answer="").filter(scrape_run__created_at__lt=now() - timedelta(days=30))
    assert not RunTarget.objects.filter(scrape_run__created_at__lt=now() - timedelta(days=90)).exists()
    assert not Snapshot.objects.filter(raw=None, taken_at__gt=now() - timedelta(days=30)).exists()
    assert not ScrapeRun.objects.filter(created_at__lt=now() - timedelta(days=730), snapshots=None).exists()
    newest = {product.pk: product.snapshots.latest("taken_at").pk for product in products}
    assert set(newest.values()) <= wanted


@pytest.mark.later
def test_a_change_goes_after_its_quarter_with_its_snapshot_still_there(lamp, tracking):
    look([lamp], [now() - timedelta(days=days, hours=1) for days in (1, 89, 90, 100)])
    for snapshot in Snapshot.objects.all():
        Change.objects.create(
            tracking=tracking, snapshot=snapshot, kind="price", before="1", after="2", severity="1_info",
            before_at=snapshot.taken_at, seen_at=snapshot.taken_at,
        )  # fmt: skip
    begin()
    run_jobs()

    assert [(now() - change.seen_at).days for change in Change.objects.all()] == [1, 89]
    assert Snapshot.objects.count() == 4


@pytest.mark.later
def test_a_dry_run_says_what_would_go_and_changes_nothing(lamp, small_steps):
    look([lamp], [now() - timedelta(days=100 + n // 2, hours=n % 2) for n in range(20)])
    wanted, before = kept(now()), Snapshot.objects.count()
    output = StringIO()
    call_command("cleanup", "--dry-run", stdout=output)
    assert Snapshot.objects.count() == before
    assert not Cleanup.objects.exists()
    assert f"would look at {before} rows and delete or empty {before - len(wanted)}" in output.getvalue()

    call_command("cleanup", stdout=output)
    assert Snapshot.objects.count() == len(wanted)
    assert f"looked at {before} rows, deleted or emptied {before - len(wanted)}" in output.getvalue()


@pytest.mark.later
@pytest.mark.parametrize("looks", [10, 40])
def test_a_step_is_a_constant_number_of_statements(lamp, looks):
    look([lamp], [now() - timedelta(days=100, minutes=n) for n in range(looks)])
    Cleanup.objects.begin()
    with CaptureQueriesContext(connection) as asked:
        assert Cleanup.objects.get(kind=Kind.DAILY).step()
    assert Snapshot.objects.count() <= 2
    assert len(asked) <= 10


@pytest.mark.later
def test_of_two_jobs_of_one_kind_one_stops(lamp, small_steps):
    look([lamp], [now() - timedelta(days=100, minutes=n) for n in range(30)])
    Cleanup.objects.begin()
    one, other = (Cleanup.objects.get(kind=Kind.RAW) for _ in range(2))
    assert one.step()
    assert not other.step()
    one.refresh_from_db()
    assert (one.seen, one.gone) == (7, 7)
    assert one.ended_at is None


@pytest.mark.slow
def test_a_minute_is_not_enough_and_a_lost_job_is_taken_up(lamp, small_steps, monkeypatch):
    look([lamp], [now() - timedelta(days=100, minutes=n) for n in range(30)])
    monkeypatch.setattr("products.tasks.CLEANING_SECONDS", -1)
    Cleanup.objects.begin()
    assert "more to come" in clean_up(Kind.RAW)
    assert enqueued() == [("products.tasks.clean_up", ["raw"])]

    Cleanup.objects.filter(kind=Kind.RAW).update(stepped_at=now() - timedelta(minutes=11))
    Cleanup.objects.exclude(kind=Kind.RAW).update(ended_at=now())
    resume_unfinished()
    resume_unfinished()
    assert [call for call in enqueued() if call[0].endswith("clean_up")] == [("products.tasks.clean_up", ["raw"])] * 2


KILLED = """
import os, signal, django
from dataclasses import replace
django.setup()
from products.models import Cleanup, cleanup
act, steps = cleanup.delete_snapshots, []
def dies(keys):
    gone = act(keys)
    steps.append(keys)
    if len(steps) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return gone
work = replace(cleanup.WORK["daily"], step=7, act=dies)
cleanup.WORK[cleanup.Kind.DAILY] = work
row = Cleanup.objects.get(kind="daily")
while row.step():
    pass
"""


@pytest.mark.slow
def test_killed_amid_a_step_it_loses_that_step_alone(lamp, small_steps):
    look([lamp], [now() - timedelta(days=100 + n // 10, minutes=n % 10) for n in range(60)])
    wanted = kept(now())
    Cleanup.objects.begin()
    settings = connection.settings_dict
    address = settings["NAME"] if connection.vendor == "sqlite" else None
    url = f"sqlite:///{address}" if address else os.environ["DATABASE_URL"].rpartition("/")[0] + f"/{settings['NAME']}"
    code = subprocess.run(
        [sys.executable, "-c", KILLED], env={**os.environ, "DATABASE_URL": url}, check=False
    ).returncode

    assert code == -signal.SIGKILL
    row = Cleanup.objects.get(kind=Kind.DAILY)
    assert row.seen == 7
    assert set(Snapshot.objects.values_list("pk", flat=True)) > wanted
    work_off()
    assert set(Snapshot.objects.values_list("pk", flat=True)) == wanted
