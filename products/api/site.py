"""The addresses of the API. Another team's things do not exist here, as on the pages."""

from datetime import datetime
from typing import Annotated, Any, Literal

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from ninja import NinjaAPI, Query, Status
from pydantic import Field

from analysis.models import Comparison, Report
from products.amazon import MARKETPLACES, parse_address, parse_asin
from products.models import Change, ImportedPoint, Product, Tracking
from products.models.beginning import names_of
from products.taking_in import taking
from products.taking_in.columns import find_site
from products.taking_in.lines import Usual, Wish
from products.tasks import update_product

from . import paging, shown
from .entry import SessionAuth, TokenAuth, ensure_may_write, team_of
from .problems import Problem, tell_alike
from .schemas import (
    Added,
    Changes,
    ComparisonOut,
    Comparisons,
    Error,
    History,
    Me,
    ProductIn,
    ProductOut,
    Products,
    ProductsIn,
    ReportOut,
    Reports,
    TrackingIn,
)

api = NinjaAPI(
    title="Amazon Pilot",
    version="1",
    description="What the pages show, as JSON. Lists come in pages: send `next` of one answer as `after` of the next.",
    auth=[TokenAuth(), SessionAuth()],
    docs_url=None,
    urls_namespace="api",
)
tell_alike(api)

ALWAYS = {400: Error, 401: Error, 403: Error, 422: Error, 429: Error}
ONE = ALWAYS | {404: Error}
Limit = Annotated[int, Query(ge=1, le=paging.MOST)]
After = Annotated[str, Query(max_length=200, pattern=r"^[A-Za-z0-9_-]*$")]
Words = Annotated[str, Query(max_length=100)]
Since = Annotated[datetime | None, Query()]
INHERITED = {"price_threshold", "rank_threshold", "rank_threshold_unit"}
PATH = "/products/{marketplace}/{asin}"


@api.get("/me", response=ALWAYS | {200: Me}, tags=["account"])
def me(request: HttpRequest) -> Any:
    """Say who asks, and what he may."""
    access = request.auth  # type: ignore[attr-defined]
    limit = settings.API_REQUESTS_PER_MINUTE
    membership = access.membership
    return {
        "username": membership.user.get_username(),
        "team": membership.team.name,
        "role": membership.role,
        "may_write": access.may_write,
        "requests_per_minute": limit,
    }


@api.get("/products", response=ALWAYS | {200: Products}, tags=["products"])
def list_products(
    request: HttpRequest,
    q: Words = "",
    role: Literal["", "own", "competitor"] = "",
    after: After = "",
    limit: Limit = 50,
) -> Any:
    """List what you watch, in the order in which it was added."""
    rows = Tracking.objects.filter(team=team_of(request)).select_related("product")
    rows = rows.filter(role=role) if role else rows
    rows = rows.matching(q.strip()) if q.strip() else rows
    return paging.by_pk(rows, after, limit, shown.product)


@api.post("/products", response=ALWAYS | {200: Added}, tags=["products"])
def add_products(request: HttpRequest, data: ProductsIn) -> Any:
    """Watch up to 500 products. What you watch already stays as it is; a wrong one is refused alone.

    Marketplace, frequency and tags that are left out are those with which your team's new products begin.
    """
    team = ensure_may_write(request)
    wishes: dict[tuple[str, str], Wish] = {}
    usual, refused = Usual.of(team), []
    for index, one in enumerate(data.products):
        try:
            wish = _wish(index, one, usual)
        except ValueError as reason:
            refused.append({"index": index, "message": str(reason)})
        else:
            wishes.setdefault(wish.identity, wish)
    with transaction.atomic():
        added = set(taking.watch(team.pk, list(wishes.values()))) if wishes else set()
        rows = Tracking.objects.filter(pk__in=added).values_list("product__marketplace", "product__asin")
        new = {f"{site}/{asin}" for site, asin in rows}
    names = [f"{site}/{asin}" for site, asin in wishes]
    return {
        "added": [name for name in names if name in new],
        "watched": [name for name in names if name not in new],
        "refused": refused,
    }


def _wish(index: int, one: ProductIn, usual: Usual) -> Wish:
    """Return what one entry asks for; raises ValueError that says what is wrong with it."""
    if one.url:
        site, asin = parse_address(one.url)
        marketplace = site.domain
    else:
        found = find_site(one.marketplace or usual.marketplace)
        if found is None:
            raise ValueError(_("“%s” is no Amazon site that we know. Write it like amazon.de or DE.") % one.marketplace)
        marketplace, asin = found, parse_asin(one.asin)
    frequency = shown.FREQUENCIES[one.frequency] if one.frequency else ""
    tags = None if one.tags is None else names_of(",".join(one.tags))
    return usual.wish(index, marketplace, asin, alias=one.alias, role=one.role, frequency=frequency, tags=tags)


@api.get(PATH, response=ONE | {200: ProductOut}, tags=["products"])
def get_product(request: HttpRequest, marketplace: str, asin: str) -> Any:
    """Show one product that you watch."""
    return shown.product(_tracking(request, marketplace, asin))


@api.patch(PATH, response=ONE | {200: ProductOut}, tags=["products"])
def change_product(request: HttpRequest, marketplace: str, asin: str, data: TrackingIn) -> Any:
    """Change how you watch one product; what is left out stays as it is."""
    ensure_may_write(request)
    sent = data.dict(exclude_unset=True)
    if missing := [name for name, value in sent.items() if value is None and name not in INHERITED]:
        raise Problem(422, "invalid", _("%s cannot be empty. Leave it out to keep it.") % ", ".join(missing))
    if "frequency" in sent:
        sent["frequency"] = shown.FREQUENCIES[sent["frequency"]]
    if "rank_threshold_unit" in sent:
        sent["rank_threshold_unit"] = sent["rank_threshold_unit"] or ""
    names = {"rank_threshold": "bsr_threshold", "rank_threshold_unit": "bsr_unit"}
    with transaction.atomic():
        tracking = _tracking(request, marketplace, asin)
        for name, value in sent.items():
            setattr(tracking, names.get(name, name), value)
        tracking.save(update_fields=[names.get(name, name) for name in sent])
    return shown.product(tracking)


@api.delete(PATH, response=ONE | {204: None}, tags=["products"])
def remove_product(request: HttpRequest, marketplace: str, asin: str) -> Any:
    """Stop watching one product; added again within an hour it comes back with its settings and changes."""
    ensure_may_write(request)
    with transaction.atomic():
        Tracking.objects.filter(pk=_tracking(request, marketplace, asin).pk).remove()
    return Status(204, None)


@api.post(f"{PATH}/refresh", response=ONE | {202: None}, tags=["products"])
def refresh_product(request: HttpRequest, marketplace: str, asin: str) -> Any:
    """Have one product looked at now, ahead of the others; that costs one look."""
    ensure_may_write(request)
    product = _tracking(request, marketplace, asin).product
    with transaction.atomic():
        Product.objects.filter(pk=product.pk).ask()
        update_product.options(at_front=True).enqueue(product.pk)
    return Status(202, None)


@api.get(f"{PATH}/history", response=ONE | {200: History}, tags=["products"])
def get_history(
    request: HttpRequest,
    marketplace: str,
    asin: str,
    source: Literal["seen", "imported"] = "seen",
    since: Since = None,
    until: Since = None,
    after: After = "",
    limit: Limit = 100,
) -> Any:
    """List the looks at one product, oldest first; with `source=imported` what you brought from files."""
    product = _tracking(request, marketplace, asin).product
    if source == "imported":
        points = _between(ImportedPoint.objects.filter(team=team_of(request), product=product), "at", since, until)
        show = lambda row: shown.imported_point(row, product.currency)  # noqa: E731
        return paging.by_time(points, "at", after, limit, show, newest=False)
    rows = _between(product.snapshots.defer("raw").prefetch_related("ranks"), "taken_at", since, until)
    return paging.by_time(rows, "taken_at", after, limit, shown.point, newest=False)


@api.get("/changes", response=ALWAYS | {200: Changes}, tags=["changes"])
def list_changes(
    request: HttpRequest,
    kind: Words = "",
    asin: Words = "",
    since: Since = None,
    until: Since = None,
    after: After = "",
    limit: Limit = 50,
) -> Any:
    """List the changes that you were told of, newest first."""
    rows = _between(Change.objects.filter(team=team_of(request)), "seen_at", since, until)
    rows = rows.filter(kind=kind) if kind else rows
    # By all sites, as the index of a product's identity begins with its site.
    one = {"tracking__product__marketplace__in": MARKETPLACES, "tracking__product__asin": asin.upper()}
    rows = rows.filter(**one) if asin else rows
    return paging.by_time(
        rows.select_related("tracking__product"), "seen_at", after, limit, shown.change, newest=True
    )  # fmt: skip


@api.get("/comparisons", response=ALWAYS | {200: Comparisons}, tags=["comparisons"])
def list_comparisons(request: HttpRequest, after: After = "", limit: Limit = 50) -> Any:
    """List your comparisons, newest first."""
    return paging.by_pk(_comparisons(request), after, limit, shown.comparison, newest=True)


@api.get("/comparisons/{pk}", response=ONE | {200: ComparisonOut}, tags=["comparisons"])
def get_comparison(request: HttpRequest, pk: Annotated[int, Field(ge=1, le=paging.LARGEST_KEY)]) -> Any:
    """Show one comparison."""
    return shown.comparison(get_object_or_404(_comparisons(request), pk=pk))


@api.get("/reports", response=ALWAYS | {200: Reports}, tags=["reports"])
def list_reports(
    request: HttpRequest,
    kind: Literal["", "competitors", "optimization"] = "",
    comparison: Annotated[int | None, Query(ge=1, le=paging.LARGEST_KEY)] = None,
    after: After = "",
    limit: Limit = 50,
) -> Any:
    """List your reports without their texts, newest first."""
    rows = Report.objects.filter(team=team_of(request)).select_related("product")
    rows = rows.filter(kind=kind) if kind else rows
    rows = rows.filter(comparison=comparison) if comparison else rows
    rows = rows.defer("facts", "numbers", "content")
    return paging.by_pk(rows, after, limit, shown.report_head, newest=True)


@api.get("/reports/{pk}", response=ONE | {200: ReportOut}, tags=["reports"])
def get_report(request: HttpRequest, pk: Annotated[int, Field(ge=1, le=paging.LARGEST_KEY)]) -> Any:
    """Show one report with its numbers, text and suggestions."""
    rows = Report.objects.filter(team=team_of(request)).select_related("product").prefetch_related("suggestions")
    return shown.report(get_object_or_404(rows, pk=pk))


def _tracking(request: HttpRequest, marketplace: str, asin: str) -> Tracking:
    rows = Tracking.objects.select_related("product")
    return get_object_or_404(
        rows, team=team_of(request), product__marketplace=marketplace.lower(), product__asin=asin.upper()
    )  # fmt: skip


def _comparisons(request: HttpRequest) -> Any:
    rows = Comparison.objects.filter(team=team_of(request)).select_related("product")
    return rows.prefetch_related("members__product")


def _between(rows: Any, field: str, since: datetime | None, until: datetime | None) -> Any:
    for name, at in (("since", since), ("until", until)):
        if at is not None and is_naive(at):
            raise Problem(422, "invalid", _("%s has to name its zone, such as 2026-01-31T00:00:00Z.") % name)
    limits = Q(**{f"{field}__gte": since}) if since else Q()
    return rows.filter(limits & (Q(**{f"{field}__lte": until}) if until else Q()))
