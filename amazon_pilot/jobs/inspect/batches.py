"""Fan-outs and how far each is: the newest first, some at a time."""

from typing import Any

from ..models import Batch

SHOWN = 20


def newest(before: int | None = None) -> dict[str, Any]:
    """Return the batches before one of them, how far each is, and behind which the next part begins (None: the end)."""
    rows = Batch.objects.select_related("by").order_by("-pk")
    part = rows.filter(pk__lt=before) if before else rows
    found = part[: SHOWN + 1].progress()
    return {"rows": found[:SHOWN], "before": found[SHOWN - 1].of.pk if len(found) > SHOWN else None}
