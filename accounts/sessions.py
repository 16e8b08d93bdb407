"""The sessions of one user."""

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session


def end_sessions(user_id: int) -> None:
    """End every session of a user that we know of."""
    keys = list(UserSession.objects.filter(user=user_id).values_list("session_key", flat=True))
    Session.objects.filter(session_key__in=keys).delete()
    UserSession.objects.filter(user=user_id).delete()
