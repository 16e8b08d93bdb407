"""What a script is told where no view of ours was reached: JSON below /admin/monitor/api/, and Django's page elsewhere.

A request without a CSRF token, an address that there is not, a body that is too large: each is refused before a view
could say anything, and a script cannot read a page.
"""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views import csrf, defaults


def is_api(request: HttpRequest) -> bool:
    """Tell whether a request came from a script."""
    return request.path.startswith(("/api/", reverse("monitor:api-queues").removesuffix("queues")))


def failure(status: int, code: str, message: str) -> JsonResponse:
    """Return an error: an HTTP status, a word for scripts, a sentence for people."""
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if is_api(request):
        return failure(400, "invalid", _("The request cannot be read."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if is_api(request):
        return failure(403, "forbidden", _("Your role does not allow this."))
    return defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    if is_api(request):
        return failure(404, "unknown", _("There is no such address."))
    return defaults.page_not_found(request, exception)


def server_error(request: HttpRequest) -> HttpResponseBase:
    if is_api(request):
        return failure(500, "error", _("Something went wrong here; the web server's log says what."))
    return defaults.server_error(request)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Return a POST that carries no CSRF token, or a wrong one."""
    if is_api(request):
        return failure(403, "csrf", _("Send the CSRF token of the session, in the header X-CSRFToken."))
    answer: Any = csrf.csrf_failure(request, reason)
    return answer
