"""Jobs as lines for a terminal."""

import json

from .options import Told


def lines_of(rows: list[Told]) -> list[str]:
    """Return jobs as lines for a terminal."""
    names = ("state", "queue", "job_id", "task")
    return ["  ".join([f"{row['when']:%F %T}" if row["when"] else "", *(row[name] for name in names)]) for row in rows]


def shown(text: str) -> str:
    """Return a text with the signs that a terminal would obey by their codes, as JSON writes them and reads them back.

    A job's arguments, its log and its error may hold escape sequences and marks that turn the direction of a line.
    """
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign in "\n\t" else json.dumps(sign)[1:-1] for sign in text)


def line_of_worker(row: Told) -> str:
    """Return a worker: its state, busy slots, hours since its start, processor, version, and last error."""
    runs, error = row.get("runs") or {}, row["last_error"]
    cells = [f"{row['worker']:20}{row['shown_state']:8}{row['busy']}/{len(row['slots'])} slots"]
    cells.append(f"up {row.get('uptime', 0) / 3600:.1f} h")
    if row.get("cpu") is not None:
        cells.append(f"{row['cpu']:.0%} processor")
    if runs:
        cells.append(" ".join(filter(None, (runs["version"], runs["release"], f"python {runs['python']}"))))
    if error:
        cells.append(f"last error {error['started_at']:%F %T} {error['exception'] or error['cause']} {error['job_id']}")
    return "  ".join(cells)


def lines_of_limits(seen: Told) -> list[str]:
    """Return the rate limits, each with its holders, and the unique keys."""
    lines = []
    for limit in seen["limits"]:
        permits = "-" if limit["permits"] is None else limit["permits"]
        lines.append(f"{limit['name']}: {limit['held']} of {permits} permits held, {limit['waiting']} waiting")
        lines += [f"  {holder_line(each)}" for each in limit["holders"]]
    lines += [f"unique: {holder_line(each)}, {each['joined']} joined" for each in seen["keys"]]
    if not seen["is_whole"]:
        lines.append("there are more unique keys; these are among the oldest")
    return lines + following(seen)


def holder_line(each: Told) -> str:
    until = f" until {each['until']:%F %T}" if each["until"] else ""
    return f"{each['job_id']} {each['task']} {each['state']} since {each['since']:%F %T}{until}"


def lines_of_batches(seen: Told) -> list[str]:
    """Return fan-outs, a line each."""
    counts = ("waiting", "running", "retrying", "succeeded", "failed")
    lines = [
        f"{each['id']}  {each['at']:%F %T}  {each['task']}  {each['percent']} % of {each['jobs']}  "
        + ", ".join(f"{each[name]} {name}" for name in counts)
        for each in seen["batches"]
    ]
    return lines + following(seen)


def following(seen: Told) -> list[str]:
    """Return the line that says how to go on, none at the end."""
    return [f"more: --from {seen['next']}"] if seen["next"] else []
