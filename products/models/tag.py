"""A team's own word for some of what it watches: a client, a season, a supplier."""

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from collections.abc import Iterable

    from accounts.models import Team

LONGEST = 40


class TagQuerySet(models.QuerySet["Tag"]):
    def named(self, team: "Team | Any", name: str) -> "Tag":
        """Return the team's tag of this name, made where it has none; the case of its letters is that of the first."""
        name = " ".join(name.split())[:LONGEST]
        return self.filter(team=team, name__iexact=name).first() or self.get_or_create(team=team, name=name)[0]


class Tag(models.Model):
    """One team's word; nobody else sees it."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="tags", verbose_name=_("team"))
    name = models.CharField(_("name"), max_length=LONGEST)

    objects = TagQuerySet.as_manager()

    class Meta:
        verbose_name = _("tag")
        verbose_name_plural = _("tags")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["team", "name"], name="tag_once_per_team")]

    def __str__(self) -> str:
        return self.name

    def put_on(self, trackings: "Iterable[int]") -> None:
        """Give this tag to trackings, by id; those that have it keep it."""
        through = Tag.trackings.through
        rows = [through(tracking_id=tracking, tag_id=self.pk) for tracking in trackings]
        through.objects.bulk_create(rows, ignore_conflicts=True)

    def take_off(self, trackings: "Iterable[int]") -> int:
        """Take this tag off trackings, by id; return how many had it."""
        return Tag.trackings.through.objects.filter(tag=self, tracking__in=list(trackings)).delete()[0]
