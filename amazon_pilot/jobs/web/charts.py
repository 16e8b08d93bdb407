"""What is drawn: runs and waits over a window of time, what a queue held meanwhile, and what all queues hold now.

Runs come from tallies and sizes from readings; the history itself is never scanned.
"""

from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext

from ..inspect.charts import gauges, releases, series
from ..inspect.window import window_of
from .pages import page, show

validate_name = ProhibitNullCharactersValidator()  # PostgreSQL refuses a query that holds one


# What all queues hold now


# The columns of a chart's table, as the script on the page writes them: runs and waits, and what a queue held.
COLUMNS = ("succeeded", "failed", "other", "wait", "longest_wait")
QUEUE_COLUMNS = ("per_second", "failed_per_second", "error_rate")
GAUGE_COLUMNS = ("size", "waiting", "running", "retries", "failed", "oldest", "memory")


@page()
def chart(request: HttpRequest) -> HttpResponse:
    """Return one window as JSON: /admin/monitor/chart?range=24h&end=2026-03-01T13:30Z, narrowed by queue and task.

    The range is one of the charts' own or a length such as 90m, 36h or 10d. Without an end it ends now. For one queue
    and all its tasks also what it held, as `gauges`. A range, an end or a name that cannot be is told in a sentence, as
    `error` (400). A browser that has no script to draw it asks for HTML, and gets the table.
    """
    is_page = request.get_preferred_type(["application/json", "text/html"]) == "text/html"
    queue, task = request.GET.get("queue", ""), request.GET.get("task", "")
    try:
        window = window_of(request.GET.get("range", "1h"), request.GET.get("end", ""), timezone.now())
        validate_name(queue + task)
    except ValidationError as error:
        sentence = " ".join(error.messages)
        return _as_page(request, error=sentence) if is_page else JsonResponse({"error": sentence}, status=400)
    answer = series(window, queue=queue, task=task)
    answer |= {"gauges": gauges(window, queue)} if queue and not task else {}
    answer["releases"] = releases(window)
    return _as_page(request, window=window, rows=_rows(answer), answer=answer) if is_page else JsonResponse(answer)


def _as_page(request: HttpRequest, **context: object) -> HttpResponse:
    asked = {f"chart_{name}": request.GET.get(name, "") for name in ("queue", "task", "range", "end")}
    answer = show(request, "chart", gettext("Runs over time"), **asked, **context)
    answer.status_code = 400 if "error" in context else 200
    return answer


def _rows(answer: dict[str, Any]) -> list[tuple[datetime, list[float | None]]]:
    held = answer.get("gauges")
    columns = [answer[name] for name in COLUMNS + (QUEUE_COLUMNS if held else ())]
    if held:
        megabytes = [None if value is None else round(value / 1e6, 2) for value in held["memory"]]
        columns += [megabytes if name == "memory" else held[name] for name in GAUGE_COLUMNS]
    moments = [datetime.fromtimestamp(at, tz=UTC) for at in answer["at"]]
    return [(moment, [column[n] for column in columns]) for n, moment in enumerate(moments)]
