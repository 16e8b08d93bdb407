"""Releases: which code was started when, so that charts and failures can be read beside it."""

from datetime import datetime

from django.db import IntegrityError, models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

LONGEST = 60  # letters of a name
MOST_MARKS = 50  # on a chart


class ReleaseQuerySet(models.QuerySet["Release"]):
    def current(self) -> "Release | None":
        """Return the release that was marked last, None where none was."""
        return self.order_by("-at", "-pk").first()

    def note(self, name: str, at: datetime | None = None) -> bool:
        """Mark that a release was started; False where it is the current one already, or has no name.

        Of processes that start at once, one makes the mark.
        """
        name, last = name.strip()[:LONGEST], self.current()
        if not name or (last is not None and last.name == name):
            return False
        try:
            with transaction.atomic():
                self.create(name=name, after=last.pk if last else 0, at=at or timezone.now())
        except IntegrityError:
            return False
        return True

    def between(self, start: datetime, end: datetime) -> "list[Release]":
        """Return the releases of a time, the newest of them where there are very many, the oldest first."""
        newest: list[Release] = list(self.filter(at__gte=start, at__lt=end).order_by("-at", "-pk")[:MOST_MARKS])
        return newest[::-1]


class Release(models.Model):
    """One mark: from this moment on code of this name ran."""

    name = models.CharField(_("release"), max_length=LONGEST)
    at = models.DateTimeField(_("since"), default=timezone.now)
    after = models.BigIntegerField(default=0, editable=False, help_text=_("The key of the release before it, or 0."))

    objects = ReleaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("release")
        verbose_name_plural = _("releases")
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["name", "after"], name="one_mark_per_start_of_a_release")]
        indexes = [models.Index(fields=["-at"], name="releases_newest_first")]

    def __str__(self) -> str:
        return self.name
