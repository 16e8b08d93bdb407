"""What the model's answers cost, and the budgets that hold it: reserved before a call, settled after it.

A reservation that is never settled (its worker was lost) stays counted, since the call may have been paid.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import ROUND_CEILING, Decimal
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Sum
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from .llm import Usage
    from .models import Report

BILLION = 10**9
# A budget beyond this is no bound; billionths of it still fit 64 bits.
MOST_USD = Decimal(BILLION)


class BudgetSpent(Exception):
    """A call would pass a budget, so it is not made; the text says which, and when it starts anew."""


def billionths(usd: Decimal) -> int:
    """Return dollars as whole billionths, rounded up: SQLite would add up decimals as binary fractions."""
    return int((min(usd, MOST_USD) * BILLION).to_integral_value(ROUND_CEILING))


class Spending(models.Model):
    """What one team, or all, may have spent in one day or month (UTC): settled costs, and reservations on the way."""

    key = models.CharField(max_length=60, unique=True)
    billionths_usd = models.BigIntegerField(default=0)
    begun_at = models.DateTimeField()

    class Meta:
        verbose_name = _("spending")
        verbose_name_plural = _("spending")

    def __str__(self) -> str:
        return self.key


class ModelCallQuerySet(models.QuerySet["ModelCall"]):
    def cost_since(self, begun: datetime, team_id: int | None = None) -> Decimal:
        """Return what calls cost since then, of one team or of all; those not yet settled count as reserved."""
        rows = self.filter(created_at__gte=begun)
        rows = rows if team_id is None else rows.filter(team=team_id)
        sums = rows.aggregate(known=Sum("cost_usd"), held=Sum("reserved_usd", filter=models.Q(cost_usd=None)))
        return (sums["known"] or Decimal(0)) + (sums["held"] or Decimal(0))

    def spent_today_usd(self, team_id: int) -> Decimal:
        """Return what this team's calls cost since midnight UTC."""
        return self.cost_since(now().replace(hour=0, minute=0, second=0, microsecond=0), team_id)


class ModelCall(models.Model):
    """One call of the model, written before it is made. An unknown cost is None and not zero."""

    team = models.ForeignKey("accounts.Team", models.SET_NULL, null=True, related_name="+", verbose_name=_("team"))
    report = models.ForeignKey(
        "analysis.Report", models.SET_NULL, null=True, related_name="calls", verbose_name=_("report")
    )
    purpose = models.CharField(_("purpose"), max_length=20)
    model = models.CharField(_("model"), max_length=100)
    input_tokens = models.PositiveIntegerField(_("input tokens"), null=True)
    cached_tokens = models.PositiveIntegerField(_("cached tokens"), null=True)
    output_tokens = models.PositiveIntegerField(_("output tokens"), null=True)
    reasoning_tokens = models.PositiveIntegerField(_("reasoning tokens"), null=True)
    reserved_usd = models.DecimalField(_("reserved (USD)"), max_digits=12, decimal_places=8, null=True)
    cost_usd = models.DecimalField(_("cost (USD)"), max_digits=12, decimal_places=8, null=True)
    request_id = models.CharField(_("request id"), max_length=100, blank=True)
    created_at = models.DateTimeField(_("at"), auto_now_add=True)

    objects = ModelCallQuerySet.as_manager()

    class Meta:
        verbose_name = _("model call")
        verbose_name_plural = _("model calls")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["team", "-created_at"], name="model_call_spent_today")]

    def __str__(self) -> str:
        return f"{self.model} {self.created_at:%Y-%m-%d %H:%M}"


class Account:
    """The payer of one report's calls: its team's budgets and the installation's, of the day and the month."""

    def __init__(self, report: "Report") -> None:
        self.report = report
        self.call: ModelCall | None = None
        self.keys: list[str] = []

    def reserve(self, most_usd: Decimal) -> None:
        """Write the call down and set its greatest cost aside, and commit; raises BudgetSpent when it does not fit.

        Each budget is held by one conditional statement, in the same order by everyone, so that nobody waits crosswise.
        """
        reserved = round(most_usd, 8)
        with transaction.atomic(durable=True):
            self.keys = []
            for key, begun, team_id, budget, refusal in self._budgets():
                _open(key, begun, team_id)
                room = Spending.objects.filter(key=key, billionths_usd__lte=billionths(budget) - billionths(reserved))
                if not room.update(billionths_usd=F("billionths_usd") + billionths(reserved)):
                    raise BudgetSpent(refusal % budget)
                self.keys.append(key)
            self.call = ModelCall.objects.create(
                team_id=self.report.team_id,
                report=self.report,
                purpose=self.report.kind,
                model=settings.OPENAI_MODEL[:100],
                reserved_usd=reserved,
            )

    def settle(self, usage: "Usage | None") -> None:
        """Book what the call used, and commit; None means nothing, and the call is struck out.

        A call of unknown cost keeps its reservation.
        """
        call, self.call = self.call, None
        assert call is not None
        assert call.reserved_usd is not None
        rows = ModelCall.objects.filter(pk=call.pk)
        with transaction.atomic():
            if usage is None:
                rows.delete()
                self._correct(-call.reserved_usd)
                return
            rows.update(**vars(usage))
            if usage.cost_usd is not None:
                self._correct(usage.cost_usd - call.reserved_usd)

    def _correct(self, usd: Decimal) -> None:
        for key in self.keys:
            Spending.objects.filter(key=key).update(billionths_usd=F("billionths_usd") + billionths(usd))

    def _budgets(self) -> "Iterable[tuple[str, datetime, int | None, Decimal, str]]":
        team = self.report.team_id
        day = now().replace(hour=0, minute=0, second=0, microsecond=0)
        month = day.replace(day=1)
        of_day, of_month = f"{day:%Y-%m-%d}", f"{month:%Y-%m}"
        return (
            (f"all {of_day}", day, None, settings.OPENAI_TOTAL_DAILY_BUDGET_USD, gettext(
                "Today's budget of $%s for everybody's reports is spent. It starts anew at midnight UTC.")),
            (f"all {of_month}", month, None, settings.OPENAI_TOTAL_MONTHLY_BUDGET_USD, gettext(
                "This month's budget of $%s for everybody's reports is spent. It starts anew with the next month.")),
            (f"team {team} {of_day}", day, team, settings.OPENAI_DAILY_BUDGET_USD, gettext(
                "Today's budget of $%s for reports is spent. It starts anew at midnight UTC.")),
            (f"team {team} {of_month}", month, team, settings.OPENAI_MONTHLY_BUDGET_USD, gettext(
                "This month's budget of $%s for reports is spent. It starts anew with the next month.")),
        )  # fmt: skip


def _open(key: str, begun: datetime, team_id: int | None) -> None:
    """Have a row for this budget; it begins with what the calls already cost, of a time before it was kept."""
    if Spending.objects.filter(key=key).exists():
        return
    spent: Any = billionths(ModelCall.objects.cost_since(begun, team_id))
    Spending.objects.bulk_create([Spending(key=key, begun_at=begun, billionths_usd=spent)], ignore_conflicts=True)
