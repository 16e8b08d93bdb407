"""The guard of the buy box: which sellers a team is itself, which may sell on its listings, and what a change then is.

A seller is known by Amazon's id, and one without an id (Amazon itself) by its name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from .change import Difference, Kind, Severity
from .snapshot import Snapshot
from .tracking import Role, Tracking

if TYPE_CHECKING:
    from accounts.models import Team

# Who held the buy box within this time is not new on a listing.
MEMORY = timedelta(days=90)
LONGEST_KEY = 200


class SellerQuerySet(models.QuerySet["Seller"]):
    def own(self, team: "Team | Any") -> frozenset[str]:
        """Return the keys of the sellers that a team is itself."""
        return frozenset(self.filter(team=team, is_own=True).values_list("key", flat=True))


class Seller(models.Model):
    """A seller that a team knows on its listings: itself, or one that may sell there."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="sellers", verbose_name=_("team"))
    key = models.CharField(
        _("seller's id"),
        max_length=LONGEST_KEY,
        help_text=_("As in the address of the seller's page: seller=A1B2C3… For Amazon itself its name."),
    )
    name = models.CharField(_("name"), max_length=200, blank=True)
    is_own = models.BooleanField(_("this is us"), default=False)

    objects = SellerQuerySet.as_manager()

    class Meta:
        verbose_name = _("known seller")
        verbose_name_plural = _("known sellers")
        ordering = ["-is_own", "name", "key"]
        constraints = [models.UniqueConstraint(fields=["team", "key"], name="seller_once_per_team")]

    def __str__(self) -> str:
        return self.name or self.key


@dataclass
class Guard:
    """What is known of the sellers in a batch of looks: those of each team, and who held which buy box before."""

    own: dict[int, set[str]] = field(default_factory=dict)
    allowed: dict[int, set[str]] = field(default_factory=dict)
    held: set[tuple[int, str]] = field(default_factory=set)

    @classmethod
    def of(cls, teams: Iterable[int], products: Iterable[int], at: datetime) -> "Guard":
        """Read what the teams say of sellers, and who held the buy box of these products before. Two queries."""
        guard = cls()
        for team, key, is_own in Seller.objects.filter(team__in=teams).values_list("team", "key", "is_own"):
            (guard.own if is_own else guard.allowed).setdefault(team, set()).add(key)
        if guard.own or guard.allowed:
            looks = Snapshot.objects.filter(product__in=products, taken_at__lt=at, taken_at__gte=at - MEMORY)
            seen = looks.exclude(seller="", seller_id="").order_by().values_list("product", "seller_id", "seller")
            guard.held = {(product, key or name) for product, key, name in seen.distinct()}
        return guard

    def told(self, difference: Difference, tracking: Tracking) -> Difference:
        """Return a change of hands as this tracking's team has to hear of it; other differences stay as they are.

        Without a word on who the team is, a change on its own listing stays a warning.
        """
        if difference.kind != Kind.BUYBOX:
            return difference
        if tracking.role == Role.COMPETITOR:
            return replace(difference, gravity=Severity.INFO)
        own, allowed = self.own.get(tracking.team_id, set()), self.allowed.get(tracking.team_id, set())
        if not own and not allowed:
            return difference
        before, after = difference.holders
        if (before in own) != (after in own):
            return replace(difference, kind=Kind.BUYBOX_LOST if before in own else Kind.BUYBOX_WON)
        is_known = after in own or after in allowed or (tracking.product_id, after) in self.held
        return replace(difference, gravity=Severity.INFO) if is_known else replace(difference, kind=Kind.BUYBOX_NEW)
