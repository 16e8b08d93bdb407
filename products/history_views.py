"""The page on which the history of one product is taken in from a file."""

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.teams import for_members
from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.uploads import is_too_large

from . import history_import
from .models import Import, ImportKind, Tracking
from .taking_in.tables import UnreadableFile, too_large

LAST = 10


class HistoryForm(forms.Form):
    """A file with times, prices and ranks."""

    file = forms.FileField(
        label=gettext_lazy("CSV or Excel file"),
        max_length=200,
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx"}),
        help_text=gettext_lazy(
            "An export of Keepa, or a table with the columns time, price, currency, rank: up to 50,000 lines. Times"
            " without a zone are read in yours."
        ),
    )


@login_required
@for_members
def import_history(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Take in prices and ranks of the past; they stay apart from what is seen here, and can be removed again."""
    rows = Tracking.objects.select_related("product")
    tracking = get_object_or_404(rows, team=request.team, product__marketplace=marketplace, product__asin=asin)
    form = HistoryForm(request.POST or None, request.FILES or None)
    if is_too_large(request):
        form.add_error("file", too_large())
    if request.method == "POST" and form.is_valid():
        file = form.cleaned_data["file"]
        try:
            row = history_import.take(request.team, tracking.product, file.name or _("history"), file.read())
        except UnreadableFile as reason:
            form.add_error("file", str(reason))
        else:
            said = ngettext("%(count)s point imported.", "%(count)s points imported.", row.count) % {"count": row.count}
            messages.success(request, said)
            return redirect(row)
    imports = Import.objects.of(request.team).filter(product=tracking.product, kind=ImportKind.HISTORY)[:LAST]
    context = {"form": form, "tracking": tracking, "product": tracking.product, "imports": imports}
    return render(request, "products/import_history.html", context, status=422 if request.method == "POST" else 200)
