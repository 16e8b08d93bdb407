"""A user's own word for some of what he watches: a client, a season, a supplier."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.contrib.auth.models import User

LONGEST = 40


class TagQuerySet(models.QuerySet["Tag"]):
    def named(self, user: "User | Any", name: str) -> "Tag":
        """Return the user's tag of this name, made where he has none; the case of its letters is that of the first."""
        name = " ".join(name.split())[:LONGEST]
        return self.filter(user=user, name__iexact=name).first() or self.get_or_create(user=user, name=name)[0]


class Tag(models.Model):
    """One user's word; nobody else sees it."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="tags", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=LONGEST)

    objects = TagQuerySet.as_manager()

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["user", "name"], name="tag_once_per_user")]

    def __str__(self) -> str:
        return self.name

    def put_on(self, trackings: "Iterable[int]") -> None:
        """Give this tag to trackings, by id; those that have it keep it."""
        through = Tag.trackings.through
        rows = [through(tracking_id=tracking, tag_id=self.pk) for tracking in trackings]
        through.objects.bulk_create(rows, ignore_conflicts=True)
