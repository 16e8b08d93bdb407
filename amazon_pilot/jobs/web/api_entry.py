"""Who may ask for the monitor's JSON: a member of the staff in a role, by a session or by a token in the header."""

from collections.abc import Callable
from functools import cache, partial, wraps
from typing import TypeAlias

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from ninja import Router
from ninja.security import APIKeyCookie, HttpBearer

from ..inspect import store
from ..models import ApiToken
from ..models.api_token import Scope
from ..models.person import Asker
from ..operate import roles, tokens
from . import pages
from .api_answers import Error, Outcome
from .api_errors import Refusal

Allow = Callable[[Asker], None]
Shape: TypeAlias = type[object]  # of an answer, which the document names
Address: TypeAlias = Callable[..., object]  # a function that answers one, as it is decorated
LOOKING = {400: Error, 401: Error, 403: Error, 404: Error, 429: Error, 503: Error}
ACTING = LOOKING | {409: Error}


class TokenAuth(HttpBearer):
    """`Authorization: Bearer monitor_…`; a request that names a token is judged by it alone."""

    def __init__(self, allow: Allow) -> None:
        super().__init__()
        self.allow = allow

    def __call__(self, request: HttpRequest) -> Asker | None:
        """Return who asks, None if no token is named; raises Refusal for a token that is wrong or may not."""
        if "Authorization" not in request.headers:
            return None
        address = pages.address_of(request)
        if tokens.guesses(address) >= tokens.MOST_GUESSES:
            raise Refusal(429, "too_many", _("Too many wrong tokens. Wait a minute, then send a right one."))
        found: Asker | None = super().__call__(request)
        if found is None:
            tokens.note_guess(address)
            raise Refusal(401, "token", _("Send a token that is valid, in the header Authorization: Bearer …"))
        return found

    def authenticate(self, request: HttpRequest, token: str) -> Asker | None:
        """Return for whom a token acts, None for a wrong one; raises Refusal for one that may only read."""
        row = ApiToken.objects.named_by(token.strip())
        if row is None:
            return None
        request.user = row.user
        user = let_in(request, self.allow, may_act=row.scope == Scope.ACT)
        tokens.note_use(row)
        return user


class SessionAuth(APIKeyCookie):
    """The session of a signed-in browser; what acts needs its CSRF token, which django-ninja asks for."""

    param_name = settings.SESSION_COOKIE_NAME

    def __init__(self, allow: Allow) -> None:
        super().__init__()
        self.allow = allow

    def authenticate(self, request: HttpRequest, key: str | None) -> Asker:
        """Return who is signed in; raises Refusal for a stranger, and for somebody who may not."""
        return let_in(request, self.allow)


def let_in(request: HttpRequest, allow: Allow, *, may_act: bool = True) -> Asker:
    """Return who asks; raises Refusal for nobody, what `allow` raises, and Refusal where Redis is needed and away."""
    user = request.user
    if not (user.is_active and user.is_staff):
        raise Refusal(401, "not_signed_in", _("Sign in first."))
    allow(user)
    if request.method == "POST" and not may_act:
        raise Refusal(403, "scope", _("This token may only read. Make one that may act as well."))
    if request.method == "POST" and store.is_away():
        raise Refusal(503, "redis_away", _("Redis does not answer, so nothing was done."))
    return user


def need(role: str, user: Asker) -> None:
    """Raise Refusal where a user has the role in no queue; what acts asks for it where it acts."""
    if not roles.within(user, role):
        raise Refusal(403, "forbidden", _("Your role does not allow this."))


@cache
def of_role(role: str) -> Allow:
    """Return what lets those in who may act in a role."""
    return partial(need, role)


def add(
    router: Router, method: str, path: str, name: str, answer: Shape, role: str, allow: Allow | None
) -> Callable[[Address], Address]:
    """Return what makes a function an address: /admin/monitor/api/… by its path, monitor:api-… by its name."""

    def wrap(function: Address) -> Address:
        @wraps(function)
        def answered(request: HttpRequest, *args: object, **kwargs: object) -> JsonResponse:
            """Answer as it is: that it has the shape that the document names is a test's to say, not each request's."""
            return JsonResponse(function(request, *args, **kwargs))

        added: Address = router.api_operation(
            [method],
            path,
            auth=[TokenAuth(allow or of_role(role)), SessionAuth(allow or of_role(role))],
            response={200: answer} | (LOOKING if method == "GET" else ACTING),
            url_name=f"api-{name}",
            operation_id=name.replace("-", "_"),
            openapi_extra={"x-role": role},
        )(answered)
        return added

    return wrap


def look(
    router: Router, path: str, name: str, answer: Shape, role: str = "view", allow: Allow | None = None
) -> Callable[[Address], Address]:  # fmt: skip
    """Return what makes a function an address to GET, which runs in no transaction."""

    def wrap(function: Address) -> Address:
        return add(router, "GET", path, name, answer, role, allow)(transaction.non_atomic_requests(function))

    return wrap


def press(
    router: Router, path: str, name: str, role: str, answer: Shape = Outcome, allow: Allow | None = None
) -> Callable[[Address], Address]:  # fmt: skip
    """Return what makes a function an address to POST to; a body that asks for nothing may be left out."""

    def wrap(function: Address) -> Address:
        shape = function.__annotations__["body"]
        if not any(field.is_required() for field in shape.model_fields.values()):
            function.__defaults__ = (shape(),)
        return add(router, "POST", path, name, answer, role, allow)(function)

    return wrap
