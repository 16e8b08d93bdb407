"""Background work on products: plan, start and collect scrape runs, and hand on what they found.

The path of one product: update_due_products → batch_update_products → start_scrape_run → collect_scrape_run, and from
there to notifications. Each step may be repeated: the rows decide what is still to be done.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.db import transaction
from django.utils.timezone import now

from amazon_pilot.jobs import Backoff, job
from amazon_pilot.jobs.operate import bulk
from analysis.tasks import resume_reports
from notifications.models import Notification
from notifications.tasks import send_due_notifications, send_notification

from . import apify
from .models import Change, Frequency, PlanningStopped, Product, ScrapeRun, Snapshot
from .models.ingest import brake_notice

logger = logging.getLogger(__name__)

# The three tasks that follow one run are not unique: each may enqueue itself again, and the row decides anyway.
BATCH_SIZE = 100
# What each schedule entry looks after: days and weeks share the morning round.
ROUNDS = {
    "hourly": (Frequency.HOURLY,),
    "six_hourly": (Frequency.SIX_HOURLY,),
    "daily": (Frequency.DAILY, Frequency.WEEKLY),
}


@job("default", timeout=60, unique=True)
def update_product(product_id: int) -> str:
    """Plan a scrape run for one product and have it started; an open run that holds the product is joined."""
    return plan_and_start(Product.objects.filter(pk=product_id))


@job("default", timeout=60, unique=True)
def batch_update_products(product_ids: list[int]) -> str:
    """Plan one scrape run for up to a hundred products of one marketplace and have it started."""
    return plan_and_start(Product.objects.filter(pk__in=product_ids[:BATCH_SIZE]))


def plan_and_start(products: Iterable[Product]) -> str:
    """Plan one run and enqueue its start when the plan is committed; answer what was done, for the job's result."""
    try:
        with transaction.atomic():
            run = ScrapeRun.objects.plan(list(products))
            if run:
                start_scrape_run.enqueue(run.pk)
    except PlanningStopped as reason:
        logger.warning("Nothing planned: %s", reason)
        return str(reason)
    return f"scrape run {run.pk} planned" if run else "nothing to plan: an open scrape run holds them"


@job("low", timeout=60, unique=True)
def update_due_products(round_name: str) -> str:
    """Enqueue a batch for every hundred products of a marketplace whose last look has grown old.

    `round_name` is hourly, six_hourly or daily; the daily round also looks after weekly products.
    """
    batches = [(ids,) for ids in Product.objects.due(*ROUNDS[round_name]).batches(BATCH_SIZE)]
    batch_update_products.enqueue_many(batches)
    return f"{sum(len(ids) for (ids,) in batches)} products in {len(batches)} batches"


@job("default", timeout=60, retry=Backoff(attempts=4, first=60, cap=900))
def start_scrape_run(run_id: int) -> str:
    """Ask Apify to start a planned run, and return while Apify works.

    Busy and refused are answers; any other ApifyError leaves the run at "starting", and reconcile_scrape_run asks.
    """
    run = ScrapeRun.objects.get(pk=run_id)
    if run.attempts and adopt(run):
        return "an earlier start had arrived after all"
    if not run.claim():
        return "another job was first"  # a run is paid for once
    try:
        receipt = apify.start_run(run.asins, run.marketplace, ref=run.ref)
    except apify.ApifyBusy as error:
        not_before = run.release(error)  # certainly not started: planned again
        start_scrape_run.enqueue_in(not_before - now(), run_id)
        return f"busy, again at {not_before:%H:%M:%S} UTC"
    except apify.ApifyRefused as error:
        run.mark_failed(error, stops_planning=error.stops_planning)  # certain and final: the job did its work
        return f"refused: {error}"
    except apify.ApifyError as error:
        run.mark_unknown(error)
        reconcile_scrape_run.enqueue_in(timedelta(seconds=60), run_id)
        return f"no answer: {error}"
    return watch(run, receipt)


def watch(run: ScrapeRun, receipt: apify.Receipt) -> str:
    """Keep the receipt of a started run and look after it in a few seconds."""
    if run.mark_started(receipt):
        collect_scrape_run.enqueue_in(timedelta(seconds=5), run.pk)
    return f"started as {receipt.apify_id}"


def adopt(run: ScrapeRun) -> bool:
    """Look for a start whose answer was lost; True when Apify knows it and the run is now watched."""
    receipt = apify.find_run(run.ref, run.starting_at or run.created_at)
    if receipt is not None:
        watch(run, receipt)
    return receipt is not None


@job("default", timeout=120, retry=Backoff(attempts=5, first=60, cap=900))
def reconcile_scrape_run(run_id: int) -> str:
    """Find out whether a start whose answer was lost has happened; only then may it be asked for again."""
    run = ScrapeRun.objects.get(pk=run_id)
    if run.state != "starting":
        return f"already {run.state}"
    if adopt(run):
        return "found: the start had arrived"
    if run.mark_lost():
        start_scrape_run.enqueue(run_id)
        return "not found: planned again"
    run.refresh_from_db(fields=["state"])
    if run.state == "starting":
        reconcile_scrape_run.enqueue_in(timedelta(seconds=60), run_id)
    return "not found yet" if run.state == "starting" else "given up"


@job("default", timeout=150, retry=Backoff(attempts=5, first=15, cap=300))
def collect_scrape_run(run_id: int) -> str:
    """Keep what an ended run saw, and write to those who asked; a run that still works is asked again later."""
    run = ScrapeRun.objects.get(pk=run_id)
    if run.state != "started":
        return f"already {run.state}"
    pause = run.note_poll()
    answer = apify.fetch_run(run.apify_id, run.marketplace, run.asins)  # outside the transaction: the network is slow
    if answer is None and run.started_at and now() - run.started_at > timedelta(minutes=20):
        run.mark_failed("Apify no longer knows the run.")
        return "vanished"
    if answer is None or answer.is_running:
        collect_scrape_run.enqueue_in(pause, run_id)
        return "still running"
    with transaction.atomic():
        changes = run.ingest(answer)
        for notification in Notification.objects.draft_changes(changes):
            send_notification.enqueue(notification.pk)
    run.refresh_from_db(fields=["changes_held"])
    if run.changes_held:
        Notification.objects.tell_operators(brake_notice(run))
    return f"{len(answer.listings)} listings, {len(changes)} changes"


@job("default", timeout=60, unique=True)
def resume_unfinished() -> str:
    """Pick up what a crash, a lost answer or an emptied Redis left behind; the rows know."""
    batch_update_products.enqueue_many([(ids,) for ids in Product.objects.forgotten().batches(BATCH_SIZE)])
    runs = ScrapeRun.objects
    found = {
        start_scrape_run: list(runs.startable().filter(created_at__lte=now() - timedelta(minutes=1))),
        reconcile_scrape_run: list(runs.uncertain()),
        collect_scrape_run: list(runs.unwatched()),
    }
    for task, rows in found.items():
        task.enqueue_many([(run.pk,) for run in rows])
    bulk.resume()
    resume_reports.enqueue()
    send_due_notifications.enqueue()
    return ", ".join(f"{task.__name__}: {len(rows)}" for task, rows in found.items())


@job("low", timeout=300)
def cleanup() -> str:
    """Prune raw items after 30 days, changes after 90, and thin snapshots older than a year."""
    return ", ".join(
        f"{what}: {count}"
        for what, count in (
            ("raw items", Snapshot.objects.forget_raw(older_than=timedelta(days=30))),
            ("snapshots", Snapshot.objects.thin()),
            ("changes", Change.objects.prune(older_than=timedelta(days=90))),
            ("scrape runs", ScrapeRun.objects.prune(older_than=timedelta(days=730))),
        )
    )
