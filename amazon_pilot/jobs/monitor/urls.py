"""Addresses of the monitor, below /admin/monitor/. A noun is a page; a verb takes POST alone."""

from django.urls import path

from . import charts, overview

app_name = "monitor"
urlpatterns = [
    path("overview", overview.overview, name="overview"),
    path("chart", charts.chart, name="chart"),
]
