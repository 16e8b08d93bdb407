"""Background work on reports: lay out the facts, have the model explain them, keep what holds."""

import logging
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

from amazon_pilot.jobs import Backoff, job
from notifications.models import Notification
from notifications.tasks import send_notification
from products.models import Role, Tracking

from . import llm
from .facts import NotEnoughData, Sheet, cache_key, comparison_sheet, optimization_sheet
from .models import Comparison, Competitor, ModelCall, Report, Suggestion

logger = logging.getLogger(__name__)

PROMPT_VERSION = "1"
RETRY = Backoff(attempts=4, first=20, cap=600)


@job("default", timeout=240, retry=RETRY, unique=True)
def competitor_analysis(report_id: int) -> str:
    """Write one report on a comparison: our numbers, the model's words."""
    report = Report.objects.select_related("comparison", "product").get(pk=report_id)
    if not report.claim():
        return f"already {report.state}"
    members = Competitor.objects.filter(comparison=report.comparison_id).select_related("product")
    try:
        sheet = comparison_sheet(report.product, [member.product for member in members])
    except NotEnoughData as reason:
        report.mark_failed(reason)
        return str(reason)
    written = write(report, sheet, "prompts/competitor_analysis.txt", llm.CompetitorReport)
    if written is None:
        return report.error or "taken from a stored report"
    content, dropped = keep_cited(written.model_dump(), "recommendations", sheet)
    report.complete(content, dropped=dropped)
    return tell(report)


@job("default", timeout=240, retry=RETRY, unique=True)
def optimization_analysis(report_id: int) -> str:
    """Score one own listing and write suggestions for it, the most effective first."""
    report = Report.objects.select_related("product").get(pk=report_id)
    if not report.claim():
        return f"already {report.state}"
    try:
        sheet, score = optimization_sheet(report.product)
    except NotEnoughData as reason:
        report.mark_failed(reason)
        return str(reason)
    written = write(report, sheet, "prompts/optimization_analysis.txt", llm.OptimizationReport)
    if written is None:
        return report.error or "taken from a stored report"
    content, uncited = keep_cited(written.model_dump(), "suggestions", sheet)
    suggestions = [row for item in content.pop("suggestions") if (row := suggestion(item, report))]
    content["overall_score"] = score.total  # ours; the model only explains it
    dropped = len(written.suggestions) - len(suggestions)
    report.complete(content, suggestions, dropped=dropped + uncited)
    return tell(report)


def write(report: Report, sheet: Sheet, prompt: str, schema: type[Any]) -> Any | None:
    """Have the model explain the facts; None when the report has ended already, or failed with the reason on its row.

    Every call that was paid is booked, whatever became of its answer. Raises LLMError for the queue to retry.
    """
    report.numbers = sheet.numbers
    report.facts = sheet.payload(report.kind)
    report.model, report.prompt_version = settings.OPENAI_MODEL, PROMPT_VERSION
    report.cache_key = cache_key(PROMPT_VERSION, report.model, schema.__name__, report.facts)
    report.save()
    if not report.forced and (twin := Report.objects.twin(report)):
        report.complete(twin.content, copies(twin), dropped=twin.dropped)
        return None
    if ModelCall.objects.spent_today_usd(report.user_id) >= settings.OPENAI_DAILY_BUDGET_USD:
        report.mark_failed(
            _("Today's budget of $%s for reports is spent. It starts anew at midnight UTC.")
            % settings.OPENAI_DAILY_BUDGET_USD
        )
        return None
    try:
        answer = llm.ask(render_to_string(prompt), report.facts, schema)
    except llm.LLMRefused as error:
        ModelCall.objects.book(report, error.usages)
        report.mark_failed(error)
        return None
    except llm.LLMError as error:
        ModelCall.objects.book(report, error.usages)
        if report.put_back(error):
            raise
        return None
    ModelCall.objects.book(report, answer.usages)
    return answer.parsed


def keep_cited(content: dict[str, Any], part: str, sheet: Sheet) -> tuple[dict[str, Any], int]:
    """Remove evidence that we did not send; answer the content and how many citations went."""
    gone = 0
    for item in content[part]:
        kept = [fact for fact in item["evidence"] if fact in sheet.ids]
        gone += len(item["evidence"]) - len(kept)
        item["evidence"] = kept
    return content, gone


def suggestion(item: dict[str, Any], report: Report) -> Suggestion | None:
    """Make a row of one suggestion; None when a number in it lies outside what can be true."""
    price = proposed_price(item["proposed_price"], report.product.price)
    if not 0 <= item["impact_score"] <= 100 or (item["proposed_price"] and price is None):
        return None
    return Suggestion(
        category=item["category"],
        priority=item["priority"],
        impact_score=item["impact_score"],
        title=item["title"][:300],
        reason=item["reason"],
        proposed_text=item["proposed_text"] or "",
        proposed_price=price,
        currency=report.product.currency if price else "",
        action_items=item["action_items"],
        evidence=item["evidence"],
    )


def proposed_price(text: str | None, current: Decimal | None) -> Decimal | None:
    """Read a price that the model proposes; None unless it is a plain number from half to twice the current price."""
    if not text or current is None:
        return None
    try:
        price = Decimal(text)
    except InvalidOperation:
        return None
    return price.quantize(Decimal("0.01")) if price.is_finite() and current / 2 <= price <= current * 2 else None


def copies(twin: Report) -> list[Suggestion]:
    """Answer unsaved copies of a stored report's suggestions, open again."""
    rows = list(twin.suggestions.all())
    for row in rows:
        row.pk, row._state.adding, row.state, row.decided_at = None, True, "open", None
    return rows


def tell(report: Report) -> str:
    """Write to the report's user that it is ready."""
    for notification in Notification.objects.draft_report(report):
        send_notification.enqueue(notification.pk)
    return f"report {report.pk} completed"


ANALYSES = {"competitors": competitor_analysis, "optimization": optimization_analysis}


@job("low", timeout=120, unique=True)
def analyse_due_comparisons() -> str:
    """Ask for a report on every comparison that is not paused."""
    comparisons = Comparison.objects.filter(paused=False).select_related("user", "product")
    reports = [Report.objects.ask_comparison(comparison) for comparison in comparisons]
    competitor_analysis.enqueue_many([(report.pk,) for report in reports])
    return f"{len(reports)} comparisons"


@job("low", timeout=120, unique=True)
def optimise_due_products() -> str:
    """Ask for suggestions on every own product that somebody watches."""
    own = Tracking.objects.filter(role=Role.OWN, paused=False).select_related("user", "product")
    reports = [Report.objects.ask_optimization(tracking.user, tracking.product) for tracking in own]
    optimization_analysis.enqueue_many([(report.pk,) for report in reports])
    return f"{len(reports)} products"


@job("low", timeout=60, unique=True)
def resume_reports() -> str:
    """Enqueue reports that wait without a job, or whose worker was lost."""
    due = list(Report.objects.due()[:1000])
    for kind, task in ANALYSES.items():
        task.enqueue_many([(report.pk,) for report in due if report.kind == kind])
    return f"{len(due)} reports"


@job("low", timeout=300)
def cleanup() -> str:
    """Keep the last ten reports on each subject."""
    return f"reports: {Report.objects.prune()}"
