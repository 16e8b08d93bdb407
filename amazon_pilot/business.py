"""What the product tells the monitor about itself: today's numbers, and which page belongs to a job.

The engine room knows no product, so it finds these functions by the settings MONITOR_TILES, MONITOR_RELATED,
MONITOR_CHECKS, MONITOR_TELL and MONITOR_TELL_ONE.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import Model, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from analysis.models import ModelCall, Report, Spending
from analysis.texts import one_line, storable
from notifications.models import Channel, ChannelQuerySet, Notification, State
from notifications.tasks import send_notification
from products.models import BudgetUse, Change, DaySpending, Product, ScrapeRun, Severity
from products.models.spending import MICROS

logger = logging.getLogger(__name__)

MOST_RELATED = 5
NEARLY = Decimal("0.9")  # of a budget: from there on an operator may want to know
BILLION = 10**9
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


def checks() -> list[dict[str, Any]]:
    """Return what is not well with the product: a refusal of Apify, and budgets that are spent or nearly so."""
    now = timezone.now()
    refusal = ScrapeRun.objects.refusal()
    found = []
    if refusal is not None:
        rows = reverse("admin:products_scraperun_changelist")
        found.append({"key": "apify refuses", "text": refusal.refused, "level": "bad", "url": rows})
    spent = DaySpending.objects.of(now.astimezone(UTC).date()) or Decimal(0)
    found += _budget("apify", _("Apify, today"), spent, settings.APIFY_DAILY_BUDGET_USD, "products_scraperun")
    month = f"all {now.astimezone(UTC):%Y-%m}"
    used = Decimal(BudgetUse.objects.filter(key=month).values_list("micros", flat=True).first() or 0) / MICROS
    found += _budget(
        "apify month", _("Apify, this month"), used, settings.APIFY_MONTHLY_BUDGET_USD, "products_budgetuse"
    )
    of_day, of_month = f"all {now.astimezone(UTC):%Y-%m-%d}", f"all {now.astimezone(UTC):%Y-%m}"
    keys = {
        of_day: ("openai day", _("OpenAI, today"), settings.OPENAI_TOTAL_DAILY_BUDGET_USD),
        of_month: ("openai month", _("OpenAI, this month"), settings.OPENAI_TOTAL_MONTHLY_BUDGET_USD),
    }
    for key, billionths in Spending.objects.filter(key__in=keys).values_list("key", "billionths_usd"):
        what, name, budget = keys[key]
        found += _budget(what, name, Decimal(billionths) / BILLION, budget, "analysis_modelcall")
    return found


def _budget(key: str, name: str, spent: Decimal, budget: Decimal, rows: str) -> list[dict[str, Any]]:
    if spent < budget * NEARLY or not budget:
        return []
    words = {"name": name, "spent": f"${spent:.2f}", "budget": f"${budget:.2f}"}
    text = _("The budget is spent (%(name)s): %(spent)s of %(budget)s.")
    if spent < budget:
        text = _("The budget is nearly spent (%(name)s): %(spent)s of %(budget)s.")
    level = "bad" if spent >= budget else "warn"
    return [{"key": key, "text": text % words, "level": level, "url": reverse(f"admin:{rows}_changelist")}]


LEVELS = {"critical": Severity.CRITICAL, "warning": Severity.WARNING}


def tell(text: str, severity: str, path: str) -> list[Callable[[], Any]]:
    """Write what an alert says to every channel of operators, and return what sends it; the rows are sent anyway.

    Operators are the staff who may act on jobs; theirs is also what they added for a team. A channel hears what is as
    grave as it was set to.
    """
    channels = _channels(_operators()).active().filter(least_severity__lte=LEVELS[severity])
    rows = _told(channels, text, path)
    return [partial(send_notification, row.pk) for row in Notification.objects.write(rows)]


def tell_one(user_id: int, text: str, severity: str, path: str) -> list[tuple[str, Callable[[], str]]]:
    """Write to the channels of one operator as `tell` does; return of each its name, and what sends it and says how.

    What it would not hear is said too. None are those of somebody whom no alert is told.
    """
    channels = list(_channels(_operators() & {user_id}))
    heard = [one for one in channels if not one.is_silent and one.least_severity <= LEVELS[severity]]
    rows = _told(heard, text, path)
    Notification.objects.write(rows)
    keys = {row.channel_id: row.key for row in rows}
    return [(str(one), partial(_sent, one, keys.get(one.pk))) for one in channels]


def _operators() -> set[int]:
    people = get_user_model()._default_manager.with_perm(
        "jobs.operate_jobs", backend="django.contrib.auth.backends.ModelBackend"
    )
    return set(people.filter(is_staff=True).values_list("pk", flat=True))


def _channels(operators: set[int]) -> ChannelQuerySet:
    Notification.objects.ensure_operators_channels(operators)
    return Channel.objects.filter(user__in=operators).order_by("pk")


def _told(channels: Iterable[Channel], text: str, path: str) -> list[Notification]:
    words = {"subject": one_line(text, 200), "body": storable(text), "path": path}
    return [Notification(channel=channel, **words) for channel in channels]


def _sent(channel: Channel, key: UUID | None) -> str:
    """Send one notification and say what became of it, or why the channel does not hear it, where there is none."""
    if key is None:
        return _("is paused.") if channel.is_silent else _("hears graver things alone.")
    row = Notification.objects.get(key=key)
    if row.state != State.SENT:
        try:
            send_notification(row.pk)
        except Exception:  # the row says what became of it, and is sent again
            logger.warning("A test of the alerts was not sent at once", exc_info=True)
        row.refresh_from_db()
    if row.state == State.SENT:
        return _("was told.")
    said, again = _("was not told: %s") % row.error, _("It is tried again.")
    return f"{said} {again}" if row.state == State.PENDING else said
