"""Times in which no scheduler looked at the clock: the cause of the fires that were missed meanwhile."""

from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from .expiring import ExpiringQuerySet


class SilenceQuerySet(ExpiringQuerySet["Silence"]):
    clock = "until"

    def note(self, since: datetime, until: datetime) -> None:
        """Keep that nobody looked from `since` to `until`; noting it twice changes nothing."""
        self.get_or_create(since=since, defaults={"until": until})

    def over(self, start: datetime, end: datetime) -> "list[Silence]":
        """Return the silences that touch a time, the newest first."""
        return list(self.filter(since__lte=end, until__gte=start).order_by("-since")[:200])


class Silence(models.Model):
    """From the last look of a scheduler to the next one, where that took longer than a fire may be late."""

    since = models.DateTimeField(_("since"), unique=True)
    until = models.DateTimeField(_("until"))

    objects = SilenceQuerySet.as_manager()

    class Meta:
        verbose_name = _("silence of the schedulers")
        verbose_name_plural = _("silences of the schedulers")
        indexes = [models.Index(fields=["-until"], name="silences_newest_first")]

    def __str__(self) -> str:
        return f"{self.since:%Y-%m-%d %H:%M:%S} – {self.until:%H:%M:%S}"
