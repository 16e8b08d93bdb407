"""The engine's numbers for Prometheus: from the shared sample, the totals of the history and the schedule's rows."""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from .models import Fire, ScheduleEntry, TallyTotal
from .monitor import sample

STATES = ("waiting", "running", "scheduled", "deferred", "failed", "finished", "canceled")


def queue_gauges() -> Iterator[Metric]:
    """Yield what each queue holds, how long its oldest job waits, and its share of the starts beside its weight."""
    tasks = GaugeMetricFamily("pilot_tasks", "Jobs by queue and state.", labels=["queue", "state"])
    oldest = GaugeMetricFamily("pilot_queue_oldest_wait_seconds", "Age of the oldest waiting job.", labels=["queue"])
    paused = GaugeMetricFamily("pilot_queue_paused", "1 while paused.", labels=["queue"])
    weight = GaugeMetricFamily("pilot_queue_weight_ratio", "Configured share of the starts.", labels=["queue"])
    share = GaugeMetricFamily("pilot_queue_share_ratio", "Share of the starts of five minutes.", labels=["queue"])
    memory = GaugeMetricFamily("pilot_queue_memory_bytes", "Memory of a queue and its jobs, about.", labels=["queue"])
    for queue in sample.current().queues:
        for state in STATES:
            tasks.add_metric([queue.name, state], getattr(queue, state))
        oldest.add_metric([queue.name], queue.oldest)
        paused.add_metric([queue.name], queue.paused)
        weight.add_metric([queue.name], queue.weight_ratio)
        if queue.share_ratio is not None:
            share.add_metric([queue.name], queue.share_ratio)
        if queue.memory is not None:
            memory.add_metric([queue.name], queue.memory)
    yield from (tasks, oldest, paused, weight, share, memory)


def worker_gauges() -> Iterator[Metric]:
    """Yield the workers and their slots by state."""
    seen = sample.current()
    workers = GaugeMetricFamily("pilot_workers", "Workers by state.", labels=["state"])
    slots = GaugeMetricFamily("pilot_worker_slots", "Slots of living workers by state.", labels=["state"])
    workers.add_metric(["alive"], len(seen.alive))
    total = sum(len(worker["slots"]) for worker in seen.alive)
    slots.add_metric(["busy"], len(seen.running))
    slots.add_metric(["free"], total - len(seen.running))
    yield from (workers, slots)


def attempts() -> Iterator[Metric]:
    """Yield all attempts since the beginning, by outcome."""
    family = CounterMetricFamily("pilot_attempts", "Ended attempts.", labels=["queue", "type", "outcome"])
    for total in TallyTotal.objects.all():
        family.add_metric([total.queue, total.task, total.outcome], total.count)
    yield family


def schedule_gauges() -> Iterator[Metric]:
    """Yield the age of the scheduler's last tick, the next planned times, and what became of the past ones."""
    tick = GaugeMetricFamily("pilot_scheduler_tick_age_seconds", "Seconds since the scheduler's last tick.")
    age = sample.current().tick_age
    if age is not None:
        tick.add_metric([], age)
    planned = GaugeMetricFamily("pilot_cron_next_fire_timestamp_seconds", "Next planned time.", labels=["entry"])
    for name, next_at in ScheduleEntry.objects.filter(next_at__isnull=False).values_list("name", "next_at"):
        if next_at:
            planned.add_metric([name], next_at.timestamp())
    fires = CounterMetricFamily("pilot_cron_fires", "Fires in the history.", labels=["entry", "outcome"])
    for (entry, outcome), count in Fire.objects.totals().items():
        fires.add_metric([entry, outcome], count)
    yield from (tick, planned, fires)


def redis_gauges() -> Iterator[Metric]:
    """Yield Redis's memory, and 1 for each of its settings that keeps jobs from being lost."""
    info = sample.current().info
    memory = GaugeMetricFamily("pilot_redis_memory_bytes", "Memory used by Redis.")
    memory.add_metric([], float(info.get("used_memory", 0)))
    checks = GaugeMetricFamily("pilot_redis_check", "1 where a setting keeps jobs.", labels=["check"])
    checks.add_metric(["eviction_policy"], info.get("maxmemory_policy") == "noeviction")
    checks.add_metric(["aof"], bool(info.get("aof_enabled")))
    yield from (memory, checks)


PARTS = (queue_gauges, worker_gauges, attempts, schedule_gauges, redis_gauges)
