"""What it means: comparisons, the reports written about them, and the suggestions for a listing."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import F, Max, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.text import capfirst
from django.utils.timezone import now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from products.models import Product, Tracking

from .spending import ModelCall, Spending
from .texts import storable

if TYPE_CHECKING:
    from accounts.models import Team

__all__ = [
    "Comparison",
    "Competitor",
    "ModelCall",
    "Report",
    "ReportKind",
    "Spending",
    "State",
    "Suggestion",
    "SuggestionState",
    "check_competitors",
]

LEAST_COMPETITORS, MOST_COMPETITORS = 3, 5
MAX_ATTEMPTS = 3
# A report that was begun and never ended: its worker is long gone.
STALE = timedelta(minutes=10)
# For so long a report waits for a server that asks for patience; waiting is no attempt.
BUSY_PATIENCE = timedelta(days=1)
BUSY_WAIT = timedelta(minutes=1)
KEPT_REPORTS = 10


def check_competitors(team: "Team | Any", own: Product, competitors: Sequence[Product]) -> None:
    """Refuse a group that cannot be compared; raises ValidationError that says why and what to do."""
    if not LEAST_COMPETITORS <= len(set(competitors)) <= MOST_COMPETITORS:
        raise ValidationError(
            _("Choose from %(least)s to %(most)s different competitors; you chose %(count)s."),
            params={"least": LEAST_COMPETITORS, "most": MOST_COMPETITORS, "count": len(set(competitors))},
        )
    if own in competitors:
        raise ValidationError(_("Your own product cannot be its own competitor."))
    if {product.marketplace for product in competitors} != {own.marketplace}:
        raise ValidationError(_("All products of a comparison must be on the same marketplace."))
    wanted = {own.pk, *(product.pk for product in competitors)}
    if Tracking.objects.filter(team=team, product__in=wanted).count() != len(wanted):
        raise ValidationError(_("Add a product to your list before you compare it."))


class ComparisonQuerySet(models.QuerySet["Comparison"]):
    @transaction.atomic
    def start(self, team: "Team | Any", own: Product, competitors: Sequence[Product], name: str = "") -> "Comparison":
        """Store one own product and 3 to 5 competitors; raises ValidationError when they cannot be compared."""
        check_competitors(team, own, competitors)
        comparison = self.create(team=team, product=own, name=name)
        Competitor.objects.bulk_create(
            Competitor(comparison=comparison, product=product, position=position)
            for position, product in enumerate(competitors)
        )
        return comparison


class Comparison(models.Model):
    """One own product beside 3 to 5 competitors, of one team."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="comparisons", verbose_name=_("team"))
    product = models.ForeignKey(Product, models.CASCADE, related_name="comparisons", verbose_name=_("own product"))
    competitors = models.ManyToManyField(
        Product, through="Competitor", related_name="compared_in", verbose_name=_("competitors")
    )
    name = models.CharField(_("name"), max_length=100, blank=True)
    paused = models.BooleanField(_("paused"), default=False)
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    shared_until = models.DateTimeField(_("shared until"), null=True, blank=True, editable=False)

    objects = ComparisonQuerySet.as_manager()

    class Meta:
        verbose_name = _("comparison")
        verbose_name_plural = _("comparisons")
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["team", "-created_at"], name="comparison_of_a_team")]

    def __str__(self) -> str:
        return self.name or str(self.product)

    def get_absolute_url(self) -> str:
        return reverse("analysis:comparison", args=[self.pk])


class Competitor(models.Model):
    """One place in a comparison."""

    comparison = models.ForeignKey(Comparison, models.CASCADE, related_name="members")
    product = models.ForeignKey(Product, models.CASCADE, verbose_name=_("product"))
    position = models.PositiveSmallIntegerField(_("position"))

    class Meta:
        verbose_name = _("competitor")
        verbose_name_plural = _("competitors")
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "product"], name="competitor_once_per_comparison"),
            models.UniqueConstraint(fields=["comparison", "position"], name="competitor_has_its_own_place"),
            models.CheckConstraint(condition=Q(position__lt=MOST_COMPETITORS), name="competitors_are_at_most_five"),
        ]

    def __str__(self) -> str:
        return str(self.product)


class ReportKind(models.TextChoices):
    COMPETITORS = "competitors", _("competitor analysis")
    OPTIMIZATION = "optimization", _("listing suggestions")


class State(models.TextChoices):
    PENDING = "pending", _("waiting")
    PROCESSING = "processing", _("being written")
    COMPLETED = "completed", _("completed")
    FAILED = "failed", _("failed")


OPEN = (State.PENDING, State.PROCESSING)
# Both sides are the database's clock: a worker whose own is ahead must not think that another is gone.
ABANDONED = Q(state=State.PROCESSING, next_at__lte=Now() - STALE)


class ReportQuerySet(models.QuerySet["Report"]):
    def open(self) -> "ReportQuerySet":
        """Keep what has not ended."""
        return self.filter(state__in=OPEN)

    def due(self) -> "ReportQuerySet":
        """Keep what still has to be written: waiting for a minute or more, or begun by a worker that is long gone."""
        waiting = Q(state=State.PENDING, next_at__lte=Now() - timedelta(minutes=1))
        return self.filter(waiting | ABANDONED)

    def good(self) -> "ReportQuerySet":
        """Keep what was completed: a later one that failed, or is still being written, must not hide it."""
        return self.filter(state=State.COMPLETED)

    @transaction.atomic
    def ask_comparison(self, comparison: Comparison, *, forced: bool = False) -> "Report":
        """Return the comparison's open report, or write down a new one; `forced` leaves stored reports aside."""
        about = {"comparison": comparison, "product": comparison.product, "team": comparison.team}
        return self._ask(ReportKind.COMPETITORS, about, forced)

    @transaction.atomic
    def ask_optimization(self, team: "Team | Any", product: Product, *, forced: bool = False) -> "Report":
        """Return the open report on this team's own product, or write down a new one."""
        return self._ask(ReportKind.OPTIMIZATION, {"team": team, "product": product, "comparison": None}, forced)

    def _ask(self, kind: ReportKind, about: dict[str, Any], forced: bool) -> "Report":
        same = self.filter(kind=kind, **about)
        if running := same.open().first():
            return running
        version = (same.aggregate(last=Max("version"))["last"] or 0) + 1
        return self.create(kind=kind, version=version, forced=forced, **about)

    def twin(self, report: "Report") -> "Report | None":
        """Return a completed report of the same team made from the very same facts."""
        twins = self.filter(cache_key=report.cache_key, team=report.team_id, kind=report.kind, state=State.COMPLETED)
        return twins.order_by("-completed_at").first()

    def decided(self, report: "Report") -> "ReportQuerySet":
        """Keep the team's good reports on the same product in which something was decided, oldest first."""
        same = self.good().filter(team=report.team_id, product=report.product_id, kind=ReportKind.OPTIMIZATION)
        chosen = Suggestion.objects.filter(report__in=same).exclude(state=SuggestionState.OPEN).values("report")
        return same.filter(pk__in=chosen).prefetch_related("suggestions").order_by("pk")

    def prune(self) -> int:
        """Keep the last ten reports on each subject, and its last good one; return how many went."""
        gone = 0
        subjects = self.order_by().values("kind", "team", "product", "comparison").annotate(last=Max("version"))
        for subject in subjects.filter(last__gt=KEPT_REPORTS):
            last = subject.pop("last")
            same = self.filter(**subject)
            good = same.good().order_by("-version").values("pk")[:1]
            gone += (
                same.filter(version__lte=last - KEPT_REPORTS)
                .exclude(state__in=OPEN)
                .exclude(pk__in=list(good.values_list("pk", flat=True)))
                .delete()[1]
                .get("analysis.Report", 0)
            )
        return gone


class Report(models.Model):
    """One analysis: the facts it was given, the numbers we computed, and the words of the model."""

    kind = models.CharField(_("kind"), max_length=12, choices=ReportKind)
    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="reports", verbose_name=_("team"))
    product = models.ForeignKey(Product, models.CASCADE, related_name="reports", verbose_name=_("product"))
    comparison = models.ForeignKey(
        Comparison, models.CASCADE, null=True, blank=True, related_name="reports", verbose_name=_("comparison")
    )
    version = models.PositiveIntegerField(_("version"))
    state = models.CharField(_("state"), max_length=10, choices=State, default=State.PENDING)
    forced = models.BooleanField(_("asked anew"), default=False)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    next_at = models.DateTimeField(_("next attempt at"), db_default=Now())
    fetch_asked_at = models.DateTimeField(_("fresh data asked for at"), null=True, blank=True, editable=False)
    facts = models.JSONField(_("facts sent"), default=dict, blank=True)
    numbers = models.JSONField(_("numbers"), default=dict, blank=True)
    content = models.JSONField(_("text"), default=dict, blank=True)
    cache_key = models.CharField(max_length=64, blank=True, editable=False)
    model = models.CharField(_("model"), max_length=100, blank=True)
    prompt_version = models.CharField(_("prompt version"), max_length=20, blank=True)
    dropped = models.PositiveSmallIntegerField(_("statements dropped"), default=0)
    error = models.CharField(_("error"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("asked at"), auto_now_add=True)
    completed_at = models.DateTimeField(_("completed at"), null=True, blank=True)

    objects = ReportQuerySet.as_manager()

    class Meta:
        verbose_name = _("report")
        verbose_name_plural = _("reports")
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="competitors", comparison__isnull=False)
                | Q(kind="optimization", comparison__isnull=True),
                name="report_of_competitors_has_a_comparison",
            ),
            models.UniqueConstraint(
                fields=["comparison"],
                condition=Q(state__in=OPEN, kind="competitors"),
                name="report_open_once_per_comparison",
            ),
            models.UniqueConstraint(
                fields=["team", "product"],
                condition=Q(state__in=OPEN, kind="optimization"),
                name="report_open_once_per_product",
            ),
            models.UniqueConstraint(fields=["comparison", "version"], name="report_version_of_comparison"),
            models.CheckConstraint(
                condition=~Q(state="completed") | ~Q(content={}), name="report_completed_has_content"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "next_at"], name="report_due"),
            models.Index(fields=["team", "kind", "-created_at"], name="report_of_a_team"),
            models.Index(fields=["cache_key"], name="report_twin"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.comparison or self.product} (v{self.version})"

    def get_absolute_url(self) -> str:
        if self.comparison_id:
            return reverse("analysis:comparison", args=[self.comparison_id])
        return reverse("analysis:suggestions", args=[self.product.marketplace, self.product.asin])

    @property
    def headline(self) -> str:
        """One line for a notification."""
        return gettext("%(kind)s ready: %(name)s") % {
            "kind": capfirst(self.get_kind_display()),
            "name": str(self.comparison or self.product)[:120],
        }

    @property
    def is_open(self) -> bool:
        return self.state in OPEN

    def claim(self) -> bool:
        """Begin to write and commit; False means that another job was first, that it has to wait, or that it has ended.

        One that was begun often enough and never ended fails here.
        """
        rows = Report.objects.filter(pk=self.pk)
        free = rows.filter(Q(state=State.PENDING, next_at__lte=Now()) | ABANDONED)
        with transaction.atomic(durable=True):
            begun = free.filter(attempts__lt=MAX_ATTEMPTS).update(
                state=State.PROCESSING, next_at=Now(), attempts=F("attempts") + 1
            )
            if not begun:
                reason = gettext("Given up after %s attempts, none of which ended.") % MAX_ATTEMPTS
                free.update(state=State.FAILED, error=reason)
        self.refresh_from_db()
        return bool(begun)

    @transaction.atomic
    def complete(self, content: dict[str, Any], suggestions: "Iterable[Suggestion]" = (), *, dropped: int = 0) -> None:
        """Store the text and its suggestions and end the report, all in one transaction."""
        self.content, self.dropped = content, min(dropped, 32_767)  # what its column holds
        self.state, self.completed_at, self.error = State.COMPLETED, now(), ""
        self.save(update_fields=["content", "dropped", "state", "completed_at", "error"])
        rows = list(suggestions)
        for row in rows:
            row.report = self
        Suggestion.objects.bulk_create(rows)

    def mark_failed(self, reason: object) -> None:
        """End it without text; the numbers stay readable."""
        self.state, self.error = State.FAILED, storable(str(reason))[:500]
        self.save(update_fields=["state", "error"])

    def put_back(self, reason: object) -> bool:
        """Wait for another attempt; False when there have been enough and it failed for good."""
        if self.attempts >= MAX_ATTEMPTS:
            self.mark_failed(reason)
            return False
        self._wait(reason, timedelta(0))
        return True

    def wait(self, reason: object, seconds: float | None) -> bool:
        """Wait as long as the server asked for, a minute when it did not say, without counting the attempt.

        False when that goes beyond a day from when it was asked for, and it failed for good.
        """
        span = BUSY_WAIT if seconds is None else timedelta(seconds=min(seconds, BUSY_PATIENCE.total_seconds() * 2))
        if now() + span > self.created_at + BUSY_PATIENCE:
            self.mark_failed(gettext("Given up after a day of waiting: %s") % reason)
            return False
        self.attempts -= 1
        self._wait(reason, span)
        return True

    def hold(self) -> None:
        """Wait for what is not its own doing, without counting the attempt."""
        self.attempts -= 1
        self._wait("", timedelta(0))

    def _wait(self, reason: object, span: timedelta) -> None:
        self.state, self.error = State.PENDING, storable(str(reason))[:500]
        Report.objects.filter(pk=self.pk).update(
            state=self.state, error=self.error, attempts=self.attempts, next_at=Now() + span
        )


class SuggestionState(models.TextChoices):
    OPEN = "open", _("open")
    APPLIED = "applied", _("applied")
    DISMISSED = "dismissed", _("dismissed")


class Suggestion(models.Model):
    """One thing to do to a listing, with its reason and the facts it rests on."""

    report = models.ForeignKey(Report, models.CASCADE, related_name="suggestions", verbose_name=_("report"))
    category = models.CharField(_("category"), max_length=20)
    priority = models.CharField(_("priority"), max_length=10)
    impact_score = models.PositiveSmallIntegerField(_("impact"))
    title = models.CharField(_("title"), max_length=300)
    reason = models.TextField(_("reason"))
    proposed_text = models.TextField(_("proposed text"), blank=True)
    proposed_price = models.DecimalField(_("proposed price"), max_digits=12, decimal_places=2, null=True, blank=True)
    currency = models.CharField(_("currency"), max_length=3, blank=True)
    action_items = models.JSONField(_("steps"), default=list, blank=True)
    evidence = models.JSONField(_("evidence"), default=list, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=SuggestionState, default=SuggestionState.OPEN)
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)

    class Meta:
        verbose_name = _("suggestion")
        verbose_name_plural = _("suggestions")
        ordering = ["-impact_score", "pk"]
        constraints = [
            models.CheckConstraint(condition=Q(impact_score__lte=100), name="suggestion_impact_is_percent"),
            models.CheckConstraint(
                condition=Q(proposed_price__isnull=True) | ~Q(currency=""), name="suggestion_price_has_currency"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def decide(self, state: str) -> None:
        """Note that somebody applied or dismissed it."""
        self.state, self.decided_at = SuggestionState(state), now()
        self.save(update_fields=["state", "decided_at"])
