"""Percentiles from the buckets that tallies keep: as exact as a bucket is wide, for any number of runs."""

from collections.abc import Sequence

from ..models.total import BUCKETS


def percentile(heights: Sequence[int], share: float, longest: float) -> float | None:
    """Return the seconds that `share` of all runs do not exceed, None of nothing.

    It is off by the width of its bucket at most, as within one the runs are taken to lie evenly; `longest` is the
    longest run of all, so that what lies in the last bucket, which has no upper bound, is told too.
    """
    total = sum(heights)
    if not total:
        return None
    wanted, below = share * total, 0
    for n, height in enumerate(heights):
        if height and below + height >= wanted:
            low = BUCKETS[n - 1] if n else 0.0
            high = min(BUCKETS[n], longest) if n < len(BUCKETS) else longest
            return low + max(0.0, high - low) * (wanted - below) / height
        below += height
    return longest
