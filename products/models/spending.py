"""What looks may still cost at Apify: the installation's day and month, and each team's, held by one statement each.

A plan raises the rows of all its budgets, and a bill corrects them, in one order for everyone and last in every
transaction: whoever holds one of them waits for those behind it alone, so planners cannot lock each other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import ROUND_CEILING, Decimal
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .tracking import Tracking

MICROS = 1_000_000
MOST_PRODUCTS = 1_000_000
TODAY_SPENT = _("Today's Apify budget of $%s (APIFY_DAILY_BUDGET_USD) is spent. It starts anew at midnight UTC.")
MONTH_SPENT = _(
    "This month's Apify budget of $%s (APIFY_MONTHLY_BUDGET_USD) is spent. It starts anew with the next month."
)
TEAMS_DAY_SPENT = _("Your team's budget of $%s a day for looks at products is spent. It starts anew at midnight UTC.")
TEAMS_MONTH_SPENT = _(
    "Your team's budget of $%s a month for looks at products is spent. It starts anew with the next month."
)


class PlanningStopped(Exception):
    """Nothing is planned now; the text says why and what mends it."""


class BudgetSpent(PlanningStopped):
    """A budget has no room. `teams` are those whose own it is; without any it is the installation's."""

    def __init__(self, reason: object, teams: Iterable[int] = ()) -> None:
        super().__init__(str(reason))
        self.teams = sorted(teams)


class RoomTaken(BudgetSpent):
    """There was room for a plan, and another planner was faster."""


def micros(amount: Decimal) -> int:
    """Answer an amount in millionths of a US dollar: whole numbers are exact on every database."""
    return int((amount * MICROS).to_integral_value())


def products_for(left: Decimal) -> int:
    """Answer how many products may be looked at for so many US dollars."""
    if not settings.APIFY_USD_PER_RESULT:
        return MOST_PRODUCTS if left >= 0 else 0
    return min(MOST_PRODUCTS, max(0, int(left // settings.APIFY_USD_PER_RESULT)))


class DaySpendingQuerySet(models.QuerySet["DaySpending"]):
    def of(self, day: date) -> Decimal | None:
        """Answer what is spent or reserved on a day, in US dollars; None when nothing was planned on it yet."""
        found = self.filter(day=day).values_list("micros", flat=True).first()
        return None if found is None else Decimal(found) / MICROS

    def reserve(self, day: date, amount: Decimal, *, limit: Decimal, before: Callable[[], Decimal]) -> bool:
        """Add `amount` unless the day would pass `limit`; False then. What `before` says opens a day without a row."""
        if self._add(day, amount, limit):
            return True
        if self.filter(day=day).exists():
            return False
        DaySpending.objects.bulk_create([DaySpending(day=day, micros=micros(before()))], ignore_conflicts=True)
        return self._add(day, amount, limit)

    def _add(self, day: date, amount: Decimal, limit: Decimal) -> bool:
        fits = self.filter(day=day, micros__lte=micros(limit) - micros(amount))
        return fits.update(micros=F("micros") + micros(amount)) == 1

    def correct(self, day: date, difference: Decimal) -> None:
        """Add what a run cost less what was reserved for it; only whoever ended the run may call this."""
        if difference:
            self.filter(day=day).update(micros=F("micros") + micros(difference))


class DaySpending(models.Model):
    """What the runs planned on one UTC day cost: the bill where it is known, else all that they may cost."""

    day = models.DateField(_("day"), unique=True)
    micros = models.BigIntegerField(_("spent and reserved (millionths of a US dollar)"), default=0)

    objects = DaySpendingQuerySet.as_manager()

    class Meta:
        verbose_name = _("day's spending")
        verbose_name_plural = _("days' spending")
        ordering = ["-day"]

    def __str__(self) -> str:
        return f"{self.day}: ${Decimal(self.micros) / MICROS:.2f}"


@dataclass(frozen=True, order=True)
class Budget:
    """One bound beside the installation's day; `team` None means that all share it. They sort as they are locked."""

    key: str
    limit: Decimal
    refusal: Any
    team: int | None = None


def budgets_of(teams: Iterable[int | None], at: datetime) -> list[Budget]:
    """Answer the budgets that a look at `at` counts for: the installation's month, and day and month of these teams."""
    of_day, of_month = f"{at:%Y-%m-%d}", f"{at:%Y-%m}"
    found = [Budget(f"all {of_month}", settings.APIFY_MONTHLY_BUDGET_USD, MONTH_SPENT)]
    for team in {*teams} - {None}:
        found += [
            Budget(f"team {team} {of_day}", settings.APIFY_TEAM_DAILY_BUDGET_USD, TEAMS_DAY_SPENT, team),
            Budget(f"team {team} {of_month}", settings.APIFY_TEAM_MONTHLY_BUDGET_USD, TEAMS_MONTH_SPENT, team),
        ]
    return sorted(found, key=lambda budget: budget.key)


class BudgetUseQuerySet(models.QuerySet["BudgetUse"]):
    def used(self, budgets: Sequence[Budget]) -> dict[str, int]:
        """Answer the millionths that count for each of these, by its key; without those for which nothing does."""
        return dict(self.filter(key__in=[budget.key for budget in budgets]).values_list("key", "micros"))

    def left(self, budgets: Sequence[Budget]) -> dict[Budget, Decimal]:
        """Answer what each of these has left, in US dollars; all of it where nothing was planned yet."""
        used = self.used(budgets)
        return {budget: budget.limit - Decimal(used.get(budget.key, 0)) / MICROS for budget in budgets}

    def open(self, budgets: Sequence[Budget], begun_at: datetime, spent_since: Callable[[datetime], Decimal]) -> None:
        """Have a row for each; the installation's month begins with what was spent before it was kept."""
        known = self.used(budgets)
        new = [budget for budget in budgets if budget.key not in known]
        rows = [
            BudgetUse(key=one.key, begun_at=begun_at, micros=0 if one.team else micros(spent_since(begun_at)))
            for one in new
        ]
        if rows:
            BudgetUse.objects.bulk_create(rows, ignore_conflicts=True)

    def reserve(self, budget: Budget, amount: Decimal) -> None:
        """Add `amount` by one statement unless it passes the limit; raises RoomTaken then."""
        fits = self.filter(key=budget.key, micros__lte=micros(budget.limit) - micros(amount))
        if not fits.update(micros=F("micros") + micros(amount)):
            raise RoomTaken(str(budget.refusal) % budget.limit, [budget.team] if budget.team else ())

    def correct(self, budget: Budget, difference: int) -> None:
        """Add so many millionths to what was reserved."""
        if difference:
            self.filter(key=budget.key).update(micros=F("micros") + difference)


class BudgetUse(models.Model):
    """What counts for one budget of a month, or of a team's day or month: bills, and what is reserved until they come.

    The key is "all 2026-11", "team 7 2026-11" or "team 7 2026-11-30".
    """

    key = models.CharField(_("budget"), max_length=40, unique=True)
    begun_at = models.DateTimeField(_("begun at"))
    micros = models.BigIntegerField(_("spent and reserved (millionths of a US dollar)"), default=0)

    objects = BudgetUseQuerySet.as_manager()

    class Meta:
        verbose_name = _("use of a budget")
        verbose_name_plural = _("use of budgets")
        ordering = ["-key"]
        indexes = [models.Index(fields=["begun_at"], name="budget_use_old")]

    def __str__(self) -> str:
        return f"{self.key}: ${Decimal(self.micros) / MICROS:.2f}"


class Purses:
    """Who pays for which product: of the teams that watch it, the one of longest standing whose budgets have room.

    Who has paused it comes last. `payers` holds the team of each product that was taken, None for one that nobody
    watches; `refused` the teams of those for which nobody has room.
    """

    def __init__(self, products: Iterable[int]) -> None:
        self.payers: dict[int, int | None] = {}
        self.refused: set[int] = set()
        self._watchers: dict[int, list[int]] = {}
        watching = Tracking.objects.filter(product__in=products).order_by("paused", "pk")
        for product, team in watching.values_list("product", "team"):
            self._watchers.setdefault(product, []).append(team)
        teams = {team for some in self._watchers.values() for team in some}
        self._left = BudgetUse.objects.left([one for one in budgets_of(teams, now()) if one.team])
        self._room: dict[int, int] = {}
        for budget, usd in self._left.items():
            team, room = budget.team or 0, products_for(usd)
            self._room[team] = min(self._room.get(team, room), room)

    def pay(self, product: int) -> bool:
        """Have somebody pay for one more product; False when none of those who watch it has room."""
        watchers = self._watchers.get(product, [])
        payer = next((team for team in watchers if self._room[team] > 0), None)
        if watchers and payer is None:
            self.refused |= {*watchers}
            return False
        if payer is not None:
            self._room[payer] -= 1
        self.payers[product] = payer
        return True

    @property
    def refusals(self) -> list[BudgetSpent]:
        """Answer for each text in which refused teams read of their own budget, which they are."""
        found: dict[str, set[int]] = {}
        for budget, usd in self._left.items():
            if budget.team in self.refused and not products_for(usd - self._paid(budget.team)):
                found.setdefault(str(budget.refusal) % budget.limit, set()).add(budget.team or 0)
        return [BudgetSpent(text, teams) for text, teams in found.items()]

    def _paid(self, team: int | None) -> Decimal:
        return settings.APIFY_USD_PER_RESULT * sum(payer == team for payer in self.payers.values())


@dataclass(frozen=True)
class Charge:
    """What a run counts for: `cap` at most, for `whole` products, of which each team pays its share."""

    at: datetime
    cap: Decimal
    whole: int
    shares: Mapping[str, int]

    @property
    def parts(self) -> list[tuple[Budget, int]]:
        """The budgets beside the installation's day, as they are locked, and how many products count for each."""
        budgets = budgets_of((int(team) for team in self.shares), self.at)
        return [(budget, self.shares[str(budget.team)] if budget.team else self.whole) for budget in budgets]

    def reserve(self, spent_since: Callable[[datetime], Decimal]) -> None:
        """Take the cap from every budget; raises RoomTaken when one has no room.

        `spent_since` says what other runs cost since a time, for a day or month that has no row yet.
        """
        midnight = self.at.replace(hour=0, minute=0, second=0, microsecond=0)
        parts = self.parts
        BudgetUse.objects.open([budget for budget, _part in parts], midnight.replace(day=1), spent_since)
        for budget, part in parts:
            BudgetUse.objects.reserve(budget, self.cap * part / self.whole)
        limit = settings.APIFY_DAILY_BUDGET_USD
        if not DaySpending.objects.reserve(self.at.date(), self.cap, limit=limit, before=lambda: spent_since(midnight)):
            raise RoomTaken(TODAY_SPENT % limit)

    def settle(self, cost: Decimal) -> None:
        """Book what the run cost in place of its cap, each share rounded up; only whoever ended it may call this."""
        for budget, part in self.parts if self.whole else []:
            booked = int((cost * MICROS * part / self.whole).to_integral_value(ROUND_CEILING))
            BudgetUse.objects.correct(budget, booked - micros(self.cap * part / self.whole))
        DaySpending.objects.correct(self.at.date(), cost - self.cap)
