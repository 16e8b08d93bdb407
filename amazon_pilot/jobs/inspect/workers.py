"""The workers as they are told: what each shows of itself, and the newest failure that its slots had."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import TypedDict

from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from ..core.picture import Worker
from ..models import JobRun
from . import snapshot

LOOKED_AT = 1000  # the newest failures of all workers, within a week
WEEK = timedelta(days=7)


class LastError(TypedDict):
    """The newest attempt of a worker that raised or was lost, also where its job was tried again."""

    job_id: str
    task: str
    exception: str
    cause: str
    started_at: datetime


class Told(Worker):
    """A worker with its last error, None where there is none among the newest thousand of a week."""

    last_error: LastError | None


def last_errors(names: Collection[str]) -> dict[str, LastError]:
    """Return the newest failure of each of these workers, in one query that looks at a thousand rows at most."""
    if not names:
        return {}
    newest = (
        JobRun.objects.ended_badly().filter(started_at__gte=timezone.now() - WEEK).newest().values("pk")[:LOOKED_AT]
    )
    order = Window(RowNumber(), partition_by="worker", order_by=[F("started_at").desc(), F("id").desc()])
    rows = JobRun.objects.filter(pk__in=newest, worker__in=names).annotate(rank=order).filter(rank=1)
    return {row["worker"]: row for row in rows.values("worker", *LastError.__annotations__)}


def told() -> list[Told]:
    """Return every worker that was seen within an hour, with its last error. Raises RedisError."""
    workers = snapshot.current().workers
    errors = last_errors([worker["worker"] for worker in workers])
    return [{**worker, "last_error": errors.get(worker["worker"])} for worker in workers]
