"""One job's page: what became of it, why it waits, and the buttons that steer it."""

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ..core import queues
from ..inspect import snapshot, store, waiting
from ..inspect.job_detail import Dossier, collect
from ..operate import deletion, operations
from . import pages

CUT = 200  # characters of the arguments that are shown at once
SHOWN = 20_000  # characters that are shown on request; the rest is a page of its own
WAITING = ("queued", "scheduled", "deferred", "rate_limited", "ready_to_enqueue")


@pages.page()
def job(request: HttpRequest, job_id: str) -> HttpResponse:
    """Show one job, or its live part to htmx; a job that nobody knows is told so (404)."""
    known = collect(store.connect(), job_id)
    if not known.is_known:
        context = {"job_id": job_id, "is_away": known.is_away, "kept": None if known.is_away else deletion.kept(job_id)}
        answer = pages.show(request, "job_unknown", _("Unknown job"), **context)
        answer.status_code = 503 if known.is_away else 404
        return answer
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_job", **parts(known))
    return pages.show(request, "job", known.task or job_id, **parts(known))


def parts(known: Dossier) -> dict[str, Any]:
    """Return everything that the page shows of a job, each part on its own feet."""
    text = known.arguments
    look = pages.widget(lambda: waiting.reason(store.connect(), known, snapshot.current()))
    return {
        "job": known,
        "reason": look,
        "related": pages.widget(lambda: known.related),
        "arguments": text,
        "arguments_cut": text[:CUT] if len(text) > CUT else "",
        "arguments_shown": text[:SHOWN],
        "arguments_are_longer": len(text) > SHOWN,
        "verbs": verbs_for(known),
        "kept": deletion.kept(known.job_id) if known.is_forgotten else None,
        "queues": [name for name in queues.names() if name != known.queue],
        "back_to": reverse("monitor:job", args=[known.job_id]),
    }


def verbs_for(known: Dossier) -> list[str]:
    """Return the verbs that make sense in a job's state; a verb refuses again what has changed meanwhile."""
    if known.is_away:
        return []
    if known.state in WAITING:
        now = ["run now"] if known.state == "scheduled" else []
        return [*now, "hold", "snooze", "move", "cancel", "edit", "delete"]
    if known.state == "held":
        return ["release", "snooze", "move", "cancel", "edit", "delete"]
    if known.state == "started" and not known.is_forgotten:
        return ["cancel", "edit"]
    return ["retry", "edit"] if known.is_forgotten else ["retry", "edit", "delete"]


@pages.page()
def arguments(request: HttpRequest, job_id: str) -> HttpResponse:
    """Return all arguments of a job as plain text, however long."""
    known = collect(store.connect(), job_id)
    if not known.is_known:
        raise Http404
    return HttpResponse(known.arguments, content_type="text/plain; charset=utf-8")


def _words(request: HttpRequest, verb: str) -> dict[str, Any]:
    """Read what a verb needs beside the job out of its form; raises ValidationError."""
    if verb == "snooze":
        return {"until": moment_of(request.POST.get("until", ""))}
    if verb == "move":
        return {"queue": request.POST.get("queue", "")}
    return {}


def moment_of(text: str) -> datetime:
    """Read a time as a browser sends it, in the viewer's zone; raises ValidationError."""
    try:
        when = parse_datetime(text)
    except ValueError:
        when = None
    if when is None:
        raise ValidationError(_("Write a time such as 2026-06-01T12:00."))
    return when if timezone.is_aware(when) else timezone.make_aware(when)


def with_way_back(text: str, job_id: str) -> str:
    """Lead from what is told of a deletion to the page where it can be taken back, if it can."""
    if deletion.kept(job_id) is None:
        return text
    return format_html('{} <a href="{}">{}</a>', text, reverse("monitor:job", args=[job_id]), _("Bring back"))


def button(verb: str) -> pages.View:
    """Return the view of one verb: it acts, tells what came of it, and leads to the new job where it made one."""

    def press(request: HttpRequest, job_id: str) -> HttpResponse:
        done = operations.on_job(request.user, verb, job_id, reason=pages.reason_of(request), **_words(request, verb))
        if verb == "delete" and done.count:
            messages.success(request, with_way_back(done.text, job_id))
            return HttpResponseRedirect(reverse("monitor:jobs"))
        (messages.success if done.count else messages.warning)(request, done.text)
        return HttpResponseRedirect(reverse("monitor:job", args=[done.job_id or job_id]))

    press.__name__ = verb
    view = pages.action(operations.ROLES[verb])(press)
    return transaction.non_atomic_requests(view) if verb == "delete" else view  # as acts.on_job wants it


def _edit(request: HttpRequest, job_id: str) -> HttpResponse:
    """Run the call again with other arguments; what is wrong with them is said beside the field, and kept there."""
    text = request.POST.get("args", "")
    try:
        done = operations.on_job(request.user, "edit", job_id, reason=pages.reason_of(request), args=text)
    except ValidationError as error:
        known = collect(store.connect(), job_id)
        if not known.is_known:
            raise Http404 from error
        context = parts(known) | {"edit_error": " ".join(error.messages), "edited": text}
        answer = pages.show(request, "job", known.task or job_id, **context)
        answer.status_code = 422
        return answer
    messages.success(request, done.text)
    return HttpResponseRedirect(reverse("monitor:job", args=[done.job_id]))


edit = pages.action("edit")(_edit)
BUTTONS = {verb: edit if verb == "edit" else button(verb) for verb in operations.JOB_VERBS}
