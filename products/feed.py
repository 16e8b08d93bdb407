"""The feed of changes: by filter and by key, acknowledged one by one or all that a page shows."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.dateparse import parse_datetime
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from amazon_pilot.http import AuthenticatedRequest
from notifications.models import Notification

from . import keyset
from .bulk import page_before
from .models import Change, Kind, Role, Severity, Tag, Tracking
from .watchlist import HEAVY, boxes

PER_PAGE = 30
# What one press acknowledges at most; the next press goes on.
MOST_AT_ONCE = 10_000
STATES = (("open", _("not acknowledged")), ("done", _("acknowledged")))


@dataclass(frozen=True)
class Asked:
    """What a reader asked the feed for; whatever is not one of the choices is no wish."""

    severity: str = ""
    kind: str = ""
    role: str = ""
    tag: str = ""
    state: str = ""
    tracking: str = ""

    @classmethod
    def of(cls, query: QueryDict) -> "Asked":
        """Read the wishes of an address or a form."""

        def chosen(name: str, choices: Any) -> str:
            value = query.get(name, "")
            return value if value in choices else ""

        def number(name: str) -> str:
            value = query.get(name, "")
            return value if value.isdecimal() and len(value) < 19 else ""

        return cls(
            severity=chosen("severity", Severity.values),
            kind=chosen("kind", Kind.values),
            role=chosen("role", Role.values),
            state=chosen("state", [name for name, _word in STATES]),
            tag=number("tag"),
            tracking=number("tracking"),
        )

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Return the wishes as a form sends them on."""
        return [(name, value) for name, value in vars(self).items() if value]

    @property
    def kept(self) -> list[tuple[str, str]]:
        """Return the wish that has no box of its own."""
        return [("tracking", self.tracking)] if self.tracking else []

    def rows(self, team: Any) -> "QuerySet[Change]":
        """Keep the team's changes that are asked for."""
        rows: Any = Change.objects.filter(team=team, tracking__removed_at=None)
        rows = rows.filter(severity=self.severity) if self.severity else rows
        rows = rows.filter(kind=self.kind) if self.kind else rows
        rows = rows.filter(tracking__role=self.role) if self.role else rows
        rows = rows.filter(tracking=self.tracking) if self.tracking else rows
        rows = rows.filter(acknowledged_at__isnull=self.state == "open") if self.state else rows
        if self.tag:
            through = Tracking.tags.through.objects.filter(tag=int(self.tag), tag__team=team)
            rows = rows.filter(tracking__in=through.values("tracking"))
        return rows


@require_GET
@login_required
def list_(request: AuthenticatedRequest) -> HttpResponse:
    """Show what crossed this team's thresholds, newest first."""
    asked = Asked.of(request.GET)
    key = keyset.read_key(request.GET.get("page", ""), keyset.moment)
    part = keyset.cut(asked.rows(request.team), "seen_at", key, PER_PAGE, descending=True)
    mine = Tracking.objects.filter(team=request.team).select_related("product")
    context = {
        "changes": load(part.ids),
        "part": part,
        "asked": asked,
        "filters": filters(asked, request.team),
        "product": mine.filter(pk=asked.tracking).first() if asked.tracking else None,
        "until": now(),
    }
    return render(request, "products/changes.html", context)


def load(ids: list[int]) -> list[Change]:
    """Return the changes of a page with what a line about each shows, in the order of their ids."""
    found = (
        Change.objects.select_related("tracking__product").defer(*(f"tracking__{name}" for name in HEAVY)).in_bulk(ids)
    )
    return [found[pk] for pk in ids if pk in found]


def filters(asked: Asked, team: Any) -> dict[str, Any]:
    """Return the boxes above the feed with their choices."""
    tags = [(str(pk), name) for pk, name in Tag.objects.filter(team=team).values_list("pk", "name")]
    shown = (
        ("state", _("State"), STATES, asked.state),
        ("severity", _("Severity"), Severity.choices, asked.severity),
        ("kind", _("What"), Kind.choices, asked.kind),
        ("role", _("Role"), Role.choices, asked.role),
        ("tag", _("Tag"), tags, asked.tag),
    )
    return boxes(shown, rare=("kind", "role", "tag"))


@require_POST
@login_required
def acknowledge(request: AuthenticatedRequest) -> HttpResponse:
    """Note that the team has seen the changes that the form names, or all that its filters and its instant let through.

    What came after the page was made stays open. What it was told of them on these pages counts as read.
    """
    rows: Any = Asked.of(request.POST).rows(request.team).filter(acknowledged_at=None)
    ids = [int(pk) for pk in request.POST.getlist("id") if pk.isdecimal() and len(pk) < 19]
    rows = rows.filter(pk__in=ids[:MOST_AT_ONCE]) if ids else _shown(rows, request.POST)
    chosen = list(rows.order_by("-seen_at", "-pk").values_list("pk", flat=True)[:MOST_AT_ONCE])
    count = _acknowledge(request.team, chosen)
    if request.htmx:
        return HttpResponse()
    text = ngettext("%(count)s change acknowledged.", "%(count)s changes acknowledged.", count)
    messages.success(request, text % {"count": count})
    return redirect(page_before(request, "products:changes"))


def _shown(rows: Any, form: QueryDict) -> Any:
    """Keep what stood on the page that the form was sent from; nothing where the form does not say when that was."""
    until, since = _moment(form.get("until", "")), _moment(form.get("since", ""))
    rows = rows.filter(seen_at__lte=until) if until else rows.none()
    return rows.filter(seen_at__gte=since) if since else rows


def _moment(text: str) -> Any:
    try:
        found = parse_datetime(text)
    except ValueError:
        return None
    return found if found and found.tzinfo else None


def _acknowledge(team: Any, ids: list[int]) -> int:
    count = 0
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        count += Change.objects.filter(pk__in=some).acknowledge()
        Notification.objects.filter(channel__team=team, change__in=some, read_at=None).update(read_at=now())
    return count
