"""What is said when something cannot be done: a status, a word for scripts, a sentence for people; always alike."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from django.utils.translation import gettext as _
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError

from amazon_pilot.jobs.web.api_errors import failure


class Problem(Exception):
    """Something cannot be done."""

    def __init__(self, status: int, code: str, message: object) -> None:
        self.status, self.code, self.message = status, code, str(message)
        super().__init__(self.message)


def tell_alike(api: NinjaAPI) -> None:
    """Have the API answer every problem in one form."""

    @api.exception_handler(Problem)
    def _problem(request: HttpRequest, error: Problem) -> HttpResponse:
        return failure(error.status, error.code, error.message)

    @api.exception_handler(Http404)
    def _missing(request: HttpRequest, error: Http404) -> HttpResponse:
        return failure(404, "unknown", _("There is nothing of this kind among what is yours."))

    @api.exception_handler(ValidationError)
    def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
        return failure(422, "invalid", " ".join(_sentence(one) for one in error.errors[:10]))

    @api.exception_handler(AuthenticationError)
    def _stranger(request: HttpRequest, error: AuthenticationError) -> HttpResponse:
        answer = failure(401, "unauthenticated", _("Send a token that is valid, in the header Authorization: Bearer …"))
        answer["WWW-Authenticate"] = "Bearer"
        return answer

    @api.exception_handler(Throttled)
    def _too_many(request: HttpRequest, error: Throttled) -> HttpResponse:
        answer = failure(429, "too_many", _("Too many requests. Wait as long as the header Retry-After says."))
        answer["Retry-After"] = str(error.wait or 60)
        return answer

    @api.exception_handler(RawPostDataException)
    def _form(request: HttpRequest, error: RawPostDataException) -> HttpResponse:
        """A form was sent, and read as one before it got here."""
        return failure(400, "invalid", _("The body cannot be read: it has to be JSON."))

    @api.exception_handler(HttpError)
    def _refused(request: HttpRequest, error: HttpError) -> HttpResponse:
        if error.status_code == 403:
            return failure(403, "csrf", _("Send the CSRF token of the session, in the header X-CSRFToken."))
        return failure(error.status_code, "invalid", _("The body cannot be read: it has to be JSON."))


def _sentence(error: dict[str, Any]) -> str:
    """Return what is wrong with one field, with its place."""
    place = ".".join(str(part) for part in error["loc"] if part not in ("body", "query", "path", "data", "filters"))
    return f"{place or 'body'}: {error['msg']}."[:300]
