"""What a user has chosen holds from the login on: it lies in the session, so that no page asks the database for it."""

import zoneinfo
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in
from django.db import DatabaseError
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from .models import Preferences
from .teams import CHOSEN

ZONE, LANGUAGE = "chosen_zone", "chosen_language"


@receiver(user_logged_in)
def hold(request: HttpRequest, user: Any, **kwargs: Any) -> None:
    """Take a user's choices into the session that begins."""
    if chosen := Preferences.objects.filter(user=user).first():
        keep(request, chosen)


def keep(request: HttpRequest, chosen: Preferences) -> None:
    """Have the session know the choices."""
    request.session[ZONE], request.session[LANGUAGE] = chosen.zone, chosen.language
    request.session[CHOSEN] = chosen.team_id


def chosen_words(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Write a page in the language and the zone that its reader has chosen; without a choice as the browser asks."""

    def handle(request: HttpRequest) -> HttpResponse:
        try:
            language, zone = request.session.get(LANGUAGE), request.session.get(ZONE)
        except DatabaseError:  # the view meets it, too, and is answered for
            language = zone = None
        if language in dict(settings.LANGUAGES):
            translation.activate(language)
            request.LANGUAGE_CODE = language
        if zone not in _zones():
            return get_response(request)
        with timezone.override(zoneinfo.ZoneInfo(zone)):
            return get_response(request)

    return handle


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
