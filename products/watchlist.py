"""The list of what a team watches: filtered, sorted by any column, by keys, with what each product did lately."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import (
    Case,
    ExpressionWrapper,
    F,
    FloatField,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Lower, NullIf
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.http import urlencode
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from amazon_pilot.http import AuthenticatedRequest

from . import keyset, sparks
from .amazon import MARKETPLACES
from .bulk import changed_just_now, removed_just_now
from .models import Change, Frequency, Role, SavedView, Snapshot, Tag, Tracking
from .models.position import GONE
from .models.product import sort_name
from .models.tracking import FEW

PER_PAGE = 25
# More rows are not counted, and not sorted by what moved, which is worked out for each.
MOST_COUNTED = FEW
ALL = "show=all"  # an address that asks for nothing, and is no beginning
ARROWS = (("", "↑"), ("-", "↓"))
STATES = (
    ("changed", _("changed since yesterday")),
    ("late", _("late")),
    ("gone", _("out of stock")),
    ("failing", _("failing")),
    ("paused", _("paused")),
)


@dataclass(frozen=True)
class Sort:
    """A column by which the list is sorted: its heading, where its value stands, and how a key's value is read."""

    name: str
    heading: Any
    column: str = ""
    parse: Callable[[str], Any] = str
    falls: bool = False
    nullable: bool = True

    @property
    def is_worked_out(self) -> bool:
        """Whether the value stands in no column, so that a short list alone is sorted by it."""
        return not self.column


SORTS = {
    sort.name: sort
    for sort in (
        Sort("name", _("Product"), "shown", nullable=False),
        Sort("price", _("Price"), "product__price", keyset.decimal),
        Sort("day", _("Since yesterday"), falls=True),
        Sort("month", _("30 days"), falls=True),
        Sort("rank", _("Rank"), "product__bsr", keyset.whole),
        Sort("rating", _("Rating"), "product__rating", keyset.decimal, falls=True),
        Sort("reviews", _("Reviews"), "product__review_count", keyset.whole, falls=True),
        Sort("seen", _("As of"), "product__checked_at", keyset.moment),
        Sort("added", _("Added"), "pk", keyset.whole, falls=True, nullable=False),
    )
}


@dataclass(frozen=True)
class Wanted:
    """What a reader asked the list for; whatever is not one of the choices is no wish."""

    q: str = ""
    role: str = ""
    tag: str = ""
    site: str = ""
    state: str = ""
    sort: str = ""
    falls: bool = False

    @classmethod
    def of(cls, query: QueryDict) -> "Wanted":
        """Read the wishes of an address."""
        sort, word = query.get("sort", ""), query.get("tag", "")
        return cls(
            q=query.get("q", "").strip()[:100],
            role=_one_of(query.get("role"), Role.values),
            tag=word if word.isdecimal() and len(word) < 19 else "",
            site=_one_of(query.get("site"), MARKETPLACES),
            state=_one_of(query.get("state"), [name for name, _word in STATES]),
            sort=_one_of(sort.removeprefix("-"), SORTS),
            falls=sort.startswith("-"),
        )

    @property
    def text(self) -> str:
        """The same wishes as an address has them, for whoever keeps them."""
        sort = f"{'-' * self.falls}{self.sort}" if self.sort else ""
        words = {"q": self.q, "role": self.role, "state": self.state, "tag": self.tag, "site": self.site, "sort": sort}
        return urlencode({name: value for name, value in words.items() if value})

    @property
    def is_filtered(self) -> bool:
        return bool(self.q or self.role or self.tag or self.site or self.state)

    def sorted_for(self, total: int) -> "Wanted":
        """Return the wishes with a sort that such a list has: by name, or what was added last where it is very long."""
        if self.sort in sorts_for(total):
            return self
        return replace(self, sort="name") if total <= MOST_COUNTED else replace(self, sort="added", falls=True)

    def rows(self, team: Any) -> "QuerySet[Tracking]":
        """Keep the team's trackings that are asked for; a state and words ask at once whether few have them."""
        rows: Any = Tracking.objects.filter(team=team)
        rows = rows.filter(role=self.role) if self.role else rows
        rows = rows.filter(product__marketplace=self.site) if self.site else rows
        rows = rows.filter(pk__in=_tagged(team, int(self.tag))) if self.tag else rows
        rows = _in_state(rows, team, self.state)
        return rows.matching(self.q) if self.q else rows


def sorts_for(total: int) -> dict[str, Sort]:
    """Return the sorts of a list of so many rows, by name."""
    return {name: sort for name, sort in SORTS.items() if total <= MOST_COUNTED or not sort.is_worked_out}


def _one_of(value: str | None, choices: Any) -> str:
    return value if value is not None and value in choices else ""


def _tagged(team: Any, tag: int) -> Any:
    return Tracking.tags.through.objects.filter(tag=tag, tag__team=team).values("tracking")


def _in_state(rows: Any, team: Any, state: str) -> "QuerySet[Tracking]":
    match state:
        case "changed":
            return rows.filter(
                pk__in=Change.objects.filter(team=team, seen_at__gte=sparks.yesterday()).values("tracking")
            )
        case "late":
            return rows.late()
        case "gone":
            return rows.narrowed([Q(product__availability__in=GONE)])
        case "failing":
            return rows.failing()
        case "paused":
            return rows.filter(paused=True)
        case _:
            return rows


@require_GET
@login_required
def list_(request: AuthenticatedRequest) -> HttpResponse:
    """Show what this team watches; an address that asks for nothing shows the view with which its user begins."""
    views = list(SavedView.objects.of(request.membership))
    if not request.GET and (first := next((view for view in views if view.is_default), None)):
        return redirect(f"{request.path}?{first.query or ALL}")
    wanted = Wanted.of(request.GET)
    asked = wanted.text
    rows = wanted.rows(request.team)
    total = _counted(Tracking.objects.filter(team=request.team))
    wanted = wanted.sorted_for(total)
    part = slice_of(rows, wanted, request.GET.get("page", ""))
    is_whole = not (part.before or part.after)
    count = len(part.ids) if is_whole else _counted(rows) if wanted.is_filtered else total
    tags = list(Tag.objects.filter(team=request.team))
    context = {
        "rows": sparks.rows(load(part.ids, has_tags=bool(tags))),
        "part": part,
        "count": min(count, MOST_COUNTED),
        "is_more": count > MOST_COUNTED,
        "wanted": wanted,
        "columns": columns(wanted, total),
        "filters": filters(wanted, tags, total),
        "tags": tags,
        "frequencies": Frequency.choices,
        "roles": Role.choices,
        "removed": removed_just_now(request),
        "changed": changed_just_now(request),
        "asked": asked,
        "views": views,
        "view": next((view for view in views if view.query == asked), None),
        "all_url": f"?{ALL}",
    }
    return render(request, "products/list.html", context)


def _counted(rows: Any) -> int:
    return rows.order_by()[: MOST_COUNTED + 1].count() if rows.known is None else rows.known


def columns(wanted: Wanted, total: int) -> list[dict[str, Any]]:
    """Return the headings by which the list is sorted: what a press on each asks for, and how it stands now."""
    return [
        {
            "name": sort.name,
            "heading": sort.heading,
            "is_now": sort.name == wanted.sort,
            "falls": wanted.falls,
            "ask": _next_ask(sort, wanted) if sort.name in sorts_for(total) else "",
        }
        for sort in SORTS.values()
    ]


def _next_ask(sort: Sort, wanted: Wanted) -> str:
    falls = not wanted.falls if sort.name == wanted.sort else sort.falls
    return f"-{sort.name}" if falls else sort.name


def filters(wanted: Wanted, tags: Iterable[Tag], total: int) -> dict[str, Any]:
    """Return the boxes above the list with their choices."""
    sorts = [
        (f"{sign}{name}", f"{sort.heading} {arrow}")
        for name, sort in sorts_for(total).items()
        for sign, arrow in ARROWS
    ]
    shown = (
        ("state", _("State"), STATES, wanted.state),
        # A phone shows no headings to press; elsewhere this keeps the sort when a filter changes.
        ("sort", _("Sort"), sorts, f"{'-' * wanted.falls}{wanted.sort}"),
        ("role", _("Role"), Role.choices, wanted.role),
        ("tag", _("Tag"), [(str(tag.pk), tag.name) for tag in tags], wanted.tag),
        ("site", _("Marketplace"), [(domain, domain) for domain in MARKETPLACES], wanted.site),
    )
    return boxes(shown, rare=("role", "tag", "site"))


def boxes(shown: Iterable[tuple[str, Any, Any, str]], rare: Collection[str]) -> dict[str, Any]:
    """Return the boxes of a filter bar: the usual ones, those that a phone folds away, and whether one of these is set.

    One without a choice is left out.
    """
    made = [
        {"name": name, "label": label, "choices": choices, "value": value}
        for name, label, choices, value in shown
        if choices
    ]
    folded = [box for box in made if box["name"] in rare]
    usual = [box for box in made if box["name"] not in rare]
    return {"usual": usual, "rare": folded, "is_open": any(box["value"] for box in folded)}


def load(ids: list[int], *, has_tags: bool = True) -> list[Tracking]:
    """Return the trackings of a page with all that its rows show, their tags as `labels`, in the order of their ids.

    Of a team that has no tag none is asked for.
    """
    if not ids:
        return []
    rows = Tracking.objects.filter(pk__in=ids).select_related("product").defer(*HEAVY)
    rows = rows.prefetch_related(Prefetch("tags", to_attr="labels")) if has_tags else rows
    found = {row.pk: row for row in rows}
    return [found[pk] for pk in ids if pk in found]


HEAVY = tuple(f"product__{name}" for name in ("bullets", "description", "images", "categories"))


def slice_of(rows: Any, wanted: Wanted, text: str) -> keyset.Slice:
    """Return the ids of the page that an address names."""
    sort = SORTS[wanted.sort]
    if sort.is_worked_out:
        return _worked_out(rows, wanted, text)
    key, halves, before = keyset.read_key(text, sort.parse), [], []
    if sort.column == "shown":  # each index would be walked through all that have a word; another column's is one alone
        halves, before = _halves(rows), [] if rows.before is None else _halves(rows.before)
        rows = rows.annotate(shown=shown_name())
    return keyset.cut(
        rows, sort.column, key, PER_PAGE, descending=wanted.falls, nullable=sort.nullable, halves=halves, before=before
    )


def _halves(rows: Any) -> list[Any]:
    """Return the rows with a name of the team's own and those without, each by the name that an index knows."""
    return [
        rows.filter(alias__gt="").annotate(shown=Lower("alias")),
        rows.filter(alias="").annotate(shown=sort_name("product__")),
    ]


def shown_name() -> Any:
    """Return the name that a row shows: the team's own, else the beginning of the title, else the ASIN."""
    return Coalesce(NullIf(Lower("alias"), Value("")), sort_name("product__"))


def _worked_out(rows: Any, wanted: Wanted, text: str) -> keyset.Slice:
    """Sort a short list by what moved, and cut it behind the row that the key names."""
    # The 1.0 is for SQLite, which divides whole numbers as such.
    share = (F("product__price") - F("earlier")) * Value(1.0) / F("earlier")
    moved = rows.annotate(earlier=_earlier_price(wanted.sort)).annotate(
        moved=Case(When(earlier__gt=0, then=ExpressionWrapper(share, FloatField())))
    )
    order = F("moved").desc(nulls_last=True) if wanted.falls else F("moved").asc(nulls_last=True)
    ids = list(moved.order_by(order, "pk").values_list("pk", flat=True)[:MOST_COUNTED])
    key = keyset.read_key(text, str)
    start = ids.index(key.pk) if key and key.pk in ids else 0
    page = ids[start : start + PER_PAGE]
    before = str(keyset.Key(None, ids[max(0, start - PER_PAGE)])) if start else ""
    after = str(keyset.Key(None, ids[start + PER_PAGE])) if start + PER_PAGE < len(ids) else ""
    return keyset.Slice(page, before, after)


def _earlier_price(name: str) -> Subquery:
    looks = Snapshot.objects.filter(product=OuterRef("product"), price__isnull=False)
    month = now() - sparks.MONTH
    if name == "day":
        looks = looks.filter(taken_at__gte=month, taken_at__lt=sparks.yesterday()).order_by("-taken_at")
    else:
        looks = looks.filter(taken_at__gte=month).order_by("taken_at")
    return Subquery(looks.values("price")[:1])
