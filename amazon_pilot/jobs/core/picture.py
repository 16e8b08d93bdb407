"""What a worker shows of itself each second: written as JSON by its heartbeat, read by whoever looks."""

from typing import NotRequired, TypedDict


class Slot(TypedDict):
    """One slot; what it runs is said only while it runs something."""

    slot: int
    pid: int
    jobs: int
    job: NotRequired[str]
    execution: NotRequired[str]
    task: NotRequired[str]
    queue: NotRequired[str]
    since: NotRequired[float]  # Unix time
    percent: NotRequired[int | None]
    progress: NotRequired[str]
    memory: NotRequired[int | None]
    cancelled: NotRequired[bool]


class Versions(TypedDict):
    """What a worker runs: the release, '' for none, and the versions of this project, Python and rq."""

    release: str
    version: str
    python: str
    rq: str


class Picture(TypedDict):
    """One worker. `queues` are its weights; since it was born, `takes` were taken by queue, `ended` by what came.

    `cpu` is the share of one processor that it and its slots used lately; an older worker tells neither it nor `runs`.
    """

    worker: str
    state: str
    pid: int
    host: str
    born: float
    clock: float
    queues: dict[str, int]
    takes: dict[str, int]
    ended: dict[str, int]
    slots: list[Slot]
    cpu: NotRequired[float | None]
    runs: NotRequired[Versions]


class Worker(Picture):
    """A worker's picture with what only an observer can say."""

    seen: float
    silence: float
    busy: int
    is_alive: bool
    shown_state: str
    skew: float
    uptime: float  # seconds from its start until it was seen


class Running(Slot):
    """A busy slot with its worker's name."""

    worker: str
