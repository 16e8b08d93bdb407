"""Apify's call at the end of a run: a hint that saves the wait, and moves nothing by what it says."""

import base64
import json
import time
from uuid import uuid4

import pytest
from django.test import Client

from amazon_pilot.sandbox import store
from products.hooks import secret_of
from products.models import ScrapeRun
from products.tasks import look_at_hinted_run, start_scrape_run
from tests.world import delayed, enqueued, started_run

pytestmark = pytest.mark.django_db(transaction=True)
LOOK = "products.tasks.look_at_hinted_run"


@pytest.fixture(autouse=True)
def reachable(sandbox, settings):
    settings.APIFY_WEBHOOK_URL = sandbox.url


@pytest.fixture
def run(lamp) -> ScrapeRun:
    return started_run([lamp])


def hook(ref, secret: str = "") -> str:
    return f"/hooks/apify/{ref}/{secret or secret_of(ref)}/"


def wait_for(condition) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_run_that_ends_is_looked_at_at_once(lamp, sandbox):
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    wait_for(lambda: (LOOK, [run.pk]) in enqueued())

    assert "1 listings" in look_at_hinted_run(run.pk)

    run.refresh_from_db()
    assert (run.state, run.polls, len(sandbox.apify.runs)) == ("ingested", 0, 1)
    assert delayed() == [("products.tasks.collect_scrape_run", [run.pk])]  # which would have come without a call


def test_a_start_asks_for_a_call_at_every_end_and_tells_its_secret_to_apify_alone(lamp, sandbox, caplog):
    caplog.set_level("DEBUG")
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)

    (asked,) = json.loads(base64.b64decode(sandbox.apify.runs[0].options["webhooks"]))
    assert asked["requestUrl"] == f"{sandbox.url}{hook(run.ref)}"
    assert {name.removeprefix("ACTOR.RUN.") for name in asked["eventTypes"]} == {
        "SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT",
    }  # fmt: skip
    assert secret_of(run.ref) not in caplog.text
    assert "webhooks=" not in caplog.text


@pytest.mark.parametrize("ends", ["SUCCEEDED", "FAILED", "ABORTED", "TIMED-OUT"])
def test_each_end_is_told_and_a_call_that_was_lost_is_made_again(lamp, sandbox, ends):
    sandbox.apify.end_next(ends, items=1)
    sandbox.apify.fail_next(on="webhook", breaks="reset")
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    wait_for(lambda: (LOOK, [run.pk]) in enqueued())


def test_without_an_address_nobody_is_asked_to_call_and_nothing_listens(run, lamp, competitors, sandbox, settings):
    settings.APIFY_WEBHOOK_URL = ""
    other = ScrapeRun.objects.plan(competitors)
    start_scrape_run(other.pk)

    assert "webhooks" not in sandbox.apify.runs[0].options
    assert Client().post(hook(run.ref)).status_code == 404
    assert enqueued() == []


def test_a_call_said_a_thousand_times_is_one_job(run):
    client = Client(enforce_csrf_checks=True)
    answers = {client.post(hook(run.ref)).status_code for _ in range(1000)}

    assert answers == {204}
    assert enqueued() == [(LOOK, [run.pk])]


@pytest.mark.parametrize(
    "secret",
    ["x", "0" * 64, "é" * 64, secret_of(uuid4()), "a" * 5000, "..", secret_of(uuid4())[:-1]],
    ids=["short", "noughts", "no ascii", "another run's", "long", "dots", "cut"],
)
def test_a_wrong_secret_changes_nothing(run, secret):
    assert Client().post(hook(run.ref, secret)).status_code == 404
    assert enqueued() == []
    run.refresh_from_db()
    assert run.hinted_at is None


def test_a_run_that_nobody_knows_is_not_found(db):
    ref = uuid4()
    assert Client().post(hook(ref)).status_code == 404
    assert enqueued() == []


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "patch"])
def test_only_a_post_is_a_call(run, method):
    assert getattr(Client(), method)(hook(run.ref)).status_code == 405
    assert enqueued() == []


LIES = {
    "nothing": b"",
    "no json": b"{",
    "a lie": b'{"resource": {"status": "FAILED", "id": "somebody-elses", "usageTotalUsd": 1e9}}',
    "deep": b"[" * 100_000,
    "huge": b"x" * 20_000_000,
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize(
    "kind", ["application/json", "multipart/form-data; boundary=x", "text/plain; charset=nonsense"]
)
def test_what_a_call_says_is_not_read(run, name, kind):
    answer = Client(enforce_csrf_checks=True).generic("POST", hook(run.ref), LIES[name], content_type=kind)

    # A broken form is refused before any view; Apify sends JSON.
    is_refused = kind.startswith("multipart") and name in ("deep", "huge")
    assert answer.status_code == (400 if is_refused else 204)
    assert enqueued() == ([] if is_refused else [(LOOK, [run.pk])])
    before = ScrapeRun.objects.values().get()
    assert (before["state"], before["cost_usd"]) == ("started", None)


@pytest.mark.parametrize("state", ["planned", "ingested", "failed"])
def test_a_run_that_is_not_awaited_is_left_alone(run, state):
    ScrapeRun.objects.update(state=state)
    assert Client().post(hook(run.ref)).status_code == 204
    assert enqueued() == []


def test_a_call_that_comes_too_early_starts_no_second_row_of_questions(lamp, sandbox):
    store.set_options(run_seconds=100)
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    Client().post(hook(run.ref))

    assert look_at_hinted_run(run.pk) == "still running"
    assert delayed() == [("products.tasks.collect_scrape_run", [run.pk])]


def test_a_start_whose_answer_was_lost_is_found_by_its_call(lamp, sandbox):
    sandbox.apify.lose_next_answer()
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)
    assert ScrapeRun.objects.get().state == "starting"
    wait_for(lambda: (LOOK, [run.pk]) in enqueued())

    assert look_at_hinted_run(run.pk).startswith("found")
    assert (ScrapeRun.objects.get().state, len(sandbox.apify.runs)) == ("started", 1)


def test_where_apify_takes_no_more_webhooks_the_run_is_started_without(lamp, sandbox):
    sandbox.apify.fail_next(status=400, kind="too-many-webhooks")
    run = ScrapeRun.objects.plan([lamp])
    start_scrape_run(run.pk)

    run.refresh_from_db()
    assert (run.state, len(sandbox.apify.runs)) == ("started", 1)
    assert "webhooks" not in sandbox.apify.runs[0].options
