"""One paid run at Apify, written down before it is asked for: planned → starting → started → ingested or failed."""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce, Now
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from products.amazon import MARKETPLACES
from products.fields import clean
from products.listing import Outcome

from .product import Product
from .spending import (
    MICROS,
    MONTH_SPENT,
    TODAY_SPENT,
    BudgetSpent,
    BudgetUse,
    Charge,
    DaySpending,
    PlanningStopped,
    Purses,
    RoomTaken,
    budgets_of,
    products_for,
)

if TYPE_CHECKING:
    from products.apify import Receipt, RunAnswer

    from .change import Change

# A start that Apify refused for want of room is tried again after these waits.
BUSY_WAITS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
# After a refusal that asking again does not mend, one start is tried after each of these waits.
REFUSED_WAITS = (timedelta(hours=1), timedelta(hours=3), timedelta(hours=12), timedelta(hours=24))
# A start whose answer was lost shows up in Apify's list within this time; before it, absence proves nothing.
GRACE = timedelta(minutes=3)
MAX_STARTS = 3
# No state lasts longer: to be started at all, to find out whether a start arrived, to be read once it is started.
PLANNED_LIMIT, STARTING_LIMIT, STARTED_LIMIT = timedelta(hours=24), timedelta(hours=6), timedelta(hours=1)
# A started run is asked about once a minute; beyond these questions not even its job could end it.
MOST_POLLS = 90
# How often a plan is made anew when another planner takes the room that it had found.
PLANS = 3


class State(models.TextChoices):
    PLANNED = "planned", _("planned")
    STARTING = "starting", _("starting")
    STARTED = "started", _("started")
    INGESTED = "ingested", _("ingested")
    FAILED = "failed", _("failed")


OPEN = (State.PLANNED, State.STARTING, State.STARTED)


class ScrapeRunQuerySet(models.QuerySet["ScrapeRun"]):
    def open(self) -> "ScrapeRunQuerySet":
        """Keep what has not ended."""
        return self.filter(state__in=OPEN)

    def spent_usd(self, since: datetime) -> Decimal:
        """Answer what the runs planned since then cost; one without a bill counts with all it may cost."""
        cost = Coalesce("cost_usd", "cost_cap_usd")
        return self.filter(created_at__gte=since).aggregate(total=Sum(cost))["total"] or Decimal(0)

    def refusal(self) -> "ScrapeRun | None":
        """Answer the latest run whose start Apify refused for good; None when nothing stands in the way."""
        return self.filter(stops_planning=True).order_by("-finished_at").first()

    def is_stopped(self) -> bool:
        """Whether nothing may be planned now."""
        try:
            self.ensure_planning()
        except PlanningStopped:
            return True
        return False

    def affordable(self) -> int:
        """Answer how many more products the installation's budgets of the day and the month have room for."""
        return min(self._affordable_today(), products_for(self._left_of_month()))

    def _affordable_today(self) -> int:
        today = now().replace(hour=0, minute=0, second=0, microsecond=0)
        spent = DaySpending.objects.of(today.date())
        return products_for(settings.APIFY_DAILY_BUDGET_USD - (self.spent_usd(today) if spent is None else spent))

    def _left_of_month(self) -> Decimal:
        month = now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        (budget,) = budgets_of((), month)
        used = BudgetUse.objects.used([budget]).get(budget.key)
        return budget.limit - (self.spent_usd(month) if used is None else Decimal(used) / MICROS)

    def tightest(self) -> BudgetSpent:
        """Answer in words which of the installation's budgets has least room, for those whom a round leaves out."""
        if self._affordable_today() <= products_for(self._left_of_month()):
            return BudgetSpent(TODAY_SPENT % settings.APIFY_DAILY_BUDGET_USD)
        return BudgetSpent(MONTH_SPENT % settings.APIFY_MONTHLY_BUDGET_USD)

    def ensure_planning(self, team: int | None = None) -> None:
        """Raise PlanningStopped when Apify refused us, or when a budget is spent, with `team` one of that team too."""
        refusal = self.refusal()
        if refusal and self.filter(pk=refusal.pk, ask_again_at__gt=Now()).exists():
            raise PlanningStopped(refusal.refused)
        if not self._affordable_today():
            raise BudgetSpent(TODAY_SPENT % settings.APIFY_DAILY_BUDGET_USD)
        if not products_for(self._left_of_month()):
            raise BudgetSpent(MONTH_SPENT % settings.APIFY_MONTHLY_BUDGET_USD)
        of_team = [budget for budget in budgets_of([team], now()) if budget.team]
        for budget, left in BudgetUse.objects.left(of_team).items() if of_team else ():
            if not products_for(left):
                raise BudgetSpent(str(budget.refusal) % budget.limit, [team] if team else ())

    def may_start(self) -> bool:
        """Whether a start may be asked for now: while a refusal stands, one is tried after each wait."""
        refusal = self.refusal()
        return refusal is None or (
            self.filter(Q(ask_again_at=None) | Q(ask_again_at__lte=Now()), pk=refusal.pk, stops_planning=True).update(
                ask_again_at=Now() + REFUSED_WAITS[0]
            )
            == 1
        )

    def resume_planning(self) -> int:
        """Go on after Apify refused; answer how many refusals are forgotten. What waited starts with the next sweep."""
        refused = self.filter(stops_planning=True).update(stops_planning=False, ask_again_at=None)
        if refused:
            self.filter(state=State.PLANNED).update(not_before=None)
        return refused

    def plan(self, products: Sequence[Product]) -> "ScrapeRun | None":
        """Write down a run for those of `products` that no open run holds; None when an open run holds them all.

        The products share one marketplace. When the budgets have room for some only, those not seen for longest are
        taken, and the run's `refusals` say which teams' own budgets were spent. Raises PlanningStopped when nothing may
        be planned.
        """
        for _again in range(PLANS - 1):
            try:
                return self._plan(products)
            except RoomTaken:
                continue
        return self._plan(products)

    @transaction.atomic
    def _plan(self, products: Sequence[Product]) -> "ScrapeRun | None":
        self.ensure_planning()
        held = set(RunTarget.objects.filter(outcome="pending", product__in=products).values_list("product", flat=True))
        free = {product.pk: product for product in products if product.pk not in held}.values()
        oldest = sorted(free, key=lambda product: (product.checked_at is not None, product.checked_at))
        purses = Purses([product.pk for product in oldest])
        paid = [product for product in oldest if purses.pay(product.pk)][: self.affordable()]
        wanted = sorted(paid, key=lambda product: product.asin)
        if not wanted:
            if purses.refused:
                raise purses.refusals[0]
            return None
        run = self.create(
            marketplace=wanted[0].marketplace,
            asins=[product.asin for product in wanted],
            cost_cap_usd=settings.APIFY_USD_PER_RESULT * len(wanted),
        )
        # A plan made at the same instant may hold some of them; the constraint lets one of the two have each.
        RunTarget.objects.bulk_create(
            [RunTarget(scrape_run=run, product=product, asin=product.asin) for product in wanted], ignore_conflicts=True
        )
        got = sorted(run.targets.values_list("asin", "product"))
        if not got:
            run.delete()
            return None
        run.asins = [asin for asin, _product in got]
        run.shares = dict(Counter(str(team) for _asin, product in got if (team := purses.payers[product])))
        run.cost_cap_usd = settings.APIFY_USD_PER_RESULT * len(run.asins)
        run.save(update_fields=["asins", "shares", "cost_cap_usd"])
        run.reserve()
        run.refusals = purses.refusals
        return run

    def startable(self) -> "ScrapeRunQuerySet":
        """Keep planned runs whose waiting time is over, by the database's clock as everywhere in this file."""
        return self.filter(Q(not_before=None) | Q(not_before__lte=Now()), state=State.PLANNED)

    def uncertain(self) -> "ScrapeRunQuerySet":
        """Keep runs whose start was asked for more than a minute ago and never answered."""
        return self.filter(state=State.STARTING, starting_at__lte=Now() - timedelta(minutes=1))

    def unwatched(self) -> "ScrapeRunQuerySet":
        """Keep started runs that nobody asked about for two minutes: their next question was lost."""
        quiet = Now() - timedelta(minutes=2)
        return self.filter(state=State.STARTED).filter(
            Q(checked_at__lte=quiet) | Q(checked_at=None, started_at__lte=quiet)
        )

    def unbilled(self) -> "ScrapeRunQuerySet":
        """Keep runs that ended within two days without a bill, when nobody asked for it for an hour."""
        ended = self.filter(state__in=(State.INGESTED, State.FAILED), cost_usd=None).exclude(apify_id="")
        hour_ago = Now() - timedelta(hours=1)
        return ended.filter(created_at__gte=Now() - timedelta(days=2), checked_at__lte=hour_ago)

    def overdue(self) -> "ScrapeRunQuerySet":
        """Keep runs that are in their state for longer than it may last, and that their own jobs could not end."""
        return self.filter(
            Q(state=State.PLANNED, created_at__lte=Now() - PLANNED_LIMIT)
            | Q(state=State.STARTING, starting_at__lte=Now() - STARTING_LIMIT)
            | (Q(state=State.STARTED, polls__gte=MOST_POLLS) & _started_before(2 * STARTED_LIMIT))
        )


def _started_before(span: timedelta) -> Q:
    # Apify's clock wrote the first; ours wrote the second, should theirs be far ahead.
    return Q(started_at__lte=Now() - span) | Q(created_at__lte=Now() - span - timedelta(days=1))


class ScrapeRun(models.Model):
    """One paid run: which ASINs, since when, what became of each, and what it cost."""

    ref = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    apify_id = models.CharField(_("Apify's run id"), max_length=40, blank=True)
    marketplace = models.CharField(
        _("marketplace"), max_length=20, choices=[(domain, domain) for domain in MARKETPLACES]
    )
    asins = models.JSONField("ASINs", default=list)
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PLANNED)
    attempts = models.PositiveSmallIntegerField(_("starts asked for"), default=0)
    busy_answers = models.PositiveSmallIntegerField(_("busy answers"), default=0)
    not_before = models.DateTimeField(_("not before"), null=True, blank=True)
    created_at = models.DateTimeField(_("planned at"), auto_now_add=True)
    starting_at = models.DateTimeField(_("start asked at"), null=True, blank=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    checked_at = models.DateTimeField(_("last asked at"), null=True, blank=True)
    polls = models.PositiveSmallIntegerField(_("times asked"), default=0)
    hinted_at = models.DateTimeField(_("end hinted at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    cost_usd = models.DecimalField(_("cost (USD)"), max_digits=10, decimal_places=6, null=True, blank=True)
    cost_cap_usd = models.DecimalField(_("cost at most (USD)"), max_digits=10, decimal_places=6)
    shares = models.JSONField(_("products that each team pays"), default=dict, blank=True)
    error = models.CharField(_("error"), max_length=500, blank=True)
    stops_planning = models.BooleanField(_("stops planning"), default=False)
    ask_again_at = models.DateTimeField(_("asked again at"), null=True, blank=True)
    changes_held = models.BooleanField(
        _("changes held back"),
        default=False,
        help_text=_("So many products lost their price or rank at once that the page itself is the likelier cause."),
    )

    objects = ScrapeRunQuerySet.as_manager()
    refusals: Sequence[BudgetSpent] = ()  # of a run that was just planned: budgets of teams that had no room

    class Meta:
        verbose_name = _("scrape run")
        verbose_name_plural = _("scrape runs")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["apify_id"], condition=~Q(apify_id=""), name="scrape_run_once_per_apify_run"
            ),
            models.CheckConstraint(
                condition=~Q(state="started") | ~Q(apify_id=""), name="scrape_run_started_has_apify_id"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "created_at"], name="scrape_run_open"),
            models.Index(fields=["-created_at"], name="scrape_run_newest_first"),
            models.Index(fields=["-finished_at"], name="scrape_run_refused", condition=Q(stops_planning=True)),
        ]

    def __str__(self) -> str:
        return f"{self.marketplace}: {', '.join(self.asins[:3])}{'…' if len(self.asins) > 3 else ''}"

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def claim(self) -> bool:
        """Move from planned to starting and commit; False means that another job was first.

        Raises RuntimeError inside a transaction: the row has to survive a crash during the paid call that follows.
        """
        with transaction.atomic(durable=True):
            planned = ScrapeRun.objects.startable().filter(pk=self.pk)
            is_ours = planned.update(state=State.STARTING, starting_at=Now(), attempts=F("attempts") + 1) == 1
        self.state = State.STARTING if is_ours else self.state
        return is_ours

    def reserve(self) -> None:
        """Take what this run may cost from all of its budgets; raises RoomTaken when one has no room for it."""
        self.charge.reserve(ScrapeRun.objects.exclude(pk=self.pk).spent_usd)

    @property
    def charge(self) -> Charge:
        """What this run counts for in which budgets."""
        return Charge(self.created_at, self.cost_cap_usd, len(self.asins), self.shares)

    @transaction.atomic(savepoint=False)
    def bill(self, cost_usd: Decimal) -> bool:
        """Book a bill that came after the run's end; False when it was booked before."""
        unbilled = ScrapeRun.objects.filter(pk=self.pk, cost_usd=None)
        if not unbilled.update(cost_usd=cost_usd):
            return False
        self.charge.settle(cost_usd)
        return True

    def postpone(self) -> None:
        """Let a planned run wait while Apify's refusal stands; the sweep starts it later."""
        if refusal := ScrapeRun.objects.refusal():
            planned = ScrapeRun.objects.filter(pk=self.pk, state=State.PLANNED)
            planned.update(not_before=refusal.ask_again_at, error=clean(refusal.error)[:500])

    def release(self, error: Exception) -> timedelta:
        """Go back to planned, since Apify certainly started nothing; answer how long to wait before asking again."""
        wait = BUSY_WAITS[min(self.busy_answers, len(BUSY_WAITS) - 1)]
        self._starting().update(
            state=State.PLANNED,
            not_before=Now() + wait,
            busy_answers=F("busy_answers") + 1,
            attempts=F("attempts") - 1,
            error=clean(str(error))[:500],
        )
        return wait

    def mark_started(self, receipt: "Receipt") -> bool:
        """Keep Apify's id; False means that the row already has one. A start that worked ends every refusal."""
        rows = ScrapeRun.objects.filter(pk=self.pk, state__in=(State.STARTING, State.PLANNED), apify_id="")
        if not rows.update(
            state=State.STARTED, apify_id=receipt.apify_id, started_at=receipt.started_at, error="", checked_at=None
        ):
            return False
        ScrapeRun.objects.resume_planning()
        return True

    def mark_unknown(self, error: Exception) -> None:
        """Stay starting: nobody knows whether Apify started, and reconcile_scrape_run will ask."""
        self._starting().update(error=clean(str(error))[:500])

    def mark_lost(self) -> bool:
        """Plan anew what Apify never started, at most three times; True when it is planned again."""
        lost = self._starting().filter(starting_at__lte=Now() - GRACE)
        if self.attempts >= MAX_STARTS:
            if lost.exists():
                self.mark_failed(_("The start was lost %s times.") % MAX_STARTS, cost_usd=Decimal(0))
            return False
        return lost.update(state=State.PLANNED, error=str(_("The start was lost."))) == 1

    @transaction.atomic
    def mark_failed(self, reason: object, *, cost_usd: Decimal | None = None, stops_planning: bool = False) -> bool:
        """End the run without an answer; its products become due again. False when it had already gone on.

        `cost_usd` None means that nobody knows what it cost: all it may cost stays booked. A refusal keeps it in mind
        that somebody asked for the products; any other end waits for their next round.
        """
        ended = ScrapeRun.objects.open().filter(pk=self.pk, state=self.state)
        changes = {"error": clean(str(reason))[:500], "finished_at": Now(), "checked_at": Now(), "cost_usd": cost_usd}
        if stops_planning:
            refusals = ScrapeRun.objects.filter(stops_planning=True).count()
            wait = REFUSED_WAITS[min(refusals, len(REFUSED_WAITS) - 1)]
            changes |= {"stops_planning": True, "ask_again_at": Now() + wait}
        if not ended.update(state=State.FAILED, **changes):
            return False
        self.targets.filter(outcome="pending").update(outcome=Outcome.MISSING)
        if not stops_planning:
            Product.objects.filter(targets__scrape_run=self).update(asked_at=None)
        if cost_usd is not None:
            self.charge.settle(cost_usd)
        return True

    def end_overdue(self) -> bool:
        """End a run whose state has lasted too long, with the reason; False when it has gone on meanwhile."""
        reason = {
            State.PLANNED: _("The run could not be started within a day."),
            State.STARTING: _("It could not be found out whether Apify started the run."),
            State.STARTED: _("What Apify had to say of the run could not be read in time."),
        }[State(self.state)]
        was_never_asked = self.state == State.PLANNED and not self.attempts
        return self.mark_failed(f"{reason} {self.error}".strip(), cost_usd=Decimal(0) if was_never_asked else None)

    def has_lasted(self, span: timedelta) -> bool:
        """Whether Apify started the run longer ago than this, by the database's clock."""
        return ScrapeRun.objects.filter(_started_before(span), pk=self.pk).exists()

    def note_poll(self) -> timedelta:
        """Count one question and answer how long to wait before the next: 10, 20, 40, then 60 seconds."""
        ScrapeRun.objects.filter(pk=self.pk).update(checked_at=Now(), polls=F("polls") + 1)
        return timedelta(seconds=min(60, 10 * 2 ** min(self.polls, 8)))

    def take_hint(self) -> bool:
        """Note that Apify called to say that it has ended; False when it had called before, or is not awaited."""
        awaited = ScrapeRun.objects.filter(pk=self.pk, state__in=(State.STARTING, State.STARTED), hinted_at=None)
        return awaited.update(hinted_at=Now()) == 1

    def note_error(self, error: object) -> None:
        """Keep why the last question failed, for people and for the reason of a run that ends so."""
        ScrapeRun.objects.open().filter(pk=self.pk).update(error=clean(str(error))[:500])

    @property
    def refused(self) -> str:
        """Why nothing is fetched after this refusal, when it is tried again, and what mends it."""
        return _(
            "Apify refused our account or our settings (%(reason)s). Nothing is fetched until %(time)s, when one run is"
            " tried. Check APIFY_TOKEN, APIFY_ACTOR and the account, then resume planning."
        ) % {"reason": self.error, "time": f"{self.ask_again_at:%Y-%m-%d %H:%M} UTC" if self.ask_again_at else "–"}

    def ingest(self, answer: "RunAnswer") -> "list[Change]":
        """Keep what the run saw and end it; answer the changes that its users asked to hear of.

        Repeating it changes nothing: the state moves once, in the same transaction as the rows.
        """
        from .ingest import ingest  # the rows below import this module

        return ingest(self, answer)

    def _starting(self) -> "ScrapeRunQuerySet":
        return ScrapeRun.objects.filter(pk=self.pk, state=State.STARTING)


class RunTarget(models.Model):
    """What became of one ASIN in one run."""

    scrape_run = models.ForeignKey(ScrapeRun, models.CASCADE, related_name="targets", verbose_name=_("scrape run"))
    product = models.ForeignKey(Product, models.CASCADE, related_name="targets", verbose_name=_("product"))
    asin = models.CharField("ASIN", max_length=10)
    outcome = models.CharField(
        _("outcome"),
        max_length=10,
        default="pending",
        choices=[("pending", _("pending")), *Outcome.choices],
    )
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    answer = models.TextField(
        _("answer set aside"), blank=True, help_text=_("What could not be read or stored, kept for 30 days.")
    )

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")
        constraints = [
            models.UniqueConstraint(fields=["scrape_run", "product"], name="target_once_per_run"),
            # An ASIN is paid for once at a time, however many jobs and users ask for it.
            models.UniqueConstraint(
                fields=["product"], condition=Q(outcome="pending"), name="target_open_once_per_product"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.asin}: {self.outcome}"
