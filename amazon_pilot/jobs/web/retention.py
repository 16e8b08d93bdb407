"""How long rows are kept, and what the next clean-up deletes; to try another number of days changes nothing."""

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from ..inspect import health, snapshot
from ..inspect.retention import last_clean_up, number_of, result_ttl, told
from . import pages


@pages.page()
def page(request: HttpRequest) -> HttpResponse:
    """Show each kind of row, what is deleted of it, and with ?days=… what would be."""
    text, days, problem = request.GET.get("days", "").strip(), None, ""
    try:
        days = number_of(text)
    except ValidationError as error:
        problem = " ".join(error.messages)
    return pages.show(
        request, "retention", _("Retention"), text=text, days=days, problem=problem,
        preview=pages.widget(lambda: told(days)),
        sample=pages.widget(snapshot.current),
        going=pages.widget(lambda: list(health.failed_jobs(snapshot.current()))), last=pages.widget(last_clean_up),
        result_ttl=result_ttl(), failure_ttl=settings.JOB_FAILURE_TTL, failed_most=settings.FAILED_JOBS_KEPT,
    )  # fmt: skip
