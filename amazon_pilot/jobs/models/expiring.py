"""Rows that grow old: which of them may be deleted, and deleting them in short steps that a kill may fall between."""

from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar, Self, TypeVar

from django.db import models

M = TypeVar("M", bound=models.Model)

BATCH = 2000  # rows: a writer of SQLite waits for one step, and no longer


class ExpiringQuerySet(models.QuerySet[M]):
    """Rows whose age is told by one column, with which an index begins."""

    clock: ClassVar[str] = "at"

    def older(self, before: datetime) -> Self:
        """Return the rows from before a moment, whether they may be deleted or not."""
        return self.filter(**{f"{self.clock}__lt": before})

    def expired(self, before: datetime) -> Self:
        """Return the rows from before a moment that may be deleted."""
        return self.older(before)

    def prune(self, before: datetime, *, batch: int = BATCH) -> int:
        """Delete the rows from before a moment that may be deleted; returns how many."""
        return sum(self.prune_in_steps(before, batch=batch))

    def prune_in_steps(self, before: datetime, *, batch: int = BATCH) -> Iterator[int]:
        """Delete like `prune`, the oldest first, and yield after each statement how many rows it deleted.

        Outside of a transaction each step stays, so that whoever begins anew goes on where this one was stopped.
        """
        rows, start = self.expired(before).order_by(self.clock), None
        while True:
            # From where the last step ended: to come from the beginning would pass over all that was deleted.
            left = rows.filter(**{f"{self.clock}__gte": start}) if start else rows
            if not (found := list(left.values_list("pk", self.clock)[:batch])):
                return
            start = found[-1][1]
            yield self.model._default_manager.filter(pk__in=[pk for pk, _at in found]).delete()[0]
