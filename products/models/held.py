"""A batch in which so much vanished at once that the page itself is the likelier cause: it waits for a person."""

import json
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import QuerySet
from django.utils.timezone import now

from products.listing import Availability, Listing, Outcome, Rank

from .change import Change
from .product import Product
from .rows import insert, update
from .scrape_run import RunTarget, ScrapeRun

AMOUNTS = ("price", "list_price", "used_price", "rating")
TUPLES = ("warnings", "bullets", "images", "categories", "variants")


def written(listing: Listing) -> str:
    """Return a listing as text, from which `read` makes it again."""
    return json.dumps(asdict(listing), cls=DjangoJSONEncoder)


def read(text: str) -> Listing:
    """Return the listing that was written."""
    words: dict[str, Any] = json.loads(text)
    words |= {name: Decimal(words[name]) for name in AMOUNTS if words[name] is not None}
    words |= {name: tuple(words[name]) for name in TUPLES}
    words["ranks"] = tuple(Rank(**rank) for rank in words["ranks"])
    words["outcome"], words["availability"] = Outcome(words["outcome"]), Availability(words["availability"])
    return Listing(**words)


def hold(run: ScrapeRun, looks: list[Any], at: datetime) -> None:
    """Keep the looks of a run apart; their products count as looked at, and no fact of them changes."""
    for look in looks:
        look.target.outcome, look.target.reason, look.target.answer = Outcome.HELD, "", written(look.listing)
    update([look.target for look in looks], ("outcome", "reason", "answer"))
    Product.objects.filter(pk__in=[look.product.pk for look in looks]).update(checked_at=at, asked_at=None)
    ScrapeRun.objects.filter(pk=run.pk).update(changes_held=True)


def waiting() -> "QuerySet[ScrapeRun]":
    """Return the runs that wait for a person, newest first."""
    held = RunTarget.objects.filter(outcome=Outcome.HELD).values("scrape_run")
    return ScrapeRun.objects.filter(changes_held=True, pk__in=held)


def targets_of(run: ScrapeRun) -> list[RunTarget]:
    """Return what of a run is held, with the products as they are known."""
    return list(run.targets.filter(outcome=Outcome.HELD).exclude(answer="").select_related("product").order_by("asin"))


def _decide(run: ScrapeRun) -> bool:
    return ScrapeRun.objects.filter(pk=run.pk, changes_held=True).update(changes_held=False) == 1


@transaction.atomic
def release(run: ScrapeRun) -> list[Change] | None:
    """Take a held batch for true after all; return the stored changes, or None when it was decided before."""
    from .ingest import Look, end_targets, store, told_changes  # imports this module

    if not _decide(run):
        return None
    looks = [Look(read(target.answer), target) for target in targets_of(run)]
    at = run.finished_at or now()
    store(run, looks, at)
    end_targets(looks, [])
    changes = told_changes([look for look in looks if not look.reason], at)
    insert(changes)
    return changes


@transaction.atomic
def discard(run: ScrapeRun, reason: str) -> int | None:
    """Forget a held batch; return how many looks, or None when it was decided before."""
    if not _decide(run):
        return None
    held = run.targets.filter(outcome=Outcome.HELD)
    return held.update(outcome=Outcome.BLOCKED, reason=reason[:500], answer="")
