"""What belongs to an account beside its user: tokens for scripts, invitations, and how its pages are written."""

import hashlib
import secrets
import zoneinfo
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core import signing
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.models import User

MOST_TOKENS, MOST_INVITATIONS = 50, 200
INVITATION_LASTS = timedelta(days=7)
INVITATION_SALT = "an invitation to an account"
MARK = "pilot_"  # so that a token that was published by mistake can be found


class Scope(models.TextChoices):
    READ = "read", _("read")
    WRITE = "write", _("read and write")


def digest_of(text: str) -> str:
    """Return what is kept of a token: it has 240 random bits, so one round of SHA-256 is not to be guessed from."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def issue(self, user: "User | Any", name: str, scope: str) -> "tuple[ApiToken, str]":
        """Return a new token and its text, which is shown this once; raises ValidationError for more than fifty."""
        if self.filter(user=user).count() >= MOST_TOKENS:
            raise ValidationError(_("You have 50 tokens. Revoke one that is no longer used."))
        text = MARK + secrets.token_urlsafe(30)
        return self.create(user=user, name=name, scope=scope, digest=digest_of(text), start=text[: len(MARK) + 4]), text

    def named_by(self, text: str) -> "ApiToken | None":
        """Return the token that this text is, of a user who may sign in."""
        return self.filter(digest=digest_of(text), user__is_active=True).select_related("user").first()


class ApiToken(models.Model):
    """A key with which a script acts for one user. Only its digest is kept."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens", verbose_name=_("user")
    )
    name = models.CharField(_("name"), max_length=60, help_text=_("What it is for."))
    scope = models.CharField(_("may"), max_length=5, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    start = models.CharField(_("begins with"), max_length=12, editable=False)
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("token")
        verbose_name_plural = _("tokens")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.start}…)"

    @property
    def may_write(self) -> bool:
        """Whether it may change anything."""
        return self.scope == Scope.WRITE


class InvitationQuerySet(models.QuerySet["Invitation"]):
    def open(self) -> "InvitationQuerySet":
        """Keep what can still be accepted."""
        return self.filter(accepted_at=None, expires_at__gt=Now())

    def named_by(self, text: str) -> "Invitation | None":
        """Return the open invitation whose link this is; None for one that is used, withdrawn, too old or made up."""
        try:
            pk = signing.loads(text, salt=INVITATION_SALT, max_age=INVITATION_LASTS)
        except signing.BadSignature:
            return None
        return self.open().filter(pk=pk).first()

    def prune(self) -> int:
        """Delete what expired or was accepted a month ago; return how many."""
        month = Now() - timedelta(days=30)
        return self.filter(Q(expires_at__lt=month) | Q(accepted_at__lt=month)).delete()[0]


def when_expired() -> Any:
    """Return when an invitation that is made now ends."""
    return now() + INVITATION_LASTS


class Invitation(models.Model):
    """One address that may sign up, once and for a week."""

    email = models.EmailField(_("e-mail"))
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("invited by")
    )
    created_at = models.DateTimeField(_("made at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("ends at"), default=when_expired)
    sent_at = models.DateTimeField(_("sent at"), null=True)
    accepted_at = models.DateTimeField(_("accepted at"), null=True)
    language = models.CharField(max_length=10, blank=True)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return self.email

    @property
    def secret(self) -> str:
        """What its link holds; nothing of it is stored, and only our key can sign it."""
        return signing.dumps(self.pk, salt=INVITATION_SALT)

    def accept(self) -> bool:
        """Use it up; False means that somebody else was first."""
        return Invitation.objects.open().filter(pk=self.pk).update(accepted_at=Now()) == 1


def check_zone(name: str) -> None:
    """Refuse what is no time zone; raises ValidationError."""
    if name and name not in zoneinfo.available_timezones():
        raise ValidationError(_("“%s” is no time zone. Write it like Europe/Berlin.") % name[:40])


class Preferences(models.Model):
    """How one user's pages are written; empty means as the browser asks."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="preferences")
    zone = models.CharField(_("time zone"), max_length=60, blank=True, validators=[check_zone])
    language = models.CharField(_("language"), max_length=10, blank=True, choices=settings.LANGUAGES)
    # Asked for by its owner: the account is closed at once, and its rows go in the background.
    leaving_at = models.DateTimeField(_("leaving since"), null=True, editable=False)

    class Meta:
        verbose_name = _("preferences")
        verbose_name_plural = _("preferences")

    def __str__(self) -> str:
        return str(self.user)
