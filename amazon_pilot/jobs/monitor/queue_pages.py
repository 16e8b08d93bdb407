"""The queues: what each holds and how fast it moves, and the buttons that pause, resume and drain it."""

from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from rq.defaults import RQ_KEY_PREFIX
from rq.utils import as_text

from .. import acts, queues
from ..models import AuditEntry
from . import pages, sample, store
from .charts import BARS, bars
from .job import moment_of
from .overview import pauses
from .window import RANGES

EXAMINED = 500
AUDIT_SHOWN = 10


@pages.page()
def queue_list(request: HttpRequest) -> HttpResponse:
    """Show all queues and everything that is paused."""
    context: dict[str, Any] = {"sample": pages.widget(sample.current), "pauses": pages.widget(pauses)}
    context |= {"bars": pages.widget(lambda: bars(sample.current())), "bar_states": BARS}
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_queues", **context)
    return pages.show(request, "queues", _("Queues"), **context)


@pages.page()
def queue(request: HttpRequest, name: str) -> HttpResponse:
    """Show one queue: its numbers, its history, and which tasks wait at its head."""
    if name not in queues.names():
        raise Http404
    context: dict[str, Any] = {
        "name": name,
        "sample": pages.widget(sample.current),
        "queue": pages.widget(lambda: sample.current().queue(name)),
        "pauses": pages.widget(pauses),
        "types": pages.widget(lambda: types(name)),
        "audit": pages.widget(lambda: acts_on(f"queue:{name}")),
        "pause_name": f"queue:{name}",
        "examined": EXAMINED,
    }
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_queue", **context)
    return pages.show(request, "queue", name, ranges=RANGES, chart_queue=name, chart_task="", **context)


@cache
def _source() -> str:
    return (Path(__file__).parent / "types.lua").read_text()


def types(name: str) -> dict[str, Any]:
    """Answer how often each task stands among the first jobs of a queue, the most frequent first."""
    script: Any = store.connect().register_script(_source())
    looked_at, *words = script([], [RQ_KEY_PREFIX, name, EXAMINED])
    pairs = [(as_text(task), number) for task, number in zip(words[::2], words[1::2], strict=True)]
    return {"looked_at": looked_at, "tasks": sorted(pairs, key=lambda pair: -pair[1])}


def acts_on(target: str) -> list[AuditEntry]:
    """Answer what people did last to a queue, a task or a tag."""
    return list(AuditEntry.objects.filter(target=target).select_related("actor").order_by("-at")[:AUDIT_SHOWN])


def until_of(request: HttpRequest) -> datetime | None:
    """Read when a pause ends: after so many minutes, or at a time; None where somebody has to end it."""
    minutes, at = request.POST.get("minutes", "").strip(), request.POST.get("until", "").strip()
    if minutes:
        if not minutes.isdigit() or not 1 <= int(minutes) <= 100_000:
            raise ValidationError(_("Write the minutes as a whole number, at least 1."))
        return timezone.now() + timedelta(minutes=int(minutes))
    return moment_of(at) if at else None


@pages.action("operate")
def pause(request: HttpRequest) -> HttpResponse:
    """Pause what the form names: queue:…, task:… or tag:…."""
    name, reason = request.POST.get("name", ""), pages.reason_of(request, required=True)
    messages.success(request, acts.pause(request.user, name, reason=reason, until=until_of(request)).text)
    return pages.back(request, "monitor:queues")


@pages.action("operate")
def resume(request: HttpRequest) -> HttpResponse:
    """End a pause; what it kept back goes to the head of its queue."""
    done = acts.resume(request.user, request.POST.get("name", ""), reason=pages.reason_of(request))
    (messages.success if done.count else messages.warning)(request, done.text)
    return pages.back(request, "monitor:queues")


@pages.action("admin")
def drain(request: HttpRequest, name: str) -> HttpResponse:
    """Delete everything that waits in a queue now, once its name was typed as a confirmation."""
    if request.POST.get("typed", "").strip() != name:
        raise ValidationError(_("Nothing was done: type the queue's name, %s, to confirm.") % name)
    done = acts.drain(request.user, name, reason=pages.reason_of(request, required=True))
    messages.success(request, done.text)
    return pages.back(request, "monitor:queues")
