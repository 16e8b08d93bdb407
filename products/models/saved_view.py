"""A question to the list that a user keeps under a name, in one of his teams."""

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from accounts.models import Membership

LONGEST_NAME, MOST = 40, 30


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def of(self, membership: "Membership | Any") -> "SavedViewQuerySet":
        """Keep what one user keeps in one team."""
        return self.filter(team=membership.team_id, user=membership.user_id)

    @transaction.atomic
    def keep(self, membership: "Membership | Any", name: str, query: str) -> "SavedView":
        """Keep a question under a name; the same name again takes the new question.

        Raises ValidationError without a name, and beyond thirty.
        """
        mine, name = self.of(membership), named(name)
        if not mine.filter(name=name).exists() and mine.count() >= MOST:
            raise ValidationError(_("You keep 30 views here. Delete one before you keep another."))
        found, _is_new = self.update_or_create(
            team_id=membership.team_id, user_id=membership.user_id, name=name, defaults={"query": query}
        )
        return found

    @transaction.atomic
    def begin_with(self, view: "SavedView", is_default: bool) -> None:
        """Have the list begin with this view, and with no other of this user in this team; or with none."""
        self.filter(team=view.team_id, user=view.user_id, is_default=True).update(is_default=False)
        self.filter(pk=view.pk).update(is_default=is_default)


def named(name: str) -> str:
    """Return a name without blanks too many; raises ValidationError for none."""
    if not (name := " ".join(name.split())[:LONGEST_NAME]):
        raise ValidationError(_("Give the view a name."))
    return name


class SavedView(models.Model):
    """Filters and sort of the list; nobody else sees it, not even in the same team."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="+", verbose_name=_("team"))
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+", verbose_name=_("user"))
    name = models.CharField(_("name"), max_length=LONGEST_NAME)
    query = models.CharField(_("what it asks"), max_length=2000, blank=True)
    is_default = models.BooleanField(_("the list begins with it"), default=False)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        verbose_name = _("saved view")
        verbose_name_plural = _("saved views")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["team", "user", "name"], name="saved_view_once_by_name"),
            models.UniqueConstraint(
                fields=["team", "user"], condition=Q(is_default=True), name="saved_view_begins_a_list_once"
            ),
        ]

    def __str__(self) -> str:
        return self.name
