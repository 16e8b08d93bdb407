"""What a day may still cost at Apify: one row per day, which a plan raises by one conditional statement.

In every transaction this row comes last: whoever holds it waits for nothing else, so planners cannot lock each other.
"""

from datetime import date
from decimal import Decimal

from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

MICROS = 1_000_000


def micros(amount: Decimal) -> int:
    """Answer an amount in millionths of a US dollar: whole numbers are exact on every database."""
    return int((amount * MICROS).to_integral_value())


class DaySpendingQuerySet(models.QuerySet["DaySpending"]):
    def of(self, day: date) -> Decimal | None:
        """Answer what is spent or reserved on a day, in US dollars; None when nothing was planned on it yet."""
        found = self.filter(day=day).values_list("micros", flat=True).first()
        return None if found is None else Decimal(found) / MICROS

    def reserve(self, day: date, amount: Decimal, *, limit: Decimal, before: Decimal) -> bool:
        """Add `amount` unless the day would pass `limit`; False then. `before` opens a day that has no row."""
        DaySpending.objects.bulk_create([DaySpending(day=day, micros=micros(before))], ignore_conflicts=True)
        fits = self.filter(day=day, micros__lte=micros(limit) - micros(amount))
        return fits.update(micros=F("micros") + micros(amount)) == 1

    def correct(self, day: date, difference: Decimal) -> None:
        """Add what a run cost less what was reserved for it; only whoever ended the run may call this."""
        if difference:
            self.filter(day=day).update(micros=F("micros") + micros(difference))


class DaySpending(models.Model):
    """What the runs planned on one UTC day cost: the bill where it is known, else all that they may cost."""

    day = models.DateField(_("day"), unique=True)
    micros = models.BigIntegerField(_("spent and reserved (millionths of a US dollar)"), default=0)

    objects = DaySpendingQuerySet.as_manager()

    class Meta:
        verbose_name = _("day's spending")
        verbose_name_plural = _("days' spending")
        ordering = ["-day"]

    def __str__(self) -> str:
        return f"{self.day}: ${Decimal(self.micros) / MICROS:.2f}"
