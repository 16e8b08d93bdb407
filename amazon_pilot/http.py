"""The request as a view under login_required sees it."""

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_htmx.middleware import HtmxDetails


class AuthenticatedRequest(HttpRequest):
    """A request whose user is signed in, and which knows whether htmx sent it."""

    user: User
    htmx: HtmxDetails
