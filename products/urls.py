"""Addresses, named after the views."""

from django.urls import path

from . import views

app_name = "products"
ONE = "products/<str:marketplace>/<str:asin>/"
urlpatterns = [
    path("", views.list_, name="list"),
    path("products/resume/", views.resume, name="resume"),
    path("products/add/", views.add, name="add"),
    path(ONE, views.detail, name="detail"),
    path(f"{ONE}status/", views.status, name="status"),
    path(f"{ONE}history.json", views.chart, name="chart"),
    path(f"{ONE}refresh/", views.refresh, name="refresh"),
    path(f"{ONE}edit/", views.edit, name="edit"),
    path(f"{ONE}remove/", views.remove, name="remove"),
]
