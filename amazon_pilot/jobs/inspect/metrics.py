"""The engine's numbers for Prometheus: from the shared sample, the totals of the history and the schedule's rows."""

import platform
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import accumulate
from math import nan
from typing import TypeAlias, cast

import django
import rq
from django.conf import settings
from django.db.models import F, OuterRef, QuerySet, Subquery
from django.utils.timezone import now
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from amazon_pilot import __version__

from ..core import queues
from ..core.registry import TASKS
from ..models import Alert, Fire, JobRun, Release, ScheduleEntry, Total
from ..models.job_run import Outcome
from ..models.total import BUCKETS, SUM
from . import alerts, snapshot, stuck

STATES = ("waiting", "running", "scheduled", "deferred", "failed", "finished", "canceled")
WORKER_STATES = ("idle", "busy", "quiet", "dead")
REASONS = ("unrenewed", "lost", "overdue")
CAUSES = ("worker_lost", "slot_killed")
MOST_NAMES, OTHER = 200, "other"  # types and entries that have series of their own: the first that were known
BOUNDS = [*map(str, BUCKETS), "+Inf"]
BAD = (Outcome.RETRYING, Outcome.FAILED, Outcome.LOST)
LAST_RUNS = 100  # of an entry, among which the last success is looked for


def known(names: Iterable[str]) -> Callable[[str], str]:
    """Return what gives a name its label: itself for the first 200 of `names`, else `other`.

    Who asks with the oldest first has a name keep its label for ever, so that no counter falls.
    """
    first = set(list(dict.fromkeys(names))[:MOST_NAMES])
    return lambda name: name if name in first else OTHER


def queue_gauges() -> Iterator[Metric]:
    """Yield what each queue holds, how long its oldest job waits, and its share of the starts beside its weight."""
    tasks = GaugeMetricFamily(
        "pilot_tasks", "Jobs by queue and state; scheduled has the retries too.", labels=["queue", "state"]
    )
    oldest = GaugeMetricFamily("pilot_queue_oldest_wait_seconds", "Age of the oldest waiting job.", labels=["queue"])
    paused = GaugeMetricFamily("pilot_queue_paused", "1 while paused.", labels=["queue"])
    weight = GaugeMetricFamily("pilot_queue_weight_ratio", "Configured share of the starts.", labels=["queue"])
    share = GaugeMetricFamily("pilot_queue_share_ratio", "Share of the starts of five minutes.", labels=["queue"])
    memory = GaugeMetricFamily("pilot_queue_memory_bytes", "Memory of a queue and its jobs, about.", labels=["queue"])
    serving = GaugeMetricFamily("pilot_queue_workers", "Living workers that take jobs of a queue.", labels=["queue"])
    drain = GaugeMetricFamily(
        "pilot_queue_drain_seconds", "Until a queue is empty at its pace; NaN while it grows.", labels=["queue"]
    )
    starved = GaugeMetricFamily(
        "pilot_queue_starved", "1 while jobs wait and only other queues' are started.", labels=["queue"]
    )
    limit = GaugeMetricFamily("pilot_queue_limit_seconds", "For how long its oldest job may wait.", labels=["queue"])
    seen = snapshot.current()
    for queue in seen.queues:
        for state in STATES:
            tasks.add_metric([queue.name, state], getattr(queue, state))
        if queue.retries is not None:
            tasks.add_metric([queue.name, "retry"], queue.retries)
        oldest.add_metric([queue.name], queue.oldest)
        paused.add_metric([queue.name], queue.paused)
        weight.add_metric([queue.name], queue.weight_ratio)
        if queue.share_ratio is not None:
            share.add_metric([queue.name], queue.share_ratio)
        if queue.memory is not None:
            memory.add_metric([queue.name], queue.memory)
        serving.add_metric([queue.name], seen.serving(queue.name))
        if not queue.waiting or queue.in_per_minute is not None:  # else nobody knows yet
            seconds = queue.drain_seconds if queue.waiting else 0
            drain.add_metric([queue.name], nan if seconds is None else seconds)
        starved.add_metric([queue.name], queue.starved)
        limit.add_metric([queue.name], settings.QUEUE_LIMITS.get(queue.name, settings.QUEUE_LIMITS["default"]))
    yield from (tasks, oldest, paused, weight, share, memory, serving, drain, starved, limit)


def stuck_gauges() -> Iterator[Metric]:
    """Yield the jobs that do not go on, of each queue at most the hundred oldest, as the page Stuck has them."""
    counts = Counter((lease.queue, "lost" if lease.is_lost else "unrenewed") for lease in stuck.old_leases())
    counts.update((slot["queue"], "overdue") for slot in stuck.late())
    family = GaugeMetricFamily(
        "pilot_tasks_stuck",
        "Jobs whose lease is not renewed, is lost and they are not brought back, or that run beyond their timeout.",
        labels=["queue", "reason"],
    )
    for name in queues.names():
        for reason in REASONS:
            family.add_metric([name, reason], counts[name, reason])
    yield family


def worker_gauges() -> Iterator[Metric]:
    """Yield the workers by state, their slots, and how long the most silent of those that did not leave is silent."""
    seen = snapshot.current()
    family = GaugeMetricFamily("pilot_workers", "Workers by state; dead ones for an hour.", labels=["state"])
    slots = GaugeMetricFamily("pilot_worker_slots", "Slots of living workers by state.", labels=["state"])
    age = GaugeMetricFamily("pilot_worker_heartbeat_age_seconds_max", "Silence of the most silent worker, dead or not.")
    present = seen.alive + seen.dead
    states = Counter(worker["shown_state"] for worker in present)
    for state in WORKER_STATES:
        family.add_metric([state], states[state])
    total = sum(len(worker["slots"]) for worker in seen.alive)
    slots.add_metric(["busy"], len(seen.running))
    slots.add_metric(["free"], total - len(seen.running))
    if present:
        age.add_metric([], max(worker["silence"] for worker in present))
    yield from (family, slots, age)


def attempts() -> Iterator[Metric]:
    """Yield all attempts since the beginning, by outcome."""
    family = CounterMetricFamily("pilot_attempts", "Ended attempts.", labels=["queue", "type", "outcome"])
    totals = Total.objects.ended()
    label = known(task for _queue, task, _outcome in totals)
    counts: Counter[tuple[str, str, str]] = Counter()
    for (queue, task, outcome), number in totals.items():
        counts[queue, label(task), outcome] += number
    for labels, count in counts.items():
        family.add_metric(list(labels), count)
    yield family


def durations() -> Iterator[Metric]:
    """Yield how long the attempts of each task waited and ran, as histograms since the beginning.

    A queue's share is told by `pilot_attempts`; tasks beyond the first 200 share `other`.
    """
    for name, metric, text in (
        (Total.Name.WAIT, "pilot_task_wait_seconds", "From the enqueueing to the start of ended attempts."),
        (Total.Name.RUN, "pilot_task_run_seconds", "From the start to the end of ended attempts."),
    ):
        found = counted(name, {(task, SUM): 0 for task in TASKS})
        label = known(task for task, _bucket in found)
        sums: dict[str, Counter[str]] = defaultdict(Counter)
        for (task, bucket), number in found.items():
            sums[label(task)][bucket] += number
        family = HistogramMetricFamily(metric, text, labels=["type"])
        for task, numbers in sums.items():
            heights = accumulate(numbers[str(n)] for n in range(len(BUCKETS) + 1))
            family.add_metric([task], list(zip(BOUNDS, heights, strict=True)), numbers[SUM] / 1000)
        yield family


def asynq_names() -> Iterator[Metric]:
    """Yield the numbers that asynq's exporter has, under its names, with its labels and meanings.

    So a dashboard or a rule made for asynq goes on. They are off with METRICS_ASYNQ_NAMES=false.
    """
    if not settings.METRICS_ASYNQ_NAMES:
        return
    seen = snapshot.current()
    state = GaugeMetricFamily("asynq_tasks_enqueued_total", "Jobs by queue and state.", labels=["queue", "state"])
    size = GaugeMetricFamily("asynq_queue_size", "Jobs of a queue.", labels=["queue"])
    oldest = GaugeMetricFamily("asynq_queue_latency_seconds", "Age of the oldest waiting job.", labels=["queue"])
    memory = GaugeMetricFamily("asynq_queue_memory_usage_approx_bytes", "Memory of a queue, about.", labels=["queue"])
    paused = GaugeMetricFamily("asynq_queue_paused_total", "1 while paused.", labels=["queue"])
    for queue in seen.queues:
        states = asynq_states(queue)
        for word, number in states.items():
            state.add_metric([queue.name, word], number)
        size.add_metric([queue.name], sum(states.values()))
        oldest.add_metric([queue.name], queue.oldest)
        if queue.memory is not None:
            memory.add_metric([queue.name], queue.memory)
        paused.add_metric([queue.name], queue.paused)
    yield from (state, size, oldest, memory, paused, *asynq_counters())


def asynq_states(queue: snapshot.QueueSample) -> dict[str, int]:
    """Return how many jobs of a queue are in each of asynq's states."""
    retries = queue.retries or 0
    return {
        "active": queue.running, "pending": queue.waiting, "scheduled": max(0, queue.scheduled - retries),
        "retry": retries, "archived": queue.failed, "completed": queue.finished, "aggregating": 0,
    }  # fmt: skip


def asynq_counters() -> Iterator[Metric]:
    """Yield the attempts of each queue, and those of them that failed."""
    processed = CounterMetricFamily("asynq_tasks_processed", "Ended attempts.", labels=["queue"])
    failed = CounterMetricFamily("asynq_tasks_failed", "Ended attempts that failed.", labels=["queue"])
    ended, bad = Counter(dict.fromkeys(queues.names(), 0)), Counter(dict.fromkeys(queues.names(), 0))
    for (queue, _task, outcome), number in Total.objects.ended().items():
        ended[queue] += number
        bad[queue] += number if outcome in BAD else 0
    for name, number in ended.items():
        processed.add_metric([name], number)
        failed.add_metric([name], bad[name])
    yield from (processed, failed)


def losses() -> Iterator[Metric]:
    """Yield the jobs that were lost since the beginning: brought back, or put aside."""
    recovered = CounterMetricFamily(
        "pilot_tasks_recovered", "Runs that were lost, and whose job was not put aside.", labels=["queue", "cause"]
    )
    start = {(queue, cause): 0 for queue in queues.names() for cause in CAUSES}
    for labels, count in counted(Total.Name.RECOVERED, start).items():
        recovered.add_metric(list(labels), count)
    poisoned = CounterMetricFamily(
        "pilot_tasks_poisoned", "Jobs that were put aside after three losses.", labels=["queue", "type"]
    )
    found = counted(Total.Name.POISONED, {(task.queue, task.name): 0 for task in TASKS.values()})
    label = known(task for _queue, task in found)
    counts: Counter[tuple[str, str]] = Counter()
    for (queue, task), count in found.items():
        counts[queue, label(task)] += count
    for labels, count in counts.items():
        poisoned.add_metric(list(labels), count)
    yield from (recovered, poisoned)


def counted(name: Total.Name, start: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    """Return totals by subject and outcome, the oldest first; behind them those of `start` that have none yet.

    A series that begins at 0 shows Prometheus its first rise.
    """
    rows = Total.objects.filter(name=name).order_by("pk")
    found = {(subject, outcome): n for subject, outcome, n in rows.values_list("subject", "outcome", "count")}
    return found | {key: number for key, number in start.items() if key not in found}


def schedule_gauges() -> Iterator[Metric]:
    """Yield the schedulers, the next planned times, and what became of the past ones."""
    seen = snapshot.current()
    tick = GaugeMetricFamily("pilot_scheduler_tick_age_seconds", "Seconds since the scheduler's last tick.")
    if seen.tick_age is not None:
        tick.add_metric([], seen.tick_age)
    # Not `instance`: Prometheus gives that label to every series itself.
    leader = GaugeMetricFamily("pilot_scheduler_leader", "1 for the one that leads.", labels=["scheduler"])
    leads = (
        seen.scheduler.get("leader") if seen.tick_age is not None and seen.tick_age < settings.SCHEDULER_LEASE else ""
    )
    for name in seen.schedulers:
        leader.add_metric([name], name == leads)
    yield from (tick, leader, *entry_gauges(), fires())


def entry_gauges() -> Iterator[Metric]:
    """Yield of each entry the next planned time, how late the last fire reached its queue, and the last success.

    Of entries that share the label `other`: the soonest, the latest and the oldest. A success that lies more than a
    hundred runs back, or that is not kept any more, is not known.
    """
    planned = GaugeMetricFamily("pilot_cron_next_fire_timestamp_seconds", "Next planned time.", labels=["entry"])
    lag = GaugeMetricFamily("pilot_cron_lag_seconds", "How late the last fire reached its queue.", labels=["entry"])
    success = GaugeMetricFamily(
        "pilot_cron_last_success_timestamp_seconds", "End of the last success.", labels=["entry"]
    )
    entries = list(with_last())
    label = known(name for name, *_rest in entries)
    parts: list[tuple[GaugeMetricFamily, Callable[[float, float], float], list[tuple[str, float | None]]]] = [
        (planned, min, [(name, stamp(next_at)) for name, next_at, _lag, _end in entries]),
        (lag, max, [(name, late.total_seconds() if late is not None else None) for name, _next, late, _end in entries]),
        (success, min, [(name, stamp(end)) for name, _next, _lag, end in entries]),
    ]
    for family, together, values in parts:
        shown: dict[str, float] = {}
        for name, value in values:
            if value is not None:
                key = label(name)
                shown[key] = together(shown.get(key, value), value)
        for name, value in shown.items():
            family.add_metric([name], value)
        yield family


Last: TypeAlias = tuple[str, datetime | None, timedelta | None, datetime | None]


def with_last() -> QuerySet[ScheduleEntry, Last]:
    """Return of each entry its name, its next time, how late its last fire was and its last success, by indexes."""
    last = (
        Fire.objects.filter(entry=OuterRef("name"))
        .order_by("-planned_at")
        .annotate(lag=F("enqueued_at") - F("planned_at"))
    )
    # That the entry is not '' PostgreSQL has to be told: else it takes no index of the runs that have one.
    runs = JobRun.objects.filter(schedule_entry=OuterRef(OuterRef("name"))).exclude(schedule_entry="")
    newest = runs.order_by("-started_at")[:LAST_RUNS]
    good = JobRun.objects.filter(pk__in=newest.values("pk"), outcome=Outcome.SUCCEEDED).order_by("-started_at")
    entries = ScheduleEntry.objects.order_by("pk").annotate(
        lag=Subquery(last.values("lag")[:1]), succeeded_at=Subquery(good.values("ended_at")[:1])
    )
    return cast(QuerySet[ScheduleEntry, Last], entries.values_list("name", "next_at", "lag", "succeeded_at"))


def stamp(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None


def fires() -> Metric:
    """Return all fires since the beginning, by what became of them."""
    family = CounterMetricFamily("pilot_cron_fires", "Fires since the beginning.", labels=["entry", "outcome"])
    names = ScheduleEntry.objects.order_by("pk").values_list("name", flat=True)
    outcomes = [str(outcome) for outcome in Fire.Outcome if outcome != Fire.Outcome.PENDING]
    found = counted(Total.Name.FIRES, {(name, outcome): 0 for name in names for outcome in outcomes})
    label = known(name for name, _outcome in found)
    counts: Counter[tuple[str, str]] = Counter()
    for (name, outcome), count in found.items():
        counts[label(name), outcome] += count
    for labels, count in counts.items():
        family.add_metric(list(labels), count)
    return family


def redis_gauges() -> Iterator[Metric]:
    """Yield Redis's memory, and 1 for each of its settings that keeps jobs from being lost."""
    info = snapshot.current().info
    memory = GaugeMetricFamily("pilot_redis_memory_bytes", "Memory used by Redis.")
    memory.add_metric([], float(info.get("used_memory", 0)))
    most = GaugeMetricFamily("pilot_redis_memory_limit_bytes", "Memory that Redis may use; 0 for no limit.")
    most.add_metric([], float(info.get("maxmemory", 0)))
    checks = GaugeMetricFamily("pilot_redis_check", "1 where a setting keeps jobs.", labels=["check"])
    checks.add_metric(["eviction_policy"], info.get("maxmemory_policy") == "noeviction")
    checks.add_metric(["aof"], bool(info.get("aof_enabled")))
    yield from (memory, most, checks)


def alert_gauges() -> Iterator[Metric]:
    """Yield 1 for each rule of the alerts that is broken now, how far the history is behind, and the release."""
    active = GaugeMetricFamily("pilot_alert_active", "1 while an alert of a rule fires.", labels=["rule", "severity"])
    firing = set(Alert.objects.firing().values_list("rule", flat=True))
    for rule in alerts.RULES:
        active.add_metric([rule.name, str(rule.severity)], rule.name in firing)
    seen = snapshot.current()
    lag = GaugeMetricFamily("pilot_history_lag_seconds", "Age of the oldest line that is no row yet.")
    lag.add_metric([], max(0.0, seen.taken_at - seen.written_until) if seen.unwritten else 0.0)
    mark = GaugeMetricFamily(
        "pilot_release_timestamp_seconds", "When the current release was first started.", labels=["release"]
    )
    if release := Release.objects.current():
        mark.add_metric([release.name], release.at.timestamp())
    yield from (active, lag, mark)


def monitor_numbers() -> Iterator[Metric]:
    """Yield how old the samples are, what operators and the machine did, and what runs here."""
    seen = snapshot.current()
    age = GaugeMetricFamily(
        "pilot_monitor_sample_age_seconds", "Age of what pages and metrics read.", labels=["sample"]
    )
    age.add_metric(["queues"], seen.age)
    if seen.weighed is not None:
        age.add_metric(["memory"], max(timedelta(), now() - seen.weighed).total_seconds())
    actions = CounterMetricFamily("pilot_monitor_actions", "Acts of the audit.", labels=["action", "result"])
    for labels, count in counted(Total.Name.ACTIONS, {}).items():
        actions.add_metric(list(labels), count)
    yield from (age, actions, build())


@cache
def build() -> Metric:
    """Return the versions of what serves this, as labels."""
    versions = {
        "version": __version__, "python": platform.python_version(), "django": django.get_version(),
        "rq": rq.__version__,
    }  # fmt: skip
    family = GaugeMetricFamily("pilot_build_info", "1, with the versions as labels.", labels=list(versions))
    family.add_metric(list(versions.values()), 1)
    return family


PARTS = (
    queue_gauges,
    stuck_gauges,
    worker_gauges,
    attempts,
    durations,
    asynq_names,
    losses,
    schedule_gauges,
    redis_gauges,
    alert_gauges,
    monitor_numbers,
)
