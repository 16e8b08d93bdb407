"""Bulk actions as JSON: look, ask for what was looked at, watch, stop.

A preview answers a signed text that carries the action, its search or jobs, the number and a token. Whoever asks sends
it back: so what is done is what was previewed, and the same text sent twice starts one action.
"""

import uuid
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from .. import acts, bulk, queues
from ..models import BulkAction
from . import pages
from .api import Answer, Refusal, body_of, endpoint, moment_in, text_in
from .preview import EFFECTS, Preview, ask, look
from .query import QueryError

LATEST_SHOWN = 20
SALT = "bulk preview"
GOOD_FOR_SECONDS = 3600


@endpoint("GET", "operate")
def preview(request: HttpRequest) -> Answer:
    """Answer what an action would be done to: ?action=retry&q=state:failed, or &id=… once per job; to_queue=, until="""
    words, ids = request.GET, request.GET.getlist("id")
    action = verb_of(words.get("action", ""))
    if not pages.may(request.user, bulk.ROLES[action]):
        raise Refusal(403, "forbidden", _("Your role does not allow this."))
    until = moment_in({"until": words.get("until", "")}, "until")
    return previewed(action, words.get("q", "").strip(), ids, words.get("to_queue", ""), until)


def verb_of(word: str) -> str:
    """Answer the verb that an address or the command line names; raises ValidationError where there is none."""
    verbs = {acts.slug(verb): verb for verb in bulk.ROLES}
    if acts.slug(word) not in verbs:
        raise ValidationError(_("There is no such action; there are %s.") % ", ".join(sorted(verbs)))
    return verbs[acts.slug(word)]


def previewed(
    action: str, text: str, ids: list[str], to_queue: str = "", until: datetime | None = None
) -> Answer:  # fmt: skip
    """Look at what an action is about and answer it as JSON; raises ValidationError."""
    if action == "snooze" and until is None:
        raise ValidationError(_("until is missing."))
    if action == "move" and to_queue not in queues.names():
        raise ValidationError(_("There is no queue %s.") % to_queue)
    try:
        found = look(action, text, ids)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    asked = {"action": action, "q": text, "ids": ids, "to_queue": to_queue, "token": str(uuid.uuid4())}
    asked["until"] = until.isoformat() if until else ""
    return {
        "preview": signing.dumps(asked | {"number": found.typed}, salt=SALT, compress=True),
        "action": action,
        "effect": str(EFFECTS[action]),
        "number": found.number,
        "is_exact": found.is_exact or bool(ids),
        "confirm": found.typed if found.is_large else None,
        "role": needed(action, found),
        "sample": [asdict(row) for row in found.rows],
        "jobs": ids,
    }


def needed(action: str, found: Preview) -> str:
    """Answer the role that may have this done."""
    return "admin" if found.is_large else bulk.ROLES[action]


@endpoint("POST", "operate")
def start(request: HttpRequest) -> Answer:
    """Ask for what was previewed: {"preview": …, "reason": …}, and "confirm" with its number where it is large."""
    body = body_of(request)
    confirmed = body.get("confirm")
    if confirmed is not None and type(confirmed) is not int:
        raise Refusal(400, "invalid", _("%s has to be a whole number.") % "confirm")
    row, is_new = asked(request.user, body.get("preview"), text_in(body, "reason"), confirmed)
    return of_row(row) | {"is_new": is_new}


def asked(by: Any, preview: Any, reason: str, confirmed: int | None) -> tuple[BulkAction, bool]:
    """Have a previewed action carried out; one that was asked for already is answered, however old its preview."""
    try:
        words = signing.loads(str(preview), salt=SALT)
    except signing.BadSignature as error:
        raise ValidationError(_("This preview is none of ours; ask for one first.")) from error
    token = uuid.UUID(words["token"])
    if not BulkAction.objects.filter(token=token).exists():
        try:
            signing.loads(str(preview), salt=SALT, max_age=GOOD_FOR_SECONDS)
        except signing.SignatureExpired as error:
            raise ValidationError(_("This preview is older than an hour; look again.")) from error
    return ask(
        by, words["action"], token=token, text=words["q"], ids=words["ids"], to_queue=words["to_queue"], reason=reason,
        shown=words["number"], typed=confirmed, until=parse_datetime(words.get("until", "")),
    )  # fmt: skip


@endpoint("GET")
def latest(request: HttpRequest) -> Answer:
    """Answer the latest actions, the newest first."""
    return {"bulk": [of_row(row) for row in BulkAction.objects.select_related("by", "aborted_by")[:LATEST_SHOWN]]}


@endpoint("GET")
def one(request: HttpRequest, pk: int) -> Answer:
    """Answer how far an action is, and what came of it."""
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


def of_row(row: BulkAction) -> Answer:
    """Answer an action as JSON; `is_over` where nothing more will be changed."""
    names = (
        "action", "query", "ids", "to_queue", "reason", "state", "expected", "seen", "matched", "changed", "left_alone",
        "percent", "is_over", "error", "created_at", "started_at", "ended_at", "until",
    )  # fmt: skip
    more = {"deletion": row.undoes_id, "kept_until": bulk.kept_until(row)}
    if row.action == "cancel":
        more |= {"removed": row.removed, "asked": row.asked, "too_late": row.left_alone}
    people = {"by": row.by, "aborted_by": row.aborted_by}
    told = {name: user.get_username() if user else "" for name, user in people.items()}
    return {"id": row.pk} | {name: getattr(row, name) for name in names} | more | told
