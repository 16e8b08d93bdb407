"""The engine room: background work as such. It knows no product."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class JobsConfig(AppConfig):
    name = "amazon_pilot.jobs"
    label = "jobs"
    verbose_name = _("Jobs")
