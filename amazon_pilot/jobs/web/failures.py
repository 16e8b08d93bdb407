"""Failures by cause: how often each came within a while, since when, and whether it is new or has come back."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..core.values import Context
from ..inspect.failures import MOST, WINDOWS, groups, new_causes
from ..models import Release
from .pages import fragment, page, show, widget


@page()
def failures(request: HttpRequest) -> HttpResponse:
    """Show the failures of the chosen while by cause, the most frequent first: /admin/monitor/failures?window=24h.

    With ?new=1 those alone that are new or back since the last release.
    """
    is_new = request.GET.get("new") == "1"
    usual = "30d" if is_new else "24h"
    name = request.GET.get("window", usual)
    name = name if name in WINDOWS else usual
    release = Release.objects.current()
    context: Context = {"windows": WINDOWS, "chosen": name, "window": WINDOWS[name], "most": MOST}
    context |= {"is_new": is_new, "release": release}
    context["groups"] = widget(lambda: groups(WINDOWS[name], only=new_causes(release) if is_new else None))
    if request.headers.get("HX-Request"):
        return fragment(request, "_failures", **context)
    return show(request, "failures", _("Failures"), **context)
