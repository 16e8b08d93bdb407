"""What is read where a page cannot be shown: a sentence in the product's frame, JSON for scripts (api_errors), and the
login where a visitor is not signed in yet."""

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.translation import gettext as _

from .jobs.web import api_errors


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 400; asks neither session nor database, since the request may not even name our host."""
    if api_errors.is_api(request):
        return api_errors.bad_request(request, exception)
    return plain(request, 400, _("This cannot be read"), _("The request cannot be read, so nothing was changed."))


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 403, or lead to the login who is not signed in."""
    if api_errors.is_api(request):
        return api_errors.permission_denied(request, exception)
    if not request.user.is_authenticated:
        return redirect_to_login(request.get_full_path())
    reason = str(exception) or _("Your role does not allow this; an administrator can change it.")
    return framed(request, 403, _("Not for you"), reason)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """Answer 404."""
    if api_errors.is_api(request):
        return api_errors.page_not_found(request, exception)
    return framed(request, 404, _("Nothing here"), _("There is no such page. What it showed may have been deleted."))


def server_error(request: HttpRequest) -> HttpResponseBase:
    """Answer 500; asks neither session nor database, one of which may be the cause."""
    if api_errors.is_api(request):
        return api_errors.server_error(request)
    return plain(request, 500, _("Our fault"), _("Something went wrong here; the web server's log says what."))


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer 403 to a form that carries no token of its session, or one of another."""
    if api_errors.is_api(request):
        return api_errors.csrf_failure(request, reason)
    text = _("This form is no longer valid, so nothing was changed. Load the page again and send it once more.")
    return framed(request, 403, _("Out of date"), text)


def framed(request: HttpRequest, status: int, heading: str, reason: str) -> HttpResponse:
    """Answer a page with the menu."""
    return render(request, "error.html", {"heading": heading, "reason": reason}, status=status)


def plain(request: HttpRequest, status: int, heading: str, reason: str) -> HttpResponse:
    """Answer a page that asks nobody anything."""
    return render(None, "503.html", {"heading": heading, "reason": reason}, status=status)
