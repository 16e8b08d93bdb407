"""Bulk actions as pages: look at what would be done before it is asked for, and watch it while it is done."""

import uuid
from dataclasses import dataclass, field, replace
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from redis.exceptions import RedisError

from .. import bulk, queues
from ..models import BulkAction
from . import lists, pages, sample
from .query import Query, QueryError, parse

ROWS_SHOWN = 8
LATEST_SHOWN = 5
MOST_PLACES = 6  # queues and states that one preview looks into: two commands for each of them
EFFECTS = {
    "retry": gettext_lazy("Each failed or cancelled job goes back to its queue, with all its retries."),
    "delete": gettext_lazy("Redis forgets each job and it will not run; its history stays. This cannot be undone."),
    "hold": gettext_lazy("Each waiting or planned job does not start until somebody releases it."),
    "release": gettext_lazy("Each held job goes to the head of its queue, or back to its planned time."),
    "run now": gettext_lazy(
        "Each planned job and each retry goes to the end of its queue instead of waiting for its time."
    ),
    "move": gettext_lazy("Each waiting, planned or held job goes to the end of another queue."),
    "cancel": gettext_lazy("Each waiting, planned or held job is taken out of its queue; it can be retried later."),
}
COLUMNS = {
    "scheduled": "scheduled", "retry": "scheduled", "deferred": "deferred", "held": "deferred", "failed": "failed",
    "canceled": "canceled", "queued": "waiting",
}  # fmt: skip  # of the sample, by state


@dataclass
class Preview:
    """What an action would be done to: some of the jobs, and how many in all.

    `number` is None beyond what is counted. Unless it is exact, so many are looked at, and those that fit are changed.
    """

    rows: list[lists.Row] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    number: int | None = None
    is_exact: bool = False

    @property
    def is_large(self) -> bool:
        """Whether the number has to be typed, by somebody with the role admin."""
        return self.number is None or self.number > bulk.MANY

    @property
    def typed(self) -> int:
        """The number to type."""
        return lists.COUNTED if self.number is None else self.number


@pages.page("operate")
def preview(request: HttpRequest) -> HttpResponse:
    """Show what an action would be done to: /admin/monitor/bulk?action=retry&q=state:failed, or &id=… once per job."""
    text, ids = request.GET.get("q", "").strip(), request.GET.getlist("id")
    asked = request.GET.get("action", "")
    chosen = asked if asked in EFFECTS else ""
    context: dict[str, Any] = {"q": text, "ids": ids, "chosen": chosen, "effect": EFFECTS.get(chosen, "")}
    same = urlencode({"id": ids} if ids else {"q": text}, doseq=True)
    allowed = [verb for verb in EFFECTS if pages.may(request.user, bulk.ROLES[verb])]
    context["actions"] = [(verb, BulkAction.Action(verb).label, f"?action={verb}&{same}") for verb in allowed]
    context["label"] = BulkAction.Action(chosen).label if chosen else ""
    context |= {"token": uuid.uuid4(), "queues": queues.names(), "back_to": request.get_full_path(), "many": bulk.MANY}
    context["latest"] = BulkAction.objects.select_related("by")[:LATEST_SHOWN]
    if chosen in allowed:
        try:
            context["preview"] = look(chosen, text, ids)
        except (QueryError, ValidationError, RedisError) as error:
            context["problem"] = problem(error)
    return pages.show(request, "bulk_preview", _("Bulk action"), **context)


def problem(error: Exception) -> str:
    """Say in a sentence why there is no preview."""
    if isinstance(error, RedisError):
        return _("Redis does not answer.")
    return " ".join(error.messages) if isinstance(error, ValidationError) else str(error)


def look(action: str, text: str, ids: list[str]) -> Preview:
    """Answer what an action is about; raises QueryError, ValidationError, or RedisError where Redis is away."""
    if len(ids) > bulk.MOST_CHOSEN:
        raise ValidationError(_("At most %d jobs can be chosen one by one.") % bulk.MOST_CHOSEN)
    if ids:
        return Preview(ids=ids, number=len(ids))
    query = bulk.meant(action, parse(text))
    names = [name for name in queues.names() if not query.queues or name in query.queues]
    states = [state for state in bulk.STATES[action] if state in query.states]
    is_wide = len(states) * len(names) > MOST_PLACES
    shown = replace(query, states=frozenset(states[:2])) if is_wide else query
    listing = lists.find(shown, "", ROWS_SHOWN)
    if not query.states:
        return Preview(listing.rows, number=None if listing.is_more_than else listing.total)
    if listing.total is not None and not is_wide:
        return Preview(listing.rows, number=listing.total, is_exact=True)
    return Preview(listing.rows, number=at_most(query, states, names))


def at_most(query: Query, states: list[str], names: list[str]) -> int | None:
    """Answer how many jobs an action looks at for a search, from the sample; None where it is too many to count."""
    of_history = "failed" in states and not query.is_plain
    columns = {COLUMNS[state] for state in states if state != "failed" or not of_history}
    seen = [sample.current().queue(name) for name in names] if columns else []
    total = sum(int(getattr(queue, column)) for queue in seen if queue for column in columns)
    if of_history:
        listing, counted = lists.Listing(), lists.COUNTED + 1
        with lists.in_time(listing):
            counted = bulk.history(query, "failed", timezone.now()).order_by()[: lists.COUNTED + 1].count()
        if counted > lists.COUNTED:
            return None
        total += counted
    return total


@pages.action("operate")
def begin(request: HttpRequest) -> HttpResponse:
    """Ask for the action that was previewed; a second click leads to the one that the first has begun."""
    action, text, ids = request.POST.get("action", ""), request.POST.get("q", "").strip(), request.POST.getlist("id")
    try:
        token = uuid.UUID(request.POST.get("token", ""))
    except ValueError as error:
        raise ValidationError(_("This form is broken; open the preview again.")) from error
    if known := BulkAction.objects.filter(token=token).first():
        return HttpResponseRedirect(reverse("monitor:bulk", args=[known.pk]))
    if action not in EFFECTS:
        raise ValidationError(_("There is no such action."))
    try:
        found = look(action, text, ids)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    if found.is_large and typed(request, "typed") != typed(request, "number"):
        raise ValidationError(_("Nothing was done: type the number of jobs to confirm."))
    row, _is_new = bulk.start(
        request.user, action, token=token, query=text, ids=ids, to_queue=request.POST.get("to_queue", ""),
        reason=pages.reason_of(request), expected=found.number,
    )  # fmt: skip
    return HttpResponseRedirect(reverse("monitor:bulk", args=[row.pk]))


def typed(request: HttpRequest, name: str) -> int:
    """Read a number as people write it: 12,345 or 12 345; raises ValidationError for anything else."""
    digits = "".join(character for character in request.POST.get(name, "") if character not in " ,.'\u00a0\u202f")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 12:
        raise ValidationError(_("Nothing was done: type the number of jobs to confirm."))
    return int(digits)


@pages.page()
def progress(request: HttpRequest, pk: int) -> HttpResponse:
    """Show how far an action is, and what came of it."""
    row = get_object_or_404(BulkAction.objects.select_related("by", "aborted_by"), pk=pk)
    return pages.show(request, "bulk", f"{row.get_action_display()} #{row.pk}", **of_row(request, row))


@pages.page()
def part(request: HttpRequest, pk: int) -> HttpResponse:
    """Answer the part of that page that refreshes itself."""
    row = get_object_or_404(BulkAction.objects.select_related("by", "aborted_by"), pk=pk)
    return pages.fragment(request, "_bulk", **of_row(request, row))


def of_row(request: HttpRequest, row: BulkAction) -> dict[str, Any]:
    """Answer what the page shows of an action; seconds run from its start to its end, or to now."""
    ran = ((row.ended_at or timezone.now()) - row.started_at).total_seconds() if row.started_at else None
    may_abort = not row.is_over and pages.may(request.user, bulk.ROLES[row.action])
    rate = row.seen / ran if ran and row.seen else None
    left = (row.expected - row.seen) / rate if rate and row.expected and row.expected > row.seen else None
    return {"row": row, "ran": ran, "left": None if row.is_over else left, "may_abort": may_abort}


@pages.action("operate")
def abort(request: HttpRequest, pk: int) -> HttpResponse:
    """Have an action stop before its next batch."""
    row = get_object_or_404(BulkAction, pk=pk)
    if bulk.abort(request.user, row, reason=pages.reason_of(request)):
        messages.success(request, _("It stops before the next batch; what was done stays done."))
    else:
        messages.warning(request, _("Nothing was done: it had ended before."))
    return HttpResponseRedirect(reverse("monitor:bulk", args=[pk]))
