"""What Prometheus reads at /metrics: the engine's numbers, the business's, and those of the requests themselves."""

import hmac
import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import partial
from itertools import accumulate
from typing import Any

from django.conf import settings
from django.db.models import Avg, Count, F, Min, Sum
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.utils.timezone import now
from django.views.decorators.http import require_GET
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from amazon_pilot import outside
from amazon_pilot.jobs.inspect import metrics as engine
from amazon_pilot.jobs.inspect import store
from analysis.models import ModelCall, Report
from notifications.models import Notification
from products.models import Change, Product, ScrapeRun, Tracking

OUTCOME = re.compile(r"[A-Za-z_]{1,40}")
MOST_OUTCOMES = 20  # of one service

logger = logging.getLogger(__name__)

COLLECT_ERRORS = Counter("pilot_collect_errors_total", "Parts of a scrape that could not be read.", ["source"])


def gauge(name: str, text: str, label: str, values: Iterable[tuple[str, float]]) -> Metric:
    """Build one gauge with one label."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values:
        family.add_metric([key], value)
    return family


class Pilot(Collector):
    """The engine, products, changes, notifications and money."""

    def collect(self) -> Iterator[Metric]:
        """Yield the families; a part that fails is counted and leaves the others standing."""
        today = now().replace(hour=0, minute=0, second=0, microsecond=0)
        business = {part.__name__: partial(part, today) for part in (products, tellings, spending, services)}
        for name, part in (business | {part.__name__: part for part in engine.PARTS}).items():
            try:
                yield from list(part())
            except Exception:
                logger.exception("The metrics of %s could not be read", name)
                COLLECT_ERRORS.labels(name).inc()

    def describe(self) -> list[Metric]:
        """Answer nothing, so that registering asks no database."""
        return []


def products(today: datetime) -> Iterator[Metric]:
    """How many products there are, and how old their data is."""
    rows = Product.objects.order_by().values("marketplace", "monitored").annotate(n=Count("pk"))
    family = GaugeMetricFamily("pilot_products", "Products by marketplace.", labels=["marketplace", "state"])
    for row in rows:
        family.add_metric([row["marketplace"], "monitored" if row["monitored"] else "left_alone"], row["n"])
    yield family
    seen = Product.objects.filter(monitored=True, checked_at__isnull=False)
    ages = seen.aggregate(oldest=Min("checked_at"), average=Avg(Now() - F("checked_at")))
    oldest = (now() - ages["oldest"]).total_seconds() if ages["oldest"] else 0
    average = ages["average"].total_seconds() if ages["average"] else 0
    values = (("oldest", oldest), ("average", average))
    yield gauge("pilot_product_data_age_seconds", "Age of the last answer of monitored products.", "age", values)
    refreshed = GaugeMetricFamily("pilot_products_refreshed_today", "Products answered for since midnight UTC.")
    refreshed.add_metric([], Product.objects.filter(checked_at__gte=today).count())
    yield refreshed
    roles = Tracking.objects.order_by().values_list("role").annotate(Count("pk"))
    yield gauge("pilot_trackings", "Trackings by role.", "role", roles)


def tellings(today: datetime) -> Iterator[Metric]:
    """What changed and who was told, since midnight UTC."""
    changes = Change.objects.order_by().filter(seen_at__gte=today).values_list("kind").annotate(Count("pk"))
    yield gauge("pilot_changes_today", "Changes found since midnight UTC.", "kind", changes)
    told = Notification.objects.order_by().filter(created_at__gte=today).values_list("state").annotate(Count("pk"))
    yield gauge("pilot_notifications_today", "Notifications written since midnight UTC.", "state", told)


def spending(today: datetime) -> Iterator[Metric]:
    """Runs, reports and money, since midnight UTC."""
    runs = ScrapeRun.objects.order_by().filter(created_at__gte=today).values_list("state").annotate(Count("pk"))
    yield gauge("pilot_scrape_runs_today", "Scrape runs planned since midnight UTC.", "state", runs)
    reports = Report.objects.order_by().filter(created_at__gte=today).values_list("kind", "state").annotate(Count("pk"))
    family = GaugeMetricFamily("pilot_reports_today", "Reports asked for since midnight UTC.", labels=["kind", "state"])
    for kind, state, count in reports:
        family.add_metric([kind, state], count)
    yield family
    model_cost = ModelCall.objects.filter(created_at__gte=today).aggregate(total=Sum("cost_usd"))["total"] or 0
    costs = (("apify", float(ScrapeRun.objects.spent_usd(today))), ("openai", float(model_cost)))
    yield gauge("pilot_cost_usd_today", "Money spent since midnight UTC, in US dollars.", "service", costs)
    budgets = (("apify", float(settings.APIFY_DAILY_BUDGET_USD)), ("openai", float(settings.OPENAI_DAILY_BUDGET_USD)))
    yield gauge("pilot_budget_usd", "Budget of a day, in US dollars; OpenAI's is per user.", "service", budgets)


def services(_today: datetime) -> Iterator[Metric]:
    """Yield the calls to each service by outcome, and how long they took; what a stranger wrote there is left out."""
    numbers: dict[str, dict[str, int]] = {service: defaultdict(int) for service in outside.SERVICES}
    answer: Any = store.connect().hgetall(outside.KEY)
    for field, number in answer.items():
        service, _space, word = field.decode(errors="replace").partition(" ")
        if service in numbers and number.isdigit():
            numbers[service][word] = int(number)
    calls = CounterMetricFamily("pilot_outside_calls", "Calls to a service.", labels=["service", "outcome"])
    spans = HistogramMetricFamily("pilot_outside_seconds", "How long calls to a service took.", labels=["service"])
    for service, found in numbers.items():
        words = sorted(word for word in found if OUTCOME.fullmatch(word) and word not in (outside.WELL, "ms"))
        for outcome in [outside.WELL, *words[:MOST_OUTCOMES]]:
            calls.add_metric([service, outcome], found[outcome])
        heights = accumulate(found[f"<{n}"] for n in range(len(outside.BUCKETS) + 1))
        spans.add_metric(
            [service], list(zip([*map(str, outside.BUCKETS), "+Inf"], heights, strict=True)), found["ms"] / 1000
        )
    yield from (calls, spans)


for known in (products, tellings, spending, services, *engine.PARTS):
    COLLECT_ERRORS.labels(known.__name__)  # a counter that begins at 0 shows its first rise
PILOT = CollectorRegistry()
PILOT.register(Pilot())


def may_read(request: HttpRequest) -> bool:
    """Allow the token that Prometheus sends, and signed-in staff who may see jobs."""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    if settings.METRICS_TOKEN and hmac.compare_digest(token, settings.METRICS_TOKEN.encode()):
        return True
    return request.user.is_active and request.user.is_staff and request.user.has_perm("jobs.view_jobrun")


@require_GET
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer every number in Prometheus' text form; 401 without the token or a login."""
    if not may_read(request):
        return HttpResponse("Send METRICS_TOKEN as a bearer token, or sign in.", status=401, content_type="text/plain")
    body = b"".join(generate_latest(registry) for registry in (PILOT, REGISTRY))
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)
