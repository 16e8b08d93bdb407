"""The tasks: what each promises (queue, timeout, retries) and what the history says of how long it waits and runs."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _

from ..core.registry import TASKS
from ..inspect.tasks import NEWEST, NEWEST_OF_ONE, day_of_all, failures, figures
from ..inspect.window import RANGES
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
    """Show one task; one that is no longer registered is shown by its history."""
    return shown(request, name)


def shown(request: HttpRequest, name: str, **more: object) -> HttpResponse:
    """Return the page of a task, with what else there is to say; raises Http404 where nobody knows it."""
    registered = TASKS.get(name)
    if registered is None and not JobRun.objects.filter(task=name).exists():
        raise Http404
    return pages.show(
        request, "task", name, **more, name=name, task=registered, pause_name=f"task:{name}",
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
