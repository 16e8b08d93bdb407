"""Bulk actions as JSON: look, ask for what was looked at, watch, stop.

A preview answers a signed text that carries the action, its search or jobs, the number and a token. Whoever asks sends
it back: so what is done is what was previewed, and the same text sent twice starts one action.
"""

import uuid

from django.http import HttpRequest
from django.utils.translation import gettext as _

from ..inspect.as_json import Answer
from ..models import BulkAction
from ..operate import bulk, roles
from ..operate.preview import asked, of_row, previewed, verb_of
from ..operate.table import OPERATIONS
from .api import Refusal, body_of, endpoint, text_in

LATEST_SHOWN = 20


@endpoint("GET", "operate")
def preview(request: HttpRequest) -> Answer:
    """Return what an action would be done to: ?action=retry&q=state:failed, or &id=… once per job; to_queue=, until="""
    words, ids = request.GET, request.GET.getlist("id")
    action = verb_of(words.get("action", ""))
    operation = OPERATIONS[action]
    if not roles.may(request.user, operation.role):
        raise Refusal(403, "forbidden", _("Your role does not allow this."))
    return previewed(action, words.get("q", "").strip(), ids, operation.given_in_bulk(words.dict()))


@endpoint("POST", "operate")
def start(request: HttpRequest) -> Answer:
    """Ask for what was previewed: {"preview": …, "reason": …}, and "confirm" with its number where it is large."""
    body = body_of(request)
    confirmed = body.get("confirm")
    if confirmed is not None and type(confirmed) is not int:
        raise Refusal(400, "invalid", _("%s has to be a whole number.") % "confirm")
    row, is_new = asked(request.user, body.get("preview"), text_in(body, "reason"), confirmed)
    return of_row(row) | {"is_new": is_new}


@endpoint("GET")
def latest(request: HttpRequest) -> Answer:
    """Return the latest actions, the newest first."""
    return {"bulk": [of_row(row) for row in BulkAction.objects.select_related("by", "aborted_by")[:LATEST_SHOWN]]}


@endpoint("GET")
def one(request: HttpRequest, pk: int) -> Answer:
    """Return how far an action is, and what came of it."""
    return of_row(find(pk))


@endpoint("POST", "operate")
def abort(request: HttpRequest, pk: int) -> Answer:
    """Have an action stop before its next batch: {"reason": …}."""
    row = find(pk)
    if not bulk.abort(request.user, row, reason=text_in(body_of(request), "reason")):
        raise Refusal(409, "nothing_done", _("Nothing was done: it had ended before."))
    return of_row(find(pk))


@endpoint("POST", "edit")
def restore(request: HttpRequest, pk: int) -> Answer:
    """Have what a deletion deleted brought back: {"reason": …}, and "token", a UUID with which it is done once."""
    body = body_of(request)
    try:
        token = uuid.UUID(text_in(body, "token") or str(uuid.uuid4()))
    except ValueError as error:
        raise Refusal(400, "invalid", _("%s has to be a UUID.") % "token") from error
    row, is_new = bulk.restore(request.user, find(pk), token=token, reason=text_in(body, "reason"))
    return of_row(row) | {"is_new": is_new}


def find(pk: int) -> BulkAction:
    row = BulkAction.objects.select_related("by", "aborted_by").filter(pk=pk).first()
    if row is None:
        raise Refusal(404, "unknown", _("There is no such bulk action."))
    return row
