"""The whole answer to a question as a file, CSV or JSON Lines, written while it is read: memory does not grow with it.

What is waiting or running goes on moving meanwhile: it is read window by window, and may be missing or come twice.
"""

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from ..inspect.export import FORMATS, as_csv, as_json_lines, rows
from ..inspect.grammar import QueryError
from ..inspect.query import parse
from . import pages


@pages.page()
def export(request: HttpRequest) -> HttpResponseBase:
    """Return all jobs that a question asks for as a file: /admin/monitor/jobs/export?q=outcome:failed&as=jsonl.

    What breaks on the way breaks the connection off, so that no part passes for the whole.
    """
    kind = request.GET.get("as", "csv")
    if kind not in FORMATS:
        return HttpResponse(f"as has to be one of {', '.join(FORMATS)}.", status=400, content_type="text/plain")
    try:
        query = parse(request.GET.get("q", "").strip())
    except QueryError as error:
        return HttpResponse(str(error), status=400, content_type="text/plain; charset=utf-8")
    text = as_csv(rows(query)) if kind == "csv" else as_json_lines(rows(query))
    answer = StreamingHttpResponse(text, content_type=f"{FORMATS[kind]}; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="jobs.{kind}"'
    return answer
