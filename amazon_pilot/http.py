"""The request as a view under login_required sees it, and what a person reads when a server beneath us is away."""

import logging
import zoneinfo
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import OperationalError, connection
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from django_htmx.middleware import HtmxDetails
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .errors import framed, plain
from .jobs.inspect.words import OVERRIDES
from .jobs.models import Source, acting_from
from .jobs.web.api_errors import failure, is_api
from .jobs.web.pages import address_of
from .jobs.web.parameters import ODD_TEXT, ODD_VALUE, ODD_VALUES, is_plain_text, texts_of

if TYPE_CHECKING:
    from accounts.models import Membership, Team

logger = logging.getLogger(__name__)

# Its pages, and the admin's way to the page of any row, which asks a table also of its models, which have none.
OF_DJANGO_RQ = ("/admin/django_rq/", "/admin/r/")
UNUSED = ("accelerometer", "camera", "display-capture", "geolocation", "gyroscope", "microphone", "payment", "usb")
PERMISSIONS = ", ".join(f"{name}=()" for name in UNUSED)


class AuthenticatedRequest(HttpRequest):
    """A request whose user is signed in, for one of his teams, and which knows whether htmx sent it."""

    user: User
    membership: "Membership"
    team: "Team"
    htmx: HtmxDetails


def audit_source(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Have the audit say that an act came from a page, and from which address; what scripts call says so itself."""

    def handle(request: HttpRequest) -> HttpResponse:
        with acting_from(Source.PAGE, address_of(request)):
            return get_response(request)

    return handle


def viewers_zone(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Write and read the times of a page in the zone of its viewer, which zone.js leaves in the cookie `zone`.

    What scripts call, and a browser that has not said its zone yet, stay with TIME_ZONE.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        name = request.COOKIES.get("zone", "")
        if name not in _zones() or is_api(request):
            return get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(name)):
            return get_response(request)

    return handle


def plain_texts(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse a request that holds a NUL or half of a character, before a view or a database meets it."""

    def handle(request: HttpRequest) -> HttpResponse:
        if all(is_plain_text(text) for text in texts_of(request)):
            return get_response(request)
        return odd(request, str(ODD_TEXT))

    return handle


def methods_told(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Tell a script in JSON that an address does not know its method."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.status_code != 405 or not is_api(request) or "json" in response.headers.get("Content-Type", ""):
            return response
        told = failure(405, "method", _("This address knows other methods; the header Allow names them."))
        told["Allow"] = response.headers.get("Allow", "")
        return told

    return handle


def odd(request: HttpRequest, sentence: str) -> HttpResponse:
    """Answer 400 with a sentence; asks neither session nor database."""
    if is_api(request):
        return failure(400, "invalid", sentence)
    return plain(request, 400, _("This cannot be read"), sentence)


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def browser_policies(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Have browsers give our pages no camera, place and the like; django-rq's own pages are written with inline parts.

    What a page may load stands in CONTENT_SECURITY_POLICY.
    """

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS)
        if request.path.startswith("/admin/django_rq/"):
            inline = {"script-src": ["'unsafe-inline'"], "style-src": ["'unsafe-inline'"]}
            response._csp_update = inline  # type: ignore[attr-defined]
        return response

    return handle


def shown_overrides(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Write the signs by which a text could pretend to be another one by their codes, whoever gave that text."""

    def handle(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if response.streaming or not response.headers.get("Content-Type", "").startswith("text/html"):
            return response
        text = response.content.decode(response.charset, errors="surrogateescape")
        if OVERRIDES.search(text):
            shown = OVERRIDES.sub(lambda sign: f"[U+{ord(sign[0]):04X}]", text)
            response.content = shown.encode(response.charset, errors="surrogateescape")
        return response

    return handle


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """Answer 200 where this process serves and its database can be read; compose.yaml asks."""
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return HttpResponse("ok", content_type="text/plain")


class PlainErrors(MiddlewareMixin):
    """Say in words that Redis is away or the database cannot write, instead of a server error.

    Jobs leave on commit, so when Redis is away the rows are stored already, and resume_unfinished enqueues the work
    within a minute of its return. When the database refuses, the transaction was rolled back: nothing has changed.
    """

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer 503 with a sentence, or after a POST go back to the page with it; None for other errors."""
        if isinstance(error, RedisConnectionError | RedisTimeoutError):
            logger.error("Redis is away: %s", type(error).__name__)
            if is_api(request):
                return failure(503, "redis_away", _("Redis went away in the middle of this; look before trying again."))
            if request.method == "POST":
                text = _("Saved. The queue is away just now; the work begins by itself once it is back.")
                messages.warning(request, text)
                return redirect(request.headers.get("HX-Current-URL") or request.path.rsplit("/", 2)[0] + "/")
            return self.say(request, _("The queue (Redis) is away just now. Nothing is lost; please try again soon."))
        if isinstance(error, ODD_VALUES):
            logger.warning("A request holds a value that cannot be: %s", type(error).__name__, exc_info=error)
            return odd(request, str(ODD_VALUE))
        if request.path.startswith(OF_DJANGO_RQ) and not isinstance(error, Http404 | PermissionDenied):
            return self.foreign(request, error)
        if isinstance(error, OperationalError):
            logger.error("The database refused: %s", error)
            if is_api(request):
                return failure(503, "database_away", _("The database could not be written, so nothing was changed."))
            reason = _("The database could not be written: %s. Nothing was changed.") % error
            if "full" in str(error):
                reason = _("The disk is full, so nothing was changed. Free some space, then try again.")
            return self.say(request, reason)
        return None

    def foreign(self, request: HttpRequest, error: Exception) -> HttpResponse:
        """Answer 404 where a page of django-rq cannot show what it was asked for: its models have no tables, a worker
        or a job is gone, or others have put into Redis what it cannot read."""
        logger.warning("A page of django-rq failed: %s", type(error).__name__)
        text = _(
            "This page of django-rq cannot show what it was asked for: it is gone, or not in a form that it reads."
        )
        return framed(request, 404, _("Nothing here"), text)

    def say(self, request: HttpRequest, reason: str) -> HttpResponse:
        """Answer 503 with the reason on a page of its own, which asks neither database nor Redis."""
        return render(request, "503.html", {"reason": reason}, status=503)
