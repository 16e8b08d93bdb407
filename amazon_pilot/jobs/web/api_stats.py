"""Figures for scripts: all queues at a glance, and what ended on each day, from tallies as the charts have it."""

from django.http import HttpRequest
from django.utils.translation import gettext as _

from ..inspect import retention as inspect_retention
from ..inspect.as_json import Answer
from ..inspect.stats import DAYS, MOST_DAYS, glance, past
from ..inspect.words import whole_number
from .api import Refusal, endpoint


@endpoint("GET")
def stats(request: HttpRequest) -> Answer:
    """Return all queues, their total, the workers and Redis."""
    return glance()


@endpoint("GET")
def history(request: HttpRequest, name: str) -> Answer:
    """Return what ended in a queue on each of the last ?days=10, today first."""
    number = whole_number(request.GET.get("days", str(DAYS)), MOST_DAYS)
    if number is None:
        raise Refusal(400, "invalid", _("days has to be from 1 to %d.") % MOST_DAYS)
    return past(number, name)


@endpoint("GET")
def retention(request: HttpRequest) -> Answer:
    """Return how long each kind of row is kept, what the next clean-up deletes, and with ?days=30 what would be."""
    return inspect_retention.as_json(inspect_retention.number_of(request.GET.get("days", "")))
