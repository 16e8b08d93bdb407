"""What a script is told where no view of ours was reached: JSON below /admin/monitor/api/, and Django's page elsewhere.

A request without a CSRF token, an address that there is not, a body that is too large: each is refused before a view
could say anything, and a script cannot read a page.
"""

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from django.core import exceptions
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.http.request import RawPostDataException
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views import csrf, defaults
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser
from redis.exceptions import RedisError

from ..core.values import Json
from ..schedule.entries import UnknownEntryError
from .parameters import ODD_TEXT, ODD_VALUE, ODD_VALUES, is_plain_text, texts_in

logger = logging.getLogger(__name__)


class Refusal(Exception):
    """Why a request is not done: an HTTP status, a word for scripts, a sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class Body(Parser):
    """Reads the body of a request: a JSON object that a database can hold, {} where there is none."""

    def parse_body(self, request: HttpRequest) -> dict[str, Json]:
        """Return the body; raises Refusal that says what is wrong with it."""
        try:
            body = json.loads(request.body, parse_constant=no_number)
        except ValueError as error:
            raise Refusal(400, "invalid", _("The body is not JSON: %s.") % error) from error
        except RecursionError as error:
            raise Refusal(400, "invalid", _("The body is nested too deeply.")) from error
        if not all(is_plain_text(text) for text in texts_in(body)):
            raise Refusal(400, "invalid", str(ODD_TEXT))
        if not isinstance(body, dict):
            raise Refusal(400, "invalid", _("The body has to be a JSON object."))
        return body


def no_number(name: str) -> float:
    """Raise ValueError for NaN and the infinities, which Python reads and JSON has not."""
    raise ValueError(name)


def tell(api: NinjaAPI) -> None:
    """Have an API answer all that goes wrong in one form."""
    handle: Callable[..., None] = api.add_exception_handler  # each is called with its own kind of error
    handle(Refusal, lambda request, error: failure(error.status, error.code, error.message))
    handle(exceptions.PermissionDenied, lambda request, error: failure(403, "forbidden", str(error)))
    handle(UnknownEntryError, lambda request, error: failure(404, "unknown", " ".join(error.messages)))
    handle(exceptions.ValidationError, lambda request, error: failure(400, "invalid", " ".join(error.messages)))
    handle(ValidationError, lambda request, error: failure(400, "invalid", sentence(error.errors[0])))
    handle(exceptions.SuspiciousOperation, bad_request)
    handle(RawPostDataException, bad_request)  # a form was sent, and read as one before it got here
    handle(RedisError, lambda request, error: failure(503, "redis_away", _("Redis does not answer.")))
    handle(HttpError, unread)
    handle(Exception, broken)


def unread(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Return what django-ninja refuses by itself: a body that cannot be read, a missing CSRF token."""
    if isinstance(error.__cause__, Refusal):
        return failure(error.__cause__.status, error.__cause__.code, error.__cause__.message)
    if error.status_code == 403:
        return csrf_failure(request)
    return failure(error.status_code, "invalid", _("The request cannot be read."))


def sentence(error: Mapping[str, Any]) -> str:
    """Say what is wrong with one value of a request."""
    places = [str(part) for part in error["loc"] if part not in ("body", "query", "path")]
    field, kind = places[0] if places else "body", str(error["type"])
    if kind == "missing":
        return _("Say also: %s.") % field
    if kind.startswith("string"):
        return _("%s has to be a text.") % field
    if kind.startswith(("int", "greater", "less")):
        return _("%s has to be a whole number.") % field
    if kind.startswith(("list", "dict")):
        return _("%s has to be a list.") % field
    return f"{field}: {error['msg']}."[:300]


def broken(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return an error that nobody expected, and leave nothing half done in the database."""
    logger.error("The monitor's JSON could not answer", exc_info=error)
    if transaction.get_connection().in_atomic_block:
        transaction.set_rollback(True)
    if isinstance(error, ODD_VALUES):
        return failure(400, "invalid", str(ODD_VALUE))
    if isinstance(error, OperationalError):
        return failure(503, "database_away", _("The database does not answer, so nothing was done."))
    return failure(500, "error", _("Something went wrong here; the web server's log says what."))


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
    answer: HttpResponse = csrf.csrf_failure(request, reason)
    return answer
