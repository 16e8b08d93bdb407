"""Addresses of the monitor, below /admin/monitor/. A noun is a page; a verb takes POST alone."""

from django.urls import path

from . import charts, lists, overview

app_name = "monitor"
urlpatterns = [
    path("overview", overview.overview, name="overview"),
    path("jobs", lists.jobs, name="jobs"),
    path("jobs/searches", lists.save_search, name="save_search"),
    path("jobs/searches/<int:pk>/forget", lists.forget_search, name="forget_search"),
    path("job/<str:job_id>", lists.job, name="job"),
    path("chart", charts.chart, name="chart"),
]
