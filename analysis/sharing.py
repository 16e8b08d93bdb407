"""A comparison by a link: whoever has it sees the newest good report, without an account, until the link ends.

The link is signed and stands in no row: the comparison keeps until when it holds, and another time is another link.
"""

from datetime import timedelta

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core import signing
from django.db.models.functions import Now
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from amazon_pilot.http import AuthenticatedRequest

from .models import Comparison

HOLDS = timedelta(days=30)
SIGNER = signing.Signer(salt="a shared comparison")


def address_of(row: Comparison) -> str:
    """Return the address under which a comparison is shared, '' where it is not."""
    if not row.shared_until or row.shared_until <= now():
        return ""
    return reverse("analysis:shared", args=[SIGNER.sign_object([row.pk, row.shared_until.timestamp()])])


@require_POST
@login_required
def share(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Share a comparison for thirty days; an earlier link to it leads nowhere from then on."""
    row = get_object_or_404(Comparison, pk=pk, team=request.team)
    Comparison.objects.filter(pk=row.pk).update(shared_until=Now() + HOLDS)
    messages.success(request, _("Whoever has the link below sees this comparison, and nothing else."))
    return redirect(row)


@require_POST
@login_required
def end_sharing(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Have the link lead nowhere."""
    row = get_object_or_404(Comparison, pk=pk, team=request.team)
    Comparison.objects.filter(pk=row.pk).update(shared_until=None)
    messages.success(request, _("The link leads nowhere now."))
    return redirect(row)


@require_GET
def shared(request: HttpRequest, word: str) -> HttpResponse:
    """Show what a link shares, to whoever has it; 404 for one that was made up, has ended or was ended."""
    row = _shared(word)
    if row is None:
        raise Http404
    context = {"comparison": row, "product": row.product, "report": row.reports.good().first(), "is_shared": True}
    answer = render(request, "analysis/shared.html", context)
    answer["X-Robots-Tag"] = "noindex"
    answer["Cache-Control"] = "private, no-store"
    return answer


def _shared(word: str) -> Comparison | None:
    try:
        pk, until = SIGNER.unsign_object(word)
    except signing.BadSignature:
        return None
    rows = Comparison.objects.filter(pk=pk, shared_until__gt=Now(), team__ended_at=None)
    row = rows.select_related("product").first()
    return row if row and row.shared_until and row.shared_until.timestamp() == until else None
