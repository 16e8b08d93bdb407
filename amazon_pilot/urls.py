"""The map of the site."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path
from django.views.generic import RedirectView

from products.api.pages import docs
from products.api.site import api

from . import login
from .http import health
from .metrics import metrics

handler400 = "amazon_pilot.errors.bad_request"
handler403 = "amazon_pilot.errors.permission_denied"
handler404 = "amazon_pilot.errors.page_not_found"
handler500 = "amazon_pilot.errors.server_error"

urlpatterns = [
    path("", include("products.urls")),
    path("", include("analysis.urls")),
    path("", include("notifications.urls")),
    path("login/", login.login, name="login"),
    path("account/", include("accounts.urls")),
    path("api/v1/docs/", docs, name="api_docs"),
    path("api/v1/", api.urls),
    path("logout/", auth.LogoutView.as_view(), name="logout"),
    path("metrics", metrics, name="metrics"),
    path("health", health, name="health"),
    path("admin/login/", login.admin_login),  # before the admin's own
    # One door for the old password, which is throttled: the admin's own would take guesses without end.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/monitor/", include("amazon_pilot.jobs.web.urls")),
    path("admin/", admin.site.urls),
    path("sandbox/", include("amazon_pilot.sandbox.urls")),
]
