"""A comparison as a file: each product with what is known of it, and whether it counts."""

from collections.abc import Iterator

from django.contrib.auth.decorators import login_required
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from amazon_pilot.http import AuthenticatedRequest
from products.giving_out import Row, give_out

from .facts import GONE
from .models import Comparison


@require_safe
@login_required
def comparison(request: AuthenticatedRequest, pk: int) -> HttpResponseBase:
    """Give out one own product and its competitors as they were seen last."""
    row = get_object_or_404(Comparison.objects.select_related("product"), pk=pk, team=request.team)
    columns = [
        *("ASIN", _("marketplace"), _("role"), _("title"), _("brand"), _("currency"), _("price"), _("list price")),
        *(_("price seen at (UTC)"), _("rank"), _("category of the rank"), _("rank seen at (UTC)"), _("rating")),
        *(_("reviews"), _("rating seen at (UTC)"), _("buy box seller"), _("availability"), _("offer is gone")),
        *(_("bought past month, at least"), _("last answer at (UTC)")),
    ]
    return give_out(request, f"comparison-{row.pk}", columns, rows_of(row))


def rows_of(comparison: Comparison) -> Iterator[Row]:
    """Yield the own product, then the competitors in their order."""
    members = comparison.members.select_related("product")
    pairs = [("own", comparison.product), *(("competitor", member.product) for member in members)]
    for role, product in pairs:
        yield [
            *(product.asin, product.marketplace, role, product.title, product.brand, product.currency, product.price),
            *(product.list_price, product.price_seen_at, product.bsr, product.bsr_category, product.bsr_seen_at),
            *(product.rating, product.review_count, product.rating_seen_at, product.seller, product.availability),
            *(product.availability in GONE, product.bought_past_month, product.checked_at),
        ]
