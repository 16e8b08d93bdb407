"""What jobs were about: a row for each subject of a job that began, looked up by the subject."""

from collections.abc import Collection, Iterable
from datetime import datetime

from django.db import models
from django.utils.translation import gettext_lazy as _

from .expiring import ExpiringQuerySet

MOST_JOBS = 500  # of which a search reads the runs


class JobSubjectQuerySet(ExpiringQuerySet["JobSubject"]):
    def note(self, rows: Iterable[tuple[str, str, datetime]]) -> None:
        """Keep subjects, job ids and starts; what is there already stays as it is."""
        found = [JobSubject(subject=subject, job_id=job_id, at=at) for subject, job_id, at in sorted(set(rows))]
        JobSubject.objects.bulk_create(found, ignore_conflicts=True, batch_size=500)

    def jobs(self, subjects: Collection[str], most: int = MOST_JOBS) -> list[str]:
        """Return the newest jobs that were about one of some subjects."""
        newest = self.filter(subject__in=subjects).order_by("-at", "-pk").values_list("job_id", flat=True)[:most]
        return list(dict.fromkeys(newest))


class JobSubject(models.Model):
    """One thing that one job was about, such as product:17; `at` is the start of its first attempt."""

    subject = models.CharField(_("about"), max_length=120)
    job_id = models.CharField(_("job"), max_length=100)
    at = models.DateTimeField(_("started at"))

    objects = JobSubjectQuerySet.as_manager()

    class Meta:
        verbose_name = _("subject")
        verbose_name_plural = _("subjects")
        constraints = [models.UniqueConstraint(fields=["subject", "job_id"], name="one_row_per_subject_of_a_job")]
        indexes = [
            models.Index(fields=["subject", "-at"], name="jobs_about_a_subject"),
            models.Index(fields=["job_id"], name="subjects_of_a_job"),
            models.Index(fields=["at"], name="subjects_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.subject}: {self.job_id}"
