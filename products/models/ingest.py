"""From an ended run to rows: targets, snapshots, the products' last good values, and the changes people asked for.

The number of queries does not grow with the number of products of the run.
"""

from datetime import datetime

from django.db import transaction
from django.utils.timezone import now
from django.utils.translation import gettext as _

from products.apify import RunAnswer
from products.listing import Listing, Outcome

from .change import Change, differences
from .product import Product
from .scrape_run import RunTarget, ScrapeRun, State
from .snapshot import Snapshot, SnapshotRank
from .tracking import Tracking

# More than this share of a batch losing price or rank at once is a layout or captcha problem, not the market.
BRAKE_SHARE, BRAKE_LEAST = 0.3, 10
REMEMBERED = [
    *(
        "title",
        "brand",
        "bullets",
        "description",
        "images",
        "has_video",
        "categories",
        "content_hash",
        "content_seen_at",
    ),
    *("price", "list_price", "price_seen_at", "bsr", "bsr_category", "bsr_seen_at", "rating", "rating_seen_at"),
    *("review_count", "review_count_seen_at", "seller", "seller_id", "fulfilled_by_amazon", "seller_seen_at"),
    *("availability", "availability_seen_at", "bought_past_month"),
    *("monitored", "asked_at", "checked_at", "failures", "retry_at", "last_outcome"),
]


@transaction.atomic
def ingest(run: ScrapeRun, answer: RunAnswer) -> list[Change]:
    """Keep what the run saw; answer the stored changes, none when the run had been ingested before."""
    taken_at = answer.finished_at or now()
    ended = ScrapeRun.objects.filter(pk=run.pk, state=State.STARTED).update(
        state=State.INGESTED if answer.succeeded else State.FAILED,
        finished_at=taken_at,
        checked_at=now(),
        cost_usd=answer.cost_usd,
        error="" if answer.succeeded else f"{answer.status}: {answer.status_message or ''}"[:500],
    )
    if not ended:
        return []
    targets = {target.asin: target for target in run.targets.select_related("product")}
    seen = [(listing, targets[listing.asin].product) for listing in answer.listings if listing.asin in targets]
    _end_targets(targets, answer)
    good = [(listing, product) for listing, product in seen if listing.outcome == Outcome.OK]
    snapshots = _keep(run, good, taken_at)
    braked = _must_brake(good)
    changes = [] if braked else _changes(run, good, snapshots, taken_at)
    if braked:
        ScrapeRun.objects.filter(pk=run.pk).update(changes_held=True)
    for listing, product in seen:
        if listing.outcome == Outcome.OK:
            product.remember(listing, taken_at)
        product.note_outcome(listing.outcome, taken_at)
    Product.objects.bulk_update([product for _listing, product in seen], REMEMBERED, batch_size=50)
    return Change.objects.bulk_create(changes)


def _end_targets(targets: dict[str, RunTarget], answer: RunAnswer) -> None:
    outcomes = {listing.asin: listing.outcome for listing in answer.listings}
    for asin, target in targets.items():
        target.outcome = outcomes.get(asin, Outcome.MISSING)
    RunTarget.objects.bulk_update(targets.values(), ["outcome"])


def _keep(run: ScrapeRun, good: list[tuple[Listing, Product]], taken_at: datetime) -> dict[int, Snapshot]:
    snapshots = Snapshot.objects.bulk_create(
        [Snapshot.of(listing, product, run, taken_at) for listing, product in good]
    )
    SnapshotRank.objects.bulk_create(
        SnapshotRank(snapshot=snapshot, category=rank.category[:200], position=position, rank=rank.rank)
        for snapshot, (listing, _product) in zip(snapshots, good, strict=True)
        for position, rank in enumerate(listing.ranks)
    )
    return {snapshot.product_id: snapshot for snapshot in snapshots}


def _must_brake(good: list[tuple[Listing, Product]]) -> bool:
    """Tell whether so many known prices or ranks vanished at once that the page itself is the likelier cause."""
    if len(good) < BRAKE_LEAST:
        return False
    lost = sum(
        (product.price is not None and listing.price is None) or (product.bsr is not None and not listing.ranks)
        for listing, product in good
    )
    return lost > BRAKE_SHARE * len(good)


def _changes(
    run: ScrapeRun, good: list[tuple[Listing, Product]], snapshots: dict[int, Snapshot], taken_at: datetime
) -> list[Change]:
    """Compare each listing with what its product remembers, once for each tracking and its thresholds."""
    found = {product.pk: differences(product, listing, taken_at) for listing, product in good}
    trackings = Tracking.objects.filter(product_id__in=[pk for pk, some in found.items() if some], paused=False)
    told = Change.objects.last_told([tracking.pk for tracking in trackings if tracking.rearm_minutes])
    return [
        Change.of(difference, tracking, snapshots[tracking.product_id], taken_at)
        for tracking in trackings
        for difference in found[tracking.product_id]
        if difference.crosses(tracking) and not _is_silent(tracking, told.get((tracking.pk, difference.kind)), taken_at)
    ]


def _is_silent(tracking: Tracking, last: datetime | None, at: datetime) -> bool:
    return last is not None and (at - last).total_seconds() < tracking.rearm_minutes * 60


def brake_notice(run: ScrapeRun) -> str:
    """Say to an operator why a run's changes were held back."""
    return _(
        "%(run)s: more than 30 %% of the products lost their price or rank at once. Their changes were not told."
    ) % {"run": run}
