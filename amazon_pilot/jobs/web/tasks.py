"""The tasks: what each promises (queue, timeout, retries) and what the history says of how long it waits and runs."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..core.registry import TASKS, Registered
from ..core.values import Context
from ..inspect.task_period import compare, slowest
from ..inspect.tasks import NEWEST, NEWEST_OF_ONE, day_of_all, failures, figures
from ..inspect.window import RANGES, range_of, window_of
from ..models import JobRun
from ..operate import operations
from ..operate.jobs import parse_arguments
from . import pages
from .overview import pauses
from .queues import acts_on


@pages.page()
def task_list(request: HttpRequest) -> HttpResponse:
    """Show every registered task with its day, and every tag."""
    day = pages.widget(lambda: day_of_all())
    rows = [
        {"task": task, "day": (day.get("value") or {}).get(name), "figures": figures(name), "pause": f"task:{name}"}
        for name, task in sorted(TASKS.items())
    ]
    tags = sorted({tag for task in TASKS.values() for tag in task.tags})
    return pages.show(
        request, "tasks", _("Tasks"), rows=rows, tags=[(tag, f"tag:{tag}") for tag in tags], day=day,
        pauses=pages.widget(pauses), newest=NEWEST,
    )  # fmt: skip


@pages.page()
def task(request: HttpRequest, name: str) -> HttpResponse:
    """Show one task; one that is no longer registered is shown by its history: …/task/NAME?range=24h&end=….

    A script asks for the part that looks at one span of time, whenever another one was chosen for the charts.
    """
    if request.headers.get("HX-Request"):
        registered_or_run(name)
        return pages.fragment(request, "_task_period", **period(request, name))
    return shown(request, name)


def registered_or_run(name: str) -> Registered | None:
    """Return a task, None for one that is known by its history alone; raises Http404 where nobody knows it."""
    if name not in TASKS and not JobRun.objects.filter(task=name).exists():
        raise Http404
    return TASKS.get(name)


def period(request: HttpRequest, name: str) -> Context:
    """Return what a task did in the span that the address names, as a chart has it, and beside the week before."""
    asked, end = request.GET.get("range", "1h"), request.GET.get("end", "")
    try:
        window, back = window_of(asked, end, timezone.now()), range_of(asked).back
    except ValidationError as error:
        return {"window_error": " ".join(error.messages)}
    return {
        "window": window,
        "most": NEWEST_OF_ONE,
        "slowest": pages.widget(lambda: slowest(name, window)),
        "compared": pages.widget(lambda: compare(name, back, window.end)),
    }


def shown(request: HttpRequest, name: str, **more: object) -> HttpResponse:
    """Return the page of a task, with what else there is to say; raises Http404 where nobody knows it."""
    registered = registered_or_run(name)
    more |= pages.rights(request, registered.queue) if registered else {}
    return pages.show(
        request, "task", name, **more, **period(request, name), name=name, task=registered, pause_name=f"task:{name}",
        call=f"{name}{registered.signature}" if registered else "",
        purpose=registered.__doc__ if registered else "", pauses=pages.widget(pauses),
        figures=pages.widget(lambda: figures(name, NEWEST_OF_ONE)), newest=NEWEST_OF_ONE,
        day=pages.widget(lambda: day_of_all().get(name)), audit=pages.widget(lambda: acts_on(f"task:{name}")),
        failures=pages.widget(lambda: list(failures(name))), ranges=RANGES, chart_queue="", chart_task=name,
    )  # fmt: skip


@pages.action("edit")
def run(request: HttpRequest, name: str) -> HttpResponse:
    """Enqueue one call of a task with arguments out of the form; what is wrong with them is said beside their field."""
    text = request.POST.get("args", "").strip() or "[]"
    try:
        args, kwargs = parse_arguments(text)
        done = operations.run(request.user, name, args, kwargs, reason=pages.reason_of(request))
    except (ValidationError, RecursionError) as error:
        deep = [_("These arguments are nested too deeply.")]
        said = error.messages if isinstance(error, ValidationError) else deep
        answer = shown(request, name, run_error=" ".join(said), run_args=text)
        answer.status_code = 422
        return answer
    (messages.success if done.count else messages.warning)(request, done.text)
    page = reverse("monitor:job", args=[done.job_id]) if done.job_id else reverse("monitor:task", args=[name])
    return HttpResponseRedirect(page)
