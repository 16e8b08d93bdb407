"""One paid run at Apify, written down before it is asked for: planned → starting → started → ingested or failed."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import Case, F, Q, Sum, When
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from products.amazon import MARKETPLACES
from products.listing import Outcome

from .product import Product

if TYPE_CHECKING:
    from products.apify import Receipt, RunAnswer

    from .change import Change

# A start that Apify refused for want of room is tried again after these waits.
BUSY_WAITS = (timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=15))
# A start whose answer was lost shows up in Apify's list within this time; before it, absence proves nothing.
GRACE = timedelta(minutes=3)
MAX_STARTS = 3


class PlanningStopped(Exception):
    """Nothing is planned now; the text says why and what mends it."""


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
        """Answer what the runs planned since then cost; an open run counts with all it may cost."""
        cost = Case(When(cost_usd__isnull=False, then=F("cost_usd")), default=F("cost_cap_usd"))
        total = self.filter(created_at__gte=since).exclude(state=State.FAILED, apify_id="").aggregate(total=Sum(cost))
        return total["total"] or Decimal(0)

    def ensure_planning(self, products: int = 1) -> None:
        """Raise PlanningStopped when Apify refused us, or when `products` more would pass the day's budget."""
        if self.filter(stops_planning=True).exists():
            raise PlanningStopped(
                _("Apify refused our account. Check APIFY_TOKEN and the account, then resume planning in the monitor.")
            )
        today = now().replace(hour=0, minute=0, second=0, microsecond=0)
        if self.spent_usd(today) + settings.APIFY_USD_PER_RESULT * products > settings.APIFY_DAILY_BUDGET_USD:
            raise PlanningStopped(
                _("Today's Apify budget of $%s (APIFY_DAILY_BUDGET_USD) is spent. It starts anew at midnight UTC.")
                % settings.APIFY_DAILY_BUDGET_USD
            )

    @transaction.atomic
    def plan(self, products: Sequence[Product]) -> "ScrapeRun | None":
        """Write down a run for those of `products` that no open run holds; None when an open run holds them all.

        The products share one marketplace. Raises PlanningStopped when nothing may be planned.
        """
        self.ensure_planning(len(products))
        held = set(RunTarget.objects.filter(outcome="pending", product__in=products).values_list("product", flat=True))
        wanted = sorted(
            {product.pk: product for product in products if product.pk not in held}.values(), key=lambda p: p.asin
        )
        if not wanted:
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
        run.asins = sorted(run.targets.values_list("asin", flat=True))
        if not run.asins:
            run.delete()
            return None
        run.save(update_fields=["asins"])
        return run

    def startable(self) -> "ScrapeRunQuerySet":
        """Keep planned runs whose waiting time is over."""
        return self.filter(Q(not_before=None) | Q(not_before__lte=now()), state=State.PLANNED)

    def uncertain(self) -> "ScrapeRunQuerySet":
        """Keep runs whose start was asked for more than a minute ago and never answered."""
        return self.filter(state=State.STARTING, starting_at__lte=now() - timedelta(minutes=1))

    def unwatched(self) -> "ScrapeRunQuerySet":
        """Keep started runs that nobody asked about for two minutes: their next question was lost."""
        quiet = now() - timedelta(minutes=2)
        return self.filter(state=State.STARTED, started_at__lte=quiet).filter(
            Q(checked_at=None) | Q(checked_at__lte=quiet)
        )

    def prune(self, *, older_than: timedelta) -> int:
        """Delete ended runs that no snapshot needs any more; answer how many."""
        old = self.filter(created_at__lt=now() - older_than, snapshots=None).exclude(state__in=OPEN)
        return old.delete()[1].get("products.ScrapeRun", 0)


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
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    cost_usd = models.DecimalField(_("cost (USD)"), max_digits=10, decimal_places=6, null=True, blank=True)
    cost_cap_usd = models.DecimalField(_("cost at most (USD)"), max_digits=10, decimal_places=6)
    error = models.CharField(_("error"), max_length=500, blank=True)
    stops_planning = models.BooleanField(_("stops planning"), default=False)
    changes_held = models.BooleanField(
        _("changes held back"),
        default=False,
        help_text=_("So many products lost their price or rank at once that the page itself is the likelier cause."),
    )

    objects = ScrapeRunQuerySet.as_manager()

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
            return planned.update(state=State.STARTING, starting_at=now(), attempts=F("attempts") + 1) == 1

    def release(self, error: Exception) -> datetime:
        """Go back to planned, since Apify certainly started nothing; answer when to ask again."""
        wait = BUSY_WAITS[min(self.busy_answers, len(BUSY_WAITS) - 1)]
        not_before = now() + wait
        self._starting().update(
            state=State.PLANNED,
            not_before=not_before,
            busy_answers=F("busy_answers") + 1,
            attempts=F("attempts") - 1,
            error=str(error)[:500],
        )
        return not_before

    def mark_started(self, receipt: "Receipt") -> bool:
        """Keep Apify's id; False means that the row already has one."""
        rows = ScrapeRun.objects.filter(pk=self.pk, state__in=(State.STARTING, State.PLANNED), apify_id="")
        return rows.update(state=State.STARTED, apify_id=receipt.apify_id, started_at=receipt.started_at, error="") == 1

    def mark_unknown(self, error: Exception) -> None:
        """Stay starting: nobody knows whether Apify started, and reconcile_scrape_run will ask."""
        self._starting().update(error=str(error)[:500])

    def mark_lost(self) -> bool:
        """Plan anew what Apify never started, at most three times; True when it is planned again."""
        if now() - (self.starting_at or self.created_at) < GRACE:
            return False
        if self.attempts >= MAX_STARTS:
            self.mark_failed(_("The start was lost %s times.") % MAX_STARTS)
            return False
        return self._starting().update(state=State.PLANNED, error=str(_("The start was lost."))) == 1

    @transaction.atomic
    def mark_failed(self, reason: object, *, stops_planning: bool = False) -> bool:
        """End the run without an answer; its products become due again. False when it had already ended."""
        ended = ScrapeRun.objects.open().filter(pk=self.pk)
        if not ended.update(
            state=State.FAILED, error=str(reason)[:500], finished_at=now(), stops_planning=stops_planning
        ):
            return False
        self.targets.filter(outcome="pending").update(outcome=Outcome.MISSING)
        return True

    def note_poll(self) -> timedelta:
        """Count one question and answer how long to wait before the next: 10, 20, 40, then 60 seconds."""
        ScrapeRun.objects.filter(pk=self.pk).update(checked_at=now(), polls=F("polls") + 1)
        return timedelta(seconds=min(60, 10 * 2**self.polls))

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
