"""The schedule's own page: what fires next, what fired last, what did not and why, and the buttons of each entry."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..core import queues
from ..core.values import Context
from ..inspect import snapshot
from ..operate import schedule as schedule_acts
from ..operate.operations import Done
from ..schedule import board
from . import pages
from .queues import until_of

EDITED = ("cron", "zone", "queue")  # in the row; the admin's form has the others


@pages.page()
def schedule(request: HttpRequest) -> HttpResponse:
    """Show every entry, in one zone, which the page names: /admin/monitor/schedule."""
    schedule_acts.allow(request.user, "list")
    now = timezone.now()
    context: Context = {
        "sample": pages.widget(snapshot.current),
        "board": pages.widget(lambda: board.context(now)),
        "zone": timezone.get_current_timezone_name(),
        "queues": queues.names(),
        "may_press": request.user.has_perm("jobs.operate_schedule"),
        "may_change": request.user.has_perm("jobs.change_scheduleentry"),
        "may_add": request.user.has_perm("jobs.add_scheduleentry"),
    }
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_schedule", **context)
    return pages.show(request, "schedule", _("Schedule"), **context)


def button(act: Callable[[HttpRequest, str, str], Done]) -> pages.View:
    """Return the view of one button of an entry: the verb asks for its permission and writes the line of audit."""

    def press(request: HttpRequest, name: str) -> HttpResponse:
        done = act(request, name, pages.reason_of(request))
        (messages.success if done.count else messages.warning)(request, done.text)
        return pages.back(request, "monitor:schedule")

    press.__name__ = act.__name__
    return pages.action("view")(press)


def pause(request: HttpRequest, name: str, reason: str) -> Done:
    return schedule_acts.pause(request.user, name, reason=reason, until=until_of(request))


def resume(request: HttpRequest, name: str, reason: str) -> Done:
    return schedule_acts.resume(request.user, name, reason=reason)


def run_now(request: HttpRequest, name: str, reason: str) -> Done:
    return schedule_acts.run_now(request.user, name, reason=reason)


def edit(request: HttpRequest, name: str, reason: str) -> Done:
    given = {field: request.POST[field].strip() for field in EDITED if field in request.POST}
    return schedule_acts.edit(request.user, name, given, reason=reason)


BUTTONS = {act.__name__.replace("_", "-"): button(act) for act in (pause, resume, run_now, edit)}
