"""Bulk actions as pages: look at what would be done before it is asked for, and watch it while it is done."""

import uuid

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from ..core import queues
from ..core.values import Context
from ..inspect import lists
from ..inspect.grammar import QueryError
from ..inspect.query import frozen
from ..models import BulkAction, KeptJob
from ..operate import bulk, roles
from ..operate.preview import ask, look
from ..operate.table import OPERATIONS, in_bulk, label
from . import pages

LATEST_SHOWN = 5


@pages.page("operate")
def preview(request: HttpRequest) -> HttpResponse:
    """Show what an action would be done to: /admin/monitor/bulk?action=retry&q=state:failed, or &id=… once per job."""
    text, ids = request.GET.get("q", "").strip(), request.GET.getlist("id")
    asked = request.GET.get("action", "")
    ways = in_bulk()
    chosen = OPERATIONS[asked] if asked in ways else None
    context: Context = {"q": text, "ids": ids, "chosen": chosen, "effect": ways[asked].effect if chosen else ""}
    same = urlencode({"id": ids} if ids else {"q": text}, doseq=True)
    allowed = [OPERATIONS[name] for name in ways if roles.within(request.user, OPERATIONS[name].role)]
    context["actions"] = [(row, f"?{urlencode({'action': row.name})}&{same}") for row in allowed]
    context |= {"token": uuid.uuid4(), "queues": queues.names(), "back_to": request.get_full_path(), "many": bulk.MANY}
    context["latest"] = BulkAction.objects.select_related("by")[:LATEST_SHOWN]
    if chosen is not None and chosen in allowed:
        try:
            text = "" if ids else frozen(bulk.own_part(request.user, chosen.name, text))
            context["q"] = text  # what is asked for is what was looked at, and when
            context["preview"] = found = look(chosen.name, text, ids)
            row = BulkAction(action=chosen.name, query=text, ids=ids)
            context["may_start"] = bulk.allows(request.user, row, found.number)
        except (QueryError, ValidationError, RedisError) as error:
            context["problem"] = problem(error)
    return pages.show(request, "bulk_preview", _("Bulk action"), **context)


def problem(error: Exception) -> str:
    """Say in a sentence why there is no preview."""
    if isinstance(error, RedisError):
        return _("Redis does not answer.")
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


@pages.action("operate")
def begin(request: HttpRequest) -> HttpResponse:
    """Ask for the action that was previewed; a second click leads to the one that the first has begun."""
    action, text, ids = request.POST.get("action", ""), request.POST.get("q", "").strip(), request.POST.getlist("id")
    try:
        token = uuid.UUID(request.POST.get("token", ""))
    except ValueError as error:
        raise ValidationError(_("This form is broken; open the preview again.")) from error
    shown, confirmed = (
        number_of(request.POST[name]) if request.POST.get(name) else None for name in ("number", "typed")
    )
    given = OPERATIONS[action].given_in_bulk(request.POST.dict()) if action in OPERATIONS else {}
    row, _is_new = ask(
        request.user, action, token=token, text=text, ids=ids, given=given, reason=pages.reason_of(request),
        shown=shown, typed=confirmed,
    )  # fmt: skip
    return HttpResponseRedirect(reverse("monitor:bulk", args=[row.pk]))


def number_of(text: str) -> int:
    """Read a number as people write it: 12,345 or 12 345; raises ValidationError for anything else."""
    digits = "".join(character for character in text if character not in " ,.'\u00a0\u202f")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        raise ValidationError(_("Nothing was done: type the number of jobs to confirm."))
    return int(digits)


@pages.page()
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how far an action is, and what came of it."""
    row = get_object_or_404(BulkAction.objects.select_related("by", "aborted_by"), pk=pk)
    return pages.show(request, "bulk", f"{label(row.action)} #{row.pk}", **of_row(request, row))


@pages.page()
def part(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the part of that page that refreshes itself."""
    row = get_object_or_404(BulkAction.objects.select_related("by", "aborted_by"), pk=pk)
    return pages.fragment(request, "_bulk", **of_row(request, row))


def of_row(request: HttpRequest, row: BulkAction) -> Context:
    """Return what the page shows of an action; seconds run from its start to its end, or to now."""
    ran = ((row.ended_at or timezone.now()) - row.started_at).total_seconds() if row.started_at else None
    may_abort = not row.is_over and bulk.allows(request.user, row)
    rate = row.seen / ran if ran and row.seen else None
    left = (row.expected - row.seen) / rate if rate and row.expected and row.expected > row.seen else None
    context = {"row": row, "ran": ran, "left": None if row.is_over else left, "may_abort": may_abort}
    return context | kept(request, row)


def kept(request: HttpRequest, row: BulkAction) -> Context:
    """Return what the page says about taking a deletion back: until when, how many, and by whom it was."""
    until = bulk.kept_until(row)
    if until is None:
        return {}
    number = KeptJob.objects.of(row)[: lists.COUNTED + 1].count() if until > timezone.now() else 0
    return {
        "kept_until": until, "kept_number": min(number, lists.COUNTED), "kept_is_more": number > lists.COUNTED,
        "may_restore": bulk.allows(request.user, BulkAction(action=bulk.RESTORE, undoes=row), number),
        "takers": row.undone_by.all()[:LATEST_SHOWN], "token": uuid.uuid4(),
    }  # fmt: skip


@pages.action("edit")
def restore(request: HttpRequest, pk: int) -> HttpResponse:
    """Have what a deletion deleted brought back; a second click leads to the first."""
    row = get_object_or_404(BulkAction, pk=pk)
    try:
        token = uuid.UUID(request.POST.get("token", ""))
    except ValueError as error:
        raise ValidationError(_("This form is broken; open the page again.")) from error
    back, _is_new = bulk.restore(request.user, row, token=token, reason=pages.reason_of(request))
    return HttpResponseRedirect(reverse("monitor:bulk", args=[back.pk]))


@pages.action("operate")
def abort(request: HttpRequest, pk: int) -> HttpResponse:
    """Have an action stop before its next batch."""
    row = get_object_or_404(BulkAction, pk=pk)
    if bulk.abort(request.user, row, reason=pages.reason_of(request)):
        messages.success(request, _("It stops before the next batch; what was done stays done."))
    else:
        messages.warning(request, _("Nothing was done: it had ended before."))
    return HttpResponseRedirect(reverse("monitor:bulk", args=[pk]))
