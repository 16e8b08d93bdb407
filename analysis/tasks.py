"""Background work on reports: lay out the facts, have the model explain them, keep what holds."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.db import DatabaseError, OperationalError
from django.template.loader import render_to_string
from django.utils.timezone import now
from django.utils.translation import gettext as _

from amazon_pilot.jobs import Backoff, job
from amazon_pilot.jobs.models import Batch
from notifications.models import Notification
from notifications.tasks import send_notification
from products.models import Role, Round, Tracking

from . import llm
from .facts import NotEnoughData, Sheet, cache_key, comparison_sheet, optimization_sheet
from .fresh import PAUSE, Awaited, freshen
from .models import Comparison, Competitor, Report, Spending, Suggestion, SuggestionState
from .spending import Account, BudgetSpent
from .texts import one_line

PROMPT_VERSION = "2"
RETRY = Backoff(attempts=4, first=20, cap=600)
ROUND_RETRY = Backoff(attempts=6, first=20, cap=1800)


class NotStored(Exception):
    """The database refuses the answer; the text says why."""


def about_report(report_id: int) -> list[str]:
    """Return what a job on one report is about, for the monitor."""
    return [f"report:{report_id}"]


@job("default", timeout=240, retry=RETRY, unique=True, about=about_report)
def competitor_analysis(report_id: int) -> str:
    """Write one report on a comparison: our numbers, the model's words."""
    report = Report.objects.select_related("comparison", "product").get(pk=report_id)
    return analyse(report, write_comparison)


@job("default", timeout=240, retry=RETRY, unique=True, about=about_report)
def optimization_analysis(report_id: int) -> str:
    """Score one own listing and write suggestions for it, the most effective first."""
    return analyse(Report.objects.select_related("product").get(pk=report_id), write_optimization)


def analyse(report: Report, write: Callable[[Report], bool]) -> str:
    """Write a report that waits, and tell its team; whatever is raised, the row says what became of it.

    What may be better later is raised again for the queue to retry, as often as the row's attempts allow.
    """
    if not report.claim():
        return f"already {report.state}"
    try:
        is_new = write(report)
    except (NotEnoughData, BudgetSpent, llm.LLMRefused, NotStored) as reason:
        report.mark_failed(reason)
        if getattr(reason, "can_be_mended", False):
            Notification.objects.tell_operators(str(reason))
        return str(reason)
    except Awaited:
        report.hold()
        look_again.enqueue_in(PAUSE, report.pk)
        return "waits for fresh data"
    except llm.LLMBusy as busy:
        if report.wait(busy, busy.retry_after):
            raise
        return str(report.error)
    except Exception as error:
        what = error if isinstance(error, llm.LLMError) else _("Something went wrong here: %s") % repr(error)
        if report.put_back(what):
            raise
        return str(report.error)
    return tell(report) if is_new else "taken from a stored report"


def write_comparison(report: Report) -> bool:
    """Lay out a product and its competitors, and keep what the model says; False when a stored report has served.

    What is too old is fetched first; raises Awaited meanwhile.
    """
    members = Competitor.objects.filter(comparison=report.comparison_id).select_related("product")
    competitors = [member.product for member in members]
    stale = freshen(report, [report.product, *competitors])
    sheet = comparison_sheet(report.product, competitors)
    if stale:
        sheet.numbers["stale"] = stale
    answer = explain(report, sheet, "prompts/competitor_analysis.txt", llm.CompetitorReport)
    if answer:
        content, uncited = keep_cited(answer.parsed.model_dump(), "recommendations", sheet)
        keep(report, content, [], answer.left_out + uncited)
    return answer is not None


def write_optimization(report: Report) -> bool:
    """Score a listing, and keep the suggestions whose numbers can be true; False when a stored report has served."""
    sheet, score = optimization_sheet(report.product)
    answer = explain(report, sheet, "prompts/optimization_analysis.txt", llm.OptimizationReport)
    if not answer:
        return False
    content, uncited = keep_cited(answer.parsed.model_dump(), "suggestions", sheet)
    items = content.pop("suggestions")
    suggestions = [row for item in items if (row := suggestion(item, report))]
    decided_before(report, suggestions)
    content["overall_score"] = score.total  # ours; the model only explains it
    keep(report, content, suggestions, answer.left_out + uncited + len(items) - len(suggestions))
    return True


def explain(report: Report, sheet: Sheet, prompt: str, schema: type[Any]) -> llm.Answer[Any] | None:
    """Have the model explain the facts; None when a stored report on the very same facts has served.

    Every call is booked before anything is made of its answer. Raises LLMError and BudgetSpent.
    """
    report.numbers, report.facts = sheet.numbers, sheet.payload(report.kind)
    report.model, report.prompt_version = settings.OPENAI_MODEL[:100], PROMPT_VERSION
    report.cache_key = cache_key(PROMPT_VERSION, report.model, schema.__name__, report.facts)
    report.save(update_fields=["numbers", "facts", "model", "prompt_version", "cache_key"])
    if not report.forced and (twin := Report.objects.twin(report)):
        suggestions = copies(twin)
        decided_before(report, suggestions)
        keep(report, twin.content, suggestions, twin.dropped)
        return None
    return llm.ask(render_to_string(prompt), report.facts, schema, Account(report))


def keep(report: Report, content: dict[str, Any], suggestions: list[Suggestion], dropped: int) -> None:
    """Complete a report; raises NotStored when no attempt could store it: it was paid for, and asking again is too."""
    try:
        report.complete(content, suggestions, dropped=dropped)
    except OperationalError:
        raise  # the database is away, which says nothing about the answer
    except (DatabaseError, ValueError, TypeError, OverflowError) as error:
        raise NotStored(_("The answer could not be stored: %s") % one_line(error, 300)) from error


def keep_cited(content: dict[str, Any], part: str, sheet: Sheet) -> tuple[dict[str, Any], int]:
    """Remove evidence that we did not send; return the content and how many citations went."""
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
    """Return unsaved copies of a stored report's suggestions; what was decided on them stays."""
    rows = list(twin.suggestions.all())
    for row in rows:
        row.pk, row._state.adding = None, True
    return rows


def decided_before(report: Report, suggestions: list[Suggestion]) -> None:
    """Give each suggestion the decision that its team took on the same one before, unsaved.

    It is the same when it is of the same kind and rests on the same facts (their values, since ids move), and says the
    same, or is the only one so in both reports: a model words things anew each time.
    """
    decided: dict[Any, Suggestion] = {}
    for past in Report.objects.decided(report):
        rows = list(past.suggestions.all())
        grounds = [ground(row, past) for row in rows]
        for row, names in zip(rows, named(rows, grounds), strict=True):
            if row.state != SuggestionState.OPEN:
                decided |= dict.fromkeys(names, row)
    grounds = [ground(row, report) for row in suggestions]
    for row, names in zip(suggestions, named(suggestions, grounds), strict=True):
        if same := next((decided[name] for name in names if name in decided), None):
            row.state, row.decided_at = same.state, same.decided_at


def ground(row: Suggestion, report: Report) -> tuple[Any, ...]:
    """Return what a suggestion rests on: its kind, and name and value of each fact that it cites."""
    facts = {fact["id"]: (fact["name"], str(fact["value"])) for fact in report.facts.get("facts", ())}
    return row.category, *sorted({facts[key] for key in row.evidence if key in facts})


def named(rows: list[Suggestion], grounds: list[tuple[Any, ...]]) -> list[list[tuple[Any, ...]]]:
    """Return under which names each suggestion is known again: with its words, and without when it is the only one."""
    counts = Counter(grounds)
    return [
        [(*on, row.title.casefold().strip()), *([on] if counts[on] == 1 and len(on) > 1 else [])]
        for row, on in zip(rows, grounds, strict=True)
    ]


def tell(report: Report) -> str:
    """Write to the report's team that it is ready."""
    for notification in Notification.objects.draft_report(report):
        send_notification.enqueue(notification.pk)
    return f"report {report.pk} completed"


ANALYSES = {"competitors": competitor_analysis, "optimization": optimization_analysis}


@job("low", timeout=120, unique=True, retry=ROUND_RETRY)
def analyse_due_comparisons() -> str:
    """Ask for a report on every comparison that is not paused; resume_reports makes a round that broke off again."""
    Round.objects.want("comparisons")
    comparisons = Comparison.objects.filter(paused=False).select_related("team", "product")
    reports = [Report.objects.ask_comparison(comparison) for comparison in comparisons]
    Batch.objects.fan_out(competitor_analysis, [(report.pk,) for report in reports])
    Round.objects.note_done("comparisons")
    return f"{len(reports)} comparisons"


@job("low", timeout=120, unique=True, retry=ROUND_RETRY)
def optimise_due_products() -> str:
    """Ask for suggestions on every own product that somebody watches; a round that broke off is made again."""
    Round.objects.want("suggestions")
    own = Tracking.objects.filter(role=Role.OWN, paused=False).select_related("team", "product")
    reports = [Report.objects.ask_optimization(tracking.team, tracking.product) for tracking in own]
    Batch.objects.fan_out(optimization_analysis, [(report.pk,) for report in reports])
    Round.objects.note_done("suggestions")
    return f"{len(reports)} products"


ROUNDS = {"comparisons": analyse_due_comparisons, "suggestions": optimise_due_products}


@job("default", timeout=60, about=about_report)
def look_again(report_id: int) -> str:
    """Have a report that waited for fresh data tried again: its own job could not be enqueued from within itself."""
    competitor_analysis.enqueue(report_id)
    return "enqueued"


@job("low", timeout=60, unique=True)
def resume_reports() -> str:
    """Enqueue reports that wait without a job, or whose worker was lost, and the rounds that broke off."""
    for name in Round.objects.missed().filter(name__in=ROUNDS).values_list("name", flat=True):
        ROUNDS[name].enqueue()
    due = list(Report.objects.due()[:1000])
    for kind, task in ANALYSES.items():
        Batch.objects.fan_out(task, [(report.pk,) for report in due if report.kind == kind])
    return f"{len(due)} reports"


@job("low", timeout=300, retry=ROUND_RETRY)
def cleanup() -> str:
    """Keep the last ten reports on each subject, and what was spent for two months."""
    Spending.objects.filter(begun_at__lt=now() - timedelta(days=62)).delete()
    return f"reports: {Report.objects.prune()}"
