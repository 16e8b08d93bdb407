"""The door to Apify: ASINs in, Listings out, and one error type for each thing that a caller can do about a failure.

Facts about apify-client 3.4 that shaped it, each held by a test in tests/products/test_apify.py:
the client repeats a POST whose answer was lost, and Apify pays a run for each, so the start has no retries;
its default transport ignores SIGALRM, which rq's job timeout needs, and crashes a parent that forks, so it is httpx2;
its timeouts are per socket operation and double with each retry, so every call has a deadline of its own.
"""

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx2
from django.conf import settings

from amazon_pilot import deadlines, outside
from products.amazon import MARKETPLACES, product_address
from products.dataset import read_items
from products.fields import clean
from products.listing import Listing, answers

if TYPE_CHECKING:  # the client costs half a second and 7 MB: it is imported where Apify is asked, not by every process
    from apify_client import ApifyClient
    from apify_client.errors import ApifyApiError
    from apify_client.http_clients import Httpx2HttpClient

logger = logging.getLogger(__name__)

MOST_ASINS = 100
LARGEST_COST = 9999
START_SECONDS = 30
READ_SECONDS = 10
ITEMS_SECONDS = 60
RUN_TIMEOUT = timedelta(minutes=10)
READ_RETRIES = 2
CLOCK_SKEW = timedelta(seconds=60)
ENDED = ("SUCCEEDED", "FAILED", "ABORTED", "TIMED-OUT")

# The types and codes are of Apify's API reference, "Errors". The first two say 400 and clear as other runs end.
NO_ROOM = ("actor-memory-limit-exceeded", "concurrent-runs-limit-exceeded", "rate-limit-exceeded")
ACCOUNT_CLOSED = (
    "not-enough-usage-to-run-paid-actor",
    "monthly-usage-limit-too-low",
    "actor-is-not-rented",
    "user-or-token-not-found",
)


class ApifyError(Exception):
    """No usable answer. Raised as itself: nobody knows whether the call had an effect."""


class ApifyBusy(ApifyError):
    """Apify had no room or was not reached: nothing was started, and asking later may help.

    `retry_after` is the number of seconds that Apify asked to wait, None when it did not say.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ApifyRefused(ApifyError):
    """Apify said no: nothing was started, and asking again will not help.

    `stops_planning` is True when it would say no to every run: the token, the plan or the money is at its end. `kind`
    is Apify's word for the reason.
    """

    def __init__(self, message: str, *, stops_planning: bool = False, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.stops_planning = stops_planning


@dataclass(frozen=True)
class Receipt:
    """A run that Apify has started, and its price with it."""

    apify_id: str
    dataset_id: str
    started_at: datetime


@dataclass(frozen=True)
class RunAnswer:
    """What Apify says of a run. `listings` is empty while it runs; `cost_usd` is None while Apify has not said.

    A cost of zero is a bill that was not made out yet, or one by the month: nobody knows what the run cost.
    """

    is_running: bool
    succeeded: bool
    status: str
    status_message: str
    listings: tuple[Listing, ...]
    cost_usd: Decimal | None
    finished_at: datetime | None


def start_run(asins: Sequence[str], marketplace_domain: str, *, ref: UUID, webhooks: Sequence[Any] = ()) -> Receipt:
    """Start the product actor for at most 100 ASINs and return at once; waits 30 seconds at most for the answer.

    `ref` travels in the user agent and in the input, where find_run finds it again; `webhooks` are called as they say.
    There are no retries: a start has
    no idempotency key (Apify API reference, "Run Actor"), so a repeated POST is paid twice. The run can cost no more
    than its ASINs at the price in the settings.

    Raises ApifyBusy, ApifyRefused, or ApifyError when the outcome is unknown; ValueError for a wrong number of ASINs.
    """
    asins = list(dict.fromkeys(asins))
    if not 1 <= len(asins) <= MOST_ASINS:
        raise ValueError(f"A run takes 1 to {MOST_ASINS} ASINs, not {len(asins)}")
    run_input = {"urls": [product_address(marketplace_domain, asin) for asin in asins], "_ref": str(ref)}
    with _answering(START_SECONDS), _signed(ref):
        run = (
            _starter()
            .actor(settings.APIFY_ACTOR)
            .start(
                run_input=run_input,
                max_items=len(asins),
                max_total_charge_usd=settings.APIFY_USD_PER_RESULT * len(asins),
                run_timeout=RUN_TIMEOUT,
                timeout=timedelta(seconds=START_SECONDS),
                webhooks=list(webhooks) or None,
            )
        )
    logger.info("Run %s started for %s ASINs of %s, ref %s", run.id, len(asins), marketplace_domain, ref)
    return Receipt(run.id, run.default_dataset_id, _aware(run.started_at))


def fetch_run(apify_id: str, marketplace_domain: str, asins: Sequence[str]) -> RunAnswer | None:
    """Ask how a run is, and once it has ended fetch its items; None when Apify does not know the run.

    The items of a run that failed, was aborted or timed out are fetched as well, since they are paid. Each asked ASIN
    has a listing then, `missing` when nothing answered it. An unknown status counts as running. Takes 70 seconds at
    most. Raises ApifyError and its kinds.
    """
    client = _reader()
    with _answering(READ_SECONDS):
        run = client.run(apify_id).get(timeout=timedelta(seconds=READ_SECONDS))
    if run is None:
        return None
    status = str(run.status)
    has_ended = status in ENDED
    return RunAnswer(
        is_running=not has_ended,
        succeeded=status == "SUCCEEDED",
        status=clean(status)[:40],
        status_message=_scrub(run.status_message or ""),
        listings=_listings(run.default_dataset_id, marketplace_domain, asins) if has_ended else (),
        cost_usd=_cost(run.usage_total_usd),
        finished_at=_aware(run.finished_at) if run.finished_at else None,
    )


def fetch_cost(apify_id: str) -> Decimal | None:
    """Ask what a run has cost; None while Apify has not said. Raises ApifyError and its kinds."""
    with _answering(READ_SECONDS):
        run = _reader().run(apify_id).get(timeout=timedelta(seconds=READ_SECONDS))
    return None if run is None else _cost(run.usage_total_usd)


def _aware(at: datetime) -> datetime:
    """Answer a time of Apify's, which is UTC, with its zone even if it was sent without."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _cost(said: float | None) -> Decimal | None:
    cost = Decimal(str(said or 0))
    return round(cost, 6) if cost.is_finite() and 0 < cost <= LARGEST_COST else None


def _listings(dataset_id: str, marketplace_domain: str, asins: Sequence[str]) -> tuple[Listing, ...]:
    with _answering(ITEMS_SECONDS):
        body = _reader().dataset(dataset_id).get_items_as_bytes(timeout=timedelta(seconds=ITEMS_SECONDS))
    try:
        items = read_items(body)
    except ValueError as error:
        raise ApifyError(f"The items of dataset {dataset_id} are not {error}") from None
    return answers(items, asins, marketplace=MARKETPLACES[marketplace_domain])


def find_run(ref: UUID, since: datetime) -> Receipt | None:
    """Look for the run that a start with this `ref` may have left behind; None when a complete listing has none.

    The listing goes back to a minute before `since`, as clocks differ. A run is known by the user agent in the list,
    else by the one of the run itself, else by the `_ref` in its input: it is not documented that the list always shows
    the user agent. Raises ApifyError when the listing could not be read to its end, which proves nothing.
    """
    client = _reader()
    timeout = timedelta(seconds=READ_SECONDS)
    with _answering(ITEMS_SECONDS):
        runs = client.actor(settings.APIFY_ACTOR).runs()
        for run in runs.iterate(started_after=since - CLOCK_SKEW, desc=True, chunk_size=100, timeout=timeout):
            if _is_ours(client, run, ref):
                return Receipt(run.id, run.default_dataset_id, _aware(run.started_at))
    return None


def _is_ours(client: "ApifyClient", listed: Any, ref: UUID) -> bool:
    timeout = timedelta(seconds=READ_SECONDS)
    agent = listed.meta.user_agent
    if not agent:
        run = client.run(listed.id).get(timeout=timeout)
        agent = run.meta.user_agent if run else None
    if agent:
        return f"ap-ref/{ref}" in agent
    record = client.key_value_store(listed.default_key_value_store_id).get_record("INPUT", timeout=timeout)
    value = record["value"] if record else None
    return isinstance(value, dict) and value.get("_ref") == str(ref)


_signature: ContextVar[dict[str, str] | None] = ContextVar("signature", default=None)


@contextmanager
def _signed(ref: UUID) -> Iterator[None]:
    """Have the requests inside carry `ref` and close their connection: one that was kept may be half dead."""
    token = _signature.set({"User-Agent": f"; ap-ref/{ref}", "Connection": "close"})
    try:
        yield
    finally:
        _signature.reset(token)


@functools.cache
def _transport_class() -> "type[Httpx2HttpClient]":
    """Return the client's own httpx2 transport, held to our deadlines."""
    from apify_client.http_clients import Httpx2HttpClient

    class Transport(Httpx2HttpClient):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            deadlines.hold(self._httpx2_client)

        def send_request(self, *, headers: dict[str, str], **more: Any) -> Any:
            """Send a request, with what the block around it adds to its headers."""
            added = _signature.get() or {}
            return super().send_request(headers=headers | {n: headers.get(n, "") + v for n, v in added.items()}, **more)

    return Transport


def _starter() -> "ApifyClient":
    return _kept_client(os.getpid(), settings.APIFY_API_URL, settings.APIFY_TOKEN, retries=0)


def _reader() -> "ApifyClient":
    return _kept_client(os.getpid(), settings.APIFY_API_URL, settings.APIFY_TOKEN, retries=READ_RETRIES)


@functools.lru_cache(maxsize=4)
def _kept_client(_pid: int, url: str, token: str, *, retries: int) -> "ApifyClient":
    # One per process: a client that crossed a fork would share its parent's connection. Not one per call: reading the
    # certificates of authorities takes 50 ms.
    from apify_client import ApifyClient

    transport = _transport_class()(token=token, max_retries=retries)
    return ApifyClient.with_custom_http_client(token, api_url=url, http_client=transport)


@contextmanager
def _answering(seconds: float) -> Iterator[None]:
    """Hold the calls inside to `seconds` in all, and raise their failures as ours.

    The cause is not chained: its text is the other side's, and could repeat our token.
    """
    from apify_client.errors import ApifyApiError, ApifyClientError

    with outside.calling("apify"), deadlines.within(seconds) as deadline:
        try:
            yield
        except ApifyApiError as error:
            raise _refusal(error, deadline.retry_after) from None
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise ApifyBusy(f"Apify was not reached: {_scrub(error)}") from None
        except (ApifyClientError, httpx2.HTTPError, deadlines.DeadlineError, ValueError, KeyError) as error:
            # ValueError: a body without required fields (pydantic); KeyError: a dataset without its headers.
            raise ApifyError(f"Apify gave no usable answer: {type(error).__name__}: {_scrub(error)}") from None


def _refusal(error: "ApifyApiError", retry_after: float | None) -> ApifyError:
    status, kind = error.status_code, error.type or ""
    message = _scrub(f"Apify answered {status} {kind}: {error.message}")
    if kind in NO_ROOM or status == 429:
        return ApifyBusy(message, retry_after)
    if status == 408 or status >= 500:
        return ApifyError(message)
    return ApifyRefused(message, stops_planning=status in (401, 402, 403) or kind in ACCOUNT_CLOSED, kind=kind)


def _scrub(text: object) -> str:
    """Answer a text of the other side without our token, at a length that fits a row."""
    return clean(str(text)).replace(settings.APIFY_TOKEN, "[token]")[:500]
