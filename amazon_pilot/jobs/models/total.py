"""What was counted since the beginning, for Prometheus: it stays when the rows that were counted are pruned."""

from collections import defaultdict
from collections.abc import Mapping

from django.db import models
from django.utils.translation import gettext_lazy as _


class TotalQuerySet(models.QuerySet["Total"]):
    def raise_by(self, name: str, grown: Mapping[tuple[str, str], int]) -> None:
        """Raise totals of one name by subject and outcome; in one order for all, so that no two block each other.

        Call it in the transaction that writes what is counted, at its end: the rows are locked until it commits.
        """
        alike: dict[tuple[str, int], list[str]] = defaultdict(list)
        for (subject, outcome), number in sorted(grown.items()):
            if number > 0:
                alike[outcome, number].append(subject)
        new = [Total(name=name, subject=s, outcome=outcome) for (outcome, _n), each in alike.items() for s in each]
        Total.objects.bulk_create(new, ignore_conflicts=True)
        for (outcome, number), subjects in alike.items():
            rows = self.filter(name=name, outcome=outcome, subject__in=subjects)
            rows.update(count=models.F("count") + number)


class Total(models.Model):
    """How often something happened: fires by entry, acts by verb, lost runs by queue."""

    class Name(models.TextChoices):
        FIRES = "fires", _("fires by entry and outcome")
        ACTIONS = "actions", _("acts by verb and result")
        RECOVERED = "recovered", _("lost runs by queue and cause")
        POISONED = "poisoned", _("jobs put aside by queue and task")

    name = models.CharField(_("name"), max_length=20, choices=Name)
    subject = models.CharField(_("of what"), max_length=200)
    outcome = models.CharField(_("outcome"), max_length=200)
    count = models.PositiveBigIntegerField(_("count"), default=0)

    objects = TotalQuerySet.as_manager()

    class Meta:
        verbose_name = _("count")
        verbose_name_plural = _("counts")
        constraints = [models.UniqueConstraint(fields=["name", "subject", "outcome"], name="one_count_per_subject")]

    def __str__(self) -> str:
        return f"{self.name} {self.subject} {self.outcome}"
