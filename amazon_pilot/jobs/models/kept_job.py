"""Deleted jobs, kept for a day as Redis held them, so that a deletion can be taken back."""

from collections.abc import Collection, Iterable
from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .bulk_action import BulkAction

KEPT = timedelta(hours=24)
SLACK = timedelta(hours=1)  # a job that may be brought back may be so at its last moment, and that takes a while
PRUNED_AT_ONCE = 2_000


class KeptJobQuerySet(models.QuerySet["KeptJob"]):
    def of(self, deletion: BulkAction) -> "KeptJobQuerySet":
        """Return the jobs that a bulk action has deleted and nobody has brought back."""
        return self.filter(bulk=deletion, is_deleted=True)

    def queues(self) -> set[str]:
        """Return the queues in which these jobs were, each once."""
        return set(self.order_by().values_list("queue", flat=True).distinct())

    def keep(self, jobs: "Iterable[KeptJob]") -> None:
        """Write what a bulk action is about to delete; what it kept before it was cut short is written anew."""
        fresh = ("queue", "content", "unique_key", "kept_at", "is_deleted")
        KeptJob.objects.bulk_create(jobs, update_conflicts=True, update_fields=fresh, unique_fields=("job_id", "bulk"))

    def settle(self, deleted: Collection[str]) -> None:
        """Note which of these jobs are deleted indeed, and forget the others: they have changed and live on."""
        self.filter(job_id__in=deleted).update(is_deleted=True)
        self.filter(is_deleted=False).delete()

    def newest_of(self, job_id: str) -> "KeptJob | None":
        """Return a job as it was deleted last, None where that is longer ago than KEPT or did not happen."""
        found = self.filter(job_id=job_id, kept_at__gte=timezone.now() - KEPT)
        return found.defer("content").order_by("-pk").first()

    def prune(self, *, most: int | None = None, now: datetime | None = None) -> int:
        """Delete what was kept for its time, some at a time, and about `most` in all; returns how many."""
        limit, deleted = (now or timezone.now()) - KEPT - SLACK, 0
        while most is None or deleted < most:
            keys = list(self.filter(kept_at__lt=limit).values_list("pk", flat=True)[:PRUNED_AT_ONCE])
            if not keys:
                break
            deleted += self.model.objects.filter(pk__in=keys)._raw_delete(self.db)
        return deleted


class KeptJob(models.Model):
    """One job as Redis held it before it was deleted; the row goes when the job is brought back, or after a day."""

    job_id = models.TextField(_("job"))
    bulk = models.ForeignKey(
        BulkAction, models.CASCADE, null=True, db_index=False, related_name="+", verbose_name=_("bulk action"),
        help_text=_("That deleted it; empty where it was deleted by itself."),
    )  # fmt: skip
    queue = models.TextField(_("queue"), blank=True, db_default="", help_text=_("Empty: an older version kept it."))
    content = models.BinaryField(_("content"), help_text=_("As kept.lua packs it: nobody else opens it."))
    unique_key = models.CharField(_("unique key"), max_length=300, blank=True)
    kept_at = models.DateTimeField(_("kept"), default=timezone.now)
    is_deleted = models.BooleanField(_("deleted"), default=False, help_text=_("No: Redis has not said so yet."))

    objects = KeptJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("kept job")
        verbose_name_plural = _("kept jobs")
        constraints = [
            # An action that is cut short meets a batch again; and a job is looked for by its id.
            models.UniqueConstraint(fields=["job_id", "bulk"], name="kept_once_by_an_action")
        ]
        indexes = [
            models.Index(fields=["bulk", "id"], name="kept_by_an_action"),  # walked through to bring them back
            models.Index(fields=["kept_at"], name="kept_longest_first"),  # prune
        ]

    def __str__(self) -> str:
        return self.job_id

    @property
    def kept_until(self) -> datetime:
        """Until when it can be brought back."""
        return self.kept_at + KEPT
