"""What was counted since the beginning, for Prometheus: it stays when the rows that were counted are pruned."""

from collections.abc import Mapping

from django.db import connection, models
from django.utils.translation import gettext_lazy as _

# The upper bounds of a histogram's buckets, in seconds; what is longer lies in the last one, which has none.
BUCKETS = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0)
AT_ONCE = 200  # rows of one statement
SUM = "ms"  # beside the buckets: all together, in milliseconds
Run = tuple[str, str, str]  # queue, task and outcome


class TotalQuerySet(models.QuerySet["Total"]):
    def raise_by(self, name: str, grown: Mapping[tuple[str, str], int]) -> None:
        """Raise totals of one name by subject and outcome; in one order for all, so that no two block each other.

        Call it in the transaction that writes what is counted, at its end: the rows are locked until it commits.
        """
        rows = [(str(name), *key, number) for key, number in sorted(grown.items()) if number > 0]
        table = connection.ops.quote_name(self.model._meta.db_table)
        for part in (rows[start : start + AT_ONCE] for start in range(0, len(rows), AT_ONCE)):
            places = ", ".join(["(%s, %s, %s, %s)"] * len(part))
            statement = (
                f"INSERT INTO {table} (name, subject, outcome, count) VALUES {places} "  # noqa: S608 - a name of our own
                f"ON CONFLICT (name, subject, outcome) DO UPDATE SET count = {table}.count + excluded.count"
            )
            with connection.cursor() as cursor:
                cursor.execute(statement, [word for row in part for word in row])

    def raise_ended(self, grown: Mapping[Run, int]) -> None:
        """Raise the totals of ended runs by queue, task and outcome, as `raise_by` does."""
        self.raise_by(
            Total.Name.ENDED, {(task, f"{queue}:{outcome}"): n for (queue, task, outcome), n in grown.items()}
        )

    def ended(self) -> dict[Run, int]:
        """Return all runs that ended since the beginning by queue, task and outcome, the oldest first."""
        rows = self.filter(name=Total.Name.ENDED).order_by("pk").values_list("subject", "outcome", "count")
        told = ((task, *words.rpartition(":"), number) for task, words, number in rows)
        return {(queue, task, outcome): number for task, queue, _colon, outcome, number in told}


class Total(models.Model):
    """How often something happened: runs by task, fires by entry, acts by verb, lost runs by queue."""

    class Name(models.TextChoices):
        ENDED = "ended", _("ended runs by task, queue and outcome")
        FIRES = "fires", _("fires by entry and outcome")
        ACTIONS = "actions", _("acts by verb and result")
        RECOVERED = "recovered", _("lost runs by queue and cause")
        POISONED = "poisoned", _("jobs put aside by queue and task")
        WAIT = "wait", _("waits by task and bucket")
        RUN = "run", _("durations by task and bucket")

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
