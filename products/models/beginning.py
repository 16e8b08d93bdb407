"""With what a team's new products begin, where nobody says otherwise when he adds them."""

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from products.amazon import MARKETPLACES

from .tag import LONGEST
from .tracking import Frequency

if TYPE_CHECKING:
    from accounts.models import Team

MOST_TAGS = 10


def names_of(text: str) -> list[str]:
    """Return the tags that a text names with commas between them, each once."""
    names = (" ".join(name.split()) for name in text.replace("，", ",").split(","))
    return list({name.casefold(): name for name in names if name}.values())


def check_tags(text: str) -> None:
    """Refuse what a tag cannot be; raises ValidationError."""
    names = names_of(text)
    if len(names) > MOST_TAGS:
        raise ValidationError(_("At most ten tags, please."))
    if too_long := next((name for name in names if len(name) > LONGEST), None):
        raise ValidationError(_("A tag has at most 40 letters; “%s” has more.") % too_long)


class BeginningQuerySet(models.QuerySet["Beginning"]):
    def of(self, team: "Team | Any") -> "Beginning":
        """Return what a team has said, or an unsaved row with what is usual."""
        return self.filter(team=team).first() or Beginning(team_id=team.pk)


class Beginning(models.Model):
    """One team's usual words for new products."""

    team = models.OneToOneField("accounts.Team", models.CASCADE, related_name="+", verbose_name=_("team"))
    frequency = models.CharField(_("looked at"), max_length=12, choices=Frequency, default=Frequency.DAILY)
    marketplace = models.CharField(
        _("marketplace"), max_length=20, choices=[(domain, domain) for domain in MARKETPLACES], default="amazon.com"
    )
    tags = models.CharField(
        _("tags"), max_length=400, blank=True, validators=[check_tags], help_text=_("With commas between them.")
    )

    objects = BeginningQuerySet.as_manager()

    class Meta:
        verbose_name = _("beginning of new products")
        verbose_name_plural = _("beginnings of new products")

    def __str__(self) -> str:
        return str(self.team)

    @property
    def words(self) -> dict[str, str]:
        """The same for a form that is not sent yet."""
        return {"frequency": self.frequency, "marketplace": self.marketplace, "tags": self.tags}
