"""Batches: a fan-out and its children, so that they are one thing with one progress and one outcome."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypedDict, cast

from django.conf import settings
from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _
from rq import get_current_job

from ..core.enqueue import enqueue
from ..core.task import P, R, Task
from .expiring import ExpiringQuerySet
from .job_run import JobRun, Outcome
from .job_subject import JobSubject
from .person import Actor, known

KIND = "batch"  # of the subject that its children carry
FAILED = (Outcome.FAILED, Outcome.STOPPED, Outcome.LOST)
Calls = Iterable[tuple[object, ...]]


@dataclass
class Progress:
    """How many children of a batch there are by what became of them last; those without a run have not begun."""

    of: "Batch"
    outcomes: dict[str, int] = field(default_factory=dict)

    @property
    def succeeded(self) -> int:
        return self.outcomes.get(Outcome.SUCCEEDED, 0)

    @property
    def failed(self) -> int:
        return sum(self.outcomes.get(outcome, 0) for outcome in FAILED)

    @property
    def running(self) -> int:
        return self.outcomes.get(Outcome.STARTED, 0)

    @property
    def retrying(self) -> int:
        """How many wait for another attempt, after a failure or because their worker was lost."""
        return self.outcomes.get(Outcome.RETRYING, 0)

    @property
    def waiting(self) -> int:
        """How many have not begun: they wait, or were taken out of their queue before."""
        return max(0, self.of.children - sum(self.outcomes.values()))

    @property
    def ended(self) -> int:
        return self.succeeded + self.failed

    @property
    def percent(self) -> int:
        """How many of a hundred have ended; 100 only if all have."""
        return 100 * self.ended // self.of.children if self.of.children else 100

    @property
    def state(self) -> str:
        """The word of what became of it: waiting while nothing has begun, running, failed if a child has, succeeded."""
        if self.ended < self.of.children:
            return "started" if self.outcomes else "queued"
        return "failed" if self.failed else "succeeded"


def is_number(kind: str, key: str) -> bool:
    """Tell whether a subject, divided at its colon, is that of a batch that can be looked up."""
    return kind == KIND and key.isascii() and key.isdigit() and len(key) < 19


class Counted(TypedDict):
    """How many children of a batch have one outcome."""

    subject: str
    last: str
    number: int


class BatchQuerySet(ExpiringQuerySet["Batch"]):
    def fan_out(self, task: Task[P, R], calls: Calls, *, by: Actor = None) -> "Batch | None":
        """Enqueue `task` once for each tuple of arguments, as `enqueue_many` does, and keep that they belong together.

        `by` is who asked; without one it is the job that runs now, if one does. A single call is a job and no batch:
        then None is returned, as where there is nothing to do. Raises what `enqueue_many` raises.
        """
        listed = list(calls)
        if len(listed) < 2:
            task.enqueue_many(listed)
            return None
        running = get_current_job()
        with transaction.atomic():
            batch = self.create(
                task=task.name, children=len(listed), by=known(by), parent=running.id if running else ""
            )
            asked = task.options(queue=task.queue, at_front=task.at_front, about=[*task.subjects, batch.subject])
            enqueue(asked, [(tuple(call), {}) for call in listed], sent=batch.note_sent)
        return batch

    def around(self, job_id: str, subjects: Iterable[str], most: int = 5) -> "BatchQuerySet":
        """Return the batches that a job made, and those of which its subjects make it a child, the newest first."""
        keys = [key for kind, _colon, key in (each.partition(":") for each in subjects) if is_number(kind, key)]
        made = models.Q(parent=job_id) & ~models.Q(parent="")  # said twice for PostgreSQL: the index holds no other
        return self.filter(made | models.Q(pk__in=keys)).order_by("-pk")[:most]

    def progress(self) -> list[Progress]:
        """Return how far each of these is, in two queries; what is read are their children, so take few of them."""
        found = {batch.subject: Progress(batch) for batch in self}
        for row in self._outcomes(list(found)):
            found[row["subject"]].outcomes[row["last"]] = row["number"]
        return list(found.values())

    def _outcomes(self, subjects: list[str]) -> Iterable[Counted]:
        """Count the children that have begun by subject and the outcome of their last attempt."""
        runs = JobRun.objects.filter(job_id=models.OuterRef("job_id")).order_by("-started_at", "-id")
        again = models.When(outcome=Outcome.LOST, is_poison=False, then=models.Value(Outcome.RETRYING.value))
        last = runs.annotate(word=models.Case(again, default="outcome")).values("word")[:1]
        children = JobSubject.objects.filter(subject__in=subjects).annotate(last=models.Subquery(last))
        counted = children.filter(last__isnull=False).order_by().values("subject", "last")
        return cast(Iterable[Counted], counted.annotate(number=models.Count("pk")))


class Batch(models.Model):
    """One fan-out. `children` are the jobs that it made; calls that joined a unique job that waited or ran are none."""

    task = models.CharField(_("task"), max_length=200)
    at = models.DateTimeField(_("time"), db_default=Now())
    sent_at = models.DateTimeField(_("enqueued at"), null=True, help_text=_("Empty while Redis has not taken it."))
    children = models.PositiveIntegerField(_("jobs"))
    joined = models.PositiveIntegerField(_("joined"), default=0)
    parent = models.CharField(_("job that made it"), max_length=100, blank=True)
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("by")
    )

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["-at"], name="batches_newest_first"),
            models.Index(fields=["parent"], name="batches_of_a_job", condition=~models.Q(parent="")),
        ]

    def __str__(self) -> str:
        return f"{self.task} #{self.pk}"

    @property
    def subject(self) -> str:
        """What its children are about, beside the rest."""
        return f"{KIND}:{self.pk}"

    def note_sent(self, joined: int) -> None:
        """Note that Redis has taken its calls, so many of which joined jobs that were there."""
        Batch.objects.filter(pk=self.pk).update(sent_at=Now(), joined=joined, children=models.F("children") - joined)
