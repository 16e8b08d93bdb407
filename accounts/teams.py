"""Which team a request is for: the session says, and each request reads its user's memberships once.

A viewer reads: whatever else the sellers' pages do is refused before a view is met, so that no view can forget it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin
from django.utils.functional import SimpleLazyObject
from django.utils.translation import gettext as _

from .models import Membership, Team

CHOSEN = "chosen_team"
ROOMS = {"products", "analysis", "notifications"}  # whose addresses show and change what is a team's
HARMLESS = {"GET", "HEAD", "OPTIONS"}


class TeamMiddleware(MiddlewareMixin):
    """Give a request `memberships`, `membership` and `team`; nothing is asked before a page wants one of them."""

    def process_request(self, request: Any) -> None:
        """Say where the three are found."""
        request.memberships = SimpleLazyObject(lambda: list(Membership.objects.of(request.user)[:500]))
        request.membership = SimpleLazyObject(lambda: chosen(request))
        request.team = SimpleLazyObject(lambda: request.membership.team)

    def process_view(self, request: Any, view: Callable[..., Any], args: Any, kwargs: Any) -> None:
        """Refuse what a viewer may not do."""
        is_team_s = request.resolver_match.app_name in ROOMS and not getattr(view, "is_for_operators", False)
        changes = request.method not in HARMLESS or getattr(view, "is_for_members", False)
        if is_team_s and changes and request.user.is_authenticated:
            ensure_may_write(request)


def chosen(request: Any) -> Membership:
    """Return the membership that the session names, else the user's first; raises PermissionDenied for one in no team.

    A team that he was removed from meanwhile is not his any more.
    """
    mine = {membership.team_id: membership for membership in request.memberships}
    if not mine:
        raise PermissionDenied(_("You are in no team. Ask somebody to invite you into his."))
    return mine.get(request.session.get(CHOSEN)) or next(iter(mine.values()))


def ensure_may_write(request: Any) -> None:
    """Raise PermissionDenied for a viewer."""
    if not request.membership.may_write:
        raise PermissionDenied(_("You may look at what is this team's, but change nothing: its owner can change that."))


def ensure_owner(request: Any) -> None:
    """Raise PermissionDenied for who does not own the team."""
    if not request.membership.is_owner:
        raise PermissionDenied(_("Only the team's owner decides who is in it."))


def for_members(view: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a page that only serves to change something: a viewer does not see it either."""

    @wraps(view)
    def marked(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return view(request, *args, **kwargs)

    marked.is_for_members = True  # type: ignore[attr-defined]
    return marked


@receiver(post_save, sender=settings.AUTH_USER_MODEL)
def give_a_team(instance: Any, created: bool, raw: bool = False, **kwargs: Any) -> None:
    """Give each new user a team of his own, whichever way he came."""
    if created and not raw:
        Team.objects.found(instance, instance.get_username())


@receiver(post_delete, sender=Membership)
def keep_an_owner(instance: Membership, **kwargs: Any) -> None:
    """Have a team whose owner is deleted go on with another, or end with its last member."""
    Team(pk=instance.team_id).keep_an_owner()
