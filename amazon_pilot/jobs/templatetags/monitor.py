"""How the monitor writes times, spans, sizes and calls."""

from collections.abc import Mapping
from datetime import UTC, datetime

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.template.context import RequestContext
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..core.picture import Worker
from ..core.registry import TASKS
from ..core.values import Context, Text
from ..inspect import health
from ..inspect.snapshot import Sample
from ..inspect.words import STATE_SIGNS, ago, breakable, cause_words, json_text, moment_at, span
from ..operate import operations, roles
from ..operate.table import label
from ..web import overview, pages

register = template.Library()
for words in (ago, breakable, cause_words, span):
    register.filter(words)
register.filter("operation_label", label)


@register.filter
def span_of_text(text: str) -> str:
    """Write seconds that Redis holds as text; -1 is rq's word for no limit."""
    return _("no limit") if str(text) == "-1" else span(text) if str(text).isdigit() else str(text)


@register.filter
def clock(when: datetime | str | bytes | float | None) -> SafeString:
    """Write an absolute time in the viewer's zone, to the second; in UTC on hover, as logs have it."""
    if not when:
        return format_html("{}", "–")
    moment = moment_at(when)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(),
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC",
        f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}",
    )


@register.filter
def unix(text: str) -> float | None:
    """Return the seconds since 1970 that Redis holds as text, None for anything else."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


@register.filter
def percent(ratio: float | str | None) -> str:
    """Write a ratio as a whole percentage, one that is not quite 0 as <1%; – for nothing."""
    if ratio in (None, ""):
        return "–"
    return "<1%" if 0 < float(ratio) < 0.01 else f"{float(ratio) * 100:.0f}%"


@register.filter
def figure(value: float | None, kind: str) -> str:
    """Write a figure of a comparison: a count, a share or seconds; – for nothing."""
    if value is None:
        return "–"
    return span(value) if kind == "span" else percent(value) if kind == "share" else str(intcomma(value))


@register.filter
def signed(change: float | None) -> str:
    """Write by what share something changed, with its sign; – for nothing."""
    if change is None:
        return "–"
    whole = round(change * 100)
    return f"{'+' if whole > 0 else '−' if whole < 0 else '±'}{intcomma(abs(whole))}%"


@register.filter
def rate(per_minute: float | None) -> str:
    """Write jobs per minute."""
    if per_minute is None:
        return "–"
    return f"{per_minute:.0f}" if per_minute >= 10 or per_minute == 0 else f"{per_minute:.1f}"


@register.filter
def attempts_of(task: str) -> int:
    """Return how often a task is tried at most, 1 for one that is not retried or not known."""
    known = TASKS.get(task)
    return known.retry.attempts if known and known.retry else 1


@register.filter
def short_task(name: str) -> str:
    """Write a task without the module that all tasks of an app share: products.update_product."""
    return str(name).replace(".tasks.", ".").removeprefix("amazon_pilot.")


@register.filter
def arguments(args: object, limit: int = 60) -> str:
    """Write positional arguments as JSON without the brackets, cut to a row's length."""
    if not isinstance(args, list | tuple):
        return str(args)[:limit]
    text = ", ".join(json_text(arg) for arg in args)
    return text if len(text) <= limit else text[: limit - 1] + "…"


@register.filter
def as_json(value: object) -> str:
    """Write a value as indented JSON."""
    return json_text(value, indent=2)


@register.filter
def item(mapping: Mapping[str, object] | None, key: str) -> object:
    """Return one value of a mapping, None where there is none."""
    return mapping.get(key) if mapping else None


@register.filter
def job_url(job_id: str) -> str:
    """Return the address of a job's page."""
    return reverse("monitor:job", args=[job_id])


@register.filter
def short_error(exception: str) -> str:
    """Write an exception's class without its module."""
    return str(exception).rsplit(".", 1)[-1]


@register.filter
def first_line(text: str) -> str:
    """Return the first line of a text."""
    return str(text).strip().partition("\n")[0]


@register.filter
def sign(word: str) -> str:
    """Return the sign of a state, for where its word is said beside it."""
    return STATE_SIGNS.get(word, "•")


@register.simple_tag
def state(word: str, label: str = "") -> SafeString:
    """Write a state with a sign of its own, so that colour alone never tells it."""
    sign = STATE_SIGNS.get(word, "•")
    return format_html(
        '<span class="state {}"><span aria-hidden="true">{}</span> {}</span>', word, sign, label or _(word)
    )


@register.filter
def shares(worker: Worker) -> list[tuple[str, int, float | None]]:
    """Return for each queue of a worker its weight, and its share of the jobs that the worker has taken."""
    takes = worker.get("takes", {})
    total = sum(takes.values())
    return [(name, weight, takes.get(name, 0) / total if total else None) for name, weight in worker["queues"].items()]


@register.simple_tag
def serving(seen: Sample, queue: str) -> int:
    """Return how many living workers take jobs from a queue, by a sample."""
    return seen.serving(queue)


@register.simple_tag
def jobs_url(query: str, **words: object) -> str:
    """Return the address of the job list for a search; `words` stand in for {names} in it."""
    return reverse("monitor:jobs") + "?" + urlencode({"q": query.format(**{k: quoted(v) for k, v in words.items()})})


@register.simple_tag
def bulk_url(action: str, fingerprint: str = "", subject: str = "") -> str:
    """Return the address where an action on the failed jobs of one cause, or about one subject, is previewed."""
    query = f"about:{subject} state:failed" if subject else f"cause:{quoted(fingerprint)} state:failed"
    return reverse("monitor:bulk_preview") + "?" + urlencode({"action": action, "q": query})


def quoted(value: object) -> str:
    """Quote a value for the query box where it needs it."""
    text = str(value)
    return text if text and all(c.isalnum() or c in "_.-" for c in text) else '"' + text.replace('"', '\\"') + '"'


@register.simple_tag(takes_context=True)
def monitor_links(context: RequestContext) -> list[tuple[str, Text, str, str]]:
    """Return the monitor's pages: address, label, what aria-current says of each, and its name."""
    return pages.links(context["request"])


@register.simple_tag(takes_context=True)
def may_act(context: RequestContext, role: str, name: str) -> bool:
    """Tell whether the reader may act in a role on `queue:…`, or on what lies in any queue, such as `task:…`."""
    return operations.reaches(context["request"].user, role, operations.queue_in(name))


@register.simple_tag
def monitor_health() -> pages.Widget[health.Health]:
    """Return whether all is well, as a widget: what cannot be told breaks no page."""
    return pages.widget(health.look)


@register.inclusion_tag("jobs/_front.html", takes_context=True)
def monitor_front(context: RequestContext) -> Context:
    """Show the overview on the admin's front page, to those who may see jobs."""
    request = context["request"]
    if not roles.may(request.user, "view"):
        return {"may_view": False}
    return pages.frame(request) | overview.parts() | {"request": request, "may_view": True}
