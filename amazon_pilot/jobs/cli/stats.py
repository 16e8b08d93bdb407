"""`manage.py jobs stats`, `queue-history` and `retention`: figures in columns."""

from .options import Told

NOW = {
    "waiting": "waiting", "running": "running", "scheduled": "scheduled", "retry": "retries", "failed": "failed",
    "processed today": "processed_today", "failed today": "failed_today",
}  # fmt: skip
RATES = {"failed 24 h": "error_rate", "failed 1 h": "error_rate_hour"}
PER_DAY = ("processed", "succeeded", "failed")


def lines_of(seen: Told) -> list[str]:
    """Return the queues as a table with a total, the workers and Redis in a line each."""
    cells = [[queue["name"], *numbers(queue), *rates(queue)] for queue in seen["queues"]]
    cells.append(["total", *numbers(seen["total"]), *["-"] * (len(RATES) + 1)])
    for line, queue in zip(cells, seen["queues"], strict=False):
        line[0] += " (paused)" if queue["paused"] else ""
    workers, redis = seen["workers"], seen["redis"]
    memory = f"{redis['used_memory'] / 2**20:.1f} MiB (peak {redis['used_memory_peak'] / 2**20:.1f})"
    return [
        *table(["queue", *NOW, *RATES, "wait p95 1 h"], cells),
        f"workers: {workers['alive']} alive, {workers['busy']} of {workers['slots']} slots busy",
        f"Redis: version {redis['redis_version']}, memory {memory}",
    ]


def numbers(queue: Told) -> list[str]:
    return [shown(queue[key]) for key in NOW.values()]


def rates(queue: Told) -> list[str]:
    """Return the shares that failed, and how long 95 % of the last hour waited at most, about."""
    shares = ["-" if queue[key] is None else f"{queue[key]:.1%}" for key in RATES.values()]
    return [*shares, "-" if queue["wait_p95"] is None else f"{queue['wait_p95']:.1f} s"]


def lines_of_days(past: Told) -> list[str]:
    """Return days as a table."""
    return table(["day", *PER_DAY], [[day["day"], *(shown(day[name]) for name in PER_DAY)] for day in past["days"]])


def lines_of_retention(seen: Told) -> list[str]:
    """Return the kinds of rows as a table, when the next clean-up is, and what Redis keeps."""
    head, tried = ["rows", "days", "setting", "number", "oldest", "deletes", "MB"], ["if so", "deletes", "MB"]
    is_tried = any(kind["tried"] for kind in seen["kinds"])
    cells = []
    for kind in seen["kinds"]:
        oldest = kind["oldest"][:10] if kind["oldest"] else "-"
        cell = [kind["name"], str(kind["days"]), kind["variable"] or "fixed", written(kind["rows"]), oldest]
        cells.append([*cell, *doomed(kind["deletes"])])
        if is_tried:
            cells[-1] += [str(kind["tried"]["days"]), *doomed(kind["tried"])] if kind["tried"] else ["-"] * 3
    redis = seen["redis"]
    return [
        *table([*head, *tried] if is_tried else head, cells),
        f"of one queue at most {redis['failed_most']} failed jobs are kept",
        *(
            "{number} failed jobs of {queue} will be deleted from {from} on".format(**each)
            for each in redis["failed_going"]
        ),
        f"next clean-up: {seen['next_clean_up'] or 'none is planned'}",
        "Redis keeps a job that succeeded for {result_seconds} s, one that failed for {failure_seconds} s".format(
            **redis
        ),
    ]


def doomed(rows: Told) -> list[str]:
    """Return how many rows are deleted and how many megabytes that frees."""
    return [written(rows), f"{rows['bytes'] / 2**20:.1f}"]


def written(number: Told) -> str:
    """Return a count with a sign before it where it is not exact: ~ about, > more than."""
    return {"exactly": "", "about": "~", "more": ">"}[number["how"]] + str(number["value"])


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Return rows under their heads, the first column to the left and numbers to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return [
        "  ".join([f"{first:{widths[0]}}", *(f"{cell:>{w}}" for cell, w in zip(cells, widths[1:], strict=True))])
        for first, *cells in [head, *rows]
    ]


def shown(number: object) -> str:
    """Return a number, or a dash where nobody knows it."""
    return "-" if number is None else str(number)
