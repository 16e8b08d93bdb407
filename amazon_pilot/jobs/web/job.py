"""One job's page: what became of it, why it waits, and the buttons that steer it."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ..core import queues
from ..core.registry import CallError
from ..core.values import Context
from ..inspect import chain, snapshot, store, subjects, waiting
from ..inspect.job_detail import Dossier, collect
from ..models import Batch
from ..operate import deletion, operations, table
from ..operate.operation import ARGS, Operation
from ..operate.table import OPERATIONS
from . import pages

CUT = 200  # characters of the arguments that are shown at once
SHOWN = 20_000  # characters that are shown on request; the rest is a page of its own


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
        return pages.fragment(request, "_job", **pages.rights(request, known.queue), **parts(known))
    return pages.show(request, "job", known.task or job_id, **pages.rights(request, known.queue), **parts(known))


def parts(known: Dossier) -> Context:
    """Return everything that the page shows of a job, each part on its own feet."""
    text = known.arguments
    look = pages.widget(lambda: around(known))
    return {
        "job": known,
        "reason": look,
        "related": pages.widget(lambda: [] if known.subjects else known.related),
        "siblings": pages.widget(lambda: Batch.objects.around(known.job_id, known.subjects).progress()),
        "about": pages.widget(lambda: subjects.described(known.subjects)),
        "arguments": text,
        "arguments_cut": text[:CUT] if len(text) > CUT else "",
        "arguments_shown": text[:SHOWN],
        "arguments_are_longer": len(text) > SHOWN,
        "misfit": misfit(known),
        "offered": offered_for(known),
        "kept": deletion.kept(known.job_id) if known.is_forgotten else None,
        "queues": [name for name in queues.names() if name != known.queue],
        "back_to": reverse("monitor:job", args=[known.job_id]),
    }


def around(known: Dossier) -> Context:
    """Return why a job waits, None if it does not, and the chain before and after it; raises RedisError."""
    connection = store.connect()
    why = waiting.reason(connection, known, snapshot.current())
    return {"why": why, "chain": chain.chain(connection, known.job_id)}


def offered_for(known: Dossier) -> list[Context]:
    """Return what makes sense to do to a job now, as the page writes it; nothing while Redis is away."""
    state = "" if known.is_away else "forgotten" if known.is_forgotten else known.state
    return [
        {"operation": row, "label": row.label_in(state), "effect": row.effect_in(state)}
        for row in table.offered(state)
        if row.suits(known)
    ]


def misfit(known: Dossier) -> str:
    """Return why its task would not take its arguments now, '' where it would, or where nobody knows the task."""
    name, args, kwargs = known.call
    task = known.registered
    if task is None:
        return _("No such task is registered any more: a job that names it fails.") if name else ""
    try:
        task.bound(args, kwargs)
    except CallError as error:
        return str(error)
    return ""


@pages.page()
def arguments(request: HttpRequest, job_id: str) -> HttpResponse:
    """Return all arguments of a job as plain text, however long."""
    known = collect(store.connect(), job_id)
    if not known.is_known:
        raise Http404
    return HttpResponse(known.arguments, content_type="text/plain; charset=utf-8")


def with_way_back(text: str, job_id: str) -> str:
    """Lead from what is told of a deletion to the page where it can be taken back, if it can."""
    if deletion.kept(job_id) is None:
        return text
    return format_html('{} <a href="{}">{}</a>', text, reverse("monitor:job", args=[job_id]), _("Bring back"))


def button(row: Operation) -> pages.View:
    """Return the view of one operation: it acts, tells what came of it, and leads to the new job if it made one.

    What is wrong with edited arguments is said beside their field, and they are kept there.
    """

    def press(request: HttpRequest, job_id: str) -> HttpResponse:
        given = {name: str(value) for name, value in request.POST.items()}
        try:
            reason = pages.reason_of(request)
            done = operations.on_job(request.user, row.name, job_id, reason=reason, **row.read(given))
        except ValidationError as error:
            if ARGS not in row.fields:
                raise
            return told_beside(request, job_id, given, error)
        if row.name == "delete" and done.count:
            messages.success(request, with_way_back(done.text, job_id))
            return HttpResponseRedirect(reverse("monitor:jobs"))
        (messages.success if done.count else messages.warning)(request, done.text)
        return HttpResponseRedirect(reverse("monitor:job", args=[done.job_id or job_id]))

    press.__name__ = row.slug
    view = pages.action(row.role)(press)
    return transaction.non_atomic_requests(view) if row.is_by_its_own_commit else view


def told_beside(request: HttpRequest, job_id: str, given: dict[str, str], error: ValidationError) -> HttpResponse:
    """Return the job's page with what is wrong beside the field, which holds what was typed (422)."""
    known = collect(store.connect(), job_id)
    if not known.is_known:
        raise Http404 from error
    context = parts(known) | {"edit_error": " ".join(error.messages), "edited": given.get(ARGS.name, "")}
    answer = pages.show(request, "job", known.task or job_id, **context)
    answer.status_code = 422
    return answer


BUTTONS = {row.slug: button(row) for row in OPERATIONS.values()}
