"""Addresses of the monitor, below /admin/monitor/. A noun is a page; a verb takes POST alone."""

from django.urls import path

from ..core import registry
from ..operate.operation import slug
from . import (
    about,
    alerts,
    api,
    api_bulk,
    api_schedule,
    api_stats,
    batches,
    bulk,
    charts,
    export,
    failures,
    job,
    jobs,
    limits,
    overview,
    pages,
    queues,
    redis,
    retention,
    schedule,
    tasks,
    workers,
)

registry.discover()  # pages name every task, and a web server runs no check that would have imported them


def slugs(views: dict[str, pages.View]) -> list[tuple[str, pages.View]]:
    """Return the views of some verbs, each verb written as an address."""
    return [(slug(verb), view) for verb, view in views.items()]


app_name = "monitor"
urlpatterns = [
    path("overview", overview.overview, name="overview"),
    path("jobs", jobs.jobs, name="jobs"),
    path("jobs/export", export.export, name="jobs-export"),
    path("jobs/searches", jobs.save_search, name="save-search"),
    path("jobs/searches/<int:pk>/forget", jobs.forget_search, name="forget-search"),
    path("job/<str:job_id>", job.job, name="job"),
    path("job/<str:job_id>/arguments", job.arguments, name="job-arguments"),
    *(path(f"job/<str:job_id>/{verb}", view, name=f"job-{verb}") for verb, view in job.BUTTONS.items()),
    path("about/<path:subject>", about.about, name="about"),
    path("batches", batches.batch_list, name="batches"),
    path("batches/<int:pk>", batches.batch, name="batch"),
    path("alerts", alerts.alert_list, name="alerts"),
    path("alerts/<str:rule>/silence", alerts.silence, name="alert-silence"),
    path("alerts/<str:rule>/edit", alerts.edit, name="alert-edit"),
    path("schedule", schedule.schedule, name="schedule"),
    *(path(f"schedule/<str:name>/{verb}", view, name=f"schedule-{verb}") for verb, view in schedule.BUTTONS.items()),
    path("queues", queues.queue_list, name="queues"),
    path("queue/<str:name>", queues.queue, name="queue"),
    path("queue/<str:name>/drain", queues.drain, name="drain"),
    path("limits", limits.limits, name="limits"),
    path("pause", queues.pause, name="pause"),
    path("resume", queues.resume, name="resume"),
    path("tasks", tasks.task_list, name="tasks"),
    path("task/<str:name>", tasks.task, name="task"),
    path("task/<str:name>/run", tasks.run, name="task-run"),
    path("workers", workers.worker_list, name="workers"),
    *(path(f"worker/<str:name>/{verb}", view, name=f"worker-{verb}") for verb, view in workers.COMMANDS.items()),
    path("stuck", workers.stuck, name="stuck"),
    path("stuck/recover", workers.recover, name="recover"),
    path("redis", redis.redis, name="redis"),
    path("retention", retention.page, name="retention"),
    path("api/queues", api.queue_list, name="api-queues"),
    path("api/stats", api_stats.stats, name="api-stats"),
    path("api/jobs", api.job_list, name="api-jobs"),
    path("api/job/<str:job_id>", api.job, name="api-job"),
    *(path(f"api/job/<str:job_id>/{verb}", view, name=f"api-job-{verb}") for verb, view in api.JOB_OPERATIONS.items()),
    path("api/workers", api.worker_list, name="api-workers"),
    path("api/schedule", api_schedule.entries, name="api-schedule"),
    path("api/schedule/<str:entry>", api_schedule.entry, name="api-schedule-entry"),
    path("api/schedule/<str:entry>/history", api_schedule.history, name="api-schedule-history"),
    *(
        path(f"api/schedule/<str:entry>/{verb}", view, name=f"api-schedule-{verb}")
        for verb, view in slugs(api_schedule.VERBS)
    ),
    path("api/redis", api.redis, name="api-redis"),
    path("api/retention", api_stats.retention, name="api-retention"),
    path("api/pause", api.pause, name="api-pause"),
    path("api/resume", api.resume, name="api-resume"),
    path("api/queue/<str:name>/history", api_stats.history, name="api-queue-history"),
    path("api/queue/<str:name>/drain", api.drain, name="api-drain"),
    *(path(f"api/worker/<str:worker>/{verb}", view, name=f"api-worker-{verb}") for verb, view in api.COMMANDS.items()),
    path("api/recover", api.recover, name="api-recover"),
    path("api/bulk", api_bulk.latest, name="api-bulk-list"),
    path("api/bulk/preview", api_bulk.preview, name="api-bulk-preview"),
    path("api/bulk/start", api_bulk.start, name="api-bulk-start"),
    path("api/bulk/<int:pk>", api_bulk.one, name="api-bulk"),
    path("api/bulk/<int:pk>/abort", api_bulk.abort, name="api-bulk-abort"),
    path("api/bulk/<int:pk>/restore", api_bulk.restore, name="api-bulk-restore"),
    path("failures", failures.failures, name="failures"),
    path("bulk", bulk.preview, name="bulk_preview"),
    path("bulk/start", bulk.begin, name="bulk_start"),
    path("bulk/<int:pk>", bulk.progress, name="bulk"),
    path("bulk/<int:pk>/part", bulk.part, name="bulk_part"),
    path("bulk/<int:pk>/abort", bulk.abort, name="bulk_abort"),
    path("bulk/<int:pk>/restore", bulk.restore, name="bulk_restore"),
    path("chart", charts.chart, name="chart"),
]
