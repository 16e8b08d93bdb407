"""What is drawn: runs and waits over a window of time, what a queue held meanwhile, and what all queues hold now.

Runs come from tallies and sizes from readings; the history itself is never scanned.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import cast

from django.utils.translation import gettext_lazy as _

from ..core.values import Answer, Text
from ..models import Reading, Release, Tally
from ..models.tally import Summed, counts
from .snapshot import QueueSample, Sample
from .window import Window

MOST_TAIL = timedelta(minutes=15)  # what was not yet folded is counted on the spot, so much of it at most


GOOD, BAD = {"succeeded"}, {"failed", "lost"}


def series(window: Window, *, queue: str = "", task: str = "") -> Answer:
    """Return the points of a window: times in seconds, runs per step by what became of them, average wait in seconds.

    Steps without a run are 0; their wait is None, since nothing waited, and so is their error rate, in percent.
    """
    at = list(window.steps)
    totals: dict[int, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0, 0.0])
    for row in [*_folded(window, queue, task), *_tail(window, queue, task)]:
        slot = totals[window.step_of(row["at"])]
        column = 0 if row["outcome"] in GOOD else 1 if row["outcome"] in BAD else 2
        slot[column] += row["count"]
        slot[3] += row["wait_sum"]
        slot[4] = max(slot[4], row["wait_max"])
    points = [totals.get(moment, [0, 0, 0, 0.0, 0.0]) for moment in at]
    runs = [point[0] + point[1] + point[2] for point in points]
    end = window.end.timestamp()  # of the last step, which may have only begun
    spans = [max(1.0, min(after, end) - moment) for moment, after in pairwise(window.edges)]
    return {
        "at": at,
        "step": window.step,
        "is_coarse": window.is_coarse,
        "succeeded": [point[0] for point in points],
        "failed": [point[1] for point in points],
        "other": [point[2] for point in points],
        "per_second": [round(n / span, 3) for n, span in zip(runs, spans, strict=True)],
        "failed_per_second": [round(point[1] / span, 3) for point, span in zip(points, spans, strict=True)],
        "error_rate": [round(point[1] / n * 100, 1) if n else None for point, n in zip(points, runs, strict=True)],
        "wait": [round(point[3] / n, 3) if n else None for point, n in zip(points, runs, strict=True)],
        "longest_wait": [round(point[4], 3) if n else None for point, n in zip(points, runs, strict=True)],
    }


def _narrowed(queue: str, task: str) -> dict[str, str]:
    return {name: value for name, value in (("queue", queue), ("task", task)) if value}


def _folded(window: Window, queue: str, task: str) -> Iterable[Summed]:
    tallies = Tally.objects.between(window.span, window.start, window.end).filter(**_narrowed(queue, task))
    return cast(Iterable[Summed], tallies.values("at", "outcome", "count", "wait_sum", "wait_max"))


def _tail(window: Window, queue: str, task: str) -> Iterable[Summed]:
    """Count what ended after the last tallied minute; nothing where the window ended before."""
    earliest = window.now - MOST_TAIL
    if window.end <= earliest:
        return []
    known = Tally.objects.counted_until()
    start = max(known + timedelta(minutes=1) if known else earliest, earliest)
    return [row for row in counts(start, window.end) if queue in ("", row["queue"]) and task in ("", row["task"])]


def releases(window: Window) -> list[Answer]:
    """Return the releases that were marked within a window, each with its second and its name."""
    found = Release.objects.between(window.start, window.end)
    return [{"at": int(release.at.timestamp()), "name": release.name} for release in found]


GAUGES = ("waiting", "running", "scheduled", "retries", "held", "failed", "canceled", "memory")


def gauges(window: Window, queue: str) -> Answer:
    """Return what a queue held over a window, at the times of `series`: means, and the worst age in seconds.

    None stands for a step in which nothing was read, and for what was not known; `size` is what lay in the queue in any
    state but failed and canceled.
    """
    found: dict[int, list[Reading]] = defaultdict(list)
    readings = Reading.objects.between(window.span, window.start, window.end).filter(queue=queue)
    for row in readings.only("at", "oldest", *GAUGES):
        found[window.step_of(row.at)].append(row)
    points = [found.get(moment, []) for moment in window.steps]
    means: Answer = {gauge: [_mean([getattr(row, gauge) for row in rows]) for rows in points] for gauge in GAUGES}
    sizes = [[row.waiting + row.running + row.scheduled + row.held for row in rows] for rows in points]
    oldest = [max((row.oldest for row in rows), default=None) for rows in points]
    return means | {"size": [_mean(rows) for rows in sizes], "oldest": oldest}


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known) / len(known), 1) if known else None


# The states of the bars in their order: the sample's name, the box's, and what it means.
BARS = (
    ("waiting", "queued", _("Waiting"), _("Ready; a free slot takes it.")),
    ("running", "started", _("Running"), _("A worker has it in a slot.")),
    ("scheduled", "scheduled", _("Scheduled"), _("Comes onto the queue at its time: delayed jobs and retries.")),
    ("deferred", "deferred", _("Held"), _("Kept back by a person, a pause, or another job that has to end first.")),
    ("failed", "failed", _("Failed"), _("Failed for good; kept until it is retried, deleted or too old.")),
    ("canceled", "canceled", _("Canceled"), _("Taken out by a person before it ran.")),
)


NARROWEST = 2.0  # percent of the width: a part that is there can be seen and hit


@dataclass(frozen=True)
class Part:
    """One state of one bar; `x` and `width` are percent of the chart."""

    state: str
    asked: str
    label: Text
    count: int
    x: float
    width: float


@dataclass(frozen=True)
class Bar:
    """One queue, its jobs by state."""

    queue: str
    total: int
    parts: list[Part]
    counts: list[tuple[Text, str, int]]  # every state: its label, its name for the box, and how many


def bars(seen: Sample) -> list[Bar]:
    """Return a bar for each queue, the longest of which is as wide as the chart."""
    longest = max((_total(queue) for queue in seen.queues), default=0)
    return [_bar(queue, longest) for queue in seen.queues]


def _total(queue: QueueSample) -> int:
    return sum(getattr(queue, state) for state, *_words in BARS)


def _bar(queue: QueueSample, longest: int) -> Bar:
    numbers = [(state, asked, label, int(getattr(queue, state))) for state, asked, label, _meaning in BARS]
    there = [entry for entry in numbers if entry[3]]
    space = 100 - NARROWEST * len(there)  # beside what each part has in any case
    parts, x = [], 0.0
    for state, asked, label, count in there:
        width = NARROWEST + space * count / longest
        parts.append(Part(state, asked, label, count, round(x, 2), round(width, 2)))
        x += width
    return Bar(queue.name, _total(queue), parts, [(label, asked, count) for _state, asked, label, count in numbers])
