"""What a team does to many of its products at once, and how a removal is taken back."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from amazon_pilot.http import AuthenticatedRequest

from .models import Frequency, Role, Tag, Tracking
from .models.tracking import UNDO

MOST = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@require_POST
@login_required
def apply(request: AuthenticatedRequest) -> HttpResponse:
    """Do one thing to the chosen products of this team; others' are not found."""
    ids = [int(pk) for pk in request.POST.getlist("id")[:MOST] if pk.isdecimal() and len(pk) < 19]
    rows = Tracking.objects.filter(team=request.team, pk__in=ids)
    what, tag = request.POST.get("do", ""), request.POST.get("tag", "").strip()
    back = page_before(request)
    if not ids:
        messages.warning(request, _("Choose some products first."))
    elif what == "remove":
        return redirect(f"{reverse('products:list')}?{urlencode({'removed': stamp(rows.remove())})}")
    elif what in ("tag", "untag") and not tag:
        messages.warning(request, _("Write the tag beside it."))
    else:
        _say(request, _do(request.team, rows, what, tag))
    return redirect(back)


def _do(team: Any, rows: Any, what: str, tag: str) -> int | None:
    """Change the rows; return how many, or None for a thing that nobody does."""
    match what.split(":"):
        case ["pause"]:
            return rows.update(paused=True)
        case ["resume"]:
            return rows.update(paused=False)
        case ["frequency", value] if value in Frequency.values:
            return rows.update(frequency=value)
        case ["role", value] if value in Role.values:
            return rows.update(role=value)
        case ["tag"]:
            chosen = list(rows.values_list("pk", flat=True))
            Tag.objects.named(team, tag).put_on(chosen)
            return len(chosen)
        case ["untag"]:
            Tracking.tags.through.objects.filter(tracking__in=rows, tag__team=team, tag__name__iexact=tag).delete()
            return rows.count()
    return None


def _say(request: HttpRequest, count: int | None) -> None:
    if count is None:
        messages.warning(request, _("Choose what to do."))
        return
    text = ngettext("%(count)s product changed.", "%(count)s products changed.", count)
    messages.success(request, text % {"count": count})


@require_POST
@login_required
def restore(request: AuthenticatedRequest) -> HttpResponse:
    """Take one removal back, with all that belonged to what was removed."""
    found = _removed(request.team, request.POST.get("removed", ""))
    count = found.restore() if found is not None else 0
    if count:
        text = ngettext("%(count)s product is watched again.", "%(count)s products are watched again.", count)
        messages.success(request, text % {"count": count})
    else:
        messages.warning(request, _("This was removed too long ago, or is watched again already."))
    return redirect("products:list")


def removed_just_now(request: AuthenticatedRequest) -> dict[str, Any] | None:
    """Return what the removal that the address names took away, while it can be taken back."""
    word = request.GET.get("removed", "")
    found = _removed(request.team, word)
    count = found.count() if found is not None else 0
    return {"stamp": word, "count": count} if count else None


def stamp(at: datetime) -> int:
    """Return the microseconds of an instant, by which an address names a removal."""
    return (at - EPOCH) // MICROSECOND


def _removed(team: Any, word: str) -> Any:
    if not (word.isdecimal() and len(word) < 18):
        return None
    at = EPOCH + int(word) * MICROSECOND
    return Tracking.everything.filter(team=team, removed_at=at) if at > now() - UNDO else None


def page_before(request: HttpRequest, otherwise: str = "products:list") -> str:
    """Return the page of this site that a form was sent from, as it says itself."""
    page = request.POST.get("next", "")
    is_ours = page.startswith("/") and url_has_allowed_host_and_scheme(page, allowed_hosts=None)
    return page if is_ours else reverse(otherwise)
