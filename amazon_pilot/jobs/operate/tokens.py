"""The tokens of scripts: who makes and revokes them, and what is noted when one is used, or guessed."""

import logging

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop
from redis.exceptions import RedisError

from ..core.task import job
from ..inspect import store
from ..models import ApiToken, AuditEntry
from ..models.api_token import Scope
from ..models.audit_entry import know
from ..models.person import Actor, known
from .roles import may

logger = logging.getLogger(__name__)
know(gettext_noop("revoke"))

NOTED_SECONDS = 3600
MOST_GUESSES, GUESSING_SECONDS = 20, 60


def make(by: Actor, name: str, scope: str) -> tuple[ApiToken, str]:
    """Make a token for who asks; returns it and its text. Raises ValidationError, or PermissionDenied."""
    user = known(by)
    if user is None or not may(user, "view"):
        raise PermissionDenied(_("Your role does not allow this."))
    if not name:
        raise ValidationError(_("Say what the token is for."))
    if scope not in Scope.values:
        raise ValidationError(_("A token may read, or read and act."))
    with transaction.atomic():
        row, text = ApiToken.objects.issue(user, name, scope)
        AuditEntry.objects.record(by, "create", f"token {row}", scope=scope)
    return row, text


def revoke(by: Actor, row: ApiToken) -> None:
    """Make a token worthless at once: one's own, or as an administrator any. Raises PermissionDenied."""
    user = known(by)
    if user is None or (row.user_id != user.pk and not may(user, "admin")):
        raise PermissionDenied(_("Your role does not allow this."))
    with transaction.atomic():
        AuditEntry.objects.record(by, "revoke", f"token {row}", of=row.user.get_username())
        row.delete()


@job("low", name="amazon_pilot.jobs.tasks.note_use_of_token", timeout=30, unique=True)
def note_use_of_token(pk: int) -> None:
    """Note that a token was used just now."""
    ApiToken.objects.filter(pk=pk).update(last_used_at=Now())


def note_use(row: ApiToken) -> None:
    """Have it noted that a token is used, once an hour, by a worker: a request that only looks writes nothing."""
    if row.last_used_at and (now() - row.last_used_at).total_seconds() < NOTED_SECONDS:
        return
    try:
        if store.connect().set(f"pilot:token:noted:{row.pk}", 1, nx=True, ex=NOTED_SECONDS):
            note_use_of_token.enqueue(row.pk)
    except RedisError as error:
        logger.warning("The use of a token is not noted: %s", type(error).__name__)


def guesses(address: str | None) -> int:
    """Return how many wrong tokens came from an address within a minute of the first; 0 if Redis cannot say."""
    try:
        return int(store.connect().get(_guesses_from(address)) or 0)
    except RedisError:
        return 0


def note_guess(address: str | None) -> None:
    """Count a wrong token."""
    key = _guesses_from(address)
    try:
        with store.connect().pipeline() as pipe:
            pipe.set(key, 0, nx=True, ex=GUESSING_SECONDS)
            pipe.incr(key)
            pipe.execute()
    except RedisError as error:
        logger.warning("Wrong tokens are not counted: %s", type(error).__name__)


def _guesses_from(address: str | None) -> str:
    return f"pilot:token:guesses:{address}"
