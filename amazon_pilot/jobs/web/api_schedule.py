"""The schedule as JSON: its entries, the history of each, and the verbs, with the permissions of its pages."""

from collections.abc import Callable
from functools import partial

from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router

from ..core.values import Answer
from ..inspect.as_json import PAGE
from ..models import ScheduleEntry
from ..models.person import Asker
from ..operate import schedule as verbs
from ..schedule import entries
from ..schedule.as_json import one, past, told
from . import api_answers as answers
from . import api_takes as takes
from .api import From, Limit, done
from .api_entry import Address, Shape, look, need, press
from .api_errors import Refusal

router = Router(tags=["schedule"])
ROLES = {"create": "edit", "edit": "edit", "delete": "admin"}  # as the groups have them; the permission decides


def allow(verb: str, user: Asker) -> None:
    """Raise where the schedule's pages would refuse this user."""
    need("view", user)
    verbs.allow(user, verb)


def ask(path: str, name: str, answer: Shape, verb: str = "list") -> Callable[[Address], Address]:
    """Return what makes a function an address that shows something of the schedule."""
    return look(router, f"/schedule{path}", f"schedule{name}", answer, allow=partial(allow, verb))


def do(verb: str) -> Callable[[Address], Address]:
    """Return what makes a function the address of a verb."""
    slug, role = verb.replace(" ", "-"), ROLES.get(verb, "operate")
    return press(router, f"/schedule/{{entry}}/{slug}", f"schedule-{slug}", role, allow=partial(allow, verb))


@ask("", "", answers.Entries)
def entry_list(request: HttpRequest) -> Answer:
    """All entries, each with its next times and what came of its last fire."""
    return {"entries": told(ScheduleEntry.objects.order_by("name"))}


@ask("/{entry}", "-entry", answers.EntryNow)
def entry(request: HttpRequest, entry: str) -> Answer:
    """One entry."""
    return one(entry)


@ask("/{entry}/history", "-history", answers.Fires, "history")
def history(request: HttpRequest, entry: str, limit: Limit = PAGE, cursor: From = "") -> Answer:
    """An entry's fires, the newest first; `from` takes `next` of the last answer."""
    return past(entry, limit, cursor)


@do("pause")
def pause(request: HttpRequest, entry: str, body: takes.EntryPauseIn) -> Answer:
    """Let an entry's times pass; a reason has to be given."""
    return done(verbs.pause(request.user, entry, reason=body.reason, until=body.until))


@do("resume")
def resume(request: HttpRequest, entry: str, body: takes.Why) -> Answer:
    """End a pause."""
    return done(verbs.resume(request.user, entry, reason=body.reason))


@do("run now")
def run_now(request: HttpRequest, entry: str, body: takes.Why) -> Answer:
    """Fire an entry now, in addition to its times."""
    return done(verbs.run_now(request.user, entry, reason=body.reason))


@do("create")
def create(request: HttpRequest, entry: str, body: takes.EntryIn) -> Answer:
    """Add an entry: at least its `cron` and `task`."""
    return done(verbs.create(request.user, entry, takes.given_of(body), reason=body.reason))


@do("edit")
def edit(request: HttpRequest, entry: str, body: takes.EntryIn) -> Answer:
    """Change an entry."""
    return done(verbs.edit(request.user, entry, takes.given_of(body), reason=body.reason))


@do("delete")
def delete(request: HttpRequest, entry: str, body: takes.ConfirmIn) -> Answer:
    """Delete an entry; its history stays. `confirm` is its name."""
    entries.find(entry)
    if body.confirm != entry:
        raise Refusal(400, "confirm", _("Nothing was done: send the entry's name, %s, as confirm.") % entry)
    return done(verbs.delete(request.user, entry, reason=body.reason))
