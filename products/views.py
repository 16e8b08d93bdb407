"""The sellers' pages on products: one function per page or button."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.cache import patch_cache_control
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from accounts.teams import for_members
from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.jobs.models import AuditEntry
from analysis.models import Report

from .bulk import stamp
from .charts import RANGE_NAMES, RANGES, history
from .forms import TrackingForm
from .home import reason
from .models import Picture, PlanningStopped, Product, RunTarget, ScrapeRun, Tracking
from .models.past import told_of
from .preview import preview
from .rule_views import usual_for
from .standing import buy_box, standing
from .tasks import update_product

MOST_CHANGES, MOST_RUNS = 8, 5
PICTURE_SECONDS = 30 * 86_400


@require_POST
@login_required
@permission_required("products.change_scraperun", raise_exception=True)
def resume(request: AuthenticatedRequest) -> HttpResponse:
    """Go on fetching after Apify refused and what it refused for was mended."""
    count = ScrapeRun.objects.resume_planning()
    AuditEntry.objects.record(request.user, "resume planning", "scrape runs", count=count)
    messages.success(request, _("Products are fetched again."))
    return redirect("products:list")


resume.is_for_operators = True  # type: ignore[attr-defined]


@require_GET
@login_required
def detail(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Show one product: facts with their age, history drawn, changes, and what can be done."""
    tracking = _tracking(request, marketplace, asin)
    product, span = tracking.product, _span(request)
    looks = RunTarget.objects.filter(product=product).select_related("scrape_run").order_by("-pk")
    context = {
        "tracking": tracking,
        "product": product,
        "changes": tracking.changes.select_related("tracking__product")[:MOST_CHANGES],
        "ranges": RANGE_NAMES.items(),
        "span": span,
        "standing": standing(tracking),
        "buy_box": buy_box(tracking, now() - RANGES[span]),
        "muted_until": tracking.muted_until if tracking.muted_until and tracking.muted_until > now() else None,
        "why_late": reason(tracking) if tracking.is_late() else "",
        "report": Report.objects.filter(team=request.team, product=product, kind="optimization").first(),
        "run": _open_run(product),
        "failed_run": _failed_run(product),
        "looks": looks[:MOST_RUNS] if request.user.has_perm("products.view_scraperun") else (),
    }
    return render(request, "products/detail.html", context)


@require_GET
@login_required
def status(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Answer the line that says whether a product is being looked at; the page asks until it is done."""
    product = _tracking(request, marketplace, asin).product
    return render(request, "products/_status.html", {"product": product, "run": _open_run(product), "asked": True})


@require_GET
@login_required
def picture(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Answer a product's picture as it was kept, for those who watch it; its address changes when it does."""
    row = Picture.objects.shown_to(request.team, marketplace, asin).first()
    if row is None:
        raise Http404
    response = HttpResponse(bytes(row.content), content_type=f"image/{row.kind}")
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"  # opened by itself it is no page of ours
    patch_cache_control(response, private=True, immutable=True, max_age=PICTURE_SECONDS)
    return response


@require_GET
@login_required
def chart(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Answer the product's history as columns for drawing."""
    tracking = _tracking(request, marketplace, asin)
    return JsonResponse(history(tracking.product, _span(request), tracking))


def _span(request: HttpRequest) -> str:
    span = request.GET.get("range", "")
    return span if span in RANGES else "month"


@require_POST
@login_required
def refresh(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Have one product looked at now, ahead of the others."""
    product = _tracking(request, marketplace, asin).product
    if not _warn_when_stopped(request):
        Product.objects.filter(pk=product.pk).ask()
        update_product.options(at_front=True).enqueue(product.pk)
        messages.success(request, _("%s will be looked at in a moment.") % product)
    return redirect(product)


@login_required
@for_members
def edit(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Change how this team watches one product."""
    tracking = _tracking(request, marketplace, asin)
    form = TrackingForm(request.POST or None, instance=tracking, usual=usual_for(tracking))
    tried = None
    if request.method == "POST" and form.is_valid():
        if "try" not in request.POST:
            form.save()
            messages.success(request, _("Saved."))
            return redirect(tracking.product)
        tried = preview([tracking], lambda one: told_of([one])[one.pk])
    context = {"form": form, "tracking": tracking, "product": tracking.product, "tried": tried}
    is_wrong = form.is_bound and not form.is_valid()
    return render(request, "products/edit.html", context, status=422 if is_wrong else 200)


@require_POST
@login_required
def remove(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Stop watching one product, which can be undone for an hour; its shared history stays for others."""
    tracking = _tracking(request, marketplace, asin)
    removed = Tracking.objects.filter(pk=tracking.pk).remove()
    return redirect(f"{reverse('products:list')}?removed={stamp(removed)}")


def _tracking(request: AuthenticatedRequest, marketplace: str, asin: str) -> Tracking:
    """Return this team's tracking, or 404: another team's does not exist for it."""
    rows = Tracking.objects.select_related("product")
    return get_object_or_404(rows, team=request.team, product__marketplace=marketplace, product__asin=asin)


def _open_run(product: Product) -> ScrapeRun | None:
    return ScrapeRun.objects.open().filter(targets__product=product, targets__outcome="pending").first()


def _failed_run(product: Product) -> ScrapeRun | None:
    """Answer the product's latest run when it ended without an answer after the product was last seen."""
    run = ScrapeRun.objects.filter(targets__product=product).first()
    if run is None or run.state != "failed" or not run.finished_at:
        return None
    return run if product.checked_at is None or run.finished_at > product.checked_at else None


def _warn_when_stopped(request: AuthenticatedRequest) -> bool:
    """Say why nothing is fetched now, when nothing is."""
    try:
        ScrapeRun.objects.ensure_planning(request.team.pk)
    except PlanningStopped as reason:
        messages.error(request, str(reason))
        return True
    return False
