"""Background work on products: plan, start and collect scrape runs, and hand on what they found.

The path of one product: update_due_products → batch_update_products → start_scrape_run → collect_scrape_run, and from
there to notifications. Each step may be repeated: the rows decide what is still to be done.
"""

import logging
import time
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext as _

from amazon_pilot.jobs import Backoff, job
from amazon_pilot.jobs.models import Batch
from analysis.tasks import resume_reports
from notifications.models import Channel, ChannelKind, Notification
from notifications.tasks import send_due_notifications, send_notification

from . import apify, pictures
from .models import (
    BudgetSpent,
    BudgetUse,
    BulkChange,
    Change,
    Cleanup,
    Frequency,
    Import,
    Picture,
    PlanningStopped,
    Product,
    Purses,
    Round,
    ScrapeRun,
    Tracking,
)
from .models.ingest import brake_notice
from .models.scrape_run import STARTED_LIMIT
from .words import left_alone_notice

logger = logging.getLogger(__name__)

# The three tasks that follow one run are not unique: each may enqueue itself again, and the row decides anyway.
BATCH_SIZE = 100
# A run that Apify does not know after this time is not on its way any more.
VANISHED = timedelta(minutes=20)
MOST_BILLS, LEAST_POLLS = 20, 3
# A job of a clean-up leaves its slot to others after so long.
CLEANING_SECONDS = 45
# So does one that fetches pictures, the last of which may take ten seconds more.
FETCHING_SECONDS = 60
# A restart of the database takes less; what a round has not done is done by the next try.
ROUND_RETRY = Backoff(attempts=6, first=20, cap=1800)
# What each schedule entry looks after: days and weeks share the morning round.
ROUNDS = {
    "hourly": (Frequency.HOURLY,),
    "six_hourly": (Frequency.SIX_HOURLY,),
    "daily": (Frequency.DAILY, Frequency.WEEKLY),
}


def about_products(product_ids: int | list[int]) -> list[str]:
    """Return what a job on products is about, for the monitor."""
    ids = product_ids if isinstance(product_ids, list) else [product_ids]
    return [f"product:{pk}" for pk in ids[:BATCH_SIZE]]


def about_run(run_id: int) -> list[str]:
    """Return what a job on one scrape run is about, for the monitor."""
    return [f"scrape_run:{run_id}"]


@job("default", timeout=60, unique=True, about=about_products)
def update_product(product_id: int) -> str:
    """Plan a scrape run for one product and have it started; an open run that holds the product is joined."""
    return plan_and_start(Product.objects.filter(pk=product_id))


@job("default", timeout=60, unique=True, about=about_products)
def batch_update_products(product_ids: list[int]) -> str:
    """Plan one scrape run for up to a hundred products of one marketplace and have it started."""
    return plan_and_start(Product.objects.filter(pk__in=product_ids[:BATCH_SIZE]))


def plan_and_start(products: QuerySet[Product]) -> str:
    """Plan one run and enqueue its start when the plan is committed; answer what was done, for the job's result."""
    try:
        with transaction.atomic():
            run = ScrapeRun.objects.plan(list(products.only("marketplace", "asin", "checked_at")))
            if run:
                start_scrape_run.enqueue(run.pk)
        tell_spent(run.refusals if run else ())  # once the rows of the budgets are free
    except BudgetSpent as reason:
        watching = Tracking.objects.filter(product__in=products, paused=False)
        tell_spent([BudgetSpent(reason, reason.teams or watching.values_list("team", flat=True))], not reason.teams)
        return str(reason)
    except PlanningStopped as reason:
        logger.warning("Nothing planned: %s", reason)
        return str(reason)
    return f"scrape run {run.pk} planned" if run else "nothing to plan: an open scrape run holds them"


def tell_spent(refusals: Iterable[BudgetSpent], is_ours: bool = False) -> None:
    """Tell teams on their pages whose products are not looked at for want of a budget, and operators; once a day each.

    `is_ours` says that it is the installation's budget.
    """
    for refusal in refusals:
        logger.warning("Not planned: %s", refusal)
        Notification.objects.tell_teams(refusal.teams, str(refusal), reverse("products:list"))
        team_text = _("Teams have spent their own Apify budget of a day or a month; their products wait.")
        page = reverse("admin:products_budgetuse_changelist")
        Notification.objects.tell_operators(str(refusal) if is_ours else team_text, page)


@job("low", timeout=60, unique=True, retry=ROUND_RETRY)
def update_due_products(round_name: str) -> str:
    """Enqueue a batch for every hundred products of a marketplace whose last look has grown old.

    `round_name` is hourly, six_hourly or daily; the daily round also looks after weekly products. When the day's budget
    has no room for all, teams and marketplaces share it, their oldest first. A round that breaks off is known by its
    row, and resume_unfinished has it made again.
    """
    Round.objects.want(round_name)
    due = Product.objects.due(*ROUNDS[round_name])
    purses = Purses(due.order_by().values_list("pk", flat=True))
    batches = [(ids,) for ids in due.fair_batches(BATCH_SIZE, ScrapeRun.objects.affordable(), purses)]
    Batch.objects.fan_out(batch_update_products, batches)
    tell_left_out(purses, {pk for (ids,) in batches for pk in ids})
    Round.objects.note_done(round_name)
    return f"{sum(len(ids) for (ids,) in batches)} products in {len(batches)} batches"


def tell_left_out(purses: Purses, planned: set[int]) -> None:
    """Tell the teams whose products a round has left out, and operators, which budget had no room for them."""
    tell_spent(purses.refusals)
    left = {team for product, team in purses.payers.items() if product not in planned and team}
    if left and (spent := ScrapeRun.objects.tightest()):
        tell_spent([BudgetSpent(spent, left)], is_ours=True)


@job("default", timeout=60, retry=Backoff(attempts=4, first=60, cap=900), about=about_run)
def start_scrape_run(run_id: int) -> str:
    """Ask Apify to start a planned run, and return while Apify works.

    Busy and refused are answers; any other ApifyError leaves the run at "starting", and reconcile_scrape_run asks.
    """
    run = ScrapeRun.objects.get(pk=run_id)
    if run.attempts and adopt(run):
        return "an earlier start had arrived after all"
    if run.state == "planned" and not ScrapeRun.objects.may_start():
        run.postpone()
        return "Apify refused the last start: this one waits"
    if not run.claim():
        return "another job was first"  # a run is paid for once
    try:
        receipt = ask_to_start(run)
    except apify.ApifyBusy as error:
        wait = run.release(error)  # certainly not started: planned again
        start_scrape_run.enqueue_in(wait, run_id)
        return f"busy, again in {wait}"
    except apify.ApifyRefused as error:
        note_refusal(run, error)  # certain and final: the job did its work
        return f"refused: {error}"
    except apify.ApifyError as error:
        run.mark_unknown(error)
        reconcile_scrape_run.enqueue_in(timedelta(seconds=60), run_id)
        return f"no answer: {error}"
    return watch(run, receipt)


def ask_to_start(run: ScrapeRun) -> apify.Receipt:
    """Ask Apify for a run that calls at its end; where it wants no more webhooks, for one that does not."""
    from .hooks import wanted  # which enqueues a task of this file

    try:
        return apify.start_run(run.asins, run.marketplace, ref=run.ref, webhooks=wanted(run.ref))
    except apify.ApifyRefused as error:
        if error.kind != "too-many-webhooks":
            raise
        return apify.start_run(run.asins, run.marketplace, ref=run.ref)  # nothing was started by the first


def note_refusal(run: ScrapeRun, error: apify.ApifyRefused) -> None:
    """End a run that was refused, and tell operators what has to be mended before anything is fetched again."""
    run.mark_failed(error, cost_usd=Decimal(0), stops_planning=True)
    run.refresh_from_db(fields=["error", "ask_again_at"])
    logger.error("Apify refused run %s: %s", run.pk, run.error)
    Notification.objects.tell_operators(run.refused)


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


@job("default", timeout=120, retry=Backoff(attempts=5, first=60, cap=900), about=about_run)
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


@job("default", timeout=150, retry=Backoff(attempts=5, first=15, cap=300), about=about_run)
def collect_scrape_run(run_id: int) -> str:
    """Keep what an ended run saw, and write to those who asked; a run that still works is asked again later."""
    run = ScrapeRun.objects.get(pk=run_id)
    if run.state != "started":
        return f"already {run.state}"
    pause = run.note_poll()
    try:
        return collect(run, pause)
    except Exception as error:
        # After an outage of ours the first question comes late; one bad moment of Apify must not lose what was paid.
        is_final = isinstance(error, apify.ApifyRefused) or run.polls >= LEAST_POLLS
        if is_final and run.has_lasted(STARTED_LIMIT):
            run.mark_failed(f"What the run found could not be read: {type(error).__name__}: {error}")
            return f"given up: {error}"
        run.note_error(f"{type(error).__name__}: {error}")
        raise


def collect(run: ScrapeRun, pause: timedelta | None) -> str:
    """Ask about a started run once, and keep what it found or ask again after `pause`; None leaves that to others."""
    answer = apify.fetch_run(run.apify_id, run.marketplace, run.asins)  # outside the transaction: the network is slow
    if answer is None and run.has_lasted(VANISHED):
        run.mark_failed("Apify no longer knows the run.")
        return "vanished"
    if answer and answer.is_running and run.has_lasted(STARTED_LIMIT):
        run.mark_failed(f"Apify did not end the run within an hour: {answer.status}.")
        return "given up"
    if answer is None or answer.is_running:
        if pause is not None:
            collect_scrape_run.enqueue_in(pause, run.pk)
        return "still running"
    with transaction.atomic():
        changes = run.ingest(answer)
        tell_changes(changes)
        tell_left_alone(run)
    run.refresh_from_db(fields=["changes_held"])
    if run.changes_held:
        Notification.objects.tell_operators(brake_notice(run), reverse("products:held"))
    if wanted := Picture.objects.want(run):  # last: what was seen is kept, whatever comes of its pictures
        fetch_pictures.enqueue(wanted)
    return f"{len(answer.listings)} listings, {len(changes)} changes"


@job("default", timeout=150, unique=True, about=about_run)
def look_at_hinted_run(run_id: int) -> str:
    """Look once at a run that Apify says has ended; those who ask in turn go on whatever comes of it."""
    run = ScrapeRun.objects.get(pk=run_id)
    if run.state == "starting":
        return "found: the start had arrived" if adopt(run) else "not found yet"
    return collect(run, None) if run.state == "started" else f"already {run.state}"


def tell_changes(changes: Iterable[Change]) -> None:
    """Write to those who asked to hear of these, and have it sent once the transaction commits."""
    for notification in Notification.objects.draft_changes(changes):
        send_notification.enqueue(notification.pk)


def tell_left_alone(run: ScrapeRun) -> None:
    """Tell those who watch a product on these pages that it failed for the last time and is looked at no more."""
    given_up = Product.objects.just_given_up().filter(targets__scrape_run=run)
    watching = list(Tracking.objects.filter(product__in=given_up).select_related("product"))
    if not watching:
        return
    teams = {tracking.team_id for tracking in watching}
    Notification.objects.ensure_app_channels(teams)
    channels = {channel.team_id: channel for channel in Channel.objects.filter(team__in=teams, kind=ChannelKind.APP)}
    Notification.objects.write(
        [
            Notification(
                channel=channels[tracking.team_id],
                subject=left_alone_notice(tracking)[:200],
                body=left_alone_notice(tracking),
                path=tracking.product.get_absolute_url(),
            )
            for tracking in watching
        ]
    )


@job("low", timeout=120, unique=True, about=about_products)
def fetch_pictures(product_ids: list[int]) -> str:
    """Fetch the pictures that these products are still to get; one that does not come waits, and holds up no other.

    Some sites are slow: what is left after a while is left to another job, or to the sweep of each minute.
    """
    end, kept = time.monotonic() + FETCHING_SECONDS, 0
    due = list(Picture.objects.due().filter(pk__in=product_ids[:BATCH_SIZE]))
    for number, picture in enumerate(due):
        if time.monotonic() > end:
            fetch_pictures.enqueue([one.pk for one in due[number:]])
            return f"{kept} of {number} pictures kept, {len(due) - number} left to another job"
        kept += fetch_picture(picture)
    return f"{kept} of {len(due)} pictures kept"


def fetch_picture(picture: Picture) -> bool:
    """Fetch one picture; False when it did not come, which its row then says, or when another job was first."""
    if not picture.claim():
        return False
    try:
        return picture.keep(*pictures.fetch(picture.source))
    except pictures.PictureError as error:
        logger.info("No picture of product %s: %s", picture.pk, error)
        picture.fail(error, is_final=error.is_final)
        return False
    except Exception as error:
        picture.fail(type(error).__name__, is_final=False)  # whatever it was, it is not tried for ever
        raise


@job("default", timeout=60, retry=Backoff(attempts=2, first=60), about=about_run)
def bill_scrape_run(run_id: int) -> str:
    """Ask once more what an ended run cost, when Apify had not said so at its end."""
    run = ScrapeRun.objects.get(pk=run_id)
    run.note_poll()
    cost_usd = apify.fetch_cost(run.apify_id)
    if cost_usd is None:
        return "not said yet"
    return f"billed ${cost_usd}" if run.bill(cost_usd) else "billed before"


@job("default", timeout=60, unique=True)
def resume_unfinished() -> str:
    """Pick up what a crash, a lost answer or an emptied Redis left behind; the rows know."""
    for run in ScrapeRun.objects.overdue():
        run.end_overdue()
    for name in Round.objects.missed().filter(name__in=ROUNDS).values_list("name", flat=True):
        update_due_products.enqueue(name)
    clean_up.enqueue_many([(kind,) for kind in Cleanup.objects.revive()])
    take_import.enqueue_many([(pk,) for pk in Import.objects.broken_off().values_list("pk", flat=True)])
    if not ScrapeRun.objects.is_stopped():
        forgotten = Product.objects.forgotten().batches(BATCH_SIZE)
        Batch.objects.fan_out(batch_update_products, [(ids,) for ids in forgotten])
    runs = ScrapeRun.objects
    found = {
        start_scrape_run: list(runs.startable().filter(created_at__lte=Now() - timedelta(minutes=1))),
        reconcile_scrape_run: list(runs.uncertain()),
        collect_scrape_run: list(runs.unwatched()),
        bill_scrape_run: list(runs.unbilled()[:MOST_BILLS]),
    }
    for task, rows in found.items():
        Batch.objects.fan_out(task, [(run.pk,) for run in rows])
    Batch.objects.fan_out(fetch_pictures, [(ids,) for ids in Picture.objects.left_over(BATCH_SIZE)])
    resume_reports.enqueue()
    send_due_notifications.enqueue()
    return ", ".join(f"{task.__name__}: {len(rows)}" for task, rows in found.items())


@job("default", timeout=300)
def take_import(import_id: int) -> str:
    """Take what is left of an import, step by step; each is kept, and its page shows how far it came."""
    from .taking_in.taking import step  # which enqueues tasks of this file

    row = Import.objects.get(pk=import_id)
    while step(row):
        pass
    return f"{row.done} lines, {row.count} added, {row.state}"


@job("low", timeout=60, retry=ROUND_RETRY)
def cleanup() -> str:
    """Begin a round of each kind of clean-up, and delete removed trackings after an hour and old imports."""
    Cleanup.objects.begin()
    BudgetUse.objects.filter(begun_at__lte=Now() - timedelta(days=62)).delete()
    clean_up.enqueue_many([(kind,) for kind in Cleanup.objects.values_list("kind", flat=True)])
    BulkChange.objects.prune()
    return f"removed trackings: {Tracking.everything.purge()}, imports: {Import.objects.prune()}"


@job("low", timeout=120, retry=ROUND_RETRY)
def clean_up(kind: str) -> str:
    """Take steps of one kind of clean-up for a while, and go on in another job when that was not enough.

    A second job of the same kind stops at its first step: the row of the kind moves once for each.
    """
    row, end = Cleanup.objects.get(kind=kind), time.monotonic() + CLEANING_SECONDS
    while row.step():
        if time.monotonic() > end:
            clean_up.enqueue(kind)
            break
    row.refresh_from_db()
    return f"{kind}: {row.gone} of {row.seen} rows, up to {row.reached_at}{'' if row.ended_at else ', more to come'}"
