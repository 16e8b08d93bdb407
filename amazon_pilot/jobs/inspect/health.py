"""Whether all is well: one line for every page, from the shared sample and a few rows. Nothing here scans anything.

What the product counts among its health is told by functions that settings.MONITOR_CHECKS names.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import transaction
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from redis.exceptions import RedisError

from ..models import Alert, Cause, Pause, Release, ScheduleEntry
from . import backlog, redis_health, snapshot
from .snapshot import Sample
from .words import span

logger = logging.getLogger(__name__)

BEHIND_LINES, BEHIND_SECONDS = 1000, 60  # from which the history counts as behind
SKEW = 10  # seconds by which a worker's clock may differ from that of Redis
NEW = timedelta(hours=24)  # for which a failure counts as new where no release was marked


@dataclass(frozen=True)
class Finding:
    """One thing that is not well: of which page of the menu, in words, with the page that says more.

    `level` is "bad" for what keeps work from being done, "warn" for what somebody may want to know.
    """

    page: str
    text: str
    level: str = "bad"
    url: str = ""
    count: int = 1
    key: str = ""  # by which a finding of the app is known again, whatever numbers its text holds

    @property
    def address(self) -> str:
        return self.url or reverse(self.page)


@dataclass(frozen=True)
class Health:
    """What is not well, the gravest first, and what is said where all is."""

    findings: list[Finding]
    sample: Sample | None = None
    release: Release | None = None
    counts: Counter[str] = field(default_factory=Counter)  # by the pages of the menu

    @property
    def is_well(self) -> bool:
        return not self.findings

    @property
    def level(self) -> str:
        """The worst of what was found; "good" where nothing was."""
        levels = {finding.level for finding in self.findings}
        return "bad" if "bad" in levels else "warn" if levels else "good"


def look() -> Health:
    """Look at everything once: one command to Redis while the sample is fresh, and a constant number of queries."""
    findings: list[Finding] = []
    sample = None
    try:
        sample = snapshot.current()
        findings += of_sample(sample)
    except RedisError as error:
        logger.warning("Redis is away: %s", error)
        findings.append(Finding("monitor:redis", _("Redis does not answer: nothing starts, and nothing is lost.")))
    counts: Counter[str] = Counter()
    release: Release | None = None
    try:
        with transaction.atomic():
            release = Release.objects.current()
            findings += [*pauses(), *failures(release)]
            counts["monitor:alerts"] = Alert.objects.firing().count()
    except DatabaseError:
        logger.exception("The database could not be asked how all is")
        findings.append(Finding("admin:index", _("The database does not answer.")))
    findings += of_the_app()
    for finding in findings:
        counts[finding.page] += finding.count
    return Health(sorted(findings, key=lambda finding: finding.level != "bad"), sample, release, +counts)


def of_sample(seen: Sample) -> Iterator[Finding]:
    """Yield what the shared sample knows: scheduler, workers, queues, the history's lag, Redis."""
    for part in (scheduler, workers, queues, history, redis, failed_jobs):
        yield from part(seen)


def scheduler(seen: Sample) -> Iterator[Finding]:
    if seen.tick_age is None:
        yield Finding("monitor:schedule", _("No scheduler has reported: nothing is fired by the schedule."))
    elif seen.tick_age > settings.SCHEDULER_SILENCE:
        text = _("The scheduler has been silent for %s: nothing is fired by the schedule.")
        yield Finding("monitor:schedule", text % span(seen.tick_age))


def workers(seen: Sample) -> Iterator[Finding]:
    if not seen.alive:
        yield Finding("monitor:workers", _("No worker lives: nothing starts."))
    held = [worker for worker in seen.dead if worker["busy"]]
    if held:
        text = ngettext(
            "%d worker fell silent while it ran jobs.", "%d workers fell silent while they ran jobs.", len(held)
        )
        yield Finding("monitor:workers", text % len(held), "warn", count=len(held))
    for worker in seen.alive:
        if abs(worker["skew"]) > SKEW:
            words = {"worker": worker["worker"], "span": span(abs(worker["skew"]))}
            text = _("The clock of %(worker)s is %(span)s ahead of Redis's.")
            if worker["skew"] < 0:
                text = _("The clock of %(worker)s is %(span)s behind Redis's.")
            yield Finding("monitor:workers", text % words, "warn")


def queues(seen: Sample) -> Iterator[Finding]:
    """Yield the queues whose oldest job waits longer than QUEUE_LIMITS allows, each with the first reason why."""
    for queue in seen.queues:
        limit = settings.QUEUE_LIMITS.get(queue.name, settings.QUEUE_LIMITS["default"])
        if queue.waiting and queue.oldest > limit and not queue.paused:
            text = _("Queue %(name)s: the oldest of %(n)d waits for %(age)s (limit %(limit)s).") % {
                "name": queue.name, "n": queue.waiting, "age": span(queue.oldest), "limit": span(limit),
            }  # fmt: skip
            why = backlog.verdict(seen, queue.name)
            url = reverse("monitor:queue", args=[queue.name])
            yield Finding("monitor:queues", f"{text} {why}".strip(), url=url)


def history(seen: Sample) -> Iterator[Finding]:
    age = max(0.0, seen.taken_at - seen.written_until) if seen.unwritten else 0.0
    if seen.unwritten > BEHIND_LINES or age > BEHIND_SECONDS:
        text = _("The history is %(n)d lines and %(age)s behind.") % {"n": seen.unwritten, "age": span(age)}
        yield Finding("monitor:stuck", text)


def redis(seen: Sample) -> Iterator[Finding]:
    grave = [risk for risk in redis_health.warnings(seen.info) if risk.is_grave]
    if grave:
        yield Finding("monitor:redis", str(grave[0].text), count=len(grave))


def failed_jobs(seen: Sample) -> Iterator[Finding]:
    """Yield how many failed jobs will be deleted since a queue keeps too many, and from when on."""
    for queue, going in seen.going.items():
        words = {"n": going["number"], "queue": queue, "when": when_of(going), "most": settings.FAILED_JOBS_KEPT}
        text = ngettext(
            "%(n)d failed job of %(queue)s will be deleted from %(when)s on: at most %(most)d are kept.",
            "%(n)d failed jobs of %(queue)s will be deleted from %(when)s on: at most %(most)d are kept.",
            going["number"],
        )  # fmt: skip
        yield Finding("monitor:retention", text % words, "warn")


def when_of(going: snapshot.Going) -> str:
    """Return from when on failed jobs are deleted, in the viewer's zone."""
    return f"{timezone.localtime(datetime.fromtimestamp(going['due'], UTC)):%Y-%m-%d %H:%M %Z}"


def pauses() -> Iterator[Finding]:
    """Yield who paused what, where one thing is, or how many; and what is wrong with entries of the schedule."""
    active = list(Pause.objects.active().select_related("by").order_by("since")[:100])
    for pause in active[:2]:
        words = {"name": pause.name, "who": pause.by or _("the machine")}
        text = _("%(name)s is paused by %(who)s") % words
        yield Finding("monitor:queues", f"{text}.", "warn")
    if len(active) > 2:
        yield Finding("monitor:queues", _("%d more pauses.") % (len(active) - 2), "warn", count=len(active) - 2)
    now = timezone.now()
    held = Q(paused_at__isnull=False) & (Q(paused_until__isnull=True) | Q(paused_until__gt=now))
    rows = list(ScheduleEntry.objects.filter(held | ~Q(broken="")).values_list("name", "broken")[:100])
    broken = [name for name, why in rows if why]
    paused = [name for name, why in rows if not why]
    if broken:
        text = ngettext("%d schedule entry is broken.", "%d schedule entries are broken.", len(broken))
        yield Finding("monitor:schedule", text % len(broken), count=len(broken))
    if paused:
        text = ngettext("%d schedule entry is paused.", "%d schedule entries are paused.", len(paused))
        yield Finding("monitor:schedule", text % len(paused), "warn", count=len(paused))


def failures(release: Release | None) -> Iterator[Finding]:
    """Yield how many causes of failures are new, or back, since the last release; within a day where there is none."""
    now = timezone.now()
    since = release.at if release else now - NEW
    number = Cause.objects.new_since(since).count()
    if not number:
        return
    if release is not None:
        text = ngettext(
            "%(n)d failure is new since %(name)s.", "%(n)d failures are new since %(name)s.", number
        ) % {"n": number, "name": release.name}  # fmt: skip
    else:
        text = ngettext("%d failure is new within a day.", "%d failures are new within a day.", number) % number
    url = f"{reverse('monitor:failures')}?{urlencode({'new': '1'})}"
    yield Finding("monitor:failures", text, "warn", url, number)


def of_the_app() -> Iterator[Finding]:
    """Yield what the functions of MONITOR_CHECKS find; one that fails is logged, and says so."""
    for name in settings.MONITOR_CHECKS:
        check: Callable[[], list[dict[str, Any]]] = import_string(name)  # the words of a Finding
        try:
            with transaction.atomic():
                found = [Finding("admin:index", **each) for each in check()]
        except Exception:
            logger.exception("%s could not tell how all is", name)
            found = [Finding("admin:index", _("A check of the product failed; the web server's log says why."))]
        yield from found
