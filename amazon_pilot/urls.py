"""The map of the site."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("sandbox/", include("amazon_pilot.sandbox.urls"))]
