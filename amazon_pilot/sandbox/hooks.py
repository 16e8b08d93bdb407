"""Apify's ad-hoc webhooks, played: one call at the end of a run, with the three headers, tried again when refused."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
from django.conf import settings

from amazon_pilot.sandbox import store
from amazon_pilot.sandbox.store import Run

WAITS = (0.0, 1.0, 4.0)  # before each try; the real one doubles from a minute
SECONDS = 10


def call_at_end(run: Run, described: dict[str, Any]) -> None:
    """Have a thread call those who asked to hear of this run's end; a process that ends forgets it, as networks do."""
    for address in addresses(run):
        threading.Thread(target=call, args=(run, address, described), daemon=True).start()


def addresses(run: Run) -> Iterator[str]:
    """Yield whom a start asked to be called at its end: this site alone, whatever else the query names."""
    try:
        asked = json.loads(base64.b64decode(run.options.get("webhooks", "")) or b"[]")
        found = [hook["requestUrl"] for hook in asked if f"ACTOR.RUN.{event(run)}" in hook["eventTypes"]]
    except (ValueError, KeyError, TypeError):
        return
    home = settings.APIFY_WEBHOOK_URL
    yield from (address for address in found if home and str(address).startswith(f"{home}/hooks/apify/"))


def event(run: Run) -> str:
    """Answer how the run ends, as events spell it."""
    return run.ends.replace("-", "_")


def call(run: Run, address: str, described: dict[str, Any]) -> None:
    """Wait for the run's end, and call until the answer says that it was heard."""
    time.sleep(max(0.0, run.ended - time.time()))
    body = {
        "userId": described["userId"],
        "createdAt": store.stamp(time.time()),
        "eventType": f"ACTOR.RUN.{event(run)}",
        "eventData": {"actorId": described["actId"], "actorRunId": run.id},
        "resource": described | {"status": run.ends},
    }
    headers = {
        "X-Apify-Webhook": "true",
        "X-Apify-Webhook-Dispatch-Id": store.new_run_id(),
        "X-Apify-Request-Origin": "WEBHOOK",
    }
    for wait in WAITS:
        time.sleep(wait)
        fault = store.take_fault("apify", "webhook")
        if fault and fault.breaks:
            continue  # lost on the way
        try:
            if httpx2.post(address, json=body, headers=headers, timeout=SECONDS).is_success:
                return
        except httpx2.HTTPError:
            continue
