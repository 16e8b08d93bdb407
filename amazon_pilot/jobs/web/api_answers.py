"""The shapes of what the monitor's JSON answers. Ages and spans are seconds; times are in UTC."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict


class ErrorBody(BaseModel):
    code: str
    message: str


class Error(BaseModel):
    """The one form of every refusal: a word for scripts, a sentence for people."""

    error: ErrorBody


class Outcome(BaseModel):
    """How much was changed, in a number and in words, and the id of a job that was made for it."""

    count: int
    message: str
    job: str | None = None


class QueueNow(BaseModel):
    """One queue; null is not known."""

    name: str
    weight: int
    waiting: int
    running: int
    scheduled: int
    deferred: int
    failed: int
    oldest: float
    in_per_minute: float | None
    out_per_minute: float | None
    drain_seconds: float | None
    paused: bool
    memory: int | None


class Queues(BaseModel):
    """What each queue holds, and until when (Unix time, 0 for good) what is paused."""

    taken_at: datetime
    queues: list[QueueNow]
    paused: dict[str, float]


class JobRow(BaseModel):
    """A run of the history, or a job that has not ended; `when` is its start or its time."""

    job_id: str
    task: str
    args: object
    kwargs: object
    queue: str
    state: str
    when: datetime | None
    wait: float | None
    duration: float | None
    attempt: int
    exception: str
    message: str
    worker: str
    due: float | None
    why: str


class Present(BaseModel):
    """What has not ended: `number` match of the `looked_at` that were looked at, of `total`."""

    jobs: list[JobRow]
    number: int
    looked_at: int
    total: int
    states: dict[str, int]


class Jobs(BaseModel):
    """One page of jobs; `next` goes into `from` of the next question, and is empty at the end."""

    present: Present | None
    jobs: list[JobRow]
    total: int | None
    is_more_than: bool
    next: str
    note: str


class Attempt(BaseModel):
    """One attempt of a job."""

    job_id: str
    execution_id: str
    task: str
    queue: str
    args: object
    kwargs: object
    attempt: int
    outcome: str
    cause: str
    exception: str
    message: str
    enqueued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    retry_at: datetime | None
    wait: float | None
    duration: float | None
    worker: str
    slot: int | None
    progress: object
    traceback: str
    log: str
    result: object


class JobNow(BaseModel):
    """Everything known of one job; `waits` says why it waits, `stack` where it is if that was asked for."""

    job_id: str
    state: str
    task: str
    queue: str
    args: object
    kwargs: object
    waits: str
    progress: object
    stack: object
    attempts: list[Attempt]


class Worker(BaseModel):
    """A worker as it shows itself, with its slots.

    `uptime` are seconds, `cpu` is the share of one processor used lately, `runs` its release and versions, and
    `last_error` the newest attempt on it that raised or was lost; null is not known.
    """

    model_config = ConfigDict(extra="allow")
    worker: str
    is_alive: bool
    busy: int
    uptime: float | None = None
    cpu: float | None = None
    runs: dict[str, str] | None = None
    last_error: dict[str, object] | None
    slots: list[dict[str, object]]


class Workers(BaseModel):
    workers: list[Worker]


class Warning(BaseModel):
    """A setting of Redis that may lose jobs, and what to do about it."""

    text: str
    remedy: str
    grave: bool


class RedisNow(BaseModel):
    info: dict[str, object]
    warnings: list[Warning]


class QueueToday(BaseModel):
    """What a queue holds, what ended in it today, shares that failed within 24 hours and one; null is not known.

    `wait_p95` are seconds: 95 % of what ended in the last hour waited no longer, about.
    """

    model_config = ConfigDict(extra="allow")
    name: str
    paused: bool
    waiting: int
    running: int
    scheduled: int
    retries: int | None
    deferred: int
    failed: int
    processed_today: int
    succeeded_today: int
    failed_today: int
    error_rate: float | None
    error_rate_hour: float | None
    wait_p95: float | None


class Ended(BaseModel):
    processed: int
    succeeded: int
    failed: int


class Compared(BaseModel):
    """What ended today up to a whole hour, and a week ago up to the same one."""

    until: datetime
    today: Ended
    week_ago: Ended


class WorkersNow(BaseModel):
    alive: int
    busy: int
    slots: int


class Stats(BaseModel):
    """All queues at a glance, and their total."""

    taken_at: datetime
    weighed_at: datetime | None
    queues: list[QueueToday]
    total: dict[str, int | None]
    against_last_week: Compared
    workers: WorkersNow
    redis: dict[str, object]


class Day(BaseModel):
    day: str
    processed: int
    succeeded: int
    failed: int


class Days(BaseModel):
    """What ended on each day, today first."""

    queue: str
    days: list[Day]


class Retention(BaseModel):
    """How long each kind of row is kept, what the next clean-up deletes, and what other days would."""

    at: datetime
    next_clean_up: datetime | None
    kinds: list[dict[str, object]]
    redis: dict[str, object]


class Fire(BaseModel):
    """One fire of an entry and the last run of its job; null where there is none yet."""

    planned_at: datetime
    decided_at: datetime | None
    enqueued_at: datetime | None
    lag_seconds: float | None
    outcome: str
    job_id: str
    suppressed: object
    note: str
    run: dict[str, object] | None


class EntryNow(BaseModel):
    """One entry of the schedule, in words, with its next times and its last fire."""

    model_config = ConfigDict(extra="allow")
    name: str
    words: str
    cron: str
    zone: str
    task: str
    args: object
    queue: str
    is_paused: bool
    broken: str
    from_settings: bool
    next_at: datetime | None
    paused: dict[str, object] | None
    next_fires: list[dict[str, object]]
    last_fire: Fire | None


class Entries(BaseModel):
    entries: list[EntryNow]


class Fires(BaseModel):
    """The fires of an entry, the newest first; `next` goes into `from` of the next question."""

    entry: str
    fires: list[Fire]
    next: str


class BulkNow(BaseModel):
    """How far a bulk action is, and what came of it."""

    model_config = ConfigDict(extra="allow")
    id: int
    action: str
    query: str
    ids: list[str]
    state: str
    expected: int | None
    seen: int
    matched: int
    changed: int
    left_alone: int
    percent: int | None
    is_over: bool
    error: str
    by: str
    aborted_by: str
    is_new: bool = True


class BulkList(BaseModel):
    bulk: list[BulkNow]


class PreviewOut(BaseModel):
    """What a bulk action would be done to; `preview` is what has to be sent to start it."""

    preview: str
    action: str
    effect: str
    number: int | None
    is_exact: bool
    confirm: int | None
    role: str
    sample: list[JobRow]
    jobs: list[str]


class Holder(BaseModel):
    """A job that holds something or waits for it; `until` is when that is free at the latest, if it runs."""

    job_id: str
    task: str
    args: object
    kwargs: object
    state: str
    since: datetime
    until: datetime | None
    due: datetime | None
    joined: int


class RateLimit(BaseModel):
    """One rate limit, with the first of its holders and of those that wait."""

    name: str
    permits: int | None
    held: int
    waiting: int
    holders: list[Holder]
    next: list[Holder]


class Limits(BaseModel):
    """The unique keys that are held, all of them if `is_whole`, and a part of the rate limits."""

    keys: list[Holder]
    is_whole: bool
    limits: list[RateLimit]
    next: str


class BatchNow(BaseModel):
    """One fan-out: who or which job made it, and what became of its jobs."""

    id: int
    task: str
    at: datetime
    sent_at: datetime | None
    parent: str
    by: str
    jobs: int
    joined: int
    waiting: int
    running: int
    retrying: int
    succeeded: int
    failed: int
    percent: int
    state: str


class Batches(BaseModel):
    """Fan-outs, the newest first; `next` goes into `from` of the next question."""

    batches: list[BatchNow]
    next: str
