"""The monitor as JSON, below /admin/monitor/api/: the same permissions, verbs and audit as its pages.

A script signs in as a person does (session and CSRF token). An error is {"error": {"code": …, "message": …}}: 400 makes
no sense, 401 not signed in, 403 role or CSRF token, 404 unknown, 405 method, 409 nothing was changed, 500 a fault of
ours, 503 Redis or the database is away. What is refused before it gets here is answered by api_errors.py.
"""

import json
import logging
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied, SuspiciousOperation, ValidationError
from django.db import OperationalError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from redis.exceptions import RedisError

from ..inspect import redis_health, snapshot, store
from ..inspect.as_json import MOST, PAGE, Answer, found, job_of, queues_now
from ..inspect.job_detail import collect
from ..inspect.query import FIRST_YEAR, LAST_YEAR
from ..inspect.words import whole_number
from ..models import Source, acting_from
from ..operate import operations, roles
from ..operate.operation import ARGS, Done, Operation
from ..operate.table import OPERATIONS
from . import pages
from .api_errors import failure
from .parameters import ODD_TEXT, ODD_VALUE, ODD_VALUES, is_plain_text, texts_in

logger = logging.getLogger(__name__)


Endpoint = Callable[..., Answer]


class Refusal(Exception):
    """Why a request is not done: an HTTP status, a word for scripts, a sentence for people."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def endpoint(method: str, role: str = "view") -> Callable[[Endpoint], pages.View]:
    """Make a function that answers a dict an address: one method, one role, errors as JSON."""

    def wrap(function: Endpoint) -> pages.View:
        @wraps(function)
        def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                check(request, method, role)
                with acting_from(Source.API, pages.address_of(request)):
                    return JsonResponse(function(request, *args, **kwargs))
            except Refusal as refusal:
                return failure(refusal.status, refusal.code, refusal.message)
            except PermissionDenied as error:
                return failure(403, "forbidden", str(error))
            except ValidationError as error:
                return failure(400, "invalid", " ".join(error.messages))
            except SuspiciousOperation:
                return failure(400, "invalid", _("The request cannot be read."))
            except RedisError:
                return failure(503, "redis_away", _("Redis does not answer."))
            except Exception as error:
                return broken(error)

        guarded: pages.View = never_cache(view)
        return transaction.non_atomic_requests(guarded) if method == "GET" else guarded

    return wrap


def broken(error: Exception) -> HttpResponse:
    """Return an error that nobody expected, and leave nothing half done in the database."""
    logger.error("The monitor's JSON could not answer", exc_info=error)
    if transaction.get_connection().in_atomic_block:
        transaction.set_rollback(True)
    if isinstance(error, ODD_VALUES):
        return failure(400, "invalid", str(ODD_VALUE))
    if isinstance(error, OperationalError):
        return failure(503, "database_away", _("The database does not answer, so nothing was done."))
    return failure(500, "error", _("Something went wrong here; the web server's log says what."))


def check(request: HttpRequest, method: str, role: str) -> None:
    """Raise Refusal where a request comes from nobody, from somebody who may not, or by the wrong method."""
    if not (request.user.is_active and request.user.is_staff):
        raise Refusal(401, "not_signed_in", _("Sign in first."))
    if not roles.may(request.user, role):
        raise Refusal(403, "forbidden", _("Your role does not allow this."))
    if request.method != method:
        raise Refusal(405, "method", _("This address answers %s alone.") % method)
    if method == "POST" and store.is_away():
        raise Refusal(503, "redis_away", _("Redis does not answer, so nothing was done."))


def body_of(request: HttpRequest) -> dict[str, Any]:
    """Return the body, a JSON object; raises Refusal where it is none."""
    try:
        body = json.loads(request.body or b"{}", parse_constant=no_number)
    except ValueError as error:
        raise Refusal(400, "invalid", _("The body is not JSON: %s.") % error) from error
    except RecursionError as error:
        raise Refusal(400, "invalid", _("The body is nested too deeply.")) from error
    if not all(is_plain_text(text) for text in texts_in(body)):
        raise Refusal(400, "invalid", str(ODD_TEXT))
    if not isinstance(body, dict):
        raise Refusal(400, "invalid", _("The body has to be a JSON object."))
    return body


def no_number(name: str) -> float:
    """Raise ValueError for NaN and the infinities, which Python reads and JSON has not."""
    raise ValueError(name)


def text_in(body: dict[str, Any], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise Refusal(400, "invalid", _("%s has to be a text.") % name)
    return value.strip()[:1000]


def moment_in(body: dict[str, Any], name: str) -> datetime | None:
    """Return a time out of the body, in UTC where it names no zone; None where there is none."""
    text = text_in(body, name)
    try:
        when = parse_datetime(text) if text else None
    except ValueError:
        when = None
    if text and when is None:
        raise Refusal(400, "invalid", _("Write a time such as 2026-06-01T12:00:00Z."))
    if when is not None and not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise Refusal(400, "invalid", _("Write a time such as 2026-06-01T12:00:00Z."))
    return when if when is None or timezone.is_aware(when) else timezone.make_aware(when)


def done(what: Done) -> Answer:
    """Return what came of an act; raises Refusal (409) where nothing was changed, so that a script notices."""
    if not what.count:
        raise Refusal(409, "nothing_done", what.text)
    return {"count": what.count, "message": what.text} | ({"job": what.job_id} if what.job_id else {})


# Looking


@endpoint("GET")
def queue_list(request: HttpRequest) -> Answer:
    """Return what each queue holds and what is paused."""
    return queues_now()


@endpoint("GET")
def job_list(request: HttpRequest) -> Answer:
    """Return jobs of every state by the question of the search box: ?q=&limit=&from= (`next` of the last answer)."""
    limit = whole_number(request.GET.get("limit", str(PAGE)), MOST)
    if not limit:
        raise Refusal(400, "invalid", _("limit has to be from 1 to %d.") % MOST)
    return found(request.GET.get("q", ""), limit, request.GET.get("from", ""))


@endpoint("GET")
def job(request: HttpRequest, job_id: str) -> Answer:
    """Return everything known of one job."""
    known = collect(store.connect(), job_id)
    if not known.is_known:
        if known.is_away:
            raise Refusal(503, "redis_away", _("Redis does not answer."))
        raise Refusal(404, "unknown", _("Neither Redis nor the history knows this job."))
    return job_of(known)


@endpoint("GET")
def worker_list(request: HttpRequest) -> Answer:
    """Return the workers that were seen within an hour, with their slots."""
    return {"workers": snapshot.current().workers}


@endpoint("GET")
def redis(request: HttpRequest) -> Answer:
    """Return Redis's numbers and the warnings about its settings."""
    info = redis_health.server()
    risks = [{"text": risk.text, "remedy": risk.remedy, "grave": risk.is_grave} for risk in info["warnings"]]
    return {"info": snapshot.current().info, "warnings": risks}


# Acting


def operation(row: Operation) -> pages.View:
    """Return the address of one operation: POST {"reason": …}, and the fields that it takes."""

    def press(request: HttpRequest, job_id: str) -> Answer:
        body = body_of(request)
        given = {each.name: text_in(body, each.name) for each in row.fields if each is not ARGS}
        given[ARGS.name] = json.dumps(body.get(ARGS.name))
        return done(
            operations.on_job(request.user, row.name, job_id, reason=text_in(body, "reason"), **row.read(given))
        )

    press.__name__ = row.slug
    view = endpoint("POST", row.role)(press)
    return transaction.non_atomic_requests(view) if row.is_by_its_own_commit else view


JOB_OPERATIONS = {row.slug: operation(row) for row in OPERATIONS.values()}


@endpoint("POST", "operate")
def pause(request: HttpRequest) -> Answer:
    """Pause {"name": "queue:low", "reason": …, "until": …}."""
    body = body_of(request)
    reason, until = text_in(body, "reason"), moment_in(body, "until")
    return done(operations.pause(request.user, text_in(body, "name"), reason=reason, until=until))


@endpoint("POST", "operate")
def resume(request: HttpRequest) -> Answer:
    """End the pause {"name": "queue:low"}."""
    body = body_of(request)
    return done(operations.resume(request.user, text_in(body, "name"), reason=text_in(body, "reason")))


@endpoint("POST", "admin")
def drain(request: HttpRequest, name: str) -> Answer:
    """Have everything deleted that waits in a queue now: {"confirm": the queue's name, "reason": …}."""
    body = body_of(request)
    if text_in(body, "confirm") != name:
        raise Refusal(400, "confirm", _("Nothing was done: send the queue's name, %s, as confirm.") % name)
    what = operations.drain(request.user, name, reason=text_in(body, "reason"))
    return {"count": what.count, "message": what.text, "job": what.job_id}


def command(name: str) -> pages.View:
    """Return the address of one command to a worker: POST {"reason": …}, and the slot (0 = all) for kill."""

    def tell(request: HttpRequest, worker: str) -> Answer:
        body = body_of(request)
        slot = body.get("slot") if name == "kill" else 0
        if type(slot) is not int or slot < 0:
            raise Refusal(400, "invalid", _("Name the slot by its number."))
        return done(operations.on_worker(request.user, name, worker, reason=text_in(body, "reason"), slot=slot))

    tell.__name__ = name
    return endpoint("POST", operations.ROLES[name])(tell)


COMMANDS = {name: command(name) for name in operations.WORKER_COMMANDS}


@endpoint("POST", "admin")
def recover(request: HttpRequest) -> Answer:
    """Bring back at once what is lost, {"reason": …}; that nothing was is no error."""
    what = operations.recover(request.user, reason=text_in(body_of(request), "reason"))
    return {"count": what.count, "message": what.text}
