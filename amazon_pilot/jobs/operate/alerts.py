"""What people do to the alerts: change or silence a rule, and have a test told to themselves as an alert would be."""

import time
from collections.abc import Callable, Mapping

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from ..models import AuditEntry
from ..models.alert import RuleChange, Severity
from ..models.audit_entry import know
from ..models.person import Actor, known
from .operation import Done
from .operations import recorded
from .roles import may

know(gettext_noop("test alert"))

PATIENCE = 15.0  # seconds for which somebody waits before his page; what is not sent by then is sent by a worker

Told = list[tuple[str, Callable[[], str]]]  # of each channel its name, and what sends it and says what became of it


def change(by: Actor, rule: str, action: str, wanted: Mapping[str, object], reason: str = "") -> None:
    """Keep a change of a rule (`edit`, `silence` or `end silence`); raises PermissionDenied."""

    def act() -> Done:
        RuleChange.objects.update_or_create(rule=rule, defaults={**wanted, "by": known(by), "reason": reason})
        return Done(1, "")

    told = {key: str(value) for key, value in wanted.items()}
    recorded(by, action, f"alert rule {rule}", reason, act, (), **told)


def try_out(by: Actor, reason: str = "") -> list[str]:
    """Tell who asks that this is a test, through his own channels; returns a sentence of each. Raises PermissionDenied.

    What is written is sent after the commit, as that of an alert is: call it outside of a transaction.
    """
    user = known(by)
    if user is None or not may(user, "edit"):
        raise PermissionDenied(_("Your role does not allow this."))
    tell: Callable[[int, str, str, str], Told] = import_string(settings.MONITOR_TELL_ONE)
    with transaction.atomic():
        text = _("A test of the alerts, asked for by %s: nothing is wrong.") % user.get_username()
        channels = tell(user.pk, text, Severity.CRITICAL, reverse("monitor:alerts"))
        # How many, and not which: an address may be a secret in itself, and the audit is read by others.
        AuditEntry.objects.record(by, "test alert", f"user {user.get_username()}", reason=reason, count=len(channels))
    end, later = time.monotonic() + PATIENCE, _("is told within minutes.")
    return [f"{name}: {send() if time.monotonic() < end else later}" for name, send in channels]
