"""What keeps a queue's jobs waiting: the first true reason, and what holds the slots that serve it, since when."""

from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ..core.picture import Running
from .snapshot import Sample, running_in
from .words import span

NAMED = 2  # tasks in a sentence


@dataclass(frozen=True)
class Holder:
    """One task of one queue in the slots that serve a queue: in how many, and the job that runs for longest."""

    task: str
    queue: str
    number: int
    since: float  # Unix time
    job_id: str
    longest: list[Running]  # the slots, the one that runs for longest first

    @property
    def short(self) -> str:
        """The task without the word that all tasks share."""
        return self.task.replace(".tasks.", ".").removeprefix("amazon_pilot.")


@dataclass(frozen=True)
class Slots:
    """The slots of living workers that take jobs of a queue: how many there are, and what is in them."""

    total: int
    busy: int
    holders: list[Holder]

    @property
    def free(self) -> int:
        return self.total - self.busy


def slots(seen: Sample, queue: str) -> Slots:
    """Return the slots that serve a queue, by what they run: the task that holds most of them first."""
    serving = [worker for worker in seen.alive if queue in worker["queues"] and worker["state"] == "working"]
    busy = running_in(serving)
    groups: dict[tuple[str, str], list[Running]] = {}
    for slot in busy:
        groups.setdefault((slot["task"], slot["queue"]), []).append(slot)
    holders = [
        Holder(task, name, len(found), found[0]["since"], found[0]["job"], found[:5])
        for (task, name), found in groups.items()
    ]
    holders.sort(key=lambda holder: (-holder.number, holder.since))
    return Slots(sum(len(worker["slots"]) for worker in serving), len(busy), holders)


def verdict(seen: Sample, queue: str) -> str:
    """Return in a sentence why a queue's jobs wait, '' where nothing stands in their way but the jobs before them."""
    serving = [worker for worker in seen.alive if queue in worker["queues"]]
    if not serving:
        return _("No worker listens on it.")
    found = slots(seen, queue)
    if not found.total:
        return _("Every worker of its queue is quiet or leaves.")
    if not found.free:
        return held(found, seen.taken_at)
    line = seen.queue(queue)
    if line is not None and line.grows_by:
        return _("More comes in than goes out: it grows by %d a minute.") % max(1, round(line.grows_by))
    return ""


def held(found: Slots, now: float) -> str:
    """Say what holds all slots: how many by which task, and since when the longest runs."""
    told = [
        ngettext(
            "%(n)d by %(task)s (since %(span)s)", "%(n)d by %(task)s (the longest since %(span)s)", holder.number
        ) % {"n": holder.number, "task": holder.short, "span": span(max(0.0, now - holder.since))}
        for holder in found.holders[:NAMED]
    ]  # fmt: skip
    others = found.busy - sum(holder.number for holder in found.holders[:NAMED])
    if others:
        told.append(ngettext("%d by another task", "%d by other tasks", others) % others)
    text = ngettext("Its slot is held: %(what)s.", "All %(n)d slots are held: %(what)s.", found.total)
    return text % {"n": found.total, "what": ", ".join(told)}
