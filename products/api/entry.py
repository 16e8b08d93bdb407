"""Who may ask: a token in the header, or the session of a browser with its CSRF token; and how often."""

import logging
import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest
from django.utils.timezone import now
from django.utils.translation import gettext as _
from ninja.errors import AuthenticationError, Throttled
from ninja.security import APIKeyCookie, HttpBearer
from redis.exceptions import RedisError

from accounts.models import ApiToken, Membership, Team
from accounts.tasks import note_token_use
from amazon_pilot.jobs.inspect import store

from .problems import Problem

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 60
USE_NOTED_SECONDS = 3600


@dataclass(frozen=True)
class Access:
    """Who asks, and whether he may change anything."""

    membership: Membership
    may_write: bool
    token: ApiToken | None = None


class TokenAuth(HttpBearer):
    """`Authorization: Bearer pilot_…`; a request that names a token is judged by it alone."""

    def __call__(self, request: HttpRequest) -> Access | None:
        """Return who asks, None where no token is named; raises AuthenticationError for one that is not valid."""
        if "Authorization" not in request.headers:
            return None
        found = super().__call__(request)
        if not isinstance(found, Access):
            raise AuthenticationError
        return found

    def authenticate(self, request: HttpRequest, token: str) -> Access | None:
        """Return for whom a token acts, and count the request."""
        row = ApiToken.objects.named_by(token.strip())
        if row is None:
            return None
        count_request(f"token:{row.pk}")
        note_use(row)
        request.user = row.membership.user
        return Access(row.membership, row.may_write, row)


class SessionAuth(APIKeyCookie):
    """The session of a signed-in browser; what changes something needs its CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def authenticate(self, request: HttpRequest, key: str | None) -> Access | None:
        """Return who is signed in, None for a stranger."""
        if not request.user.is_authenticated:
            return None
        count_request(f"user:{request.user.pk}")
        membership = request.membership  # type: ignore[attr-defined]
        return Access(membership, membership.may_write)


def count_request(who: str) -> None:
    """Count one request of this minute; raises Throttled beyond the limit. While Redis is away nobody is counted."""
    minute = int(time.time()) // WINDOW_SECONDS
    try:
        with store.connect().pipeline() as pipe:
            pipe.incr(f"pilot:api:{who}:{minute}")
            pipe.expire(f"pilot:api:{who}:{minute}", 2 * WINDOW_SECONDS)
            count = pipe.execute()[0]
    except RedisError as error:
        logger.warning("Requests are not counted: %s", type(error).__name__)
        return
    if count > settings.API_REQUESTS_PER_MINUTE:
        raise Throttled(WINDOW_SECONDS - int(time.time()) % WINDOW_SECONDS)


def note_use(token: ApiToken) -> None:
    """Have it noted that a token is used, once an hour, by the worker: a request that only looks writes nothing."""
    used = token.last_used_at
    if used and (now() - used).total_seconds() < USE_NOTED_SECONDS:
        return
    try:
        if store.connect().set(f"pilot:api:noted:{token.pk}", 1, nx=True, ex=USE_NOTED_SECONDS):
            note_token_use.enqueue(token.pk)
    except RedisError as error:
        logger.warning("The use of a token is not noted: %s", type(error).__name__)


def team_of(request: HttpRequest) -> Team:
    """Return the team for which is asked."""
    access: Access = request.auth  # type: ignore[attr-defined]
    return access.membership.team


def ensure_may_write(request: HttpRequest) -> Team:
    """Return the team for which is asked; raises Problem when the token, or who holds it, may only read."""
    access: Access = request.auth  # type: ignore[attr-defined]
    if not access.membership.may_write:
        raise Problem(403, "role", _("A viewer reads and changes nothing. The team's owner can change the role."))
    if not access.may_write:
        raise Problem(403, "scope", _("This token may only read. Make one that may write, on the page API tokens."))
    return access.membership.team
