"""Batches: fan-outs and their children, each as one progress bar with its outcome."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _

from ..core.values import Context
from ..inspect import batches
from ..inspect.lists import ask
from ..inspect.words import whole_number
from ..models import Batch
from . import pages


@pages.page()
def batch_list(request: HttpRequest) -> HttpResponse:
    """Show the newest fan-outs: /admin/monitor/batches?before=… goes on behind one of them."""
    before = whole_number(request.GET.get("before", ""), 10**17)
    context: Context = {"batches": pages.widget(lambda: batches.newest(before))}
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_batches", **context)
    return pages.show(request, "batches", _("Batches"), **context)


@pages.page()
def batch(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one fan-out: how many of its children wait, run and ended how, and the last of them."""
    get_object_or_404(Batch, pk=pk)
    context: Context = {
        "pk": pk,
        "progress": pages.widget(lambda: Batch.objects.filter(pk=pk).select_related("by").progress()[0]),
        "listing": pages.widget(lambda: ask(f'about:"batch:{pk}"', "", batches.SHOWN)),
        "q": f"about:batch:{pk}",
    }
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_batch", **context)
    return pages.show(request, "batch", _("Batch %d") % pk, **context)
