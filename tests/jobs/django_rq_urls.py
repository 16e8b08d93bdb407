"""django-rq's own pages beside the admin, for tests of what they show."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("django-rq/", include("django_rq.urls")), path("admin/", admin.site.urls)]
