"""What every page's frame says."""

from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db.models import IntegerField, Subquery
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext_lazy as _

from accounts.models import Membership
from notifications.models import Notification
from products.models import ScrapeRun

# The menu: the key of each section, the name of its address, its sign and its word.
MENU = (
    ("home", "products:home", "home", _("Home")),
    ("products", "products:list", "package", _("Products")),
    ("changes", "products:changes", "activity", _("Changes")),
    ("comparisons", "analysis:comparisons", "scale", _("Comparisons")),
    ("notifications", "notifications:list", "bell", _("Notifications")),
)
SECTIONS = {
    "products:home": "home",
    "products:changes": "changes",
    "analysis:suggestions": "products",
    "products": "products",
    "analysis": "comparisons",
    "notifications": "notifications",
}

# More than so many unread are not counted: every page asks.
MOST_UNREAD = 99


class Counted(Subquery):
    """How many rows a query gives, which says itself how many are enough."""

    template = "(SELECT COUNT(*) FROM (%(subquery)s) rows_)"
    output_field = IntegerField()


def shell(request: HttpRequest) -> dict[str, Any]:
    """Name the services that the sandbox plays, count what the team has not read, and say what stops all looks.

    What is not shown is not asked for; both answers come with one query.
    """
    user = getattr(request, "user", None)

    def teams() -> list[Membership]:
        return getattr(request, "memberships", []) if user is not None and user.is_authenticated else []

    def may_write() -> bool:
        return bool(teams()) and request.membership.may_write  # type: ignore[attr-defined]

    @cache
    def asked() -> tuple[int, int | None]:
        return _unread_and_refusal(user, request.team) if teams() else (0, None)  # type: ignore[attr-defined]

    match = request.resolver_match
    return {
        "menu": MENU,
        "section": SECTIONS.get(match.view_name, SECTIONS.get(match.app_name, "")) if match else "",
        "memberships": SimpleLazyObject(teams),
        "may_write": SimpleLazyObject(may_write),
        "sandbox_serves": settings.SANDBOX_SERVES,
        "unread": SimpleLazyObject(lambda: asked()[0]),
        "refusal": SimpleLazyObject(
            lambda: ScrapeRun.objects.filter(pk__in=[asked()[1]]).first() if asked()[1] else None
        ),
    }


def _unread_and_refusal(user: Any, team: Any) -> tuple[int, int | None]:
    unread = Notification.objects.of(team, user).unread().order_by().values("pk")[: MOST_UNREAD + 1]
    refusals = ScrapeRun.objects.filter(stops_planning=True).order_by("-finished_at")
    row = get_user_model().objects.filter(pk=user.pk)
    found = row.values_list(Counted(unread), Subquery(refusals.values("pk")[:1])).first()
    return (found[0] or 0, found[1]) if found else (0, None)
