"""The page on which operators decide on batches in which too much vanished at once."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required, permission_required
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.jobs.models import AuditEntry

from .models import RunTarget, ScrapeRun
from .models import held as batches
from .tasks import tell_changes

AT_ONCE = 20


def _operators(view: Any) -> Any:
    guarded = login_required(permission_required("products.change_scraperun", raise_exception=True)(view))
    guarded.is_for_operators = True
    return guarded


@require_GET
@_operators
def held(request: AuthenticatedRequest) -> HttpResponse:
    """Show each batch that waits, with every product before and after."""
    runs = list(batches.waiting()[:AT_ONCE])
    shown = [(run, [_compared(target) for target in batches.targets_of(run)]) for run in runs]
    return render(request, "products/held.html", {"batches": shown})


def _compared(target: RunTarget) -> dict[str, Any]:
    """Return a product as it is known, and as the held look has it."""
    listing = batches.read(target.answer)
    product = target.product
    return {
        "product": product,
        "price": (product.price, listing.price),
        "lost_price": product.price is not None and listing.price is None,
        "rank": (product.bsr, listing.ranks[-1].rank if listing.ranks else None),
        "lost_rank": product.bsr is not None and not listing.ranks,
        "rating": (product.rating, listing.rating),
        "availability": (product.get_availability_display(), listing.availability.label),
    }


@require_POST
@_operators
def release(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Take a batch for true: its looks are stored and its changes told."""
    run = get_object_or_404(ScrapeRun, pk=pk)
    with transaction.atomic():
        changes = batches.release(run)
        if changes is not None:
            tell_changes(changes)
            AuditEntry.objects.record(request.user, "release", f"scrape run {run.pk}", count=len(run.asins))
    if changes is None:
        messages.info(request, _("Somebody has decided on this batch already."))
    else:
        said = ngettext("Released: %(count)s change.", "Released: %(count)s changes.", len(changes))
        messages.success(request, said % {"count": len(changes)})
    return redirect("products:held")


@require_POST
@_operators
def discard(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Forget what a batch saw: nothing of it is ever stored."""
    run = get_object_or_404(ScrapeRun, pk=pk)
    with transaction.atomic():
        count = batches.discard(run, _("Discarded by %s.") % request.user.get_username())
        if count is not None:
            AuditEntry.objects.record(request.user, "discard", f"scrape run {run.pk}", count=count)
    if count is None:
        messages.info(request, _("Somebody has decided on this batch already."))
    else:
        messages.success(request, _("Discarded. The products keep what was known of them."))
    return redirect("products:held")
