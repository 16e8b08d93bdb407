"""Fan-outs and how far each is: the newest first, some at a time."""

from typing import TypedDict

from ..models import Batch
from ..models.batch import Progress

SHOWN = 20


class Part(TypedDict):
    """Some batches, how far each is, and behind which the next part begins (None: the end)."""

    rows: list[Progress]
    before: int | None


def newest(before: int | None = None) -> Part:
    """Return the newest of the batches before one of them, or of all."""
    rows = Batch.objects.select_related("by").order_by("-pk")
    part = rows.filter(pk__lt=before) if before else rows
    found = part[: SHOWN + 1].progress()
    return {"rows": found[:SHOWN], "before": found[SHOWN - 1].of.pk if len(found) > SHOWN else None}
