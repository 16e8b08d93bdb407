"""Who did what in the monitor, from where, when, to how many, and why."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

from django.conf import settings
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from ..core.values import Json
from .expiring import ExpiringQuerySet
from .person import Actor, known
from .total import Total

# An action is kept as its English verb and translated where it is shown; this tells the catalogue of each of them. The
# operations on jobs are in the table of operations, and the words of an app come from that app (`know`).
ACTIONS = [
    gettext_noop("run"), gettext_noop("pause"), gettext_noop("resume"), gettext_noop("drain"), gettext_noop("quiet"),
    gettext_noop("wake"), gettext_noop("stop"), gettext_noop("kill"), gettext_noop("recover"), gettext_noop("create"),
    gettext_noop("update"), gettext_noop("abort"), gettext_noop("prune"), gettext_noop("mark release"),
    gettext_noop("silence"), gettext_noop("end silence"), gettext_noop("save search"), gettext_noop("forget search"),
    gettext_noop("export"), "django-rq",
]  # fmt: skip


def know(*actions: str) -> None:
    """Add an app's own actions to those by which the audit can be narrowed."""
    ACTIONS.extend(action for action in actions if action not in ACTIONS)


class Source(models.TextChoices):
    """Where an act came from."""

    PAGE = "page", _("page")
    API = "api", _("API")
    COMMAND = "command", _("command line")
    SYSTEM = "system", _("system")
    UNKNOWN = "", _("not recorded")  # lines that are older than this column


# Set once at each door (a request, the command jobs), so that no verb has to hand it on.
_source: ContextVar[Source] = ContextVar("source", default=Source.SYSTEM)
_address: ContextVar[str | None] = ContextVar("address", default=None)


@contextmanager
def acting_from(source: Source, address: str | None = None) -> Iterator[None]:
    """Have every line that is recorded inside name this source, and the IP address from which it was asked if any."""
    tokens = _source.set(source), _address.set(address)
    try:
        yield
    finally:
        _source.reset(tokens[0])
        _address.reset(tokens[1])


class AuditEntryQuerySet(ExpiringQuerySet["AuditEntry"]):
    def record(
        self,
        by: Actor,
        action: str,
        target: str,
        *,
        reason: str = "",
        count: int = 1,
        goes_on: bool = False,
        **detail: Json,
    ) -> "AuditEntry":
        """Write one row for one act; `by` is a user, or None for the machine; `detail` must be JSON.

        What `goes_on` in the background has its count written later. Source and address are those of `acting_from`;
        what happens outside of it is done by the system itself.
        """
        user = known(by)
        words = {"target": target[:200], "reason": reason, "count": count, "detail": detail}
        entry = self.create(actor=user, source=_source.get(), address=_address.get(), action=action, **words)
        # After the commit: a request that goes on for long must not keep the count of its verb from others, and only
        # then it is known how much was changed.
        transaction.on_commit(partial(_count, entry, goes_on), robust=True)
        return entry


def _count(entry: "AuditEntry", goes_on: bool) -> None:
    result = "begun" if goes_on else "done" if entry.count else "nothing"
    Total.objects.raise_by(Total.Name.ACTIONS, {(entry.action, result): 1})


class AuditEntry(models.Model):
    """One act of one person, or of the machine itself when `actor` is empty."""

    at = models.DateTimeField(_("time"), auto_now_add=True)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("person")
    )
    source = models.CharField(
        _("source"), max_length=8, choices=Source, default=Source.UNKNOWN, blank=True, help_text=_("Where it was done.")
    )
    address = models.GenericIPAddressField(
        _("address"), null=True, blank=True, help_text=_("The IP address from which a page or the API was asked.")
    )
    action = models.CharField(_("action"), max_length=40, help_text=_("A verb, such as pause or retry."))
    target = models.CharField(_("target"), max_length=200, help_text=_("What was acted on, such as queue low."))
    count = models.PositiveIntegerField(_("count"), default=1)
    reason = models.TextField(_("reason"), blank=True)
    detail = models.JSONField(_("detail"), default=dict, blank=True)

    objects = AuditEntryQuerySet.as_manager()

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
