"""Who did what in the monitor, when, to how many, and why."""

from typing import Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

# An action is kept as its English verb and translated where it is shown; this tells the catalogue of each of them.
ACTIONS = (
    gettext_noop("retry"), gettext_noop("run"), gettext_noop("hold"), gettext_noop("release"),
    gettext_noop("snooze"), gettext_noop("cancel"), gettext_noop("move"), gettext_noop("edit"),
    gettext_noop("delete"), gettext_noop("pause"), gettext_noop("resume"), gettext_noop("drain"),
    gettext_noop("quiet"), gettext_noop("wake"), gettext_noop("stop"), gettext_noop("kill"),
    gettext_noop("recover"), gettext_noop("create"), gettext_noop("update"), gettext_noop("monitor"),
    gettext_noop("collect"), gettext_noop("analyse"), gettext_noop("run now"), gettext_noop("leave alone"),
    gettext_noop("resume planning"), gettext_noop("send again"), gettext_noop("abort"),
    "django-rq",
)  # fmt: skip


class AuditEntryManager(models.Manager["AuditEntry"]):
    def record(
        self, by: Any, action: str, target: str, *, reason: str = "", count: int = 1, **detail: Any
    ) -> "AuditEntry":
        """Write one row for one act; `by` is a user, or None for the machine; `detail` must be JSON."""
        user = by if by is not None and by.is_authenticated else None
        return self.create(actor=user, action=action, target=target[:200], reason=reason, count=count, detail=detail)


class AuditEntry(models.Model):
    """One act of one person, or of the machine itself when `actor` is empty."""

    at = models.DateTimeField(_("time"), auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("person")
    )
    action = models.CharField(_("action"), max_length=40, help_text=_("A verb, such as pause or retry."))
    target = models.CharField(_("target"), max_length=200, help_text=_("What was acted on, such as queue low."))
    count = models.PositiveIntegerField(_("count"), default=1)
    reason = models.TextField(_("reason"), blank=True)
    detail = models.JSONField(_("detail"), default=dict, blank=True)

    objects = AuditEntryManager()

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], name="audit_newest_first"),
            models.Index(fields=["target", "-at"], name="audit_of_a_target"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
