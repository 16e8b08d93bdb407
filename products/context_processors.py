"""What every page's frame says."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from notifications.models import Notification


def shell(request: HttpRequest) -> dict[str, Any]:
    """Name the services that the sandbox plays, and count what the user has not read; counted only when shown."""
    user = getattr(request, "user", None)
    counted = user is not None and user.is_authenticated
    return {
        "sandbox_serves": settings.SANDBOX_SERVES,
        "unread": SimpleLazyObject(lambda: Notification.objects.of(user).unread().count() if counted else 0),
    }
