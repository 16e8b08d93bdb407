"""The page of the job list: one box, everything in its address; and the searches that a user keeps under a name."""

import json

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from redis.exceptions import RedisError

from ..core import queues
from ..core.registry import TASKS
from ..core.values import Context
from ..inspect import subjects
from ..inspect.grammar import FIELDS, LONGEST, QueryError
from ..inspect.lists import Listing, ask
from ..inspect.query import frozen, parse
from ..inspect.redis_jobs import STATES
from ..models import AuditEntry, SavedSearch
from ..models.job_run import Outcome
from .pages import action, back, fragment, page, show, widget

SIZES = (20, 50, 100)
OLDEST = "oldest"  # the one order over all pages beside the usual one
SORTED = ("wait", "duration", "attempt")  # the columns by which the rows of one page are sorted
MOST_PAGES_BACK = 30
MOST_NAMED = 5  # subjects to whose pages the list leads


EXAMPLES = [
    ("", gettext_lazy("All jobs")),
    ("state:started", gettext_lazy("Running")),
    ("state:queued", gettext_lazy("Waiting")),
    ("state:scheduled", gettext_lazy("Planned and retries")),
    ("state:held", gettext_lazy("Held")),
    ("state:failed", gettext_lazy("Failed")),
    ("outcome:lost", gettext_lazy("Lost")),
]


@page()
def jobs(request: HttpRequest) -> HttpResponse:
    """Show the jobs that the box asks for: /admin/monitor/jobs?q=state:failed+task:update_product."""
    text = request.GET.get("q", "").strip()
    if (zoned := in_utc(text)) != text and not request.headers.get("HX-Request"):
        return HttpResponseRedirect(f"?{urlencode(request.GET.dict() | {'q': zoned})}")
    size = next((n for n in SIZES if str(n) == request.GET.get("size")), 50)
    cursor, sort = request.GET.get("from", ""), request.GET.get("sort", "")
    sort = sort if sort == OLDEST or sort.removeprefix("-") in SORTED else ""
    context: Context = {"q": text, "size": size, "sizes": SIZES, "examples": EXAMPLES, "problem": ""}
    context |= {"saved": list(searches(request)), "cursor": cursor, "sort": sort, "headings": headings(sort)}
    context |= trail(request.GET.get("trail", ""), cursor)
    context["address"] = urlencode({"q": text, "size": str(size), "sort": sort})
    context["words"] = json.dumps(completion())
    try:
        context["listing"] = listing = ask(text, cursor, size, oldest_first=sort == OLDEST)
        sort_rows(listing, sort)
        context["about"] = widget(lambda: subjects.described(parse(text).named[:MOST_NAMED]))
    except QueryError as error:
        context |= {"problem": str(error), "listing": Listing()}
    except RedisError:
        context |= {
            "problem": _("Redis does not answer, so what waits and runs cannot be shown."),
            "listing": Listing(),
        }
    if request.headers.get("HX-Request"):
        return fragment(request, "_jobs", **context)
    return show(request, "jobs", _("Jobs"), **context)


def trail(before: str, cursor: str) -> dict[str, str]:
    """Return the addresses' words for the pages before this one: where each began, the newest last.

    A page of a list that moves is found again by where it began, not by its number.
    """
    starts = [start for start in before.split("~") if start][-MOST_PAGES_BACK:]
    forward = "~".join([*starts, cursor]) if cursor else ""
    return {"trail_forward": forward, "trail_back": "~".join(starts[:-1]), "back": starts[-1] if starts else ""}


def sort_rows(listing: Listing, sort: str) -> None:
    """Put the rows of this page in the order of one of its columns; what is not known comes last."""
    name = sort.removeprefix("-")
    if name not in SORTED:
        return
    known = [row for row in listing.rows if getattr(row, name) is not None]
    known.sort(key=lambda row: getattr(row, name), reverse=sort.startswith("-"))
    listing.rows = known + [row for row in listing.rows if getattr(row, name) is None]


def headings(sort: str) -> dict[str, dict[str, str]]:
    """Return by column how the page is sorted by it, and the order that a click on its heading asks for."""
    orders = {name: {name: "ascending", f"-{name}": "descending"}.get(sort, "") for name in SORTED}
    return {
        name: {"sort": order, "next": name if order == "descending" else f"-{name}"} for name, order in orders.items()
    }


def completion() -> dict[str, list[str]]:
    """Return what may be written into the box: its fields, and the values of those that are known."""
    return {
        "": [f"{field}:" for field in sorted(FIELDS | set(subjects.kinds()))],
        "task": [name.replace(".tasks.", ".").rpartition(".")[2] for name in sorted(TASKS)],
        "queue": queues.names(),
        "state": list(STATES),
        "outcome": list(Outcome.values),
        "tag": sorted({tag for task in TASKS.values() for tag in task.tags}),
        "since": ["1h", "24h", "7d"],
        "until": ["1h", "24h"],
    }


def in_utc(text: str) -> str:
    """Return a question whose times name their zone, for an address that means the same to whoever opens it."""
    try:
        return frozen(text, relative=False)
    except QueryError:
        return text


def searches(request: HttpRequest) -> QuerySet[SavedSearch]:
    """Return the searches of the user at work."""
    return SavedSearch.objects.filter(user=request.user)  # type: ignore[misc]  # the guard lets only users in


@action("view")
def save_search(request: HttpRequest) -> HttpResponse:
    """Keep the question in the box under a name, for this user alone."""
    name, text = request.POST.get("name", "").strip()[:60], request.POST.get("q", "").strip()
    if not name:
        raise ValidationError(_("Give the search a name."))
    try:
        parse(text)
        text = frozen(text, relative=False)
        if len(text) > LONGEST:
            raise QueryError(_("The question is longer than %d letters.") % LONGEST, LONGEST)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    with transaction.atomic():
        SavedSearch.objects.update_or_create(user=request.user, name=name, defaults={"query": text})  # type: ignore[misc]
        AuditEntry.objects.record(request.user, "save search", f"search {name}", query=text)
    return HttpResponseRedirect(reverse("monitor:jobs") + "?" + urlencode({"q": text}))


@action("view")
def forget_search(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one of this user's searches."""
    found = searches(request).filter(pk=pk).first()
    if found is not None:
        with transaction.atomic():
            AuditEntry.objects.record(request.user, "forget search", f"search {found.name}", query=found.query)
            found.delete()
    return back(request, "monitor:jobs")
