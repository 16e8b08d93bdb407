"""The shapes of what the monitor's JSON takes and answers. Ages and spans are seconds; times are in UTC."""

from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, WithJsonSchema

from ..core.values import Json
from ..inspect.grammar import FIRST_YEAR, LAST_YEAR
from ..inspect.words import whole_number

# What is taken


def number_up_to(most: int, words: str | Promise) -> Any:
    """Return the type of a whole number from 1 to `most` in an address; `words` says so to people, with %d in them."""

    def read(value: object) -> int:
        found = value if type(value) is int else whole_number(str(value), most)
        if not found:
            raise ValidationError(words % most)
        return found

    return Annotated[int, BeforeValidator(read), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": most})]


def read_moment(value: object) -> datetime | None:
    """Return a time, in UTC where it names no zone; None where there is none. Raises ValidationError."""
    if value is None or value == "":
        return None
    try:
        when = parse_datetime(value.strip()) if isinstance(value, str) else None
    except ValueError:
        when = None
    if when is None or not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValidationError(_("Write a time such as 2026-06-01T12:00:00Z."))
    return when if timezone.is_aware(when) else timezone.make_aware(when)


MOMENT = {"type": "string", "format": "date-time"}
Text = Annotated[StrictStr, AfterValidator(lambda text: text.strip()[:1000])]
MomentText = Annotated[StrictStr, WithJsonSchema(MOMENT)]
Moment = Annotated[datetime | None, BeforeValidator(read_moment), WithJsonSchema(MOMENT)]


class Why(BaseModel):
    """Why it is done, which the audit keeps."""

    reason: Text = ""


class PauseIn(Why):
    """What to pause: `queue:…`, `task:…` or `tag:…`, and until when."""

    name: Text = ""
    until: Moment = None


class ResumeIn(Why):
    name: Text = ""


class ConfirmIn(Why):
    """What cannot be undone wants the name of what it is done to."""

    confirm: Text = ""


class KillIn(Why):
    """Whose job to kill: the number of the slot, 0 for all."""

    slot: StrictInt = Field(ge=0)


class StartIn(Why):
    """A preview as it was answered, and its number where it asks for that."""

    preview: object = None
    confirm: StrictInt | None = None


class RestoreIn(Why):
    """`token`, a UUID, makes asking twice harmless."""

    token: Text = ""


class EntryPauseIn(Why):
    until: Moment = None


class EntryIn(Why):
    """The fields of an entry; those that are not said stay as they are, or as new ones are."""

    model_config = ConfigDict(extra="allow")
    cron: StrictStr | None = None
    zone: StrictStr | None = None
    task: StrictStr | None = None
    args: list[object] | dict[str, object] | None = None
    queue: StrictStr | None = None
    missed: StrictStr | None = None
    missed_limit: StrictInt | None = None
    missed_window: StrictStr | None = None
    overlap: StrictStr | None = None


# What is answered


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
    """A worker as it shows itself, with its slots."""

    model_config = ConfigDict(extra="allow")
    worker: str
    is_alive: bool
    busy: int
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
    """What a queue holds, and what ended in it today; null is not known."""

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


def given_of(body: BaseModel) -> dict[str, Json]:
    """Return what a body says, without the reason and what was left out."""
    return body.model_dump(exclude_unset=True, exclude={"reason"})
