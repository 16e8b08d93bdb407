"""The sellers' pages on comparisons and suggestions."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.teams import for_members
from amazon_pilot.http import AuthenticatedRequest
from products.models import Product

from . import sharing
from .forms import ComparisonForm
from .models import Comparison, Report, State, Suggestion, SuggestionState
from .picking import Picking
from .score import listing_score
from .tasks import competitor_analysis, optimization_analysis


@require_GET
@login_required
def comparisons(request: AuthenticatedRequest) -> HttpResponse:
    """Show this team's comparisons with the state of their last report."""
    rows = Comparison.objects.filter(team=request.team).select_related("product").prefetch_related("reports", "members")
    return render(request, "analysis/comparisons.html", {"comparisons": rows})


@login_required
@for_members
def compare(request: AuthenticatedRequest) -> HttpResponse:
    """Make a comparison and have its first report written; a search for its products only shows what it finds."""
    is_search = request.method != "POST" or "find" in request.POST
    asked = request.POST if request.method == "POST" else request.GET
    form = ComparisonForm(None if is_search else request.POST, team=request.team, initial={"name": asked.get("name")})
    if is_search or not form.is_valid():
        context = {"form": form, "picking": Picking.of(request.team, asked)}
        return render(request, "analysis/compare.html", context, status=200 if is_search else 422)
    data = form.cleaned_data
    comparison = Comparison.objects.start(request.team, data["product"], list(data["competitors"]), data["name"])
    competitor_analysis.enqueue(Report.objects.ask_comparison(comparison).pk)
    messages.success(request, _("The comparison is being written."))
    return redirect(comparison)


@require_GET
@login_required
def comparison(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Show a comparison: our numbers, the model's words, the facts both rest on."""
    row = get_object_or_404(Comparison.objects.select_related("product"), pk=pk, team=request.team)
    reports = list(row.reports.all()[:10])
    chosen = next((report for report in reports if str(report.version) == request.GET.get("version")), None)
    good = next((report for report in reports if report.state == State.COMPLETED), None) or row.reports.good().first()
    latest = reports[0] if reports else None
    report = chosen or good or latest
    show_faces(report, request.team)
    context = {"report": report, "latest": latest, "reports": reports, "comparison": row, "product": row.product}
    if address := sharing.address_of(row):
        context["link"] = request.build_absolute_uri(address)
    template = "analysis/_report.html" if request.htmx else "analysis/comparison.html"
    return render(request, template, context)


def show_faces(report: Report | None, team: Any) -> None:
    """Give each line of a report's numbers its product, whose picture is shown beside it. One query."""
    lines = report.numbers.get("products", []) if report and report.numbers else []
    asins = [line["asin"] for line in lines]
    mine = Product.objects.tracked_by(team).filter(asin__in=asins).only("marketplace", "asin", "picture")
    found = {(product.marketplace, product.asin): product for product in mine} if asins else {}
    for line in lines:
        line["face"] = found.get((line["marketplace"], line["asin"])) or Product(asin=line["asin"])


@require_POST
@login_required
def ask_comparison(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Have a new report written on a comparison, leaving stored ones aside."""
    row = get_object_or_404(Comparison, pk=pk, team=request.team)
    competitor_analysis.enqueue(Report.objects.ask_comparison(row, forced=True).pk)
    messages.success(request, _("A new report is being written."))
    return redirect(row)


@require_POST
@login_required
def remove_comparison(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Delete a comparison with its reports."""
    get_object_or_404(Comparison, pk=pk, team=request.team).delete()
    messages.success(request, _("The comparison was deleted."))
    return redirect("analysis:comparisons")


@require_GET
@login_required
def suggestions(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Show the listing score of one product and what would raise it."""
    product = get_object_or_404(Product.objects.tracked_by(request.team), marketplace=marketplace, asin=asin)
    reports = Report.objects.filter(team=request.team, product=product, kind="optimization")
    latest = reports.prefetch_related("suggestions").first()
    good = reports.good().prefetch_related("suggestions").first()
    context = {"product": product, "report": good or latest, "latest": latest, "score": listing_score(product)}
    template = "analysis/_suggestions.html" if request.htmx else "analysis/suggestions.html"
    return render(request, template, context)


@require_POST
@login_required
def ask_suggestions(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Have suggestions written for one product."""
    product = get_object_or_404(Product.objects.tracked_by(request.team), marketplace=marketplace, asin=asin)
    optimization_analysis.enqueue(Report.objects.ask_optimization(request.team, product, forced=True).pk)
    messages.success(request, _("Suggestions are being written."))
    return redirect("analysis:suggestions", marketplace, asin)


@require_POST
@login_required
def decide(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Note that a suggestion was applied or dismissed."""
    row = get_object_or_404(Suggestion.objects.select_related("report__product"), pk=pk, report__team=request.team)
    state = request.POST.get("state", "")
    if state in SuggestionState.values:
        row.decide(state)
    return redirect(row.report)
