"""How the pages of reports write what a report keeps as text."""

from datetime import datetime

from django import template
from django.utils.dateparse import parse_datetime

register = template.Library()


@register.filter
def moment(text: str | None) -> datetime | None:
    """Return the time that a report keeps as ISO 8601; None when the thing was not seen."""
    return parse_datetime(text) if text else None
