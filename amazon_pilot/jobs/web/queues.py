"""The queues: what each holds and how fast it moves, and the buttons that pause, resume and drain it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..core import queues
from ..core.scripts import script
from ..core.values import Context, Text
from ..inspect import backlog, days, snapshot, store, subjects
from ..inspect.charts import BARS, bars
from ..inspect.window import RANGES
from ..inspect.words import whole_number
from ..models import AuditEntry
from ..operate import operations
from ..operate.operation import moment_of
from . import pages
from .overview import pauses

EXAMINED = 500
SUBJECTS_COUNTED, SUBJECTS_SHOWN = 5, 8  # of each job; of the queue
AUDIT_SHOWN = 10


@dataclass(frozen=True)
class Line:
    """One queue: what it holds, its day (None where the database does not say), and how many workers listen on it."""

    queue: snapshot.QueueSample
    day: days.Day | None
    workers: int


# The table's columns by their names in the address: the heading, and by what the lines are sorted.
COLUMNS: dict[str, tuple[Text, Callable[[Line], Any]]] = {  # what is sorted has an order
    "queue": (gettext_lazy("Queue"), lambda line: line.queue.name),
    "waiting": (gettext_lazy("Waiting"), lambda line: line.queue.waiting),
    "oldest": (gettext_lazy("Oldest"), lambda line: line.queue.oldest if line.queue.waiting else None),
    "running": (gettext_lazy("Running"), lambda line: line.queue.running),
    "scheduled": (gettext_lazy("Scheduled"), lambda line: line.queue.scheduled),
    "held": (gettext_lazy("Held"), lambda line: line.queue.deferred),
    "failed": (gettext_lazy("Failed"), lambda line: line.queue.failed),
    "today": (gettext_lazy("Ended, failed today"), lambda line: line.day and line.day["processed"]),
    "error_rate": (gettext_lazy("Errors, 1 h, 24 h"), lambda line: line.day and line.day["error_rate_hour"]),
    "wait_p95": (gettext_lazy("p95 wait, 1 h"), lambda line: line.day and line.day["wait_p95"]),
    "in": (gettext_lazy("In, out / min"), lambda line: line.queue.in_per_minute),
    "empty_in": (gettext_lazy("Empty in"), lambda line: line.queue.drain_seconds if line.queue.waiting else None),
    "weight": (gettext_lazy("Weight, share"), lambda line: line.queue.weight),
    "memory": (gettext_lazy("Memory, about"), lambda line: line.queue.memory),
    "workers": (gettext_lazy("Workers"), lambda line: line.workers),
}


def ordered(lines: list[Line], order: str) -> list[Line]:
    """Sort lines by a column, the greatest first where `-` stands before its name; what is not known comes last."""
    if order.removeprefix("-") not in COLUMNS:
        return lines
    _label, by = COLUMNS[order.removeprefix("-")]
    known = sorted((line for line in lines if by(line) is not None), key=by, reverse=order.startswith("-"))
    return known + [line for line in lines if by(line) is None]


def headings(order: str) -> list[dict[str, Text]]:
    """Return each column's name and heading, how the lines are sorted by it now, and the order that a click asks for.

    The first click puts names in their order and the greatest number first, the second turns that round.
    """
    found: list[dict[str, Text]] = []
    for name, (label, _by) in COLUMNS.items():
        first, second = (name, f"-{name}") if name == "queue" else (f"-{name}", name)
        sort = {name: "ascending", f"-{name}": "descending"}.get(order, "")
        found.append({"name": name, "label": label, "sort": sort, "next": second if order == first else first})
    return found


def lines_of(seen: snapshot.Sample, day: dict[str, days.Day]) -> list[Line]:
    return [Line(queue, day.get(queue.name), seen.serving(queue.name)) for queue in seen.queues]


@pages.page()
def queue_list(request: HttpRequest) -> HttpResponse:
    """Show all queues and everything that is paused: /admin/monitor/queues?sort=-failed."""
    order = request.GET.get("sort", "")
    seen = pages.widget(snapshot.current)
    day = pages.widget(days.by_queue)
    context: Context = {
        "sample": seen,
        "days": day,
        "pauses": pages.widget(pauses),
        "lines": pages.widget_of(seen, lambda now: ordered(lines_of(now, day.get("value", {})), order)),
        "headings": headings(order),
        "bars": pages.widget_of(seen, bars),
        "bar_states": BARS,
    }
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_queues", **context)
    return pages.show(request, "queues", _("Queues"), **context)


@pages.page()
def queue(request: HttpRequest, name: str) -> HttpResponse:
    """Show one queue: its numbers, its history, and which tasks wait at its head."""
    if name not in queues.names():
        raise Http404
    seen = pages.widget(snapshot.current)
    context: Context = {
        "name": name,
        "sample": seen,
        "queue": pages.widget_of(seen, lambda now: now.queue(name)),
        "pauses": pages.widget(pauses),
        "days": pages.widget(days.by_queue),
        "types": pages.widget(lambda: types(name)),
        "slots": pages.widget_of(seen, lambda now: backlog.slots(now, name)),
        "verdict": pages.widget_of(seen, lambda now: verdict(now, name)),
        "audit": pages.widget(lambda: acts_on(f"queue:{name}")),
        "pause_name": f"queue:{name}",
        "examined": EXAMINED,
    } | pages.rights(request, name)
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_queue", **context)
    return pages.show(request, "queue", name, ranges=RANGES, chart_queue=name, chart_task="", **context)


def verdict(seen: snapshot.Sample, name: str) -> str:
    """Return why the jobs of a queue wait, '' where none does, or where a pause says it already."""
    line = seen.queue(name)
    return backlog.verdict(seen, name) if line is not None and line.waiting and not line.paused else ""


def types(name: str) -> Context:
    """Return how many of the first jobs of a queue each task has, and what several of them are about."""
    looked_at, tasks, about = script("task_counts")(store.connect(), name, EXAMINED, SUBJECTS_COUNTED)
    most = most_first(about)[:SUBJECTS_SHOWN]
    described = dict(subjects.described(subject for subject, _number in most))
    return {
        "looked_at": looked_at,
        "tasks": most_first(tasks),
        "about": [(subject, described[subject], number) for subject, number in most if subject in described],
    }


def most_first(words: Sequence[Any]) -> list[tuple[str, int]]:
    """Return names and numbers, which stand in turn in a script's answer, the greatest number first."""
    pairs = [(word.decode(errors="replace"), number) for word, number in zip(words[::2], words[1::2], strict=True)]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def acts_on(target: str) -> list[AuditEntry]:
    """Return what people did last to a queue, a task or a tag."""
    return list(AuditEntry.objects.filter(target=target).select_related("actor").order_by("-at")[:AUDIT_SHOWN])


def until_of(request: HttpRequest) -> datetime | None:
    """Read when a pause ends: after so many minutes, or at a time; None where somebody has to end it."""
    minutes, at = request.POST.get("minutes", "").strip(), request.POST.get("until", "").strip()
    if minutes:
        number = whole_number(minutes, 100_000)
        if not number:
            raise ValidationError(_("Write the minutes as a whole number, at least 1."))
        return timezone.now() + timedelta(minutes=number)
    return moment_of(at) if at else None


@pages.action("operate")
def pause(request: HttpRequest) -> HttpResponse:
    """Pause what the form names: queue:…, task:… or tag:…."""
    name, reason = request.POST.get("name", ""), pages.reason_of(request, required=True)
    messages.success(request, operations.pause(request.user, name, reason=reason, until=until_of(request)).text)
    return pages.back(request, "monitor:queues")


@pages.action("operate")
def resume(request: HttpRequest) -> HttpResponse:
    """End a pause; what it kept back goes to the head of its queue."""
    done = operations.resume(request.user, request.POST.get("name", ""), reason=pages.reason_of(request))
    (messages.success if done.count else messages.warning)(request, done.text)
    return pages.back(request, "monitor:queues")


@pages.action("admin")
def drain(request: HttpRequest, name: str) -> HttpResponse:
    """Delete everything that waits in a queue now, once its name was typed as a confirmation."""
    if request.POST.get("typed", "").strip() != name:
        raise ValidationError(_("Nothing was done: type the queue's name, %s, to confirm.") % name)
    done = operations.drain(request.user, name, reason=pages.reason_of(request, required=True))
    messages.success(request, done.text)
    return pages.back(request, "monitor:queues")
