"""What a team does to many of its products at once, and how a removal is taken back."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme, urlencode
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from amazon_pilot.http import AuthenticatedRequest

from .models import BulkChange, Tracking
from .models.bulk_change import change_of
from .models.tracking import UNDO

MOST = 500
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@require_POST
@login_required
def apply(request: AuthenticatedRequest) -> HttpResponse:
    """Do one thing to the chosen products of this team; others' are not found."""
    ids = [int(pk) for pk in request.POST.getlist("id")[:MOST] if _is_key(pk)]
    if not ids:
        messages.warning(request, _("Choose some products first."))
        return redirect(page_before(request))
    return carry_out(request, Tracking.objects.filter(team=request.team, pk__in=ids))


def carry_out(request: AuthenticatedRequest, rows: Any) -> HttpResponse:
    """Do what a form asks for to rows of its team, and lead to where it can be taken back."""
    what, tag = request.POST.get("do", ""), request.POST.get("tag", "").strip()
    back = page_before(request)
    if problem := problem_of(what, tag):
        messages.warning(request, problem)
    elif what == "remove":
        return redirect(f"{reverse('products:list')}?{urlencode({'removed': stamp(rows.remove())})}")
    elif done := _do(request.team, rows, what, tag):
        return redirect(_with_change(back, done))
    else:
        messages.warning(request, _("No product has this tag."))
    return redirect(back)


def problem_of(what: str, tag: str) -> str:
    """Return why a form asks for nothing that can be done, or an empty text."""
    if what in ("tag", "untag"):
        return "" if tag else _("Write the tag beside it.")
    return "" if what == "remove" or change_of(what) else _("Choose what to do.")


def _do(team: Any, rows: Any, what: str, tag: str) -> BulkChange | None:
    if what == "tag":
        return BulkChange.objects.tag(team, rows, tag)
    return BulkChange.objects.untag(team, rows, tag) if what == "untag" else BulkChange.objects.set(team, rows, what)


def _with_change(back: str, done: BulkChange) -> str:
    """Return an address that also names a change, and neither an earlier one nor a removal."""
    path, _mark, text = back.partition("?")
    query = QueryDict(text, mutable=True)
    query.pop("removed", None)
    query["changed"] = str(done.pk)
    return f"{path}?{query.urlencode()}"


@require_POST
@login_required
def undo(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Take back one change of many products where it still is as that left it."""
    done = get_object_or_404(BulkChange.objects.select_related("tag"), pk=pk, team=request.team)
    count = done.undo()
    if count is None:
        messages.warning(request, _("This was done too long ago, or is taken back already."))
    else:
        text = ngettext("%(count)s product is as before.", "%(count)s products are as before.", count)
        messages.success(request, text % {"count": count})
    return redirect(page_before(request))


def changed_just_now(request: AuthenticatedRequest) -> BulkChange | None:
    """Return the change that the address names, while it can be taken back."""
    word = request.GET.get("changed", "")
    return BulkChange.objects.open(request.team).filter(pk=word).first() if _is_key(word) else None


def _is_key(word: str) -> bool:
    return word.isdecimal() and len(word) < 19


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
