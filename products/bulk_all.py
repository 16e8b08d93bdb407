"""One thing done to all that the list was asked for: looked at first, and done to no more than what was shown."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Max
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from amazon_pilot.http import AuthenticatedRequest

from .bulk import carry_out, page_before, problem_of
from .models import Frequency, Role, Tracking
from .watchlist import Wanted

# From so many on their number is typed.
MANY = 1000


@require_POST
@login_required
def look(request: AuthenticatedRequest) -> HttpResponse:
    """Show what would be done to how many products; nothing is changed yet."""
    what, tag = request.POST.get("do", ""), request.POST.get("tag", "").strip()
    if problem := problem_of(what, tag):
        messages.warning(request, problem)
        return redirect(page_before(request))
    newest = Tracking.objects.filter(team=request.team).aggregate(newest=Max("pk"))["newest"] or 0
    rows = _asked(request, newest)
    number = rows.count()
    context = {
        "what": what,
        "act": _act(what, tag),
        "tag": tag,
        "query": request.POST.get("query", ""),
        "number": number,
        "until": newest,
        "must_type": number > MANY,
        "some": rows.select_related("product").order_by("-pk")[:5],
        "back": page_before(request),
    }
    return render(request, "products/bulk_all.html", context)


@require_POST
@login_required
def do(request: AuthenticatedRequest) -> HttpResponse:
    """Do it to what matches now and was there when it was looked at; to none where far more match than were shown."""
    shown, until = _number(request.POST.get("number")), _number(request.POST.get("until"))
    if shown is None or until is None:
        messages.warning(request, _("Nothing was done: this form is broken. Ask once more."))
    elif shown > MANY and _number(request.POST.get("typed")) != shown:
        messages.warning(request, _("Nothing was done: type the number of products to confirm."))
    elif (count := (rows := _asked(request, until)).count()) > shown + max(10, shown // 10):
        text = _("Nothing was done: %(count)s products match now, and %(shown)s were shown. Look at them once more.")
        messages.warning(request, text % {"count": f"{count:,}", "shown": f"{shown:,}"})
    elif not count:
        messages.warning(request, _("Nothing was done: no product matches any more."))
    else:
        return carry_out(request, Tracking.objects.filter(team=request.team, pk__in=rows.order_by().values("pk")))
    return redirect(page_before(request))


def _asked(request: AuthenticatedRequest, until: int) -> Any:
    """Return what the list was asked for, without what was added since."""
    wanted = Wanted.of(QueryDict(request.POST.get("query", "")[:2000]))
    return wanted.rows(request.team).filter(pk__lte=until)


def _number(text: str | None) -> int | None:
    """Read a number as people write it; None for anything else."""
    digits = "".join(sign for sign in text or "" if sign not in " ,.'\u00a0\u202f")
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None


def _act(what: str, tag: str) -> str:
    """Say what would be done."""
    name, _colon, value = what.partition(":")
    words = {
        "pause": _("Pause"),
        "resume": _("Resume"),
        "remove": _("Stop watching"),
        "tag": _("Give the tag “%s”") % tag,
        "untag": _("Take the tag “%s” off") % tag,
        "frequency": _("Look at them %s") % dict(Frequency.choices).get(value, ""),
        "role": _("These are: %s") % dict(Role.choices).get(value, ""),
    }
    return words[name]
