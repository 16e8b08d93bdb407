"""Alerts: what fires, what fired, and the rules, which an operator may silence and change."""

from collections.abc import Mapping
from datetime import timedelta

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

from ..core.values import Context
from ..inspect import alerts
from ..inspect.words import whole_number
from ..models import Alert
from ..operate import alerts as operate_alerts
from . import pages

PAST_SHOWN = 50
LONGEST_SILENCE = 7 * 24 * 60  # minutes


@pages.page()
def alert_list(request: HttpRequest) -> HttpResponse:
    """Show what fires now, what fired before, and every rule: /admin/monitor/alerts."""
    context: Context = {
        "firing": pages.widget(lambda: shown(Alert.objects.firing())),
        "pending": pages.widget(lambda: shown(Alert.objects.open().filter(fired_at=None))),
        "past": pages.widget(lambda: shown(Alert.objects.filter(resolved_at__isnull=False)[:PAST_SHOWN])),
        "rules": pages.widget(alerts.all_settings),
    } | pages.rights(request)
    if request.headers.get("HX-Request"):
        return pages.fragment(request, "_alerts", **context)
    return pages.show(request, "alerts", _("Alerts"), **context)


def shown(rows: QuerySet[Alert]) -> list[tuple[Alert, str]]:
    """Return alerts, each with the page that says more."""
    return [(alert, alerts.address(alert)) for alert in rows[:PAST_SHOWN]]


@transaction.non_atomic_requests  # what is written is sent after its commit, and no lock is held meanwhile
@pages.action("edit")
def test(request: HttpRequest) -> HttpResponse:
    """Tell who presses it, through his own channels, that this is a test, and what became of each."""
    said = operate_alerts.try_out(request.user, pages.reason_of(request))
    for sentence in said:
        messages.info(request, sentence)
    if not said:
        messages.warning(request, _("No alert is told to you: that takes the role operate and a channel of your own."))
    return pages.back(request, "monitor:alerts")


@pages.action("operate")
def silence(request: HttpRequest, rule: str) -> HttpResponse:
    """Have nobody told of a rule for so many minutes; 0 ends that. What fires is shown all the same."""
    minutes = whole_number(request.POST.get("minutes", "").strip(), LONGEST_SILENCE)
    if minutes is None:
        raise ValidationError(_("Write the minutes as a whole number, at most %d.") % LONGEST_SILENCE)
    until = timezone.now() + timedelta(minutes=minutes) if minutes else None
    change(request, rule, "silence" if minutes else "end silence", {"silent_until": until}, required=bool(minutes))
    messages.success(request, _("Nobody is told of it until then.") if minutes else _("It is told again."))
    return pages.back(request, "monitor:alerts")


@pages.action("edit")
def edit(request: HttpRequest, rule: str) -> HttpResponse:
    """Change a rule's limit and how long it has to last, or switch it off; an empty field brings its default back."""
    limit, hold = request.POST.get("limit", "").strip(), request.POST.get("hold", "").strip()
    wanted = {"limit": number(limit), "hold_seconds": seconds(hold), "is_on": request.POST.get("is_on") == "on"}
    change(request, rule, "edit", wanted, required=False)
    messages.success(request, _("The rule was changed."))
    return pages.back(request, "monitor:alerts")


def number(text: str) -> float | None:
    """Read a limit; None for none. Raises ValidationError."""
    try:
        value = float(text) if text else None
    except ValueError:
        value = -1.0
    if value is not None and not 0 < value < 10**9:
        raise ValidationError(_("Write the limit as a number above 0."))
    return value


def seconds(text: str) -> int | None:
    """Read for how long a rule has to be broken; None for none. Raises ValidationError."""
    value = whole_number(text, 86_400) if text else None
    if text and value is None:
        raise ValidationError(_("Write the seconds as a whole number, at most %d.") % 86_400)
    return value


def change(request: HttpRequest, name: str, action: str, wanted: Mapping[str, object], *, required: bool) -> None:
    """Have a rule changed; raises Http404 where there is none of that name."""
    if name not in alerts.BY_NAME:
        raise Http404
    operate_alerts.change(request.user, name, action, wanted, pages.reason_of(request, required=required))
