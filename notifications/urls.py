"""Addresses, named after the views."""

from django.urls import path

from . import views

app_name = "notifications"
urlpatterns = [
    path("notifications/", views.list_, name="list"),
    path("notifications/<int:pk>/read/", views.read, name="read"),
    path("notifications/read/", views.read_all, name="read_all"),
    path("channels/", views.channels, name="channels"),
    path("channels/<int:pk>/pause/", views.pause_channel, name="pause_channel"),
    path("channels/<int:pk>/remove/", views.remove_channel, name="remove_channel"),
]
