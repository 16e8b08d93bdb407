"""Tokens with which scripts ask the monitor for JSON; each acts for one member of the staff."""

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..core import tokens

MARK = "monitor_"
MOST = 50


class Scope(models.TextChoices):
    """What a token is for; it may no more than whom it acts for."""

    READ = "read", _("read")
    ACT = "act", _("read and act")


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def issue(self, user: User, name: str, scope: str) -> "tuple[ApiToken, str]":
        """Return a new token and its text, which is shown this once; raises ValidationError for one too many."""
        if self.filter(user=user).count() >= MOST:
            raise ValidationError(_("You have %d tokens. Revoke one that is no longer used.") % MOST)
        made = tokens.make(MARK)
        row = ApiToken(user=user, name=name, scope=scope, digest=made.digest, start=made.start)
        row.full_clean()
        row.save()
        return row, made.text

    def named_by(self, text: str) -> "ApiToken | None":
        """Return the token that this text is, None for one that was revoked or never was."""
        return self.filter(digest=tokens.digest_of(text)).select_related("user").first()


class ApiToken(models.Model):
    """One token; it ends with its user. Only its digest is kept."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=60, help_text=_("What it is for."))
    scope = models.CharField(_("may"), max_length=4, choices=Scope, default=Scope.READ)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    start = models.CharField(_("begins with"), max_length=16, editable=False)
    made_at = models.DateTimeField(_("made at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False, help_text=_("To about an hour."))

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        verbose_name = _("token of the monitor")
        verbose_name_plural = _("tokens of the monitor")
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.start}…)"
