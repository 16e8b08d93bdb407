"""Addresses, named after the views."""

from django.urls import path

from . import bulk, feed, home, views, watchlist

app_name = "products"
ONE = "products/<str:marketplace>/<str:asin>/"
urlpatterns = [
    path("", home.home, name="home"),
    path("changes/", feed.list_, name="changes"),
    path("changes/acknowledge/", feed.acknowledge, name="acknowledge"),
    path("products/", watchlist.list_, name="list"),
    path("products/bulk/", bulk.apply, name="bulk"),
    path("products/restore/", bulk.restore, name="restore"),
    path("products/resume/", views.resume, name="resume"),
    path("products/add/", views.add, name="add"),
    path(ONE, views.detail, name="detail"),
    path(f"{ONE}status/", views.status, name="status"),
    path(f"{ONE}history.json", views.chart, name="chart"),
    path(f"{ONE}refresh/", views.refresh, name="refresh"),
    path(f"{ONE}edit/", views.edit, name="edit"),
    path(f"{ONE}remove/", views.remove, name="remove"),
]
