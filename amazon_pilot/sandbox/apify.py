"""Apify as the product meets it: starts a run, lets it work a while, serves its dataset; fails when asked to.

Speaks the protocol of API version 2 as the package apify-client 3.4 expects it, including what that package does not
ask for by name: times with a zone, all five headers of a dataset, and an empty page at the end of every list.
"""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict
from django.views.decorators.http import require_GET, require_POST

from amazon_pilot.sandbox import catalogue, hooks, store
from amazon_pilot.sandbox.store import Fault, Run
from amazon_pilot.sandbox.wire import answer, bearer, body_of, service, spoil
from products.amazon import AddressError, ASINError, parse_address

NO_LIMIT = 999_999_999_999
LONGEST_WAIT = 60.0
ACTOR_ID = "sandboxActor00001"


def error(status: int, kind: str, message: str, retry_after: float | None = None) -> HttpResponse:
    """Answer an error in Apify's shape."""
    response = answer({"error": {"type": kind, "message": message}}, status)
    if retry_after is not None:
        response["Retry-After"] = f"{retry_after:g}"
    return response


def refusal(request: HttpRequest, fault: Fault | None) -> HttpResponse | None:
    """Answer why a call is turned away before it has an effect; None when it may go on."""
    token = bearer(request)
    if not token:
        return error(401, "token-not-provided", "Authentication token was not provided.")
    if token not in (settings.APIFY_TOKEN, settings.SANDBOX_TOKEN):
        return error(401, "user-or-token-not-found", "User was not found or authentication token is not valid.")
    return failure(fault) if fault and not fault.commits else None


def failure(fault: Fault) -> HttpResponse | None:
    """Answer the error status that a fault asks for, None when it asks for none."""
    if not fault.status:
        return None
    kind = fault.kind or ("rate-limit-exceeded" if fault.status == 429 else "internal-server-error")
    return error(fault.status, kind, fault.message, fault.retry_after)


def finish(response: HttpResponse, fault: Fault | None) -> HttpResponseBase:
    """Answer what is left after a fault that comes once the work is done."""
    return spoil((failure(fault) if fault else None) or response, fault)


@service
def actor_runs(request: HttpRequest, actor: str) -> HttpResponseBase:
    """Start a run of an actor (POST), or list its runs."""
    return start(request, actor) if request.method == "POST" else list_runs(request, actor)


def start(request: HttpRequest, actor: str) -> HttpResponseBase:
    """Start a run, which is paid from here on."""
    fault = store.take_fault("apify", "start")
    if refused := refusal(request, fault):
        return refused
    run_input = body_of(request)
    if run_input is None:
        return error(400, "invalid-input", "The input is not a JSON object.")
    if fault and fault.breaks and not fault.commits:
        return spoil(error(502, "internal-server-error", "Nothing was started."), fault)
    run = store.add_run(
        Run(
            id=store.new_run_id(),
            actor=actor,
            started=time.time(),
            seconds=store.options().run_seconds,
            input=run_input,
            user_agent=request.headers.get("User-Agent", ""),
            max_items=whole(request.GET, "maxItems"),
            ends=fault.ends if fault and fault.ends else "SUCCEEDED",
            items=fault.items if fault else None,
            options={name: request.GET[name] for name in sorted(request.GET)},
        )
    )
    hooks.call_at_end(run, as_run(run))
    return finish(answer({"data": as_run(wait(run, request.GET))}, 201), fault)


@service
@require_GET
def run_detail(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """Tell how a run is, after at most waitForFinish seconds."""
    fault = store.take_fault("apify", "get")
    if refused := refusal(request, fault):
        return refused
    run = store.run(run_id)
    if run is None:
        return error(404, "record-not-found", "Actor run was not found.")
    return finish(answer({"data": as_run(wait(run, request.GET), fault)}), fault)


@service
@require_POST
def abort(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """End a run at once; what it has found so far stays in its dataset."""
    fault = store.take_fault("apify", "abort")
    if refused := refusal(request, fault):
        return refused
    run = store.run(run_id)
    if run is None:
        return error(404, "record-not-found", "Actor run was not found.")
    return finish(answer({"data": as_run(store.abort(run))}), fault)


@service
@require_GET
def all_runs(request: HttpRequest) -> HttpResponseBase:
    """List the runs of every actor."""
    return list_runs(request, None)


def list_runs(request: HttpRequest, actor: str | None) -> HttpResponseBase:
    """List runs by their start, filtered and cut as the query asks."""
    fault = store.take_fault("apify", "list")
    if refused := refusal(request, fault):
        return refused
    query, now = request.GET, time.time()
    statuses = set(filter(None, query.get("status", "").split(",")))
    after, before = instant(query.get("startedAfter")), instant(query.get("startedBefore"))
    found = [
        run
        for run in store.runs()
        if (actor is None or run.actor.replace("/", "~") == actor.replace("/", "~") or actor == ACTOR_ID)
        and (not statuses or run.status_at(now) in statuses)
        and (after is None or run.started >= after)
        and (before is None or run.started <= before)
    ]
    is_desc = query.get("desc") in ("true", "1")
    found = found[::-1] if is_desc else found
    offset, limit = whole(query, "offset") or 0, min(whole(query, "limit") or 1000, 1000)
    page = [as_list_item(run, hides_agent=bool(fault and fault.hides_agent)) for run in found[offset : offset + limit]]
    listing = {
        "total": len(found),
        "offset": offset,
        "limit": limit,
        "desc": is_desc,
        "count": len(page),
        "items": page,
    }
    return finish(answer({"data": listing}), fault)


@service
@require_GET
def items(request: HttpRequest, dataset_id: str) -> HttpResponseBase:
    """Serve the items of a run's dataset as a bare JSON array; those of a run that goes on are the first ones."""
    fault = store.take_fault("apify", "items")
    if refused := refusal(request, fault):
        return refused
    run = store.run(dataset_id.removeprefix("ds"))
    if run is None:
        return error(404, "record-not-found", "Dataset was not found.")
    found = run_items(run, time.time())
    offset, limit = whole(request.GET, "offset") or 0, whole(request.GET, "limit") or NO_LIMIT
    page = found[offset : offset + limit]
    if names := list(filter(None, request.GET.get("fields", "").split(","))):
        page = [{name: item.get(name) for name in names} for item in page]
    response = answer(page)
    if fault and fault.body:
        response.content = fault.body.encode("utf-8", "surrogatepass")
    counts = {"Total": len(found), "Offset": offset, "Count": len(page), "Limit": limit, "Desc": "false"}
    for name, value in counts.items():
        response[f"X-Apify-Pagination-{name}"] = str(value)
    return finish(response, fault)


@service
@require_GET
def run_input(request: HttpRequest, store_id: str) -> HttpResponseBase:
    """Serve the INPUT record of a run's key-value store."""
    fault = store.take_fault("apify", "input")
    if refused := refusal(request, fault):
        return refused
    run = store.run(store_id.removeprefix("kv"))
    if run is None:
        return error(404, "record-not-found", "Record was not found.")
    return finish(answer(run.input), fault)


def run_items(run: Run, now: float) -> list[dict[str, Any]]:
    """Answer the items that a run's dataset holds; each address is looked at when the run ends."""
    found = []
    for url in run.urls[: run.item_count_at(now)]:
        try:
            marketplace, asin = parse_address(url)
        except (AddressError, ASINError):
            continue  # the real actor leaves an address out that it does not understand
        found.append(catalogue.item(asin, marketplace.domain, datetime.fromtimestamp(min(now, run.ended), UTC)))
    return found


def wait(run: Run, query: QueryDict) -> Run:
    """Hold the answer until the run has ended, at most as long as waitForFinish says and never above a minute."""
    longest = min(float(whole(query, "waitForFinish") or 0), LONGEST_WAIT)
    time.sleep(max(0.0, min(longest, run.ended - time.time())))
    return run


def whole(query: Mapping[str, str], name: str) -> int | None:
    """Answer a whole number of the query of at most nine digits, None when absent or not one."""
    value = query.get(name, "")
    return int(value) if re.fullmatch("[0-9]{1,9}", value) else None


def instant(text: str | None) -> float | None:
    """Answer a time of the query in seconds since 1970, None when absent or not one."""
    try:
        return datetime.fromisoformat(text).timestamp() if text else None
    except ValueError:
        return None


def as_list_item(run: Run, *, hides_agent: bool = False) -> dict[str, Any]:
    """Answer a run as lists show it."""
    now = time.time()
    status = run.status_at(now)
    has_ended = status not in ("READY", "RUNNING")
    return {
        "id": run.id,
        "actId": ACTOR_ID,
        "actorTaskId": None,
        "userId": "sandboxUser000001",
        "status": status,
        "startedAt": store.stamp(run.started),
        "finishedAt": store.stamp(run.ended) if has_ended else None,
        "buildId": "sandboxBuild00001",
        "buildNumber": "0.0.1",
        "meta": {"origin": "API"} | ({} if hides_agent else {"userAgent": run.user_agent}),
        "usageTotalUsd": float(cost_usd(run, now)),
        "defaultKeyValueStoreId": f"kv{run.id}",
        "defaultDatasetId": f"ds{run.id}",
        "defaultRequestQueueId": f"rq{run.id}",
    }


def as_run(run: Run, fault: Fault | None = None) -> dict[str, Any]:
    """Answer a run in full."""
    status = run.status_at(time.time())
    cost = {} if fault is None or fault.cost_usd is None else {"usageTotalUsd": fault.cost_usd}
    messages = {"FAILED": "The actor could not go on.", "TIMED-OUT": "The run took too long.", "ABORTED": "Aborted."}
    return (
        as_list_item(run, hides_agent=bool(fault and fault.hides_agent))
        | cost
        | {
            "stats": {},
            "statusMessage": messages.get(status),
            "exitCode": None if status in ("READY", "RUNNING") else int(status != "SUCCEEDED"),
            "options": {
                "build": "latest",
                "timeoutSecs": whole(run.options, "timeout") or 600,
                "memoryMbytes": 1024,
                "diskMbytes": 2048,
            },
            "chargedEventCounts": {"result": run.item_count_at(time.time())},
        }
    )


def cost_usd(run: Run, now: float) -> Decimal:
    """Answer what a run has cost so far in US dollars: its items at the price in the settings."""
    return settings.APIFY_USD_PER_RESULT * run.item_count_at(now)
