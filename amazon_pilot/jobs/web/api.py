"""The monitor as JSON, below /admin/monitor/api/: the same permissions, verbs and audit as its pages.

A script sends a token, or signs in as a person does (session and CSRF token). An error is
{"error": {"code": …, "message": …}}: 400 makes no sense, 401 not signed in, 403 role or CSRF token, 404 unknown, 405
method, 409 nothing was changed, 500 a fault of ours, 503 Redis or the database is away. What is refused before it gets
here is answered by api_errors.py.
"""

import json
from typing import Annotated, Any

from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from ninja import Query, Router
from pydantic import BaseModel, create_model

from ..core.values import Answer
from ..inspect import as_json, redis_health, retention, snapshot, stats, store, workers
from ..inspect.as_json import MOST, PAGE, found, job_of, queues_now
from ..inspect.job_detail import collect
from ..inspect.words import whole_number
from ..models import Batch
from ..operate import operations
from ..operate.operation import ARGS, UNTIL, Done, Field, Operation
from ..operate.table import OPERATIONS
from . import api_answers as answers
from . import api_takes as takes
from .api_entry import Address, look, press
from .api_errors import Refusal
from .api_takes import MomentText, Text, Why, number_up_to

router = Router(tags=["jobs, queues and workers"])
Limit = number_up_to(MOST, gettext_lazy("limit has to be from 1 to %d."))
From = Annotated[str, Query(alias="from")]


def done(what: Done) -> Answer:
    """Return what came of an act; raises Refusal (409) where nothing was changed, so that a script notices."""
    if not what.count:
        raise Refusal(409, "nothing_done", what.text)
    return told(what)


def told(what: Done) -> Answer:
    """Return what came of an act, also if that is nothing."""
    return {"count": what.count, "message": what.text} | ({"job": what.job_id} if what.job_id else {})


# Looking


@look(router, "/queues", "queues", answers.Queues)
def queue_list(request: HttpRequest) -> Answer:
    """What each queue holds and what is paused."""
    return queues_now()


@look(router, "/stats", "stats", answers.Stats)
def queue_stats(request: HttpRequest) -> Answer:
    """All queues, their total, what ended today, the workers and Redis."""
    return stats.glance()


@look(router, "/queue/{name}/history", "queue-history", answers.Days)
def queue_history(
    request: HttpRequest,
    name: str,
    days: number_up_to(stats.MOST_DAYS, gettext_lazy("days has to be from 1 to %d.")) = stats.DAYS,  # type: ignore[valid-type]
) -> Answer:
    """What ended in a queue on each of the last days, today first."""
    return stats.past(days, name)


@look(router, "/retention", "retention", answers.Retention)
def rows_kept(request: HttpRequest, days: str = "") -> Answer:
    """How long each kind of row is kept, what the next clean-up deletes, and with `days` what that many would."""
    return retention.as_json(retention.number_of(days))


@look(router, "/jobs", "jobs", answers.Jobs)
def job_list(request: HttpRequest, q: str = "", limit: Limit = PAGE, cursor: From = "") -> Answer:  # type: ignore[valid-type]
    """Jobs of every state by the question of the search box; `from` takes `next` of the last answer."""
    return found(q, limit, cursor)


@look(router, "/job/{job_id}", "job", answers.JobNow)
def job(request: HttpRequest, job_id: str) -> Answer:
    """Everything known of one job."""
    known = collect(store.connect(), job_id)
    if not known.is_known:
        if known.is_away:
            raise Refusal(503, "redis_away", _("Redis does not answer."))
        raise Refusal(404, "unknown", _("Neither Redis nor the history knows this job."))
    return job_of(known)


@look(router, "/workers", "workers", answers.Workers)
def worker_list(request: HttpRequest) -> Answer:
    """The workers that were seen within an hour, with their slots."""
    return {"workers": workers.told()}


@look(router, "/redis", "redis", answers.RedisNow)
def redis(request: HttpRequest) -> Answer:
    """Redis's numbers and the warnings about its settings."""
    info = redis_health.server()
    risks = [{"text": risk.text, "remedy": risk.remedy, "grave": risk.is_grave} for risk in info["warnings"]]
    return {"info": snapshot.current().info, "warnings": risks}


@look(router, "/limits", "limits", answers.Limits)
def limit_list(request: HttpRequest, cursor: From = "0") -> Answer:
    """Unique keys and rate limits: who holds what, until when, and who waits; `from` takes `next`."""
    return as_json.limits_now(cursor)


@look(router, "/batches", "batches", answers.Batches)
def batch_list(request: HttpRequest, cursor: From = "") -> Answer:
    """Fan-outs and how far each is, the newest first; `from` takes `next`."""
    return as_json.batches_now(place(cursor))


def place(cursor: str) -> int | None:
    """Read the `next` of an earlier list of batches; raises Refusal."""
    before = whole_number(cursor, 10**17)
    if cursor and before is None:
        raise Refusal(400, "invalid", _("This is no place in a list: send the next of an earlier answer."))
    return before


@look(router, "/batches/{int:pk}", "batch", answers.BatchNow)
def one_batch(request: HttpRequest, pk: int) -> Answer:
    """One fan-out and what became of its jobs."""
    found = Batch.objects.filter(pk=pk).select_related("by").progress()
    if not found:
        raise Refusal(404, "unknown", _("There is no such batch."))
    return as_json.batch_of(found[0])


# Acting


def body_of(row: Operation) -> type[BaseModel]:
    """Return the shape of what an operation takes: the reason, and a text for each of its fields but arguments."""
    kinds: dict[Field, object] = {ARGS: (list[object] | dict[str, object], ...), UNTIL: (MomentText, ...)}
    fields: dict[str, Any] = {each.name: kinds.get(each, (Text, ...)) for each in row.fields}
    return create_model(f"{row.slug.title().replace('-', '')}In", __base__=Why, __doc__=row.help, **fields)


def operation(row: Operation) -> Address:
    """Return what answers the address of one operation."""
    shape = body_of(row)

    def act(request: HttpRequest, job_id: str, body: Why) -> Answer:
        given = body.model_dump()
        given[ARGS.name] = json.dumps(given.get(ARGS.name))
        return done(operations.on_job(request.user, row.name, job_id, reason=body.reason, **row.read(given)))

    act.__name__, act.__doc__ = row.slug, row.help
    act.__annotations__["body"] = shape
    return transaction.non_atomic_requests(act) if row.is_by_its_own_commit else act


JOB_OPERATIONS = {row.slug: operation(row) for row in OPERATIONS.values()}


def of_operations() -> Router:
    """Return the addresses of all operations."""
    addresses = Router(tags=["jobs"])
    roles = {row.slug: row.role for row in OPERATIONS.values()}
    for slug, act in JOB_OPERATIONS.items():
        press(addresses, f"/job/{{job_id}}/{slug}", f"job-{slug}", roles[slug])(act)
    return addresses


@press(router, "/pause", "pause", "operate")
def pause(request: HttpRequest, body: takes.PauseIn) -> Answer:
    """Keep what is named from starting; what runs goes on."""
    return done(operations.pause(request.user, body.name, reason=body.reason, until=body.until))


@press(router, "/resume", "resume", "operate")
def resume(request: HttpRequest, body: takes.ResumeIn) -> Answer:
    """End a pause."""
    return done(operations.resume(request.user, body.name, reason=body.reason))


@press(router, "/queue/{name}/drain", "drain", "admin")
def drain(request: HttpRequest, name: str, body: takes.ConfirmIn) -> Answer:
    """Have everything deleted that waits in a queue now; `confirm` is the queue's name."""
    if body.confirm != name:
        raise Refusal(400, "confirm", _("Nothing was done: send the queue's name, %s, as confirm.") % name)
    return told(operations.drain(request.user, name, reason=body.reason))


def tell_worker(name: str, shape: type[Why]) -> Address:
    """Return what answers the address of one command to a worker."""

    def tell(request: HttpRequest, worker: str, body: Why) -> Answer:
        words = body.model_dump()
        return done(operations.on_worker(request.user, name, worker, **words))

    tell.__name__ = name
    tell.__annotations__["body"] = shape
    return tell


for name in operations.WORKER_COMMANDS:
    command = tell_worker(name, takes.KillIn if name == "kill" else Why)
    command.__doc__ = operations.WORKER_COMMANDS[name][1] % "A worker"
    press(router, f"/worker/{{worker}}/{name}", f"worker-{name}", operations.ROLES[name])(command)


@press(router, "/recover", "recover", "admin")
def recover(request: HttpRequest, body: Why) -> Answer:
    """Bring back at once what is lost; that nothing was is no error."""
    return told(operations.recover(request.user, reason=body.reason))
