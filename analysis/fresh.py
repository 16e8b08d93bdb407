"""Fresh data for a report: asked for once, awaited for a while, and where it does not come, said so with its age."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext as _

from products.models import PlanningStopped, Product, RunTarget, ScrapeRun

from .models import Report

# How long a report waits for what it has asked for, and how often it looks.
PATIENCE, PAUSE = timedelta(minutes=15), timedelta(seconds=10)


class Awaited(Exception):
    """Fresh data is on its way: the report is written when it is there."""


def freshen(report: Report, products: Sequence[Product]) -> dict[str, Any] | None:
    """Answer None when all of these are as fresh as a report's figures have to be, else the oldest look and the reason.

    The first time, what is too old is fetched, within the budgets of looks; raises Awaited as long as that may come.
    """
    if not settings.REPORT_MAX_AGE_HOURS:
        return None
    limit = now() - timedelta(hours=settings.REPORT_MAX_AGE_HOURS)
    seen = Product.objects.filter(pk__in=[one.pk for one in products]).annotate(seen_at=Max("snapshots__taken_at"))
    stale = list(seen.filter(Q(seen_at=None) | Q(seen_at__lt=limit)).order_by("pk"))
    if not stale:
        return None
    try:
        ScrapeRun.objects.ensure_planning(report.team_id)
    except PlanningStopped as reason:
        return _told(stale, str(reason))
    if _ask(report, stale) or _is_on_its_way(report, stale):
        raise Awaited
    return _told(stale, _("A fresh look at them did not succeed."))


def _ask(report: Report, stale: Sequence[Any]) -> bool:
    """Have these looked at now, but for what rests after failures; False when this report has asked before."""
    from products.tasks import batch_update_products  # which resumes reports

    ready = [one.pk for one in stale if one.monitored and (one.retry_at is None or one.retry_at <= now())]
    with transaction.atomic():
        if not Report.objects.filter(pk=report.pk, fetch_asked_at=None).update(fetch_asked_at=Now()) or not ready:
            return False
        Product.objects.filter(pk__in=ready).ask()  # the sweep finds it without the job
        batch_update_products.enqueue(ready)
    return True


def _is_on_its_way(report: Report, products: Sequence[Any]) -> bool:
    if not Report.objects.filter(pk=report.pk, fetch_asked_at__gt=Now() - PATIENCE).exists():
        return False
    held = RunTarget.objects.filter(product__in=products, outcome="pending").exists()
    return held or any(product.asked_at for product in products)


def _told(stale: Sequence[Any], reason: str) -> dict[str, Any]:
    times = [one.seen_at for one in stale]
    since = None if None in times else min(times).isoformat()
    return {"since": since, "reason": reason, "asins": [one.asin for one in stale]}
