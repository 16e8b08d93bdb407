"""The rules of the alerts: what each looks at, from which limit on it is broken, and for how long that has to last.

A rule reads the shared sample and single rows; it scans nothing. The same rules stand in deploy/prometheus/alerts.yml.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from django.conf import settings
from django.db.models import Min, Sum
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from redis.exceptions import RedisError

from ..core.values import Text
from ..models import Alert, JobRun, Reading, RuleChange, Tally
from ..models.alert import Severity
from ..models.job_run import Outcome
from . import backlog, health, redis_health, snapshot, stuck, unfired
from .words import span

logger = logging.getLogger(__name__)

Found = Mapping[str, str]  # by subject what is wrong with it, in a sentence; '' where a rule has one subject alone
WEB_SECONDS = 3
LEAST_RUNS = 10  # of which a share of failures is told


@dataclass(frozen=True)
class Look:
    """What the rules look at in one turn. `sample` is None while Redis is away."""

    now: datetime
    sample: snapshot.Sample | None


@dataclass(frozen=True)
class Rule:
    """One rule: `look` takes the turn and the limit and returns what breaks it. `unit` says what the limit counts."""

    name: str
    label: Text
    severity: Severity
    hold: timedelta
    look: Callable[[Look, float], Found]
    page: str
    limit: float = 0
    unit: Text = ""


def queue_age(look: Look, limit: float) -> Found:
    """Return the queues whose oldest job waits for longer than `limit` times what QUEUE_LIMITS allows."""
    found = {}
    for queue in look.sample.queues if look.sample else ():
        allowed = settings.QUEUE_LIMITS.get(queue.name, settings.QUEUE_LIMITS["default"]) * limit
        if queue.waiting and not queue.paused and queue.oldest > allowed:
            text = _("Queue %(name)s: the oldest of %(n)d waits for %(age)s (limit %(limit)s).") % {
                "name": queue.name, "n": queue.waiting, "age": span(queue.oldest), "limit": span(allowed),
            }  # fmt: skip
            found[queue.name] = f"{text} {backlog.verdict(look.sample, queue.name)}".strip() if look.sample else text
    return found


def failure_rate(look: Look, limit: float) -> Found:
    """Return the share of what ended within a quarter of an hour that failed, where it is above `limit` percent."""
    rows = Tally.objects.between("minute", look.now - timedelta(minutes=15), look.now).order_by()
    counts = {row["outcome"]: row["n"] for row in rows.values("outcome").annotate(n=Sum("count"))}
    total, bad = sum(counts.values()), sum(counts.get(word, 0) for word in ("failed", "lost"))
    if total < LEAST_RUNS or bad * 100 <= limit * total:
        return {}
    return {"": _("%(bad)d of the %(all)d runs of the last 15 minutes failed.") % {"bad": bad, "all": total}}


def scheduler_silent(look: Look, limit: float) -> Found:
    if look.sample is None:
        return {}
    age = look.sample.tick_age
    if age is None:
        return {"": _("No scheduler has reported: nothing is fired by the schedule.")}
    age += look.sample.age
    text = _("The scheduler has been silent for %s: nothing is fired by the schedule.")
    return {"": text % span(age)} if age > limit else {}


def worker_gone(look: Look, limit: float) -> Found:
    """Return that no worker lives, and each that fell silent while it ran jobs."""
    if look.sample is None:
        return {}
    found = {} if look.sample.alive else {"": _("No worker lives: nothing starts.")}
    for worker in look.sample.dead:
        if worker["busy"] and worker["silence"] < limit:
            found[str(worker["worker"])[:120]] = _("The worker %s fell silent while it ran jobs.") % worker["worker"]
    return found


def poison(look: Look, limit: float) -> Found:
    """Return the jobs that were put aside within `limit` seconds: whoever ran them died each time."""
    since = look.now - timedelta(seconds=limit)
    rows = JobRun.objects.filter(outcome=Outcome.LOST, started_at__gte=since, is_poison=True).newest()[:20]
    return {
        run.job_id: _("A job of %s killed whoever ran it, and was put aside.") % run.task
        for run in rows.only("job_id", "task", "started_at")
    }


def fire_missed(look: Look, limit: float) -> Found:
    """Return the entries of which it was found within `limit` seconds that they missed a fire, each with its cause."""
    missed = unfired.missed_lately(look.now - timedelta(seconds=limit), look.now)
    found = {}
    for entry, fires in missed.items():
        last, n = fires[0], len(fires)
        text = ngettext("%(entry)s missed its fire of %(at)s.", "%(entry)s missed %(n)d fires, the last of %(at)s.", n)
        at = f"{timezone.localtime(last.fire.planned_at):%Y-%m-%d %H:%M %Z}"
        found[entry[:120]] = f"{text % {'entry': entry, 'n': n, 'at': at}} {last.cause}".strip()
    return found


def work_stuck(look: Look, limit: float) -> Found:
    """Return the queues whose jobs do not go on: what should have been brought back, or killed, `limit` seconds ago."""
    if look.sample is None:
        return {}
    lost = Counter(lease.queue for lease in stuck.old_leases() if -lease.remaining > limit)
    late = Counter(slot["queue"] for slot in stuck.late() if slot["over"] > limit)
    text = _("Queue %(name)s: %(lost)d lost and not brought back, %(late)d beyond their timeout.")
    return {name[:120]: text % {"name": name, "lost": lost[name], "late": late[name]} for name in lost | late}


def failed_kept(look: Look, limit: float) -> Found:
    """Return the queues that keep more than `limit` failed jobs more than they did at their fewest within an hour.

    How many are kept in all says little: they stay for days, and one bad night would fire until they expire.
    """
    readings = Reading.objects.between("minute", look.now - timedelta(hours=1), look.now).order_by()
    fewest = {row["queue"]: row["fewest"] for row in readings.values("queue").annotate(fewest=Min("failed"))}
    text = _("Queue %(name)s keeps %(n)d failed jobs, %(more)d more than at some time within the hour.")
    return {
        queue.name[:120]: text % {"name": queue.name, "n": queue.failed, "more": queue.failed - fewest[queue.name]}
        for queue in (look.sample.queues if look.sample else ())
        if queue.failed - fewest.get(queue.name, queue.failed) > limit
    }


def history_behind(look: Look, limit: float) -> Found:
    if look.sample is None or not look.sample.unwritten:
        return {}
    age = max(0.0, look.sample.taken_at - look.sample.written_until)
    text = _("The history is %(n)d lines and %(age)s behind.") % {"n": look.sample.unwritten, "age": span(age)}
    return {"": text} if age > limit else {}


def product(look: Look, limit: float) -> Found:
    """Return what the product's own checks find and count as bad, such as a budget that is spent."""
    return {
        (finding.key or str(n))[:120]: finding.text
        for n, finding in enumerate(health.of_the_app())
        if finding.level == "bad"
    }


def redis_memory(look: Look, limit: float) -> Found:
    info = look.sample.info if look.sample else {}
    most, used = info.get("maxmemory") or 0, info.get("used_memory") or 0
    if not most or used * 100 <= limit * most:
        return {}
    return {"": _("Redis uses %d %% of the memory that it may use.") % (used * 100 // most)}


def redis_settings(look: Look, limit: float) -> Found:
    """Return the settings and states of Redis that lose jobs, and that it does not answer."""
    if look.sample is None:
        return {"": _("Redis does not answer: nothing starts, and nothing is lost.")}
    grave = [risk for risk in redis_health.warnings(look.sample.info) if risk.is_grave]
    return {"settings": str(grave[0].text)} if grave else {}


def web_down(look: Look, limit: float) -> Found:
    """Return that the web server does not answer within three seconds, as seen from here."""
    address = settings.WEB_HEALTH_URL
    if not address:
        return {}
    try:
        with build_opener(ProxyHandler({})).open(address, timeout=WEB_SECONDS) as answer:  # our own site: no proxy
            status = answer.status
    except (URLError, OSError, ValueError) as error:
        return {"": _("The web server does not answer: %s.") % error}
    return {} if status == 200 else {"": _("The web server answers %d.") % status}


SECONDS, PERCENT, TIMES = gettext_lazy("seconds"), gettext_lazy("percent"), gettext_lazy("times the queue's limit")
JOBS = gettext_lazy("jobs")
MINUTE = timedelta(minutes=1)
SOON = timedelta(seconds=20)
RULES = (
    Rule("queue_age", gettext_lazy("A queue's oldest job waits too long"), Severity.WARNING, SOON, queue_age,
         "monitor:queues", 1, TIMES),
    Rule("failure_rate", gettext_lazy("Many runs fail"), Severity.WARNING, SOON, failure_rate,
         "monitor:failures", 20, PERCENT),
    Rule("scheduler_silent", gettext_lazy("The scheduler is silent"), Severity.CRITICAL, timedelta(), scheduler_silent,
         "monitor:schedule", 30, SECONDS),
    Rule("worker_gone", gettext_lazy("A worker is gone"), Severity.CRITICAL, timedelta(seconds=10), worker_gone,
         "monitor:workers", 600, SECONDS),
    Rule("poison", gettext_lazy("A job was put aside as poison"), Severity.WARNING, timedelta(), poison,
         "monitor:stuck", 3600, SECONDS),
    Rule("fire_missed", gettext_lazy("The schedule missed a fire"), Severity.WARNING, timedelta(), fire_missed,
         "monitor:schedule", 3600, SECONDS),
    Rule("work_stuck", gettext_lazy("Work is stuck"), Severity.CRITICAL, SOON, work_stuck,
         "monitor:stuck", 10, SECONDS),
    Rule("failed_kept", gettext_lazy("Many failed jobs were added within an hour"), Severity.WARNING, SOON, failed_kept,
         "monitor:failures", 100, JOBS),
    Rule("history_behind", gettext_lazy("The history is behind"), Severity.WARNING, timedelta(), history_behind,
         "monitor:stuck", 60, SECONDS),
    Rule("product", gettext_lazy("A check of the product fails, such as its budget"), Severity.WARNING, timedelta(),
         product, "admin:index"),
    Rule("redis_memory", gettext_lazy("Redis is nearly full"), Severity.CRITICAL, timedelta(), redis_memory,
         "monitor:redis", 80, PERCENT),
    Rule("redis_settings", gettext_lazy("Redis is away, or may lose jobs"), Severity.CRITICAL, SOON, redis_settings,
         "monitor:redis"),
    Rule("web_down", gettext_lazy("The web server does not answer"), Severity.CRITICAL, SOON, web_down, "admin:index"),
)  # fmt: skip
BY_NAME = {rule.name: rule for rule in RULES}


@dataclass(frozen=True)
class Setting:
    """One rule as it holds now: its defaults, and what an operator changed."""

    rule: Rule
    change: RuleChange | None

    @property
    def is_on(self) -> bool:
        return self.change is None or self.change.is_on

    @property
    def limit(self) -> float:
        return self.rule.limit if self.change is None or self.change.limit is None else self.change.limit

    @property
    def hold(self) -> timedelta:
        seconds = self.change.hold_seconds if self.change else None
        return self.rule.hold if seconds is None else timedelta(seconds=seconds)

    @property
    def silent_until(self) -> datetime | None:
        """Until when nobody is told of it, None where everybody is."""
        until: datetime | None = self.change.silent_until if self.change else None
        return until if until and until > timezone.now() else None


def all_settings() -> list[Setting]:
    """Return every rule as it holds now, in one query."""
    changes = {change.rule: change for change in RuleChange.objects.select_related("by")}
    return [Setting(rule, changes.get(rule.name)) for rule in RULES]


def look(now: datetime | None = None) -> None:
    """Look at every rule once, and bring its alerts into line; a rule that fails leaves the others standing."""
    now = now or timezone.now()
    try:
        sample: snapshot.Sample | None = snapshot.current()
    except RedisError:
        sample = None
    turn = Look(now, sample)
    for setting in all_settings():
        try:
            found = setting.rule.look(turn, setting.limit) if setting.is_on else {}
            Alert.objects.note(setting.rule.name, setting.rule.severity, found, setting.hold, now)
        except Exception:
            logger.exception("The rule %s could not be looked at", setting.rule.name)


def address(alert: Alert) -> str:
    """Return the page that says more of an alert."""
    rule = BY_NAME.get(alert.rule)
    if rule is not None and rule.name == "queue_age":
        return reverse("monitor:queue", args=[alert.subject])
    if rule is not None and rule.name == "failed_kept":
        return f"{reverse('monitor:jobs')}?{urlencode({'q': f'state:failed queue:{alert.subject}'})}"
    return reverse(rule.page if rule else "monitor:alerts")
