"""The end of a membership, a team, an account: closed at once, then emptied in small steps, so that no lock lasts."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.timezone import now

from analysis.models import Comparison, Report
from notifications.models import Channel, Notification
from products.models import Change, Import, ImportedPoint, Tracking

from .models import ApiToken, Invitation, Membership, Preferences, Team
from .sessions import end_sessions

AT_ONCE = 500


def is_last_operator(user: Any) -> bool:
    """Tell whether without this user nobody could run the installation."""
    others = get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    return bool(user.is_superuser) and not others.exists()


@transaction.atomic
def part(membership: Membership) -> bool:
    """Have a member leave his team; False for its owner. The ways to reach him that he added fall silent.

    Who has no team left gets one of his own.
    """
    if not Membership.objects.part(membership):
        return False
    Channel.objects.filter(team=membership.team_id, user=membership.user_id).update(paused=True)
    if not Membership.objects.filter(user=membership.user_id).exists():
        Team.objects.found(membership.user, membership.user.get_username())
    return True


@transaction.atomic
def close(user: Any) -> None:
    """Close an account: nobody signs in any more, its tokens and sessions end, nothing is watched for it alone.

    A team with others in it goes on without him; where he was its owner, the member of longest standing follows.
    """
    get_user_model()._default_manager.filter(pk=user.pk).update(is_active=False)
    Preferences.objects.update_or_create(user=user, defaults={"leaving_at": now()})
    ApiToken.objects.filter(membership__user=user).delete()
    Channel.objects.filter(user=user).update(paused=True)
    Membership.objects.filter(user=user).exclude(team__in=_alone(user.pk)).delete()
    Tracking.objects.filter(team__in=_alone(user.pk)).update(paused=True)
    Channel.objects.filter(team__in=_alone(user.pk)).update(paused=True)
    Invitation.objects.filter(team__in=_alone(user.pk)).delete()
    end_sessions(user.pk)


def _alone(user_id: int) -> list[int]:
    """Return the teams that nobody but this user is in."""
    others = Membership.objects.exclude(user=user_id).values("team")
    mine = Membership.objects.filter(user=user_id).exclude(team__in=others)
    return list(mine.values_list("team", flat=True))


@transaction.atomic
def end_team(team: Team) -> bool:
    """End a team for all who are in it: nobody finds it any more, its tokens and invitations end, nothing is watched.

    False when it was ended before. Who has no other team gets one of his own. A constant number of queries, but for
    those of each membership. Its rows go afterwards, by `remove_team_rows`.
    """
    if not Team.objects.filter(pk=team.pk, ended_at=None).update(ended_at=Now()):
        return False
    Tracking.objects.filter(team=team).update(paused=True)
    Channel.objects.filter(team=team).update(paused=True)
    Invitation.objects.filter(team=team).delete()
    people = [one.user for one in Membership.objects.filter(team=team).select_related("user")]
    Membership.objects.filter(team=team).delete()
    Team.objects.found_for_the_teamless(user for user in people if user.is_active)
    return True


def remove_rows(user_id: int) -> int:
    """Delete what belongs to a closed account alone, some hundreds at a time; return how many rows."""
    return remove_team_rows(_alone(user_id))


def remove_team_rows(teams: list[int]) -> int:
    """Delete what belongs to these teams, some hundreds at a time; return how many rows. Broken off, it goes on."""
    kinds: list[models.QuerySet[Any]] = [
        Notification.objects.filter(channel__team__in=teams),
        Change.objects.filter(team__in=teams),
        Report.objects.filter(team__in=teams),
        Comparison.objects.filter(team__in=teams),
        ImportedPoint.objects.filter(team__in=teams),
        Import.objects.filter(team__in=teams),
        Tracking.everything.filter(team__in=teams),
    ]
    gone = 0
    for rows in kinds:
        while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
            gone += rows.model._base_manager.filter(pk__in=keys).delete()[0]
    return gone
