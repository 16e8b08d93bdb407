"""Addresses of the monitor, below /admin/monitor/. A noun is a page; a verb takes POST alone."""

from django.urls import path

from . import charts, overview

app_name = "monitor"
urlpatterns = [
    path("overview", overview.overview, name="overview"),
    path("jobs", overview.overview, name="jobs"),
    path("job/<str:job_id>", overview.overview, name="job"),
    path("chart", charts.chart, name="chart"),
]
