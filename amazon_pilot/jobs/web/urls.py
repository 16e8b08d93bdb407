"""Addresses of the monitor, below /admin/monitor/. A noun is a page; a verb takes POST alone."""

from django.urls import path

from ..core import registry
from . import (
    about,
    alerts,
    api_site,
    batches,
    bulk,
    charts,
    export,
    failures,
    job,
    jobs,
    limits,
    overview,
    queues,
    redis,
    retention,
    schedule,
    tasks,
    workers,
)

registry.discover()  # pages name every task, and a web server runs no check that would have imported them


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
    *api_site.addresses(),
    path("failures", failures.failures, name="failures"),
    path("bulk", bulk.preview, name="bulk_preview"),
    path("bulk/start", bulk.begin, name="bulk_start"),
    path("bulk/<int:pk>", bulk.progress, name="bulk"),
    path("bulk/<int:pk>/part", bulk.part, name="bulk_part"),
    path("bulk/<int:pk>/abort", bulk.abort, name="bulk_abort"),
    path("bulk/<int:pk>/restore", bulk.restore, name="bulk_restore"),
    path("chart", charts.chart, name="chart"),
]
