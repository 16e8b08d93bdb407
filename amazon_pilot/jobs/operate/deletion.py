"""Deleting jobs, and taking that back: what a job was is a row (KeptJob) before Redis forgets it, for a day.

A row says nothing yet: who is killed between the two steps leaves rows of jobs that live on. So Redis keeps, in the
step that deletes, the ids of the latest batch; `settle` reads them, and only what they prove is ever brought back.

What was outside of the job is not brought back: the place in the midst of a queue (it goes to the head, in the old
order), results of more than 64 KB, and an rq group, a rate limit's permit or a dependent that is no longer there.
"""

import json
from collections.abc import Iterable, Sequence

from rq.utils import as_text, utcformat

from ..core import queues
from ..core.enqueue import unique_key
from ..core.payload import unpacked
from ..core.registry import TASKS
from ..core.scripts import script
from ..core.values import Word
from ..models import BulkAction, KeptJob

BYTES_AT_ONCE = 4 * 1024**2  # what one answer of Redis weighs, about: a batch with large arguments comes in parts


def delete(
    row: BulkAction, ids: Sequence[str], *, distance: int | None = None, tally: tuple[str, str] = ("", "")
) -> int:  # fmt: skip
    """Keep and delete those jobs of a batch that were enqueued before it was asked; returns how many were deleted.

    `distance` and `tally` are those of `verbs.rearrange`. What changes between the two steps is left alone.
    """
    before, deleted = utcformat(row.created_at), 0
    left = list(reversed(ids))  # what is deleted from the end of a queue first goes back to its head first
    while left:
        number, found = _look(left, before)
        left = left[number:]
        if distance is None:
            found.sort(key=lambda job: bytes(job[1]), reverse=True)  # the newest first, likewise
        if not found:
            continue
        kept = [_kept(job, row) for job in found]
        KeptJob.objects.keep(kept)
        gone = _forget(found, _proof(f"bulk:{row.pk}"), distance=distance, tally=tally)
        KeptJob.objects.filter(pk__in=[job.pk for job in kept]).settle(gone)
        deleted += len(gone)
    return deleted


def keep_one(job_id: str) -> tuple[KeptJob, bytes] | None:
    """Write down what a job is, to be handed to `delete_one`; None where it is in no place to be deleted from.

    To be called outside of a transaction: what is not committed is lost together with its process.
    """
    _number, found = _look([job_id], "")
    if not found:
        return None
    kept = _kept(found[0], None)
    kept.save()
    return kept, found[0][1]


def delete_one(kept: KeptJob, mark: bytes) -> bool:
    """Have Redis forget a job that was kept; False where it has changed meanwhile, and is left alone."""
    proof = _proof(f"one:{kept.pk}")
    gone = _forget([[kept.job_id.encode(), mark]], proof)
    KeptJob.objects.filter(pk=kept.pk).settle(gone)
    queues.connection().delete(proof)
    return bool(gone)


def settle(row: BulkAction) -> None:
    """Learn from Redis which jobs of the batch that a dead worker left behind were deleted."""
    unsettled = KeptJob.objects.filter(bulk=row, is_deleted=False)
    if unsettled.exists():
        unsettled.settle(_proven(f"bulk:{row.pk}"))


def forget_proof(row: BulkAction) -> None:
    """Drop what Redis holds of an action that has ended and is settled."""
    queues.connection().delete(_proof(f"bulk:{row.pk}"))


def restore(rows: Iterable[KeptJob], tally: str) -> int:
    """Bring a batch of deleted jobs, by their keys, back where they were in one atomic step; returns how many.

    Left alone, with its row, is a job that exists again, that would have expired by now, whose unique task waits or
    runs as another job, or that waited for others which all have ended. `tally` is a hash in which Redis counts, and
    by which it knows what it has done: the same rows once more change nothing.
    """
    words: list[Word] = []
    last = 0
    for row in rows:
        words += [row.pk, row.job_id, row.unique_key, bytes(row.content)]
        last = row.pk
    script("kept")(queues.connection(), "restore", tally, last, *words)
    return forget_restored(tally)


def forget_restored(tally: str) -> int:
    """Drop the rows of the latest batch that was brought back, also after a crash; returns how many it were."""
    text = queues.connection().hget(tally, "last")
    keys = [int(key) for key in as_text(text).split(",")] if text else []
    KeptJob.objects.filter(pk__in=keys).delete()
    return len(keys)


def kept(job_id: str) -> KeptJob | None:
    """Return what a job was that was deleted within a day; None where there is no row, or no proof of that."""
    row = KeptJob.objects.newest_of(job_id)
    return row if row and (row.is_deleted or job_id in _proven(_owner(row))) else None


def restore_one(job_id: str) -> bool | None:
    """Bring one job back; False where that cannot be done, None where there is nothing to bring back."""
    row = kept(job_id)
    if row is None:
        return None
    tally = f"pilot:restored:{row.pk}"
    if restore(KeptJob.objects.filter(pk=row.pk), tally):
        return True
    queues.connection().delete(tally)  # it may be tried again
    return False


def _look(ids: Sequence[str], before: str) -> tuple[int, list[list[bytes]]]:
    unique = json.dumps([name for name, task in TASKS.items() if task.unique])
    number, found = script("kept")(queues.connection(), "keep", before, BYTES_AT_ONCE, unique, *ids)
    return int(number), found


def _kept(job: Sequence[bytes], row: BulkAction | None) -> KeptJob:
    id, _mark, task, data, content, queue = job
    key = ""
    if data:
        key = unique_key(TASKS[as_text(task)], unpacked(data))
    return KeptJob(job_id=as_text(id), bulk=row, queue=as_text(queue), content=content, unique_key=key)


def _forget(
    found: Sequence[Sequence[bytes]], proof: str, *, distance: int | None = None, tally: tuple[str, str] = ("", "")
) -> list[str]:  # fmt: skip
    words = [word for job in found for word in job[:2]]
    where = "" if distance is None else distance
    return [as_text(id) for id in script("kept")(queues.connection(), "forget", where, *tally, proof, *words)]


def _owner(row: KeptJob) -> str:
    return f"bulk:{row.bulk_id}" if row.bulk_id else f"one:{row.pk}"


def _proof(owner: str) -> str:
    return f"pilot:deleted:{owner}"


def _proven(owner: str) -> list[str]:
    return [as_text(id) for id in queues.connection().smembers(_proof(owner))]
