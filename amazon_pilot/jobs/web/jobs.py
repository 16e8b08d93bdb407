"""The page of the job list: one box, everything in its address; and the searches that a user keeps under a name."""

from typing import Any

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from redis.exceptions import RedisError

from ..inspect.lists import Listing, ask
from ..inspect.query import QueryError, frozen
from ..models import SavedSearch
from .pages import action, back, fragment, page, show

SIZES = (20, 50, 100)


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
    context: dict[str, Any] = {"q": text, "size": size, "sizes": SIZES, "examples": EXAMPLES, "problem": ""}
    context["saved"] = list(searches(request))
    context["cursor"] = request.GET.get("from", "")
    context["address"] = urlencode({"q": text, "size": str(size)})
    try:
        context["listing"] = ask(text, context["cursor"], size)
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


def in_utc(text: str) -> str:
    """Return a question whose times name their zone, for an address that means the same to whoever opens it."""
    try:
        return frozen(text, relative=False)
    except QueryError:
        return text


def searches(request: HttpRequest) -> Any:
    """Return the searches of the user at work."""
    return SavedSearch.objects.filter(user=request.user)  # type: ignore[misc]  # the guard lets only users in


@action("view")
def save_search(request: HttpRequest) -> HttpResponse:
    """Keep the question in the box under a name, for this user alone."""
    name, text = request.POST.get("name", "").strip()[:60], request.POST.get("q", "").strip()
    if not name:
        raise ValidationError(_("Give the search a name."))
    try:
        text = frozen(text, relative=False)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    SavedSearch.objects.update_or_create(user=request.user, name=name, defaults={"query": text})  # type: ignore[misc]
    return HttpResponseRedirect(reverse("monitor:jobs") + "?" + urlencode({"q": text}))


@action("view")
def forget_search(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget one of this user's searches."""
    searches(request).filter(pk=pk).delete()
    return back(request, "monitor:jobs")
