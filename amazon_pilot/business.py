"""What the product tells the monitor about itself: today's numbers, and which page belongs to a job.

The engine room knows no product, so it finds these functions by the settings MONITOR_TILES and MONITOR_RELATED.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.db.models import Model, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from analysis.models import ModelCall, Report
from notifications.models import Notification
from products.models import Change, Product, ScrapeRun

MOST_RELATED = 5
ROWS: dict[str, type[Model]] = {
    "update_product": Product,
    "batch_update_products": Product,
    "start_scrape_run": ScrapeRun,
    "collect_scrape_run": ScrapeRun,
    "reconcile_scrape_run": ScrapeRun,
    "bill_scrape_run": ScrapeRun,
    "competitor_analysis": Report,
    "optimization_analysis": Report,
    "send_notification": Notification,
}


def tiles() -> list[dict[str, Any]]:
    """Answer today's numbers, each with the list that gives it; a day begins at midnight in the viewer's zone."""
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    model_cost = ModelCall.objects.filter(created_at__gte=today).aggregate(total=Sum("cost_usd"))["total"] or 0
    return [
        {
            "label": _("Products refreshed today"),
            "value": Product.objects.filter(checked_at__gte=today).count(),
            "url": _rows("products_product", "checked_at", today),
        },
        {
            "label": _("Changes today"),
            "value": Change.objects.filter(seen_at__gte=today).count(),
            "url": _rows("products_change", "seen_at", today),
        },
        {
            "label": _("Notifications today"),
            "value": Notification.objects.filter(created_at__gte=today).count(),
            "url": _rows("notifications_notification", "created_at", today),
        },
        {
            "label": _("Spent at Apify today"),
            "value": f"${ScrapeRun.objects.spent_usd(today):.2f}",
            "url": _rows("products_scraperun", "created_at", today),
        },
        {
            "label": _("Spent at OpenAI today"),
            "value": f"${model_cost:.2f}",
            "url": _rows("analysis_modelcall", "created_at", today),
        },
    ]


def _rows(model: str, field: str, since: datetime) -> str:
    return reverse(f"admin:{model}_changelist") + "?" + urlencode({f"{field}__gte": since.isoformat()})


def related(task: str, args: Sequence[Any]) -> list[tuple[str, str]]:
    """Answer the rows that a job's arguments name, as text and address in the admin; at most five."""
    model = ROWS.get(task.rsplit(".", 1)[-1])
    if model is None or not args:
        return []
    ids = args[0] if isinstance(args[0], list) else [args[0]]
    rows = model._default_manager.filter(pk__in=[pk for pk in ids if isinstance(pk, int)][:MOST_RELATED])
    page = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return [(f"{model._meta.verbose_name} {row}", reverse(page, args=[row.pk])) for row in rows]
