"""What the command line was given, by the names that argparse keeps it under, and what it is told."""

from typing import Any, TypeAlias, TypedDict

Told: TypeAlias = dict[str, Any]  # an answer for scripts, read for people: web/api_answers.py names its shapes


class Options(TypedDict, total=False):
    """The options of all verbs; each verb has those that it asks for."""

    verb: str
    json: bool
    user: str
    reason: str
    days: int
    queue: str
    question: str
    limit: int
    all: bool
    jsonl: bool
    cursor: str
    job: str
    jobs: list[str]
    until: str | None
    minutes: int
    arguments: str
    name: str
    worker: str
    slot: int | None
    yes: bool
    refresh: float
    task: str
    what: str
    ids: list[str]
    wait: bool
    dry_run: bool
    confirm: int | None
    token: str
