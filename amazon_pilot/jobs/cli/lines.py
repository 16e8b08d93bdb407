"""Jobs as lines for a terminal."""

from ..inspect.as_json import Answer


def lines_of(rows: list[Answer]) -> list[str]:
    """Return jobs as lines for a terminal."""
    names = ("state", "queue", "job_id", "task")
    return ["  ".join([f"{row['when']:%F %T}" if row["when"] else "", *(row[name] for name in names)]) for row in rows]
