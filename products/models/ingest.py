"""From an ended run to rows: snapshots, the products' last good values, targets, and the changes people asked for.

The number of statements does not grow with the number of products, but for SQLite, which takes them in parts. What
cannot be stored together is stored in halves, down to the one listing that cannot be stored: it is set aside alone.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import DecimalField
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext as _

from products import fields
from products.apify import RunAnswer
from products.fields import clean
from products.listing import Listing, Outcome

from .change import Change, Difference, Kind, differences
from .held import hold
from .past import Past, told_of
from .product import CONTENT, Product
from .rivals import told_of_rivals
from .rows import insert, update
from .scrape_run import RunTarget, ScrapeRun, State
from .seller import Guard
from .snapshot import Snapshot
from .tracking import Tracking

# More than this share of a batch losing price or rank at once is a layout or captcha problem, not the market.
BRAKE_SHARE, BRAKE_LEAST = 0.3, 10
OUTCOME = (
    *("monitored", "asked_at", "checked_at", "failures", "retry_at", "last_outcome"),
    *("availability", "availability_seen_at"),
)
FACTS = (
    *(*OUTCOME, "price", "list_price", "price_seen_at", "bsr", "bsr_category", "bsr_seen_at", "rating"),
    *("rating_seen_at", "review_count", "review_count_seen_at", "seller", "seller_id", "fulfilled_by_amazon"),
    *("seller_seen_at", "bought_past_month", "content_seen_at"),
)
AMOUNTS = {
    column.name: (column.max_digits - column.decimal_places, column.decimal_places)
    for column in Snapshot._meta.fields
    if isinstance(column, DecimalField)
}

logger = logging.getLogger(__name__)


@dataclass
class Look:
    """One listing on its way into the rows of its product; `reason` is why it was set aside, if it was."""

    listing: Listing
    target: RunTarget
    found: list[Difference] = field(default_factory=list)
    snapshot: Snapshot | None = None
    reason: str = ""

    @property
    def product(self) -> Product:
        return self.target.product

    @property
    def outcome(self) -> Outcome:
        return Outcome.ASIDE if self.reason else self.listing.outcome


@transaction.atomic
def ingest(run: ScrapeRun, answer: RunAnswer) -> list[Change]:
    """Keep what the run saw; answer the stored changes, none when the run had been ingested before."""
    # An end in the future would hold back every later look as older.
    taken_at = min(answer.finished_at or now(), now() + timedelta(hours=1))
    ended = ScrapeRun.objects.filter(pk=run.pk, state=State.STARTED).update(
        state=State.INGESTED if answer.succeeded else State.FAILED,
        finished_at=taken_at,
        checked_at=Now(),
        error="" if answer.succeeded else clean(f"{answer.status}: {answer.status_message or ''}")[:500],
    )
    if not ended:
        return []
    targets = {target.asin: target for target in run.targets.select_related("product")}
    looks = [Look(listing, targets.pop(listing.asin)) for listing in answer.listings if listing.asin in targets]
    good = [look for look in looks if look.listing.outcome == Outcome.OK]
    if _must_brake(good):
        hold(run, good, taken_at)
        looks, good = [look for look in looks if look.listing.outcome != Outcome.OK], []
    store(run, good, taken_at)
    _note_failures([look for look in looks if look.outcome != Outcome.OK], taken_at)
    end_targets(looks, targets.values())
    changes = told_changes([look for look in good if not look.reason], taken_at)
    insert(changes)
    if answer.cost_usd is not None:
        run.bill(answer.cost_usd)  # last, as the day's row is what all planners wait for
    return changes


def store(run: ScrapeRun, looks: list[Look], taken_at: datetime) -> None:
    """Keep the looks together, or in halves when one of them cannot be kept; that one gets a reason."""
    if not looks:
        return
    try:
        with transaction.atomic():
            _keep(run, looks, taken_at)
        return
    except (InterfaceError, OperationalError):
        raise  # the database is away, which no listing is to blame for
    except Exception as error:
        if len(looks) == 1:
            _set_aside(looks[0], error)
            return
    # Their products were changed in memory, and what did not arrive must not count as known.
    fresh = Product.objects.in_bulk([look.product.pk for look in looks])
    for look in looks:
        look.target.product = fresh[look.product.pk]
    for half in (looks[: len(looks) // 2], looks[len(looks) // 2 :]):
        store(run, half, taken_at)


def _keep(run: ScrapeRun, looks: list[Look], taken_at: datetime) -> None:
    # What a seller writes is most of the row, and seldom new.
    written: dict[bool, list[Product]] = {True: [], False: []}
    for look in looks:
        product, listing = look.product, look.listing
        _ensure_readable(listing)
        known = product.content
        look.found = differences(product, listing, taken_at)
        product.remember(listing, taken_at)
        product.note_outcome(Outcome.OK, taken_at)
        look.snapshot = Snapshot.of(listing, product, run, taken_at)
        written[product.content != known].append(product)
    insert([look.snapshot for look in looks])
    insert([rank for look in looks if look.snapshot for rank in look.snapshot.ranks_of(look.listing)])
    update(written[True], (*FACTS, *CONTENT))
    update(written[False], FACTS)


def _ensure_readable(listing: Listing) -> None:
    """Raise ValueError for an amount with more digits than its column: SQLite takes it and never gives it back."""
    for name, (whole, places) in AMOUNTS.items():
        amount = getattr(listing, name)
        if amount is not None and not _fits(amount, whole, places):
            raise ValueError(f"{name} {amount} does not fit {whole} digits and {places} decimals")


def _fits(amount: Decimal, whole: int, places: int) -> bool:
    return amount.is_finite() and amount.adjusted() < whole and int(amount.as_tuple().exponent) >= -places


def _set_aside(look: Look, error: Exception) -> None:
    """Have one listing that was tried alone and failed again wait for a person."""
    logger.error("Set aside what Apify answered for %s: %s", look.target.asin, type(error).__name__)
    look.reason = clean(f"{type(error).__name__}: {error}")[:500]
    look.target.product = Product.objects.get(pk=look.product.pk)


def _note_failures(looks: list[Look], taken_at: datetime) -> None:
    for look in looks:
        look.product.note_outcome(look.outcome, taken_at)
    update([look.product for look in looks], OUTCOME)


def end_targets(looks: list[Look], unanswered: Iterable[RunTarget]) -> None:
    """Note on each target of a run what became of it."""
    for look in looks:
        look.target.outcome = look.outcome
        look.target.reason = look.reason or ("; ".join(look.listing.warnings) if look.outcome != Outcome.OK else "")
        look.target.answer = look.listing.set_aside or (fields.shown_text(look.listing.raw) if look.reason else "")
    for target in unanswered:
        target.outcome = Outcome.MISSING
    rows = [*(look.target for look in looks), *unanswered]
    for row in rows:
        row.reason, row.answer = clean(row.reason)[:500], clean(row.answer)
    update(rows, ("outcome", "reason", "answer"))


def _must_brake(good: list[Look]) -> bool:
    """Tell whether so many known prices or ranks vanished at once that the page itself is the likelier cause."""
    if len(good) < BRAKE_LEAST:
        return False
    lost = sum(
        (look.product.price is not None and look.listing.price is None)
        or (look.product.bsr is not None and not look.listing.ranks)
        for look in good
    )
    return lost > BRAKE_SHARE * len(good)


def told_changes(stored: list[Look], taken_at: datetime) -> list[Change]:
    """Lay out what each tracking's thresholds let through, with the product as it is now."""
    looks = {look.product.pk: (look, look.snapshot) for look in stored if look.found and look.snapshot}
    trackings = list(Tracking.objects.filter(product_id__in=looks, paused=False))
    for tracking in trackings:
        tracking.product = looks[tracking.product_id][0].product
    wishes = told_of(trackings)
    past = Past.of(looks, wishes.values(), taken_at)
    last = Change.objects.last_told([pk for pk, told in wishes.items() if told.rearm_minutes])
    guard = _guard([look for look, _snapshot in looks.values()], trackings, taken_at)
    changes = []
    for tracking in trackings:
        (look, snapshot), told = looks[tracking.product_id], wishes[tracking.pk]
        changes += [
            Change.of(difference, tracking, snapshot, taken_at, reasons)
            for difference in (guard.told(one, tracking) for one in look.found)
            if (reasons := difference.reasons(tracking, told, past))
            and not told.is_silent(last.get((tracking.pk, difference.kind)), taken_at)
        ]
    seen = {look.product.pk: (look.product, look.snapshot) for look in stored if look.snapshot}
    return [*changes, *told_of_rivals(seen, taken_at)]


def _guard(looks: list[Look], trackings: Iterable[Tracking], at: datetime) -> Guard:
    """Return what is known of sellers, asked for where a buy box changed hands alone."""
    changed = {look.product.pk for look in looks if any(one.kind == Kind.BUYBOX for one in look.found)}
    teams = {tracking.team_id for tracking in trackings if tracking.product_id in changed}
    return Guard.of(teams, changed, at) if teams else Guard()


def brake_notice(run: ScrapeRun) -> str:
    """Say to an operator why a run's changes were held back."""
    return _(
        "%(run)s: more than 30 %% of the products lost their price or rank at once. Nothing was changed: please decide."
    ) % {"run": run}
