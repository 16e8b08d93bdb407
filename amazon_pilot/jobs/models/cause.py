"""Causes of failures by fingerprint: when each was first and last seen, and since when it is back.

The writer of the history keeps these rows, so that no page looks through the history for them.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

QUIET = timedelta(hours=24)  # a cause that was away for so long, and came again, is back


class Seen(NamedTuple):
    """One failure, as the writer of the history tells of it."""

    fingerprint: str
    task: str
    exception: str
    at: datetime


class CauseQuerySet(models.QuerySet["Cause"]):
    def note(self, failures: Iterable[Seen]) -> None:
        """Keep when causes were first and last seen; noting a failure twice changes nothing.

        Rows are written in one order for all, so that no two writers block each other.
        """
        spans: dict[str, list[Seen]] = {}
        for seen in failures:
            spans.setdefault(seen.fingerprint, []).append(seen)
        if not spans:
            return
        known = self.in_bulk(list(spans))
        Cause.objects.bulk_create(
            [_row(sorted(seen, key=lambda one: one.at), known.get(cause)) for cause, seen in sorted(spans.items())],
            update_conflicts=True, unique_fields=["fingerprint"], update_fields=["first_at", "last_at", "back_at"],
        )  # fmt: skip

    def new_since(self, moment: datetime) -> "CauseQuerySet":
        """Return the causes that were never seen before a moment, or came back after it."""
        return self.filter(Q(first_at__gte=moment) | Q(back_at__gte=moment))


def _row(seen: list[Seen], known: "Cause | None") -> "Cause":
    first, last = seen[0], seen[-1]
    row = Cause(
        fingerprint=first.fingerprint, task=last.task, exception=last.exception, first_at=first.at, last_at=last.at
    )
    if known is not None:
        is_back = first.at - known.last_at >= QUIET
        row.first_at, row.last_at = min(known.first_at, first.at), max(known.last_at, last.at)
        row.back_at = first.at if is_back else known.back_at
    return row


class Cause(models.Model):
    """One cause: failures of one task with one exception at one place."""

    fingerprint = models.CharField(_("fingerprint"), max_length=16, primary_key=True)
    task = models.CharField(_("task"), max_length=200)
    exception = models.CharField(_("exception"), max_length=200)
    first_at = models.DateTimeField(_("first seen"))
    last_at = models.DateTimeField(_("last seen"))
    back_at = models.DateTimeField(_("back since"), null=True, blank=True)

    objects = CauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("cause")
        verbose_name_plural = _("causes")
        indexes = [
            models.Index(fields=["-first_at"], name="causes_by_first_seen"),
            models.Index(fields=["-back_at"], name="causes_by_return", condition=Q(back_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.task}: {self.exception}"
