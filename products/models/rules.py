"""What is told: a product's own wish, else that of its tag, else the team's, else ours; each only where it differs.

Every wish may be left out. A team and each of its tags have one row of them, a tracking has them among its columns.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from products.amazon import MARKETPLACES

CURRENCIES = sorted({site.currency for site in MARKETPLACES.values()})
DAYS = [(7, _("7 days")), (30, _("30 days")), (90, _("90 days")), (365, _("1 year"))]
# What is said in `currency`, and holds for products whose prices are in it alone.
AMOUNTS = ("price_below", "price_above", "rival_amount")
YES_NO = [(True, _("yes")), (False, _("no"))]


class Unit(models.TextChoices):
    PERCENT = "percent", _("percent")
    POSITIONS = "positions", _("positions")


class Way(models.TextChoices):
    """Where a value has to go; a better rank is a smaller one, and goes up."""

    ANY = "any", _("either way")
    UP = "up", _("up, or a better rank")
    DOWN = "down", _("down, or a worse rank")


def yes_or_no(label: Any) -> Any:
    return models.BooleanField(label, null=True, blank=True, choices=YES_NO)


def of_days(label: Any) -> Any:
    return models.PositiveSmallIntegerField(label, null=True, blank=True, choices=DAYS)


def amount(label: Any, least: Decimal = Decimal("0.01")) -> Any:
    return models.DecimalField(
        label, max_digits=12, decimal_places=2, null=True, blank=True, validators=[MinValueValidator(least)]
    )


class Wishes(models.Model):
    """What to tell, as far as it is said here; what is empty is as elsewhere."""

    price_threshold = models.DecimalField(
        _("tell me when the price moves by more than (%)"),
        max_digits=5,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0), MaxValueValidator(100)],
    )
    price_way = models.CharField(_("price moves"), max_length=4, choices=Way, blank=True)
    price_below = amount(_("tell me when the price falls below"))
    price_above = amount(_("tell me when the price rises above"))
    currency = models.CharField(
        _("currency of these prices"), max_length=3, blank=True, choices=[(code, code) for code in CURRENCIES]
    )
    price_lowest_days = of_days(_("tell me the lowest price in"))
    bsr_threshold = models.PositiveIntegerField(
        _("tell me when the rank moves by more than"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    bsr_unit = models.CharField(_("rank threshold in"), max_length=10, choices=Unit, blank=True)
    bsr_way = models.CharField(_("rank moves"), max_length=4, choices=Way, blank=True)
    bsr_outside = models.PositiveIntegerField(
        _("tell me when the rank falls out of the top"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    bsr_best_days = of_days(_("tell me the best rank in"))
    rating_threshold = models.DecimalField(
        _("tell me when the rating moves by at least (stars)"),
        max_digits=2,
        decimal_places=1,
        null=True,
        blank=True,
        validators=[MinValueValidator(Decimal("0.1")), MaxValueValidator(4)],
    )
    review_threshold = models.DecimalField(
        _("tell me when the review count moves by more than (%)"),
        max_digits=6,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
    )
    rival_percent = models.DecimalField(
        _("tell me when my price lies above a competitor's by more than (%)"),
        max_digits=6,
        decimal_places=2,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=_("Of each comparison. 0: as soon as a competitor is cheaper."),
    )
    rival_amount = amount(_("tell me when my price lies above a competitor's by more than"), Decimal(0))
    rival_positions = models.PositiveIntegerField(
        _("tell me when my rank falls behind a competitor's by more than (positions)"),
        null=True,
        blank=True,
        help_text=_("In the same category. 0: as soon as a competitor's rank is better."),
    )
    tell_buybox = yes_or_no(_("tell me when the buy box changes hands"))
    tell_availability = yes_or_no(_("tell me when availability changes"))
    tell_back = yes_or_no(_("tell me when it is back in stock"))
    tell_listing = yes_or_no(_("tell me when title, bullets or images change"))
    rearm_minutes = models.PositiveIntegerField(
        _("stay silent on the same matter for (minutes)"),
        null=True,
        blank=True,
        help_text=_("0: every change that crosses its threshold is told."),
    )
    muted_until = models.DateTimeField(_("tell nothing until"), null=True, blank=True)

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse a price without its currency, which means another one on each marketplace, and a unit of nothing."""
        if any(getattr(self, name) is not None for name in AMOUNTS) and not self.currency:
            raise ValidationError({"currency": _("Say in which currency these prices are.")})
        if self.bsr_unit and self.bsr_threshold is None:
            raise ValidationError({"bsr_threshold": _("Say by how much, or leave the unit empty as well.")})


class Rules(Wishes):
    """The wishes of a team, or of one of its tags."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="rules", verbose_name=_("team"))
    tag = models.OneToOneField(
        "products.Tag", models.CASCADE, null=True, blank=True, related_name="rules", verbose_name=_("tag")
    )

    class Meta:
        verbose_name = _("rules")
        verbose_name_plural = _("rules")
        constraints = [
            models.UniqueConstraint(fields=["team"], condition=Q(tag=None), name="rules_once_per_team"),
        ]

    def __str__(self) -> str:
        return f"{self.team}: {self.tag or '–'}"


@dataclass(frozen=True)
class Told:
    """What is told of one product, after all who have a say in it."""

    price_threshold: Decimal = Decimal("10.00")
    price_way: str = Way.ANY
    price_below: Decimal | None = None
    price_above: Decimal | None = None
    price_lowest_days: int | None = None
    bsr_threshold: int = 30
    bsr_unit: str = Unit.PERCENT
    bsr_way: str = Way.ANY
    bsr_outside: int | None = None
    bsr_best_days: int | None = None
    rating_threshold: Decimal = Decimal("0.2")
    review_threshold: Decimal = Decimal("10.00")
    rival_percent: Decimal | None = None
    rival_amount: Decimal | None = None
    rival_positions: int | None = None
    tell_buybox: bool = True
    tell_availability: bool = True
    tell_back: bool = False
    tell_listing: bool = False
    rearm_minutes: int = 0
    muted_until: datetime | None = None

    def is_muted(self, at: datetime) -> bool:
        """Tell whether nothing is told at an instant."""
        return self.muted_until is not None and at < self.muted_until

    def is_silent(self, last: datetime | None, at: datetime) -> bool:
        """Tell whether a matter that was told last at one instant is not told again at another."""
        return self.is_rearming(last, at) or self.is_muted(at)

    def is_rearming(self, last: datetime | None, at: datetime) -> bool:
        """Tell whether a matter that was told last at one instant is still left in peace at another."""
        return last is not None and (at - last).total_seconds() < self.rearm_minutes * 60

    @property
    def minds_rivals(self) -> bool:
        """Whether it is told how the own product stands beside its competitors."""
        return (self.rival_percent, self.rival_amount, self.rival_positions) != (None, None, None)


USUAL = Told()


def resolved(levels: Sequence[Wishes], currency: str) -> Told:
    """Return what holds by these levels, the most particular first; a mute of any of them holds."""
    found: dict[str, Any] = {}
    for level in reversed(levels):
        found |= _said(level, currency)
    mutes = [level.muted_until for level in levels if level.muted_until]
    return Told(**found | {"muted_until": max(mutes, default=None)})


def _said(level: Wishes, currency: str) -> dict[str, Any]:
    """Return what one level says for a product whose prices are in a currency; a unit counts with its threshold."""
    words = {name: value for name in vars(USUAL) if (value := getattr(level, name)) not in (None, "")}
    if level.currency != currency:
        words = {name: value for name, value in words.items() if name not in AMOUNTS}
    if "bsr_threshold" in words:
        return {"bsr_unit": Unit.PERCENT} | words
    return {name: value for name, value in words.items() if name != "bsr_unit"}
