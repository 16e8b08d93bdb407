"""The sellers' pages on products: one function per page or button."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.jobs.models import AuditEntry
from analysis.models import Report

from .charts import RANGES, history
from .forms import TrackingForm
from .models import Change, PlanningStopped, Product, Role, ScrapeRun, Tracking
from .tasks import update_product

PER_PAGE = 50


@require_GET
@login_required
def list_(request: AuthenticatedRequest) -> HttpResponse:
    """Show what this user watches."""
    trackings = (
        Tracking.objects.filter(user=request.user).select_related("product").order_by("-role", "product__title", "pk")
    )
    if words := request.GET.get("q", "").strip():
        trackings = trackings.matching(words)
    if (role := request.GET.get("role")) in Role.values:
        trackings = trackings.filter(role=role)
    page = Paginator(trackings, PER_PAGE).get_page(request.GET.get("page"))
    changes = Change.objects.newest_of(request.user)[:8]
    context = {"page": page, "changes": changes, "q": words, "role": role, "roles": Role.choices}
    return render(request, "products/list.html", context)


@require_POST
@login_required
@permission_required("products.change_scraperun", raise_exception=True)
def resume(request: AuthenticatedRequest) -> HttpResponse:
    """Go on fetching after Apify refused and what it refused for was mended."""
    count = ScrapeRun.objects.resume_planning()
    AuditEntry.objects.record(request.user, "resume planning", "scrape runs", count=count)
    messages.success(request, _("Products are fetched again."))
    return redirect("products:list")


@require_GET
@login_required
def detail(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Show one product: facts with their age, history drawn, changes, and what can be done."""
    tracking = _tracking(request, marketplace, asin)
    changes = tracking.changes.select_related("tracking__product")[:30]
    report = Report.objects.filter(user=request.user, product=tracking.product, kind="optimization").first()
    context = {
        "tracking": tracking,
        "product": tracking.product,
        "changes": changes,
        "ranges": RANGES,
        "span": request.GET.get("range", "month"),
        "report": report,
        "run": _open_run(tracking.product),
        "failed_run": _failed_run(tracking.product),
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
def chart(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Answer the product's history as columns for drawing."""
    span = request.GET.get("range", "month")
    product = _tracking(request, marketplace, asin).product
    return JsonResponse(history(product, span if span in RANGES else "month", request.user.pk))


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
def edit(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Change how this user watches one product."""
    tracking = _tracking(request, marketplace, asin)
    form = TrackingForm(request.POST or None, instance=tracking)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect(tracking.product)
    context = {"form": form, "tracking": tracking, "product": tracking.product}
    return render(request, "products/edit.html", context, status=422 if form.is_bound else 200)


@require_POST
@login_required
def remove(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Stop watching one product; its shared history stays for others."""
    tracking = _tracking(request, marketplace, asin)
    messages.success(request, _("%s is no longer watched.") % tracking)
    tracking.delete()
    return redirect("products:list")


def _tracking(request: AuthenticatedRequest, marketplace: str, asin: str) -> Tracking:
    """Answer this user's tracking, or 404: another user's does not exist for him."""
    rows = Tracking.objects.select_related("product")
    return get_object_or_404(rows, user=request.user, product__marketplace=marketplace, product__asin=asin)


def _open_run(product: Product) -> ScrapeRun | None:
    return ScrapeRun.objects.open().filter(targets__product=product, targets__outcome="pending").first()


def _failed_run(product: Product) -> ScrapeRun | None:
    """Answer the product's latest run when it ended without an answer after the product was last seen."""
    run = ScrapeRun.objects.filter(targets__product=product).first()
    if run is None or run.state != "failed" or not run.finished_at:
        return None
    return run if product.checked_at is None or run.finished_at > product.checked_at else None


def _warn_when_stopped(request: HttpRequest) -> bool:
    """Say why nothing is fetched now, when nothing is."""
    try:
        ScrapeRun.objects.ensure_planning()
    except PlanningStopped as reason:
        messages.error(request, str(reason))
        return True
    return False
