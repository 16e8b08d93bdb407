"""The last time each round of looks or reports was wanted and done, so that one that broke off is known."""

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

# A round takes seconds and its job's timeout is a minute; one that is not done after this was lost.
LOST = timedelta(minutes=2)


class RoundQuerySet(models.QuerySet["Round"]):
    def want(self, name: str) -> None:
        """Note that a round is to be made now."""
        Round.objects.bulk_create(
            [Round(name=name, wanted_at=Now())],
            update_conflicts=True,
            unique_fields=["name"],
            update_fields=["wanted_at"],
        )

    def note_done(self, name: str) -> None:
        """Note that every batch of the round is on its queue."""
        self.filter(name=name).update(done_at=Now())

    def missed(self) -> "RoundQuerySet":
        """Keep the rounds that were wanted and broke off."""
        return self.filter(Q(done_at=None) | Q(done_at__lt=F("wanted_at")), wanted_at__lte=Now() - LOST)


class Round(models.Model):
    """One kind of round: of looks, hourly, six_hourly or daily; of reports, comparisons or suggestions."""

    name = models.CharField(_("round"), max_length=20, unique=True)
    wanted_at = models.DateTimeField(_("wanted at"))
    done_at = models.DateTimeField(_("done at"), null=True)

    objects = RoundQuerySet.as_manager()

    class Meta:
        verbose_name = _("round")
        verbose_name_plural = _("rounds")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
