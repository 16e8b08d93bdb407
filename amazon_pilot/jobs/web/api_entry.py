"""Who may ask for the monitor's JSON: a signed-in member of the staff, in a role; and each address's method."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from ninja import Router
from ninja.security import APIKeyCookie

from ..inspect import store
from ..operate import roles
from .api_errors import Refusal
from .api_schemas import Error, Outcome

Allow = Callable[[Any], None]
LOOKING = {400: Error, 401: Error, 403: Error, 404: Error, 503: Error}
ACTING = LOOKING | {409: Error}


class SessionAuth(APIKeyCookie):
    """The session of a signed-in browser; what acts needs its CSRF token, which django-ninja asks for."""

    param_name = settings.SESSION_COOKIE_NAME

    def __init__(self, allow: Allow) -> None:
        super().__init__()
        self.allow = allow

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """Return who is signed in; raises Refusal for a stranger, and for somebody who may not."""
        return let_in(request, self.allow)


def let_in(request: HttpRequest, allow: Allow) -> Any:
    """Return who asks; raises Refusal for nobody, what `allow` raises, and Refusal where Redis is needed and away."""
    user = request.user
    if not (user.is_active and user.is_staff):
        raise Refusal(401, "not_signed_in", _("Sign in first."))
    allow(user)
    if request.method == "POST" and store.is_away():
        raise Refusal(503, "redis_away", _("Redis does not answer, so nothing was done."))
    return user


def need(role: str, user: Any) -> None:
    """Raise Refusal where a user's role does not reach so far."""
    if not roles.may(user, role):
        raise Refusal(403, "forbidden", _("Your role does not allow this."))


@cache
def of_role(role: str) -> Allow:
    """Return what lets those in who may act in a role."""
    return partial(need, role)


def add(router: Router, method: str, path: str, name: str, answer: Any, role: str, allow: Allow | None) -> Any:
    """Return what makes a function an address: /admin/monitor/api/… by its path, monitor:api-… by its name."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        added: Callable[..., Any] = router.api_operation(
            [method],
            path,
            auth=[SessionAuth(allow or of_role(role))],
            response={200: answer} | (LOOKING if method == "GET" else ACTING),
            exclude_unset=True,
            url_name=f"api-{name}",
            operation_id=name.replace("-", "_"),
            openapi_extra={"x-role": role},
        )(function)
        return added

    return wrap


def look(
    router: Router, path: str, name: str, answer: Any, role: str = "view", allow: Allow | None = None
) -> Any:  # fmt: skip
    """Return what makes a function an address to GET, which runs in no transaction."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        return add(router, "GET", path, name, answer, role, allow)(transaction.non_atomic_requests(function))

    return wrap


def press(
    router: Router, path: str, name: str, role: str, answer: Any = Outcome, allow: Allow | None = None
) -> Any:  # fmt: skip
    """Return what makes a function an address to POST to; a body that asks for nothing may be left out."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        shape = function.__annotations__["body"]
        if not any(field.is_required() for field in shape.model_fields.values()):
            function.__defaults__ = (shape(),)
        return add(router, "POST", path, name, answer, role, allow)(function)

    return wrap
