"""The schedule as JSON: its entries, the history of each, and the verbs, with the permissions of its pages."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.utils.translation import gettext as _

from ..inspect.as_json import MOST, PAGE, Answer
from ..inspect.words import whole_number
from ..models import ScheduleEntry
from ..operate import schedule as schedule_acts
from ..operate.operations import Done
from ..schedule import entries as schedule_entries
from ..schedule.as_json import one, past, told
from . import pages
from .api import Endpoint, Refusal, body_of, done, endpoint, moment_in, text_in


def of_schedule(method: str, verb: str) -> Callable[[Endpoint], pages.View]:
    """Make a function an address of the schedule: the permission is its page's, an unknown entry is a 404."""

    def wrap(function: Endpoint) -> pages.View:
        @wraps(function)
        def act(request: HttpRequest, **words: Any) -> Answer:
            schedule_acts.allow(request.user, verb)
            try:
                return function(request, **words)
            except schedule_entries.UnknownEntryError as error:
                raise Refusal(404, "unknown", " ".join(error.messages)) from error

        return endpoint(method)(act)

    return wrap


# Looking


@of_schedule("GET", "list")
def entries(request: HttpRequest) -> Answer:
    """Return all entries, each with its next times and what came of its last fire."""
    return {"entries": told(ScheduleEntry.objects.order_by("name"))}


@of_schedule("GET", "list")
def entry(request: HttpRequest, entry: str) -> Answer:
    """Return one entry."""
    return one(entry)


@of_schedule("GET", "history")
def history(request: HttpRequest, entry: str) -> Answer:
    """Return an entry's fires, the newest first: ?limit=&from= (`next` of the last answer)."""
    limit = whole_number(request.GET.get("limit", str(PAGE)), MOST)
    if limit is None:
        raise Refusal(400, "invalid", _("limit has to be from 1 to %d.") % MOST)
    return past(entry, limit, request.GET.get("from", ""))


# Acting


def verb(name: str, act: Callable[[HttpRequest, str, dict[str, Any], str], Done]) -> pages.View:
    """Return the address of one verb: POST {"reason": …}, and what the verb needs besides."""

    def press(request: HttpRequest, entry: str) -> Answer:
        body = body_of(request)
        reason = text_in(body, "reason")
        body.pop("reason", None)
        return done(act(request, entry, body, reason))

    press.__name__ = name
    return of_schedule("POST", name)(press)


def pause(request: HttpRequest, name: str, body: dict[str, Any], reason: str) -> Done:
    return schedule_acts.pause(request.user, name, reason=reason, until=moment_in(body, "until"))


def delete(request: HttpRequest, name: str, body: dict[str, Any], reason: str) -> Done:
    schedule_entries.find(name)
    if text_in(body, "confirm") != name:
        raise Refusal(400, "confirm", _("Nothing was done: send the entry's name, %s, as confirm.") % name)
    return schedule_acts.delete(request.user, name, reason=reason)


VERBS = {
    "pause": verb("pause", pause),
    "resume": verb("resume", lambda request, name, _body, why: schedule_acts.resume(request.user, name, reason=why)),
    "run now": verb("run now", lambda request, name, _body, why: schedule_acts.run_now(request.user, name, reason=why)),
    "create": verb(
        "create", lambda request, name, body, why: schedule_acts.create(request.user, name, body, reason=why)
    ),
    "edit": verb("edit", lambda request, name, body, why: schedule_acts.edit(request.user, name, body, reason=why)),
    "delete": verb("delete", delete),
}
