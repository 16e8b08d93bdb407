"""What an operator asked to be done to many jobs at once: written before it starts, so that it can be watched."""

import uuid
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..core.values import Text
from .expiring import ExpiringQuerySet
from .person import Actor


class BulkActionQuerySet(ExpiringQuerySet["BulkAction"]):
    clock = "created_at"

    def claim(self, pk: int, **counts: int) -> bool:
        """Move from waiting to running, or go on with what a dead worker began; False means that it has ended.

        Its task is unique, so that no two workers run one action. Who goes on looks through everything that is left
        from the beginning, so `counts` are set to what will not be met again.
        """
        now, running = timezone.now(), BulkAction.State.RUNNING
        if self.filter(pk=pk, state=BulkAction.State.WAITING).update(state=running, started_at=now):
            return True
        return self.filter(pk=pk, state=running).update(error="", **counts) == 1

    def add(self, pk: int, **counts: int) -> bool:
        """Add a batch to the counts; False means that the action was aborted, and no further batch may be begun."""
        more = {name: models.F(name) + number for name, number in counts.items()}
        if self.filter(pk=pk, state=BulkAction.State.RUNNING).update(**more):
            return True
        self.filter(pk=pk).update(**more)
        return False

    def end(self, pk: int) -> None:
        """Note when it ended; one that was not aborted is done."""
        now = timezone.now()
        self.filter(pk=pk, state=BulkAction.State.RUNNING).update(state=BulkAction.State.DONE, ended_at=now)
        self.filter(pk=pk, state=BulkAction.State.ABORTED, ended_at__isnull=True).update(ended_at=now)

    def fail(self, pk: int, error: str, *, is_final: bool) -> None:
        """Note an error; where it is final the action has failed, else its task is tried again."""
        running = self.filter(pk=pk, state=BulkAction.State.RUNNING)
        if is_final:
            running.update(error=error, state=BulkAction.State.FAILED, ended_at=timezone.now())
        else:
            running.update(error=error)

    def forgotten(self) -> list[int]:
        """Return the keys of actions that were asked for a minute ago or more and have not ended."""
        before = timezone.now() - timedelta(minutes=1)
        return list(self.filter(ended_at__isnull=True, created_at__lt=before).values_list("pk", flat=True))

    def abort(self, pk: int, by: Actor) -> bool:
        """Ask a bulk action to stop; it does so before its next batch. False where it has ended already."""
        open_states = (BulkAction.State.WAITING, BulkAction.State.RUNNING)
        return self.filter(pk=pk, state__in=open_states).update(state=BulkAction.State.ABORTED, aborted_by=by) == 1

    def expired(self, before: datetime) -> Self:
        """Return the ended actions that were asked for before a moment; the audit keeps its line of each."""
        return self.older(before).filter(ended_at__isnull=False)


class BulkAction(models.Model):
    """One action over every job that a search matches, carried out in the background."""

    class State(models.TextChoices):
        WAITING = "waiting", _("Waiting")
        RUNNING = "running", _("Running")
        DONE = "done", _("Done")
        ABORTED = "aborted", _("Aborted")
        FAILED = "failed", _("Failed")

    token = models.UUIDField(
        default=uuid.uuid4,
        unique=True,
        editable=False,
        help_text=_("Made with the form: a second click finds the row."),
    )
    action = models.CharField(_("action"), max_length=40, help_text=_("The name of an operation."))
    query = models.TextField(_("search"), blank=True)
    ids = models.JSONField(_("chosen jobs"), default=list, blank=True)
    to_queue = models.CharField(_("to queue"), max_length=100, blank=True)
    until = models.DateTimeField(_("until"), null=True, help_text=_("Until when jobs are put off."))
    undoes = models.ForeignKey(
        "self", models.CASCADE, null=True, related_name="undone_by", verbose_name=_("takes back"),
        help_text=_("The deletion of which the jobs are brought back."),
    )  # fmt: skip
    reason = models.TextField(_("reason"), blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("by"))
    aborted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+", verbose_name=_("aborted by")
    )
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.WAITING)
    expected = models.PositiveIntegerField(_("expected"), null=True, help_text=_("As previewed; empty if unknown."))
    seen = models.PositiveIntegerField(_("looked at"), default=0)
    matched = models.PositiveIntegerField(_("matched"), default=0)
    changed = models.PositiveIntegerField(_("changed"), default=0)
    asked = models.PositiveIntegerField(_("asked to end"), default=0, help_text=_("Running jobs among the changed."))
    error = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(_("asked for"), auto_now_add=True)
    started_at = models.DateTimeField(_("started"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)

    objects = BulkActionQuerySet.as_manager()

    class Meta:
        verbose_name = _("bulk action")
        verbose_name_plural = _("bulk actions")
        ordering = ["-created_at"]
        permissions = [
            ("operate_jobs", _("Can steer single jobs, and pause queues")),
            ("edit_jobs", _("Can edit, move and delete jobs")),
            ("administer_jobs", _("Can drain queues, stop workers and delete jobs in bulk")),
        ]
        indexes = [models.Index(fields=["-created_at"], name="bulk_newest_first")]
        constraints = [
            # Two at once could bring a job back twice, the second time when it has run and is gone.
            models.UniqueConstraint(
                fields=["undoes"], condition=models.Q(ended_at__isnull=True), name="taken_back_by_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.query or len(self.ids)}"

    @property
    def target(self) -> str:
        """The name of this action in the audit."""
        return f"bulk:{self.pk}"

    @property
    def result(self) -> Text:
        """The state in words; one that is done and has changed nothing says that."""
        is_empty = self.state == self.State.DONE and not self.changed
        return _("Nothing was changed") if is_empty else self.get_state_display()

    @property
    def sign(self) -> str:
        """The state by which the page chooses sign and colour: what changed nothing is no success."""
        is_empty = self.state == self.State.DONE and not self.changed
        return "aborted" if is_empty else self.state

    @property
    def left_alone(self) -> int:
        """How many matched, and were in no place where the action makes sense by the time it came to them."""
        return max(0, self.matched - self.changed)

    @property
    def removed(self) -> int:
        """How many a cancellation took out of their places; of the others that it changed it is not yet known."""
        return self.changed - self.asked

    @property
    def is_over(self) -> bool:
        """Whether nothing more will be changed, or what was asked to stop is about to."""
        return self.state not in (self.State.WAITING, self.State.RUNNING)

    @property
    def percent(self) -> int | None:
        """How much of the expected was looked at; None where nobody knew how much to expect."""
        if self.state == self.State.DONE:
            return 100
        return min(99, self.seen * 100 // self.expected) if self.expected else None
