"""The end of an account: closed at once, then emptied in small steps, so that no lock is held for long."""

from typing import Any

from django.contrib.auth import get_user_model
from django.db import models, transaction
from django.utils.timezone import now

from analysis.models import Comparison, Report
from notifications.models import Channel, Notification
from products.models import Change, Import, ImportedPoint, Tracking

from .models import ApiToken, Preferences
from .sessions import end_sessions

AT_ONCE = 500


def is_last_operator(user: Any) -> bool:
    """Tell whether without this user nobody could run the installation."""
    others = get_user_model()._default_manager.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    return bool(user.is_superuser) and not others.exists()


@transaction.atomic
def close(user: Any) -> None:
    """Close an account: nobody signs in any more, its tokens and sessions end, nothing is watched for it."""
    get_user_model()._default_manager.filter(pk=user.pk).update(is_active=False)
    Preferences.objects.update_or_create(user=user, defaults={"leaving_at": now()})
    Tracking.objects.filter(user=user).update(paused=True)
    Channel.objects.filter(user=user).update(paused=True)
    ApiToken.objects.filter(user=user).delete()
    end_sessions(user.pk)


def remove_rows(user_id: int) -> int:
    """Delete what belongs to a user, some hundreds at a time; return how many rows."""
    kinds: list[models.QuerySet[Any]] = [
        Notification.objects.filter(channel__user=user_id),
        Change.objects.filter(user=user_id),
        Report.objects.filter(user=user_id),
        Comparison.objects.filter(user=user_id),
        ImportedPoint.objects.filter(user=user_id),
        Import.objects.filter(user=user_id),
        Tracking.everything.filter(user=user_id),
    ]
    gone = 0
    for rows in kinds:
        while keys := list(rows.order_by("pk").values_list("pk", flat=True)[:AT_ONCE]):
            gone += rows.model._base_manager.filter(pk__in=keys).delete()[0]
    return gone
