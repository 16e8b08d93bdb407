"""Bulk actions as JSON: look, ask for what was looked at, watch, stop.

A preview answers a signed text that carries the action, its search or jobs, the number and a token. Whoever asks sends
it back: so what is done is what was previewed, and the same text sent twice starts one action.
"""

import uuid
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Query, Router
from pydantic import BaseModel, create_model

from ..core.values import Answer
from ..models import BulkAction
from ..operate import bulk
from ..operate.preview import asked, of_row, previewed, verb_of
from ..operate.table import OPERATIONS, in_bulk
from . import api_answers as answers
from . import api_takes as takes
from .api_entry import look, need, press
from .api_errors import Refusal

router = Router(tags=["bulk"])
LATEST_SHOWN = 20
BULK_FIELDS: dict[str, Any] = {each.name_in_bulk: (str, "") for name in in_bulk() for each in OPERATIONS[name].fields}


class Choice(BaseModel):
    """An action, and its jobs: by a search, or one by one."""

    action: str = ""
    q: str = ""
    id: list[str] = []


PreviewIn = create_model("PreviewIn", __base__=Choice, **BULK_FIELDS)


@look(router, "/bulk/preview", "bulk-preview", answers.PreviewOut, "operate")
def preview(request: HttpRequest, words: Query[PreviewIn]) -> Answer:  # type: ignore[valid-type]
    """What an action would be done to, and the signed text that starts it."""
    given = words.model_dump()  # type: ignore[attr-defined]
    action = verb_of(given["action"])
    need(OPERATIONS[action].role, request.user)
    return previewed(request.user, action, given["q"].strip(), given["id"], OPERATIONS[action].given_in_bulk(given))


@press(router, "/bulk/start", "bulk-start", "operate", answers.BulkNow)
def start(request: HttpRequest, body: takes.StartIn) -> Answer:
    """Ask for what was previewed; `confirm` is its number where the preview names it."""
    row, is_new = asked(request.user, body.preview, body.reason, body.confirm)
    return of_row(row) | {"is_new": is_new}


@look(router, "/bulk", "bulk-list", answers.BulkList)
def latest(request: HttpRequest) -> Answer:
    """The latest actions, the newest first."""
    return {"bulk": [of_row(row) for row in BulkAction.objects.select_related("by", "aborted_by")[:LATEST_SHOWN]]}


@look(router, "/bulk/{int:pk}", "bulk", answers.BulkNow)
def one(request: HttpRequest, pk: int) -> Answer:
    """How far an action is, and what came of it."""
    return of_row(find(pk))


@press(router, "/bulk/{int:pk}/abort", "bulk-abort", "operate", answers.BulkNow)
def abort(request: HttpRequest, pk: int, body: takes.Why) -> Answer:
    """Have an action stop before its next batch."""
    row = find(pk)
    if not bulk.abort(request.user, row, reason=body.reason):
        raise Refusal(409, "nothing_done", _("Nothing was done: it had ended before."))
    return of_row(find(pk))


@press(router, "/bulk/{int:pk}/restore", "bulk-restore", "edit", answers.BulkNow)
def restore(request: HttpRequest, pk: int, body: takes.RestoreIn) -> Answer:
    """Have what a deletion deleted brought back."""
    try:
        token = uuid.UUID(body.token or str(uuid.uuid4()))
    except ValueError as error:
        raise Refusal(400, "invalid", _("%s has to be a UUID.") % "token") from error
    row, is_new = bulk.restore(request.user, find(pk), token=token, reason=body.reason)
    return of_row(row) | {"is_new": is_new}


def find(pk: int) -> BulkAction:
    """Return an action; raises Refusal if there is none."""
    row = BulkAction.objects.select_related("by", "aborted_by").filter(pk=pk).first()
    if row is None:
        raise Refusal(404, "unknown", _("There is no such bulk action."))
    return row
