"""The pages on which a file or a paste is looked at, taken and undone."""

from decimal import Decimal
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_GET, require_POST

from accounts.teams import for_members
from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.uploads import is_too_large
from products.forms import LONGEST_PASTE, AddProductsForm, UsualForm
from products.models import (
    Beginning,
    Import,
    ImportKind,
    ImportState,
    PlanningStopped,
    ScrapeRun,
)
from products.tasks import take_import

from . import lines, taking
from .tables import UnreadableFile, too_large

PER_PAGE = 100
LAST = 5


class FileForm(UsualForm):
    """A file, or the paste beside it, and what holds for lines that do not say otherwise."""

    file = forms.FileField(
        label=gettext_lazy("CSV, TSV or Excel file"),
        required=False,
        allow_empty_file=True,
        max_length=200,
        widget=forms.FileInput(attrs={"accept": ".csv,.tsv,.txt,.xlsx"}),
        help_text=gettext_lazy(
            "Up to 10,000 lines and 10 MB. Exports of Helium 10, Keepa, Jungle Scout and Seller Central's listings"
            " report are recognised; otherwise name the columns ASIN or URL, marketplace, alias, tags, role, frequency."
        ),
    )
    products = forms.CharField(max_length=LONGEST_PASTE, required=False, widget=forms.HiddenInput)
    field_order = ["file", "products"]
    rare = ("marketplace", "role", "frequency", "tags")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["marketplace"].label = gettext_lazy("Marketplace where the file names none")
        self.fields["tags"].help_text = gettext_lazy("For lines that name none. With commas between them.")

    def read(self) -> lines.Reading:
        """Return what the file, or else the paste, asks for; raises UnreadableFile."""
        data = self.cleaned_data
        usual = lines.Usual.said(data)
        content = data["file"].read() if data["file"] else data["products"].encode()
        if not content.strip():
            raise UnreadableFile(_("Choose a file that holds a table, or paste lines."))
        return lines.read_file(content, usual)


@login_required
@for_members
def add(request: AuthenticatedRequest) -> HttpResponse:
    """Watch products from now on, and have those without data looked at at once; wrong lines come back alone."""
    form = AddProductsForm(request.POST or None, initial=Beginning.objects.of(request.team).words)
    if request.method != "POST" or not (form.is_valid() or form.good):
        return _shown(request, form)
    data = form.cleaned_data
    usual = lines.Usual.said(data)
    wishes = [usual.wish(number, *identity) for number, identity in enumerate(form.good, 1)]
    added = taking.watch_all(request.team.pk, wishes)
    warn_when_stopped(request)
    messages.success(request, _added(len(added)))
    if form.errors:
        return _shown(request, form.only_wrong_lines())
    return redirect("products:detail", *form.good[0]) if len(form.good) == 1 else redirect("products:list")


def _shown(request: AuthenticatedRequest, form: AddProductsForm, file_form: FileForm | None = None) -> HttpResponse:
    context = {
        "form": form,
        "file_form": file_form or FileForm(initial=Beginning.objects.of(request.team).words),
        "imports": Import.objects.of(request.team).filter(kind=ImportKind.PRODUCTS)[:LAST],
    }
    is_wrong = form.is_bound or file_form is not None
    return render(request, "products/add.html", context, status=422 if is_wrong else 200)


def _added(count: int) -> str:
    if not count:
        return _("You watch all of these already.")
    return ngettext(
        "%(count)s product added. First data comes within a minute.",
        "%(count)s products added. First data comes within a minute.",
        count,
    ) % {"count": count}


def warn_when_stopped(request: AuthenticatedRequest) -> None:
    """Say why nothing is fetched now, when nothing is."""
    try:
        ScrapeRun.objects.ensure_planning(request.team.pk)
    except PlanningStopped as reason:
        messages.error(request, str(reason))


@require_POST
@login_required
def look(request: AuthenticatedRequest) -> HttpResponse:
    """Read a file or a paste, and show what would be taken; nothing is added yet."""
    form = FileForm(request.POST, request.FILES)
    if is_too_large(request):
        form.add_error("file", too_large())
    if form.is_valid():
        try:
            reading = form.read()
        except UnreadableFile as reason:
            form.add_error("file" if form.cleaned_data["file"] else None, str(reason))
        else:
            name = getattr(form.cleaned_data["file"], "name", None) or _("Paste")
            return redirect(taking.keep(request.team, name, reading))
    return _shown(request, AddProductsForm(initial=request.POST.dict()), form)


@require_GET
@login_required
def show(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Show what a file asks for and what it costs a day, each line that is not taken, and what became of it."""
    row = get_object_or_404(Import, pk=pk, team=request.team)
    left = [
        *((number, text, reason, "bad") for number, text, reason in row.wrong),
        *((number, "", reason, "soft") for number, reason in row.repeated),
        *((number, text, _("You watch it already."), "soft") for number, text in row.watched),
    ]
    wishes = taking.wishes_of(row) if row.state == ImportState.READ and row.kind == ImportKind.PRODUCTS else []
    cost = lines.cost_per_day(wishes)
    context = {
        "import": row,
        "page": Paginator(left, PER_PAGE).get_page(request.GET.get("page")),
        "good": len(wishes),
        "lines": len(row.good),
        "first": wishes[:10],
        "cost": cost.quantize(Decimal("0.01") if cost >= 1 else Decimal("0.0001")),
        "is_too_dear": cost > settings.APIFY_DAILY_BUDGET_USD,
        "budget": settings.APIFY_DAILY_BUDGET_USD,
    }
    return render(request, "products/import.html", context)


@require_POST
@login_required
def take(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Add the good lines of a file that was looked at: the first 500 here, those behind them by a job."""
    row = get_object_or_404(Import, pk=pk, team=request.team, kind=ImportKind.PRODUCTS)
    if not row.claim():
        messages.info(request, _("This file was taken before."))
        return redirect(row)
    if taking.step(row):
        take_import.enqueue(row.pk)
    else:
        said = ngettext("%(count)s product added.", "%(count)s products added.", row.count) % {"count": row.count}
        messages.success(request, said)
    warn_when_stopped(request)
    return redirect(row)


@require_POST
@login_required
def undo(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Remove what an import added, or forget a file that was only looked at."""
    row = get_object_or_404(Import, pk=pk, team=request.team)
    if row.state == ImportState.READ:
        row.delete()
        messages.success(request, _("Nothing was added."))
        return redirect("products:add")
    gone = row.undo()
    if row.state == ImportState.TAKING:
        messages.info(request, _("This file is still being taken. Undo it once that has ended."))
    elif gone is None:
        messages.info(request, _("This import was undone before."))
    else:
        messages.success(
            request, ngettext("%(count)s entry removed.", "%(count)s entries removed.", gone) % {"count": gone}
        )
    return redirect(row)
