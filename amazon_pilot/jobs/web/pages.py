"""What every page and every button of the monitor goes through: who may, by which method, and with what in hand."""

import logging
from collections.abc import Callable
from functools import wraps
from ipaddress import ip_address
from typing import Generic, TypedDict, TypeVar, cast

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import require_POST, require_safe
from redis.exceptions import RedisError

from ..core.values import Context, Text
from ..inspect import store
from ..operate.roles import PERMISSIONS, may, within

logger = logging.getLogger(__name__)

View = Callable[..., HttpResponseBase]
T = TypeVar("T")
R = TypeVar("R")

NAVIGATION = [
    ("admin:index", gettext_lazy("Overview")),
    ("monitor:jobs", gettext_lazy("Jobs")),
    ("monitor:batches", gettext_lazy("Batches")),
    ("monitor:failures", gettext_lazy("Failures")),
    ("monitor:queues", gettext_lazy("Queues")),
    ("monitor:tasks", gettext_lazy("Tasks")),
    ("monitor:workers", gettext_lazy("Workers")),
    ("monitor:stuck", gettext_lazy("Stuck")),
    ("monitor:limits", gettext_lazy("Limits")),
    ("monitor:schedule", gettext_lazy("Schedule")),
    ("monitor:alerts", gettext_lazy("Alerts")),
    ("monitor:redis", gettext_lazy("Redis")),
    ("monitor:retention", gettext_lazy("Retention")),
    ("monitor:api-docs", gettext_lazy("API")),
    ("admin:jobs_auditentry_changelist", gettext_lazy("Audit")),
]
# The pages behind those of the menu, which marks where they belong: else whoever stands there does not know where.
BEHIND = {
    "monitor:jobs": (
        "monitor:job", "monitor:job-edit", "monitor:about", "monitor:bulk", "monitor:bulk_preview",
        "admin:jobs_jobrun_changelist", "admin:jobs_jobrun_change",
    ),
    "monitor:batches": ("monitor:batch",),
    "monitor:queues": (
        "monitor:queue", "admin:jobs_pause_changelist", "admin:jobs_pause_add", "admin:jobs_pause_change",
    ),
    "monitor:tasks": ("monitor:task", "monitor:task-run"),
    "monitor:schedule": (
        "admin:jobs_scheduleentry_changelist", "admin:jobs_scheduleentry_add", "admin:jobs_scheduleentry_change",
        "admin:jobs_fire_changelist", "admin:jobs_fire_change",
    ),
    "monitor:api-docs": ("monitor:tokens", "monitor:token-make"),
    "admin:jobs_auditentry_changelist": ("admin:jobs_auditentry_change",),
}  # fmt: skip


def address_of(request: HttpRequest) -> str | None:
    """Return the IP address from which a request came, None where it came through a socket without one.

    Behind TRUSTED_PROXIES proxies it is what the outermost of them wrote into X-Forwarded-For: what stands before that,
    and all of it where no proxy is trusted, is what the client says of itself. A request that passed fewer proxies is
    named by the address that is connected.
    """
    passed = request.headers.get("X-Forwarded-For", "").split(",")
    trusted = settings.TRUSTED_PROXIES
    text = passed[-trusted] if 0 < trusted <= len(passed) else ""
    for word in (text, request.META.get("REMOTE_ADDR", "")):
        try:
            found = ip_address(word.strip().partition("%")[0])
        except ValueError:
            continue
        return str(getattr(found, "ipv4_mapped", None) or found)
    return None


def guard(view: View, role: str) -> View:
    """Let those in who may in some queue at least; others are asked to sign in, or told that they may not (403)."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if not (request.user.is_active and request.user.is_staff):
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        if not within(request.user, role):
            raise PermissionDenied(_("Your role does not allow this."))
        return view(request, *args, **kwargs)

    return guarded


def page(role: str = "view") -> Callable[[View], View]:
    """Make a view a page: it answers GET alone, to those who may, and is never cached by a browser.

    It is sent compressed: what a hundred workers do is 1.4 MB, and is sent each few seconds.

    It runs outside of a transaction, so that one widget whose query fails does not take the others with it.
    """

    def wrap(view: View) -> View:
        return transaction.non_atomic_requests(require_safe(never_cache(gzip_page(guard(view, role)))))

    return wrap


def action(role: str) -> Callable[[View], View]:
    """Make a view a button: it answers POST alone (405 to others), to those who may, and returns to where it stood.

    The view calls a verb and tells by `messages` what came of it. Where Redis is away nothing is tried.
    """

    def wrap(view: View) -> View:
        @wraps(view)
        def act(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if store.is_away():
                messages.error(request, _("Redis does not answer, so nothing was done. Try again in a moment."))
                return back(request)
            try:
                return view(request, *args, **kwargs) or back(request)
            except ValidationError as error:
                messages.error(request, " ".join(error.messages))
                return back(request)

        return require_POST(never_cache(guard(act, role)))

    return wrap


def back(request: HttpRequest, otherwise: str = "admin:index") -> HttpResponse:
    """Return to the page named by the form's `next`, if it is one of ours."""
    target = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        target = reverse(otherwise)
    return HttpResponseRedirect(target)


def reason_of(request: HttpRequest, *, required: bool = False) -> str:
    """Return the form's reason; raises ValidationError where one is required and missing."""
    reason = request.POST.get("reason", "").strip()[:1000]
    if required and not reason:
        raise ValidationError(_("Say why: the reason is shown to everyone who meets the effect."))
    return reason


def show(request: HttpRequest, template: str, title: str, **context: object) -> HttpResponse:
    """Return a page in the admin's frame."""
    known = frame(request) | {"title": title, "is_partly_broken": is_partly_broken(context)}
    return TemplateResponse(request, f"jobs/{template}.html", known | context)


def rights(request: HttpRequest, *where: str) -> Context:
    """Return what somebody may do in each of these queues, or, of none, everywhere, by the names that templates use."""
    return {f"may_{role}": may(request.user, role, where) for role in PERMISSIONS}


def some_rights(request: HttpRequest) -> Context:
    """Return what somebody may do in some queue at least: what most pages offer is of many."""
    return {f"may_{role}": bool(within(request.user, role)) for role in PERMISSIONS}


def fragment(request: HttpRequest, template: str, **context: object) -> HttpResponse:
    """Return the part of a page that refreshes itself, and with it the line of health and the counts in the menu."""
    known: Context = {"part": f"jobs/{template}.html", "monitor_links": links(request)}
    known["is_partly_broken"] = is_partly_broken(context)
    return TemplateResponse(request, "jobs/_live.html", some_rights(request) | known | context)


def is_partly_broken(context: Context) -> bool:
    """Tell whether a part of a page raised something that is no outage, which the line of health then says."""
    parts = (part for part in context.values() if isinstance(part, dict))
    return any("error" in part and not part.get("is_away") for part in parts)


def frame(request: HttpRequest) -> Context:
    """Return what the admin's frame and the monitor's navigation need."""
    return admin.site.each_context(request) | some_rights(request) | {"monitor_links": links(request)}


def links(request: HttpRequest) -> list[tuple[str, Text, str, str]]:
    """Return the monitor's pages: address, label, aria-current ("page", "true" for one behind it, or nothing), name."""
    current = request.resolver_match.view_name if request.resolver_match else ""
    return [
        (reverse(name), label, "page" if name == current else "true" if current in BEHIND.get(name, ()) else "", name)
        for name, label in NAVIGATION
    ]


class Widget(TypedDict, Generic[T], total=False):
    """One part of a page: its value, or what is said in its place."""

    value: T
    error: str
    is_away: bool


def widget(build: Callable[[], T]) -> Widget[T]:
    """Return {"value": …} of one part of a page, or {"error": …} in its place: the others still load."""
    try:
        with transaction.atomic():  # a refused query must not spoil the transaction of the others
            return {"value": build()}
    except RedisError as error:
        logger.warning("Redis is away: %s", error)
        return {"error": _("Redis does not answer."), "is_away": True}
    except Exception:
        logger.exception("A part of the monitor could not be shown")
        return {"error": _("This part could not be loaded; the web server's log says why.")}


def widget_of(known: Widget[T], build: Callable[[T], R]) -> Widget[R]:
    """Return a part that is made of another one, or what is said in the place of that."""
    return widget(lambda: build(known["value"])) if "value" in known else cast(Widget[R], known)
