"""What the product's jobs are about, for the monitor: which subjects a word names, their names, and what comes next.

The engine knows no product; it finds this module by the setting MONITOR_SUBJECTS. A product has its scrape runs,
reports and notifications for kin, so that one question about it finds the jobs of all of them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from typing import Any

from django.db.models import Model, QuerySet
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from amazon_pilot.jobs.inspect.subjects import Described, Prospect
from amazon_pilot.jobs.models import ScheduleEntry
from analysis.models import Report
from notifications.models import Notification
from products.amazon import MARKETPLACES
from products.models import PlanningStopped, Product, RunTarget, ScrapeRun
from products.tasks import ROUNDS

MODELS: dict[str, type[Model]] = {
    "product": Product, "scrape_run": ScrapeRun, "report": Report, "notification": Notification
}  # fmt: skip
KINDS = frozenset(MODELS)
# An ASIN, and the id that Apify gives a run: letters and at least one digit, so that no usual word is looked up.
WORD = re.compile(r"(?=\D*\d)(?:[A-Za-z0-9]{10}|[A-Za-z0-9]{17})")
MOST_KIN = 12  # of each kind, the newest
LARGEST = 2**63 - 1


def find(word: str) -> list[str]:
    """Return the products with an ASIN, and the scrape run that Apify calls so."""
    same = Product.objects.filter(
        marketplace__in=list(MARKETPLACES), asin=word.upper()
    )  # so that the index leads to it
    products = same.order_by("marketplace").values_list("pk", flat=True)
    if len(word) != 17:
        return [f"product:{pk}" for pk in products[:MOST_KIN]]
    return [f"scrape_run:{pk}" for pk in ScrapeRun.objects.filter(apify_id=word).values_list("pk", flat=True)]


def kin(subjects: Iterable[str]) -> list[str]:
    """Return the newest scrape runs, reports and notifications of those of some subjects that are products."""
    products = keys(subjects)["product"]
    if not products:
        return []
    told: QuerySet[Any, Any] = Notification.objects.order_by("-pk")
    parts: tuple[tuple[str, Any], ...] = (
        ("scrape_run", RunTarget.objects.filter(product__in=products).order_by("-pk").values_list("scrape_run")),
        ("report", Report.objects.filter(product__in=products).order_by("-pk").values_list("pk")),
        ("notification", told.filter(change__tracking__product__in=products).values_list("pk")),
        ("notification", told.filter(report__product__in=products).values_list("pk")),
    )
    return [f"{kind}:{pk}" for kind, found in parts for (pk,) in found[:MOST_KIN]]


def keys(subjects: Iterable[str]) -> dict[str, list[int]]:
    """Return the keys of subjects by their kind; what is none of ours is passed over."""
    found: dict[str, list[int]] = defaultdict(list)
    for each in subjects:
        kind, _colon, key = each.partition(":")
        if kind in KINDS and re.fullmatch(r"[0-9]{1,19}", key) and int(key) <= LARGEST:
            found[kind].append(int(key))
    return found


def describe(subjects: Collection[str]) -> dict[str, Described]:
    """Return what each subject is called and the page of it: one query for each kind."""
    answer = {}
    for kind, pks in keys(subjects).items():
        for pk, row in rows_of(kind).in_bulk(pks).items():
            answer[f"{kind}:{pk}"] = Described(NAMES[kind](row), address(kind, row))
    return answer


def rows_of(kind: str) -> QuerySet[Any]:
    rows: QuerySet[Any] = MODELS[kind]._default_manager.all()
    return rows.select_related("product") if kind == "report" else rows


NAMES: dict[str, Callable[[Any], str]] = {
    "product": lambda row: f"{row.asin} ({row.marketplace})",
    "scrape_run": lambda row: _("Scrape run %(pk)d (%(state)s)") % {"pk": row.pk, "state": row.get_state_display()},
    "report": lambda row: _("Report %(pk)d (%(state)s)") % {"pk": row.pk, "state": row.get_state_display()},
    "notification": lambda row: _("Notification %(pk)d (%(state)s)") % {"pk": row.pk, "state": row.get_state_display()},
}


def address(kind: str, row: Any) -> str:
    """Return the page of a row in the admin: a seller's own pages show it to that seller alone."""
    meta = MODELS[kind]._meta
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


# Why the next look is when it is


def prospects(subject: str) -> list[Prospect]:
    """Return why a product is looked at next when it is, or what a scrape run waits for; [] for other subjects."""
    found = keys([subject])
    if product := Product.objects.filter(pk__in=found["product"]).first():
        return [*obstacles(product), *rounds(product)]
    if run := ScrapeRun.objects.filter(pk__in=found["scrape_run"]).first():
        return of_run(run)
    return []


def obstacles(product: Product) -> list[Prospect]:
    """Return what keeps a product from being looked at now."""
    found = []
    if not product.monitored:
        text = (
            _("It is left alone after %d failures in a row: nothing is fetched until somebody has it monitored again.")
            % product.failures
            if product.is_given_up
            else _("Somebody had it left alone: nothing is fetched for anyone.")
        )
        found.append(obstacle(text, reverse("admin:products_product_change", args=[product.pk])))
    elif product.retry_at and product.retry_at > now():
        text = ngettext(
            "It rests until %(at)s after %(n)d failure in a row (%(why)s).",
            "It rests until %(at)s after %(n)d failures in a row (%(why)s).",
            product.failures,
        ) % {"at": at(product.retry_at), "n": product.failures, "why": product.get_last_outcome_display()}
        found.append(obstacle(text))
    open_run = ScrapeRun.objects.open().filter(targets__product=product, targets__outcome="pending").first()
    if open_run:
        url = reverse("monitor:about", args=[f"scrape_run:{open_run.pk}"])
        text = _("Scrape run %(pk)d holds it since %(at)s, and is %(state)s.")
        words = {"pk": open_run.pk, "at": at(open_run.created_at), "state": open_run.get_state_display()}
        found.append(obstacle(" ".join(filter(None, [text % words, open_run.error])), url))
    try:
        ScrapeRun.objects.ensure_planning()
    except PlanningStopped as reason:
        found.append(obstacle(str(reason)))
    return found


def obstacle(text: str, url: str = "") -> Prospect:
    return Prospect(text, url, is_obstacle=True)


def rounds(product: Product) -> list[Prospect]:
    """Return in which round a product is looked at, when that fires next, and who paused it if somebody did."""
    active = product.trackings.filter(paused=False).order_by("frequency").first()
    if active is None:
        paused = product.trackings.count()
        text = _("Nobody watches it.") if not paused else _("Everybody who watches it has paused that.")
        return [obstacle(text)]
    name = next(name for name, frequencies in ROUNDS.items() if active.frequency in frequencies)
    entry = ScheduleEntry.objects.filter(task="products.tasks.update_due_products", args=[name]).first()
    last = at(product.checked_at) if product.checked_at else _("never")
    words = {"how": active.get_frequency_display(), "last": last}
    told = [Prospect(_("It is looked at %(how)s; the last answer came %(last)s.") % words)]
    url = reverse("monitor:schedule")
    if entry is None:
        return [*told, obstacle(_("No schedule entry makes that round (%s).") % name, url)]
    if entry.is_paused:
        who = entry.paused_by or _("the machine")
        text = _("The schedule entry %(name)s, which makes that round, is paused by %(who)s: “%(why)s”")
        return [*told, obstacle(text % {"name": entry.name, "who": who, "why": entry.paused_reason}, url)]
    if entry.next_at:
        text = _("The schedule entry %(name)s makes that round next at %(at)s.")
        told.append(Prospect(text % {"name": entry.name, "at": at(entry.next_at)}, url))
    return told


def of_run(run: ScrapeRun) -> list[Prospect]:
    """Return what a scrape run that has not ended waits for."""
    if not run.is_open:
        ended = _("It ended at %(at)s: %(state)s.") % {
            "at": at(run.finished_at or run.created_at), "state": run.get_state_display()
        }  # fmt: skip
        return [Prospect(" ".join(filter(None, [ended, run.error])))]
    words = {"at": at(run.started_at or run.starting_at or run.created_at), "state": run.get_state_display()}
    found = [Prospect(" ".join(filter(None, [_("It is %(state)s since %(at)s.") % words, run.error])))]
    if run.state == "planned" and run.not_before and run.not_before > now():
        found.append(obstacle(_("Its start is tried again at %s.") % at(run.not_before)))
    return found


def at(moment: Any) -> str:
    """Write a time in the viewer's zone."""
    return date_format(localtime(moment), "DATETIME_FORMAT")
