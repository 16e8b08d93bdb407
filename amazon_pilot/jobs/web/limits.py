"""Limits: the keys of unique tasks and the rate limits, who holds them and who waits."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..core.values import Context
from ..inspect import holders
from . import pages


@pages.page()
def limits(request: HttpRequest) -> HttpResponse:
    """Show what is held: /admin/monitor/limits?after=… goes on among the rate limits."""
    context: Context = {"holders": pages.widget(lambda: holders.look(request.GET.get("after", "0")))}
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_limits", **context)
    return pages.show(request, "limits", _("Limits"), **context)
