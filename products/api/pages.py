"""The page that explains the API: written from its OpenAPI document, so that it says what is true; without a script."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from amazon_pilot.jobs.web.api_docs import operations_of

from .site import api


@require_safe
def docs(request: HttpRequest) -> HttpResponse:
    """Show every address with what it takes and answers, and how to ask."""
    operations = operations_of(api.get_openapi_schema(path_prefix="/api/v1/"))
    context = {"operations": operations, "site": settings.SITE_URL, "limit": settings.API_REQUESTS_PER_MINUTE}
    return render(request, "products/api.html", context)
