"""A comparison rests on fresh data: fetched once and paid once, and where it does not come the report says its age."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal

import django_rq
import pytest
from django.db import connection
from django.utils.timezone import now

from amazon_pilot.jobs.core.registry import TASKS
from analysis.fresh import PATIENCE
from analysis.models import Comparison, Report
from analysis.tasks import competitor_analysis, resume_reports
from products.apify import ApifyError
from products.models import Product, ScrapeRun
from products.tasks import resume_unfinished
from tests.world import delayed, enqueued, see

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def limit(settings, sandbox):
    settings.REPORT_MAX_AGE_HOURS = 36


@pytest.fixture
def comparison(alice, lamp, competitors):
    """Three days old, but for the last competitor, which was seen an hour ago."""
    everyone = [lamp, *competitors[:4]]
    for product in everyone:
        age = timedelta(hours=1) if product is everyone[-1] else timedelta(days=3)
        see(product, now() - age, title="A lamp", price=Decimal(40))
    return Comparison.objects.start(alice.teams.get(), lamp, competitors[:4], "Lamps")


@pytest.fixture
def report(comparison):
    return Report.objects.ask_comparison(comparison)


def let_time_pass():
    Report.objects.update(next_at=now() - timedelta(minutes=2))


def work(until=lambda: Report.objects.get().state == "completed"):
    """Run what waits, as workers would, until the report is written; bounded, as the product must be."""
    for _turn in range(200):
        if until():
            return
        jobs = [*enqueued(), *delayed()]
        django_rq.get_connection().flushdb()
        for name, args in jobs:
            with suppress(ApifyError):
                TASKS[name].function(*args)
        time.sleep(0.02)
    raise AssertionError(f"never written: {Report.objects.values()}")


@pytest.mark.later
def test_what_is_old_is_fetched_once_and_the_report_rests_on_it(report, sandbox):
    assert competitor_analysis(report.pk) == "waits for fresh data"
    assert [name.rsplit(".", 1)[-1] for name, _args in enqueued()] == ["batch_update_products"]
    report.refresh_from_db()
    assert (report.state, report.attempts, report.error) == ("pending", 0, "")
    for _again in range(5):
        assert competitor_analysis(report.pk) == "waits for fresh data"
    work()

    report.refresh_from_db()
    (run,) = sandbox.apify.runs
    assert len(run.urls) == 4  # not the one that was fresh
    assert (report.attempts, "stale" in report.numbers) == (1, False)
    assert {row["price"] for row in report.numbers["products"][:-1]} != {"40"}

    other = Report.objects.ask_comparison(report.comparison, forced=True)
    competitor_analysis(other.pk)
    other.refresh_from_db()
    assert (other.state, other.fetch_asked_at, len(sandbox.apify.runs)) == ("completed", None, 1)


@pytest.mark.later
def test_what_is_fresh_enough_is_not_paid_for(report, sandbox, settings):
    settings.REPORT_MAX_AGE_HOURS = 80
    competitor_analysis(report.pk)
    assert (Report.objects.get().state, sandbox.apify.runs, enqueued()) == ("completed", [], enqueued())
    assert not ScrapeRun.objects.exclude(state="ingested").exists()


@pytest.mark.parametrize("name", ["APIFY_DAILY_BUDGET_USD", "APIFY_MONTHLY_BUDGET_USD", "APIFY_TEAM_DAILY_BUDGET_USD"])
def test_without_a_budget_the_report_says_how_old_it_is_and_why(report, sandbox, settings, client, name):
    setattr(settings, name, Decimal(0))
    competitor_analysis(report.pk)

    report.refresh_from_db()
    assert (report.state, report.fetch_asked_at, sandbox.apify.runs) == ("completed", None, [])
    stale = report.numbers["stale"]
    assert len(stale["asins"]) == 4
    assert stale["since"].startswith(f"{now() - timedelta(days=3):%Y-%m-%d}")
    assert "budget of $0" in stale["reason"]
    client.force_login(report.team.members.get())
    text = client.get(report.comparison.get_absolute_url()).content.decode()
    assert "These figures are not fresh" in text
    assert "budget of $0" in text


@pytest.mark.later
@pytest.mark.parametrize("fault", [{"status": 401, "kind": "user-or-token-not-found"}, {"status": 404}])
def test_where_apify_refuses_the_report_is_written_all_the_same(report, sandbox, fault):
    sandbox.apify.fail_next(times=20, **fault)
    competitor_analysis(report.pk)
    work()

    report.refresh_from_db()
    assert report.numbers["stale"]["reason"].startswith("Apify refused")


@pytest.mark.later
def test_where_nothing_comes_it_waits_for_a_while_and_no_longer(report, sandbox):
    sandbox.apify.fail_next(status=429, times=20)
    competitor_analysis(report.pk)
    for name, args in enqueued():
        TASKS[name].function(*args)
    assert competitor_analysis(report.pk) == "waits for fresh data"
    Report.objects.update(fetch_asked_at=now() - PATIENCE)
    competitor_analysis(report.pk)

    report.refresh_from_db()
    assert report.state == "completed"
    assert report.numbers["stale"]["reason"] == "A fresh look at them did not succeed."


@pytest.mark.later
def test_a_look_that_fails_leaves_the_figures_old_and_is_not_paid_again(report, sandbox):
    sandbox.apify.end_next("FAILED", items=0)
    competitor_analysis(report.pk)
    work()

    assert len(sandbox.apify.runs) == 1
    assert Report.objects.get().numbers["stale"]["since"]


@pytest.mark.later
def test_what_rests_or_is_left_alone_is_not_asked_for(report, sandbox):
    Product.objects.update(retry_at=now() + timedelta(hours=1))
    competitor_analysis(report.pk)
    assert (Report.objects.get().state, enqueued(), sandbox.apify.runs) == ("completed", enqueued(), [])
    assert len(Report.objects.get().numbers["stale"]["asins"]) == 4


@pytest.mark.later
def test_an_emptied_redis_loses_neither_the_look_nor_the_report(report, sandbox):
    competitor_analysis(report.pk)
    run_jobs_lost()
    Product.objects.filter(asked_at__isnull=False).update(asked_at=now() - timedelta(minutes=2))
    resume_unfinished()
    assert "products.tasks.batch_update_products" in {name for name, _args in enqueued()}
    let_time_pass()
    resume_reports()
    assert ("analysis.tasks.competitor_analysis", [report.pk]) in enqueued()


def run_jobs_lost():
    assert enqueued()
    assert delayed()
    django_rq.get_connection().flushdb()


KILLED = """
import os, signal, django
django.setup()
from analysis import tasks
{patch}
tasks.competitor_analysis({report})
"""
MOMENTS = {
    "before it asks": "tasks.freshen = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
    "when it has asked": "tasks.Report.hold = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
    "between the fetch and the report": "tasks.comparison_sheet = lambda *_: os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_worker_killed_on_the_way_costs_one_run(report, sandbox, process_env, moment):
    if moment.startswith("between"):
        competitor_analysis(report.pk)
        Report.objects.update(next_at=now() + timedelta(hours=1))
        work(lambda: ScrapeRun.objects.filter(state="ingested").count() == 6)
        let_time_pass()
    env = process_env | {"REPORT_MAX_AGE_HOURS": "36", "PYTHONPATH": os.getcwd()}
    code = KILLED.format(patch=MOMENTS[moment], report=report.pk)
    assert subprocess.run([sys.executable, "-c", code], env=env, check=False).returncode == -signal.SIGKILL
    connection.close()

    assert Report.objects.filter(state="processing").update(next_at=now() - timedelta(hours=1)) == 1
    resume_reports()
    Product.objects.filter(asked_at__isnull=False).update(asked_at=now() - timedelta(minutes=2))
    resume_unfinished()
    work()

    assert len(sandbox.apify.runs) == 1
    assert "stale" not in Report.objects.get().numbers
