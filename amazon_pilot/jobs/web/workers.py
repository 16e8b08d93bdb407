"""The workers: what each slot does, who is quiet or dead and what became of what they held; and what is stuck."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..core.values import Context
from ..inspect import snapshot
from ..inspect.stuck import late, losses, old_leases, poison, unwritten
from ..inspect.words import whole_number
from ..inspect.workers import last_errors
from ..operate import operations
from . import pages


@pages.page()
def worker_list(request: HttpRequest) -> HttpResponse:
    """Show every worker that was seen within an hour."""
    seen = pages.widget(snapshot.current)
    context: Context = {
        "sample": seen,
        "losses": pages.widget(losses),
        "errors": pages.widget_of(seen, lambda now: last_errors([worker["worker"] for worker in now.workers])),
    } | pages.rights(request)
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_workers", **context)
    return pages.show(request, "workers", _("Workers"), **context)


@pages.page()
def stuck(request: HttpRequest) -> HttpResponse:
    """Show work that does not go on, why, and when it will be brought back."""
    context: Context = {
        "sample": pages.widget(snapshot.current),
        "leases": pages.widget(old_leases),
        "late": pages.widget(late),
        "poison": pages.widget(poison),
        "history": pages.widget(unwritten),
    } | pages.rights(request)
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_stuck", **context)
    return pages.show(request, "stuck", _("Stuck"), **context)


MOST_SLOT = 10**6


def command(verb: str) -> pages.View:
    """Return the button that tells one worker something."""

    def press(request: HttpRequest, name: str) -> HttpResponse:
        slot = whole_number(request.POST.get("slot", "" if verb == "kill" else "0"), MOST_SLOT)
        if slot is None:
            raise ValidationError(_("Name the slot by its number."))
        done = operations.on_worker(request.user, verb, name, reason=pages.reason_of(request), slot=slot)
        (messages.success if done.count else messages.warning)(request, done.text)
        return pages.back(request, "monitor:workers")

    press.__name__ = verb
    return pages.action(operations.ROLES[verb])(press)


COMMANDS = {verb: command(verb) for verb in operations.WORKER_COMMANDS}


@pages.action("admin")
def recover(request: HttpRequest) -> HttpResponse:
    """Bring back what is lost already, without waiting for the next look."""
    messages.success(request, operations.recover(request.user, reason=pages.reason_of(request)).text)
    return pages.back(request, "monitor:stuck")
