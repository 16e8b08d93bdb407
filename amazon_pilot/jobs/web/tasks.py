"""The tasks: what each promises (queue, timeout, retries) and what the history says of how long it waits and runs."""

from django.http import Http404, HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..core.registry import TASKS
from ..inspect.tasks import NEWEST, NEWEST_OF_ONE, day_of_all, failures, figures
from ..inspect.window import RANGES
from ..models import JobRun
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
    registered = TASKS.get(name)
    if registered is None and not JobRun.objects.filter(task=name).exists():
        raise Http404
    return pages.show(
        request, "task", name, name=name, task=registered, pause_name=f"task:{name}",
        purpose=registered.__doc__ if registered else "", pauses=pages.widget(pauses),
        figures=pages.widget(lambda: figures(name, NEWEST_OF_ONE)), newest=NEWEST_OF_ONE,
        day=pages.widget(lambda: day_of_all().get(name)), audit=pages.widget(lambda: acts_on(f"task:{name}")),
        failures=pages.widget(lambda: list(failures(name))), ranges=RANGES, chart_queue="", chart_task=name,
    )  # fmt: skip
