"""The page of each morning: what happened since yesterday, what was lost, what is late and why, what it cost."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.db.models import Count, Q
from django.http import HttpResponse
from django.shortcuts import render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from amazon_pilot.http import AuthenticatedRequest
from analysis.models import ModelCall

from . import sparks
from .models import Change, DaySpending, Direction, Kind, Role, Severity, Snapshot, Tracking
from .models.position import GONE
from .models.tracking import FAILING, late_when
from .watchlist import load

# A page of one morning; the feed and the list have the rest.
MOST_CHANGES, MOST_GROUPS, MOST_LATE, MOST_ROWS = 300, 25, 12, 8
MOST_COUNTED = 1000


@dataclass
class Group:
    """What happened to one product, the gravest first."""

    tracking: Tracking
    changes: list[Change] = field(default_factory=list)
    usual: str = ""

    @property
    def severity(self) -> str:
        return max(change.severity for change in self.changes)

    @property
    def is_lost(self) -> bool:
        return any(is_lost(change, self.usual) for change in self.changes)

    @property
    def rank(self) -> tuple[Any, ...]:
        """Return the place on the page: what was lost, what is grave, what is one's own, what is new."""
        newest = max(change.seen_at for change in self.changes)
        is_own = self.tracking.role == Role.OWN
        return (not self.is_lost, -int(self.severity[0]), not is_own, -newest.timestamp())


@require_GET
@login_required
def home(request: AuthenticatedRequest) -> HttpResponse:
    """Show this team's morning. A constant number of queries, each for its own rows by an index."""
    since, shown_at = sparks.yesterday(), now()
    counts = count_changes(request.team, since)
    open_ = list(Change.objects.newest_of(request.team).filter(seen_at__gte=since, acknowledged_at=None)[:MOST_CHANGES])
    groups = grouped(open_, usual_holders(open_))
    late, late_count = late_or_failing(request.team)
    context = {
        "since": since,
        "shown_at": shown_at,
        "counts": counts,
        "groups": groups[:MOST_GROUPS],
        "is_more": len(groups) > MOST_GROUPS or len(open_) == MOST_CHANGES,
        "late": [(tracking, reason(tracking)) for tracking in late],
        "figures": figures(counts, groups, late_count) + costs(request.user, request.team),
        "rows": sparks.rows(worth_a_look(request.team, [group.tracking.pk for group in groups])),
    }
    return render(request, "products/home.html", context)


def count_changes(team: Any, since: datetime) -> dict[str, int]:
    """Count the team's changes since an instant: all, the critical ones, and those that are acknowledged."""
    # What was removed is little, and read apart: joined, all that the team watches would be read.
    removed = Tracking.everything.filter(team=team, removed_at__isnull=False)
    mine = Change.objects.filter(team=team, seen_at__gte=since).exclude(tracking__in=removed.values("pk")).order_by()
    return mine.aggregate(
        all=Count("pk"),
        critical=Count("pk", filter=Q(severity=Severity.CRITICAL)),
        done=Count("pk", filter=Q(acknowledged_at__isnull=False)),
    )


def figures(counts: dict[str, int], groups: list[Group], late: int) -> list[dict[str, Any]]:
    """Return the figures at the top of the page: each with its label, its value and what it is made of."""
    lost = [change for group in groups for change in group.changes if is_lost(change, group.usual)]
    kinds = dict.fromkeys(change.get_kind_display() for change in lost)
    return [
        {
            "label": _("Changes"),
            "value": f"{counts['all']:,}",
            "note": _("%(critical)d critical, %(done)d acknowledged") % counts,
        },
        {"label": _("Lost"), "value": len(lost), "note": ", ".join(kinds), "tone": "bad" if lost else ""},
        {
            "label": _("Late or failing"),
            "value": f"{late:,}" + ("+" if late == MOST_COUNTED else ""),
            "tone": "warn" if late else "",
        },
    ]


def usual_holders(changes: Iterable[Change]) -> dict[int, str]:
    """Return who held the buy box at most looks of thirty days, by product, where one's own changed hands. One query.

    Where two held it as often, nobody is the usual one.
    """
    changed = {change.tracking.product_id for change in changes if _is_own_buy_box(change)}
    if not changed:
        return {}
    seen = Snapshot.objects.filter(product__in=changed, taken_at__gte=now() - sparks.MONTH).exclude(seller="")
    looks: dict[int, Counter[str]] = {}
    for product, seller, count in seen.order_by().values_list("product", "seller").annotate(n=Count("pk")):
        looks.setdefault(product, Counter())[seller] = count
    first_two = {product: counted.most_common(2) for product, counted in looks.items()}
    return {product: two[0][0] for product, two in first_two.items() if len(two) == 1 or two[0][1] > two[1][1]}


def grouped(changes: Iterable[Change], usual: dict[int, str] | None = None) -> list[Group]:
    """Put the changes of each product together, and what needs a look first in front."""
    groups: dict[int, Group] = {}
    for change in changes:
        holder = (usual or {}).get(change.tracking.product_id, "")
        groups.setdefault(change.tracking_id, Group(change.tracking, usual=holder)).changes.append(change)
    for group in groups.values():
        group.changes.sort(key=lambda change: (change.severity, change.seen_at), reverse=True)
    return sorted(groups.values(), key=lambda group: group.rank)


def is_lost(change: Change, usual: str = "") -> bool:
    """Whether a change took something from its team: the buy box, the stock or half of the rank of its own product.

    A buy box that comes back to its `usual` holder was not lost.
    """
    if change.tracking.role != Role.OWN:
        return False
    if change.kind == Kind.AVAILABILITY:
        return change.after in GONE
    if change.kind == Kind.BUYBOX_LOST:
        return True
    is_worse = change.kind == Kind.BSR and change.direction == Direction.WORSE
    return (_is_own_buy_box(change) and change.after != usual) or (is_worse and change.severity == Severity.CRITICAL)


def _is_own_buy_box(change: Change) -> bool:
    """Whether an own buy box changed hands, and the guard does not know between whom."""
    is_open = change.kind == Kind.BUYBOX and change.severity != Severity.INFO
    return is_open and change.tracking.role == Role.OWN


def late_or_failing(team: Any) -> tuple[list[Tracking], int]:
    """Return the first of what is older than its frequency promises, or fails, the oldest first; and how many are."""
    oldest = Tracking.objects.filter(team=team).order_by("product__checked_at", "pk")
    reasons = [*late_when(monitored=(True,)), *FAILING]
    found = {pk: at for _number, pk, at in oldest.first_of(reasons, MOST_COUNTED, "product__checked_at")}
    ids = sorted(found, key=lambda pk: (found[pk] is not None, found[pk], pk))[:MOST_COUNTED]
    return load(ids[:MOST_LATE]), len(ids)


def reason(tracking: Tracking) -> str:
    """Say why a product is late or fails, as far as its own row tells."""
    product = tracking.product
    if product.is_given_up:
        return _("Left alone: four looks in a row failed (%(reason)s). Refresh it to have it looked at again.") % {
            "reason": product.get_last_outcome_display()
        }
    if not product.monitored:
        return _("An operator has this product left alone.")
    if product.failures:
        return _("The last look failed: %(reason)s.") % {"reason": product.get_last_outcome_display()}
    if product.asked_at:
        return _("It was asked for and waits to be looked at.")
    return _("No look was made in time; the schedule or the worker may be behind.")


def costs(user: Any, team: Any) -> list[dict[str, Any]]:
    """Return what today (UTC) cost beside its budgets: all looks for whoever may see runs, and the own reports."""
    shown = []
    if user.has_perm("products.view_scraperun"):
        spent, note = DaySpending.objects.of(now().date()) or Decimal(0), _("of $%.2f for today (UTC), for everybody")
        shown.append(
            {"label": _("Cost of looks"), "value": f"${spent:.2f}", "note": note % settings.APIFY_DAILY_BUDGET_USD}
        )
    if reports := ModelCall.objects.spent_today_usd(team.pk):
        note = _("of $%.2f that are yours today (UTC)") % settings.OPENAI_DAILY_BUDGET_USD
        shown.append({"label": _("Cost of your reports"), "value": f"${reports:.2f}", "note": note})
    return shown


def worth_a_look(team: Any, ids: list[int]) -> list[Tracking]:
    """Return the few products to begin with: what happened, what is out of stock, then the newest of one's own."""
    mine = Tracking.objects.filter(team=team)
    own = mine.filter(role=Role.OWN)
    chosen = dict.fromkeys(ids[:MOST_ROWS])
    for more in (own.filter(product__availability__in=GONE).order_by(), own.order_by("-pk"), mine.order_by("-pk")):
        if len(chosen) < MOST_ROWS:
            chosen |= dict.fromkeys(more.values_list("pk", flat=True)[:MOST_ROWS])
    return load(list(chosen)[:MOST_ROWS])
