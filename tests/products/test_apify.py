"""The door to Apify: one request per start, every failure by its name, and prices that are never a float."""

import logging
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import uuid4

import pytest

from amazon_pilot.sandbox import store
from products import apify
from products.listing import Outcome

COM = "amazon.com"
LAMPS = ["B0LAMP0001", "B0LAMP0002", "B0LAMP0003"]


def ended(receipt, asins=LAMPS, domain=COM):
    """The answer once the run has ended, asking as a job would."""
    for _ in range(100):
        answer = apify.fetch_run(receipt.apify_id, domain, asins)
        if answer is None or not answer.is_running:
            return answer
        time.sleep(0.02)
    raise AssertionError("the run did not end")


def an_hour_ago():
    return datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.later
def test_a_run_is_started_and_its_items_become_listings(sandbox):
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())

    answer = ended(receipt)

    assert (answer.succeeded, answer.status) == (True, "SUCCEEDED")
    assert [(listing.asin, listing.outcome) for listing in answer.listings] == [(asin, Outcome.OK) for asin in LAMPS]
    assert answer.cost_usd == Decimal("0.0045")
    assert answer.finished_at > receipt.started_at


def test_prices_come_from_the_bytes_without_ever_being_a_float(sandbox):
    listing = ended(apify.start_run(LAMPS[:1], COM, ref=uuid4()), LAMPS[:1]).listings[0]

    assert isinstance(listing.price, Decimal)
    assert listing.price.as_tuple().exponent == -2
    assert not any(isinstance(value, float) for value in listing.raw.values())


def test_a_start_names_its_ref_twice_and_bounds_items_money_and_time(sandbox):
    ref = uuid4()

    apify.start_run([*LAMPS, LAMPS[0]], "amazon.de", ref=ref)

    (run,) = sandbox.apify.runs
    assert f"ap-ref/{ref}" in run.user_agent
    assert run.input == {
        "urls": [f"https://www.amazon.de/dp/{asin}?th=1&psc=1" for asin in LAMPS],
        "_ref": str(ref),
    }
    assert run.options == {"maxItems": "3", "maxTotalChargeUsd": "0.0045", "timeout": "600"}


@pytest.mark.parametrize("count", [0, 101])
def test_a_start_with_too_few_or_too_many_asins_asks_nobody(sandbox, count):
    with pytest.raises(ValueError, match="1 to 100"):
        apify.start_run([f"B0LAMP{number:04}" for number in range(count)], COM, ref=uuid4())

    assert sandbox.requests == []


def test_a_run_that_goes_on_has_no_listings_yet(sandbox):
    store.set_options(run_seconds=60)
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())

    answer = apify.fetch_run(receipt.apify_id, COM, LAMPS)

    assert (answer.is_running, answer.succeeded, answer.listings) == (True, False, ())
    assert answer.status in ("READY", "RUNNING")
    assert answer.finished_at is None
    assert sandbox.count("GET", "/items") == 0


def test_a_run_that_apify_does_not_know_is_none(sandbox):
    assert apify.fetch_run("unknownRun", COM, LAMPS) is None


def test_an_asin_without_an_item_is_missing(sandbox):
    sandbox.apify.end_next("SUCCEEDED", items=2)

    answer = ended(apify.start_run(LAMPS, COM, ref=uuid4()))

    assert answer.succeeded
    assert [listing.outcome for listing in answer.listings] == [Outcome.OK, Outcome.OK, Outcome.MISSING]


@pytest.mark.parametrize("status", ["FAILED", "ABORTED", "TIMED-OUT"])
def test_the_paid_items_of_a_run_that_went_wrong_are_fetched(sandbox, status):
    sandbox.apify.end_next(status, items=1)

    answer = ended(apify.start_run(LAMPS, COM, ref=uuid4()))

    assert (answer.is_running, answer.succeeded, answer.status) == (False, False, status)
    assert answer.status_message
    assert [listing.outcome for listing in answer.listings] == [Outcome.OK, Outcome.MISSING, Outcome.MISSING]


def test_one_bad_asin_leaves_the_others_of_its_batch_alone(sandbox):
    asins = ["B0DEMOS404", "B0DEMOSCAP", "B0LAMP0001", "B0DEMOS503"]

    answer = ended(apify.start_run(asins, COM, ref=uuid4()), asins)

    assert [listing.outcome for listing in answer.listings] == ["not_found", "bad", "ok", "blocked"]


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 502},
        {"status": 502, "commits": True},
        {"status": 500},
        {"status": 408},
        {"breaks": "reset"},
        {"breaks": "reset", "commits": True},
        {"breaks": "json", "commits": True},
        {"breaks": "html", "commits": True},
    ],
    ids=str,
)
def test_a_start_whose_answer_is_lost_is_sent_once_and_its_outcome_is_unknown(sandbox, fault):
    sandbox.apify.fail_next(**fault)

    with pytest.raises(apify.ApifyError) as caught:
        apify.start_run(LAMPS, COM, ref=uuid4())

    assert type(caught.value) is apify.ApifyError
    assert sandbox.count("POST") == 1
    assert len(sandbox.apify.runs) == bool(fault.get("commits"))


def test_an_answer_that_comes_too_late_is_lost_and_the_run_is_found_again(sandbox, monkeypatch):
    monkeypatch.setattr(apify, "START_SECONDS", 0.3)
    sandbox.apify.fail_next(delay=0.8, commits=True)
    ref = uuid4()

    with pytest.raises(apify.ApifyError):
        apify.start_run(LAMPS, COM, ref=ref)

    assert apify.find_run(ref, an_hour_ago()).apify_id == sandbox.apify.runs[0].id
    assert sandbox.count("POST") == 1


@pytest.mark.parametrize(
    ("fault", "retry_after"),
    [
        ({"status": 429, "retry_after": 17}, 17),
        ({"status": 429}, None),
        ({"status": 400, "kind": "concurrent-runs-limit-exceeded"}, None),
        ({"status": 402, "kind": "actor-memory-limit-exceeded"}, None),
    ],
    ids=str,
)
def test_without_room_nothing_was_started_and_later_may_help(sandbox, fault, retry_after):
    sandbox.apify.fail_next(**fault)

    with pytest.raises(apify.ApifyBusy) as caught:
        apify.start_run(LAMPS, COM, ref=uuid4())

    assert caught.value.retry_after == retry_after
    assert sandbox.count("POST") == 1


def test_an_address_where_nobody_listens_is_busy(settings):
    settings.APIFY_API_URL = "http://127.0.0.1:9"

    with pytest.raises(apify.ApifyBusy, match="not reached"):
        apify.start_run(LAMPS, COM, ref=uuid4())


@pytest.mark.parametrize(
    ("fault", "stops_planning"),
    [
        ({"status": 400, "kind": "invalid-input"}, False),
        ({"status": 404, "kind": "record-not-found"}, False),
        ({"status": 413}, False),
        ({"status": 401, "kind": "user-or-token-not-found"}, True),
        ({"status": 402, "kind": "not-enough-usage-to-run-paid-actor"}, True),
        ({"status": 403, "kind": "actor-is-not-rented"}, True),
        ({"status": 400, "kind": "monthly-usage-limit-too-low"}, True),
    ],
    ids=str,
)
def test_a_refusal_is_final_and_says_whether_it_meets_every_run(sandbox, fault, stops_planning):
    sandbox.apify.fail_next(**fault)

    with pytest.raises(apify.ApifyRefused) as caught:
        apify.start_run(LAMPS, COM, ref=uuid4())

    assert caught.value.stops_planning is stops_planning
    assert sandbox.count("POST") == 1


def test_the_token_is_in_no_error_text_and_in_no_log_line(sandbox, settings, caplog):
    settings.APIFY_TOKEN = "apify_api_very_secret"
    caplog.set_level(logging.DEBUG)
    sandbox.apify.fail_next(500, message="Your token apify_api_very_secret met a bug")

    with pytest.raises(apify.ApifyError) as caught:
        apify.start_run(LAMPS, COM, ref=uuid4())
    apify.start_run(LAMPS, COM, ref=uuid4())

    assert "[token]" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "very_secret" not in str(caught.value) + caplog.text
    assert all("very_secret" not in path for _, path in sandbox.requests)


@pytest.mark.later
def test_a_read_survives_one_bad_moment_of_apify(sandbox):
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())
    sandbox.apify.fail_next(503, on="items")

    assert ended(receipt).succeeded


@pytest.mark.parametrize("breaks", ["json", "html"])
def test_items_that_cannot_be_read_are_an_error_and_not_an_empty_run(sandbox, breaks):
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())
    sandbox.apify.fail_next(on="items", breaks=breaks)

    with pytest.raises(apify.ApifyError, match="not JSON"):
        ended(receipt)


def test_the_deadline_holds_for_a_body_that_trickles(sandbox, monkeypatch):
    monkeypatch.setattr(apify, "ITEMS_SECONDS", 0.5)
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())
    time.sleep(0.06)
    sandbox.apify.fail_next(on="items", breaks="drip", delay=6)

    began = time.monotonic()
    with pytest.raises(apify.ApifyError):
        apify.fetch_run(receipt.apify_id, COM, LAMPS)

    assert time.monotonic() - began < 1


def test_an_alarm_interrupts_a_hanging_call_within_a_second(sandbox):
    class TooLongError(Exception):
        """What rq raises from its alarm."""

    def ring(*_):
        raise TooLongError

    sandbox.apify.fail_next(delay=4, commits=True)
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    began = time.monotonic()
    try:
        with pytest.raises(TooLongError):
            apify.start_run(LAMPS, COM, ref=uuid4())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert time.monotonic() - began < 1.3


def test_a_lost_run_is_found_by_its_user_agent_in_the_list(sandbox):
    ref = uuid4()
    sandbox.apify.lose_next_answer()
    with pytest.raises(apify.ApifyError):
        apify.start_run(LAMPS, COM, ref=ref)
    apify.start_run(LAMPS, COM, ref=uuid4())

    found = apify.find_run(ref, an_hour_ago())

    assert found.apify_id == sandbox.apify.runs[0].id
    assert found.dataset_id == f"ds{found.apify_id}"
    assert sandbox.count("POST") == 1 + 1


def test_a_lost_run_is_found_by_the_run_itself_when_the_list_hides_the_user_agent(sandbox):
    ref = uuid4()
    receipt = apify.start_run(LAMPS, COM, ref=ref)
    sandbox.apify.fail_next(on="list", hides_agent=True)

    assert apify.find_run(ref, an_hour_ago()) == receipt
    assert sandbox.count("GET", f"/actor-runs/{receipt.apify_id}") == 1


def test_a_lost_run_is_found_by_its_input_when_no_user_agent_is_shown_at_all(sandbox):
    ref = uuid4()
    receipt = apify.start_run(LAMPS, COM, ref=ref)
    sandbox.apify.fail_next(on="list", hides_agent=True)
    sandbox.apify.fail_next(on="get", hides_agent=True)

    assert apify.find_run(ref, an_hour_ago()) == receipt
    assert sandbox.count("GET", "/records/INPUT") == 1


def test_a_complete_listing_without_the_run_is_none(sandbox):
    apify.start_run(LAMPS, COM, ref=uuid4())

    assert apify.find_run(uuid4(), an_hour_ago()) is None


def test_the_listing_goes_back_a_minute_for_clocks_that_differ_and_no_further(sandbox):
    ref = uuid4()
    receipt = apify.start_run(LAMPS, COM, ref=ref)

    assert apify.find_run(ref, receipt.started_at + timedelta(seconds=50)) == receipt
    assert apify.find_run(ref, receipt.started_at + timedelta(seconds=70)) is None


@pytest.mark.later
def test_a_run_beyond_the_first_hundred_is_found(sandbox):
    ref = uuid4()
    receipt = apify.start_run(LAMPS, COM, ref=ref)
    for _ in range(120):
        store.add_run(store.Run(store.new_run_id(), "other~actor", time.time(), 1, {}, "someone else"))
        store.add_run(
            store.Run(store.new_run_id(), "axesso_data~amazon-product-details-scraper", time.time(), 1, {}, "x")
        )

    assert apify.find_run(ref, an_hour_ago()) == receipt


@pytest.mark.later
def test_a_listing_that_breaks_off_proves_nothing(sandbox):
    apify.start_run(LAMPS, COM, ref=uuid4())
    sandbox.apify.fail_next(503, on="list", times=apify.READ_RETRIES + 1)

    with pytest.raises(apify.ApifyError):
        apify.find_run(uuid4(), an_hour_ago())


@pytest.mark.slow
def test_no_client_exists_before_it_is_used():
    code = (
        "import django; django.setup(); import gc; from products import apify; from analysis import llm;"
        "import apify_client, openai, httpx2;"
        "kinds = (apify_client.ApifyClient, openai.OpenAI, httpx2.Client);"
        "print([type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, kinds)])"
    )
    env = os.environ | {"DJANGO_SETTINGS_MODULE": "amazon_pilot.settings"}

    answer = subprocess.run([sys.executable, "-W", "ignore", "-c", code], env=env, capture_output=True, text=True)

    assert answer.stdout.strip() == "[]", answer.stderr


def test_a_forked_child_builds_its_own_client(sandbox):
    receipt = apify.start_run(LAMPS, COM, ref=uuid4())
    ours = apify._reader()

    child = os.fork()
    if child == 0:
        is_own = apify._reader() is not ours and apify.fetch_run(receipt.apify_id, COM, LAMPS) is not None
        os._exit(0 if is_own else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert apify._reader() is ours
