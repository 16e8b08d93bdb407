"""What every page's frame says."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest


def shell(request: HttpRequest) -> dict[str, Any]:
    """Name the outside services that the sandbox plays, so that each page can say so."""
    return {"sandbox_serves": settings.SANDBOX_SERVES}
