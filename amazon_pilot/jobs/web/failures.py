"""Failures by cause: how often each came within a while, since when, and whether it is new or has come back."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..inspect.failures import MOST, WINDOWS, groups
from .pages import fragment, page, show, widget


@page()
def failures(request: HttpRequest) -> HttpResponse:
    """Show the failures of the chosen while by cause, the most frequent first: /admin/monitor/failures?window=24h."""
    name = request.GET.get("window", "24h")
    name = name if name in WINDOWS else "24h"
    context: dict[str, Any] = {"windows": WINDOWS, "chosen": name, "window": WINDOWS[name], "most": MOST}
    context["groups"] = widget(lambda: groups(WINDOWS[name]))
    if request.headers.get("HX-Request"):
        return fragment(request, "_failures", **context)
    return show(request, "failures", _("Failures"), **context)
