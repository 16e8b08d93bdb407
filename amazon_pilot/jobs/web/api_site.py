"""The monitor's JSON put together: its parts, its addresses, and the document that describes them."""

from functools import cache, partial, wraps
from typing import cast

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from ninja import NinjaAPI, Router

from ..models import Source, acting_from
from . import api, api_bulk, api_docs, api_schedule, pages
from .api_docs import Document
from .api_entry import look
from .api_errors import Body, failure, tell


def addresses() -> list[URLPattern]:
    """Return the addresses of the whole, with those of the table's operations, and of the page that explains it."""
    site = NinjaAPI(
        title="The monitor of Amazon Pilot",
        version="1",
        description="What the monitor's pages show and do, for scripts. Ages and spans are seconds.",
        parser=Body(),
        docs_url=None,
        openapi_url=None,
    )
    tell(site)
    parts = (api.router, api.of_operations(), api_schedule.router, api_bulk.router, about(site))
    for part in parts:
        site.add_router("", part)
    operations = [each for part in parts for view in part.path_operations.values() for each in view.operations]
    alone = {each.url_name for each in operations if hasattr(each.view_func, "_non_atomic_requests")}
    listed = cast(list[URLPattern], site.urls[0])
    docs = path("docs", api_docs.page_of(partial(described, site)), name="api-docs")
    views = [(str(each.pattern), cast(pages.View, each.callback), each.name) for each in listed]
    found = [each for each in views if each[2] != "api-root"]
    return [docs, *(path(f"api/{route}", door(view, is_alone=name in alone), name=name) for route, view, name in found)]


def about(site: NinjaAPI) -> Router:
    """Return the addresses that describe the others."""
    router = Router(tags=["about"])

    @look(router, "/openapi.json", "openapi", dict[str, object])
    def openapi(request: HttpRequest) -> Document:
        """This document."""
        return described(site)

    return router


@cache
def described(site: NinjaAPI) -> Document:
    """Return the OpenAPI document, which is made once."""
    return site.get_openapi_schema(path_prefix=reverse("monitor:api-queues").removesuffix("queues"))


def door(view: pages.View, *, is_alone: bool) -> pages.View:
    """Return an address as the audit and browsers meet it: what is done comes from the API, and nothing is cached.

    What only looks, and what commits by itself, stands alone: it runs in no transaction.
    """

    @wraps(view)
    def handle(request: HttpRequest, **words: object) -> HttpResponseBase:
        with acting_from(Source.API, pages.address_of(request)):
            answer = view(request, **words)
        if answer.status_code != 405:
            return answer
        refused = failure(405, "method", _("This address answers %s alone.") % answer["Allow"])
        refused["Allow"] = answer["Allow"]
        return refused

    guarded: pages.View = never_cache(handle)
    return transaction.non_atomic_requests(guarded) if is_alone else guarded
