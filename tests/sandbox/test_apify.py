"""The played Apify, asked by the unmodified apify-client: its protocol, its lists and its failures on demand."""

import gzip
import json
import resource
import time
import zlib
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from apify_client import ApifyClient
from apify_client.errors import ApifyApiError, NotFoundError, UnauthorizedError
from apify_client.http_clients import Httpx2HttpClient
from django import conf

from amazon_pilot.sandbox import store
from amazon_pilot.sandbox.store import Run

ACTOR = "axesso_data/amazon-product-details-scraper"
ADDRESSES = [f"https://www.amazon.com/dp/B0LAMP000{number}?th=1&psc=1" for number in range(1, 6)]


@pytest.fixture
def client(sandbox):
    return client_with(sandbox, conf.settings.SANDBOX_TOKEN)


def client_with(sandbox, token):
    transport = Httpx2HttpClient(token=token, max_retries=0)
    return ApifyClient.with_custom_http_client(token, api_url=f"{sandbox.url}/sandbox/apify", http_client=transport)


def test_a_run_goes_from_ready_through_running_to_its_items(client):
    store.set_options(run_seconds=2)

    run = client.actor(ACTOR).start(run_input={"urls": ADDRESSES})
    statuses = {str(run.status)}
    while str(run.status) != "SUCCEEDED":
        time.sleep(0.02)
        run = client.run(run.id).get()
        statuses.add(str(run.status))

    assert statuses == {"READY", "RUNNING", "SUCCEEDED"}
    assert run.usage_total_usd == 0.0075
    assert run.charged_event_counts == {"result": 5}
    assert len(client.dataset(run.default_dataset_id).list_items().items) == 5
    assert len(list(client.run(run.id).dataset().iterate_items(chunk_size=2))) == 5
    assert client.run(run.id).key_value_store().get_record("INPUT")["value"] == {"urls": ADDRESSES}


def test_waiting_for_the_end_holds_the_answer_until_then(client):
    run = client.actor(ACTOR).call(run_input={"urls": ADDRESSES[:1]}, logger=None, wait_duration=timedelta(seconds=5))

    assert str(run.status) == "SUCCEEDED"


def test_an_input_over_the_threshold_arrives_as_gzip_and_is_read(client):
    many = [f"https://www.amazon.com/dp/B0LAMP{number:04}?th=1&psc=1" for number in range(60)]

    run = client.actor(ACTOR).start(run_input={"urls": many}, max_items=40, wait_for_finish=2)

    assert client.dataset(run.default_dataset_id).list_items().count == 40


def test_a_wrong_key_gives_an_empty_dataset_as_at_apify(client):
    run = client.actor(ACTOR).start(run_input={"startUrls": ADDRESSES}, wait_for_finish=2)

    assert (str(run.status), client.dataset(run.default_dataset_id).list_items().total) == ("SUCCEEDED", 0)


def test_a_list_is_filtered_by_time_and_status_and_ends(client):
    runs = [client.actor(ACTOR).start(run_input={"urls": ADDRESSES[:1]}) for _ in range(5)]
    second = runs[1].started_at

    newest_first = list(client.actor(ACTOR).runs().iterate(started_after=second, desc=True, chunk_size=2))

    assert [run.id for run in newest_first] == [run.id for run in reversed(runs[1:])]
    assert list(client.runs().iterate(started_before=second - timedelta(days=1))) == []
    time.sleep(0.06)
    assert client.runs().list(status=["SUCCEEDED"]).total == 5
    assert client.runs().list(status="FAILED").total == 0


def test_an_aborted_run_keeps_what_it_has_found(client):
    store.set_options(run_seconds=30)
    run = client.actor(ACTOR).start(run_input={"urls": ADDRESSES})

    aborted = client.run(run.id).abort()

    assert str(aborted.status) == "ABORTED"
    assert client.dataset(run.default_dataset_id).list_items().count < 5


def test_the_older_name_of_the_path_is_served_too(sandbox, client):
    client.actor(ACTOR).start(run_input={"urls": ADDRESSES[:1]})
    path = f"{sandbox.url}/sandbox/apify/v2/acts/axesso_data~amazon-product-details-scraper/runs"

    answer = httpx2.get(path, headers={"Authorization": f"Bearer {conf.settings.SANDBOX_TOKEN}"})

    assert answer.json()["data"]["count"] == 1


def test_what_is_unknown_or_not_allowed_gets_apifys_errors(sandbox, client):
    assert client.run("nothing").get() is None
    assert client.key_value_store("kvnothing").get_record("INPUT") is None
    with pytest.raises(NotFoundError):
        client.dataset("dsnothing").list_items()
    with pytest.raises(NotFoundError):
        client.run("nothing").abort()
    with pytest.raises(UnauthorizedError, match="not valid"):
        client_with(sandbox, "wrong").run("nothing").get()
    assert httpx2.get(f"{sandbox.url}/sandbox/apify/v2/actor-runs").json()["error"]["type"] == "token-not-provided"
    with pytest.raises(ApifyApiError, match="not a JSON object"):
        client.actor(ACTOR).start(run_input=["a list"])


def test_old_runs_are_forgotten_beyond_a_few_hundred(sandbox, monkeypatch):
    monkeypatch.setattr(store, "MOST_RUNS", 3)

    for _ in range(5):
        store.add_run(Run(store.new_run_id(), ACTOR, time.time(), 1, {}, ""))

    assert len(store.runs()) == 3


def test_a_path_cannot_be_told_to_leave_the_folder_of_runs(sandbox):
    assert store.run("../options") is None


def test_a_fault_is_used_once_and_by_the_call_that_it_names(client, sandbox):
    sandbox.apify.fail_next(503, on="list")
    client.actor(ACTOR).start(run_input={"urls": ADDRESSES[:1]})

    with pytest.raises(ApifyApiError):
        client.runs().list()
    assert client.runs().list().total == 1


@pytest.mark.later
def test_a_site_with_real_services_has_no_sandbox(sandbox, settings):
    settings.APIFY_API_URL, settings.OPENAI_BASE_URL = "https://api.apify.com", "https://api.openai.com/v1"

    assert httpx2.get(f"{sandbox.url}/sandbox/apify/v2/actor-runs").status_code == 404


def bomb() -> bytes:
    """Return 300 MB of spaces as gzip, made in little memory, which is what the test measures."""
    packer = zlib.compressobj(1, wbits=31)
    return b"".join(packer.compress(b" " * 1_000_000) for _ in range(300)) + packer.flush()


@pytest.mark.later
@pytest.mark.parametrize(
    "pack",
    [
        bomb,
        lambda: gzip.compress(b'{"a": "' + b"x" * 3_000_000 + b'"}'),
        lambda: gzip.compress(b"{}")[:-9],
        lambda: gzip.compress(b"[" * 200_000),
        lambda: b"no gzip",
    ],
    ids=["bomb", "large", "cut", "deep", "none"],
)
def test_a_body_that_expands_beyond_what_a_body_may_be_is_refused_in_little_memory(sandbox, settings, pack):
    body = pack()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    headers = {"Authorization": f"Bearer {settings.APIFY_TOKEN}", "Content-Encoding": "gzip"}

    answer = httpx2.post(f"{sandbox.url}/sandbox/apify/v2/acts/a~b/runs", content=body, headers=headers)

    assert answer.status_code == 400
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes
    assert sandbox.apify.runs == []


@pytest.mark.later
def test_there_is_no_control_without_a_token_for_it(sandbox, settings):
    wish = {"service": "apify", "fail_next": {"status": 503}}

    for token in (None, "sandbox", settings.SANDBOX_TOKEN):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        assert httpx2.post(f"{sandbox.url}/sandbox/control/", json=wish, headers=headers).status_code == 404
    assert store.take_fault("apify", "start") is None


def test_the_control_needs_its_token(sandbox, settings):
    settings.SANDBOX_CONTROL_TOKEN = "a-token"
    wish = {"service": "apify", "fail_next": {"status": 503}}

    assert httpx2.post(f"{sandbox.url}/sandbox/control/", json=wish).status_code == 401
    assert store.take_fault("apify", "start") is None


def test_the_control_grants_wishes_over_http(sandbox, settings):
    settings.SANDBOX_CONTROL_TOKEN = "a-token"
    wish = {"service": "apify", "fail_next": {"status": 503}, "options": {"run_seconds": 7}}
    headers = {"Authorization": "Bearer a-token"}

    granted = httpx2.post(f"{sandbox.url}/sandbox/control/", json=wish, headers=headers)
    refused = httpx2.post(f"{sandbox.url}/sandbox/control/", json={"options": {"x": 1}}, headers=headers)

    assert granted.json()["options"]["run_seconds"] == 7
    assert store.take_fault("apify", "start").status == 503
    assert refused.status_code == 400


WRONG_WISHES = [
    {"fail_next": {"status": "x"}}, {"fail_next": {"status": 99_999}}, {"fail_next": {"times": 10**9}},
    {"fail_next": {"times": -1}}, {"fail_next": {"delay": "x"}}, {"fail_next": {"delay": -1}},
    {"fail_next": {"items": "x"}}, {"fail_next": {"output": {}}}, {"fail_next": {"retry_after": "soon"}},
    {"fail_next": []}, {"fail_next": None}, {"options": {"run_seconds": "x"}}, {"options": {"run_seconds": 1e400}},
    {"options": []}, {"service": [], "fail_next": {}}, {"service": "x", "fail_next": {}},
]  # fmt: skip


@pytest.mark.parametrize("wish", WRONG_WISHES)
def test_a_wish_of_which_the_next_call_would_fail_is_refused(client, sandbox, settings, wish):
    settings.SANDBOX_CONTROL_TOKEN = "a-token"
    headers = {"Authorization": "Bearer a-token"}

    said = json.dumps({"service": "apify"} | wish)
    refused = httpx2.post(f"{sandbox.url}/sandbox/control/", content=said, headers=headers)

    assert (refused.status_code, refused.json()["error"][:25]) == (400, "The wish cannot be read: ")
    assert client.actor(ACTOR).start(run_input={"urls": ADDRESSES[:1]}).id


@pytest.mark.parametrize("word", ["²", "x", "-1", "9" * 5000, "nan", "٣", ""])
def test_odd_numbers_and_names_in_an_address_are_never_a_server_error(sandbox, settings, word):
    names = ("limit", "offset", "waitForFinish", "maxItems", "timeout", "startedAfter", "status", "desc", "webhooks")
    base, odd = f"{sandbox.url}/sandbox/apify/v2", dict.fromkeys(names, word[:500])
    headers = {"Authorization": f"Bearer {settings.SANDBOX_TOKEN}"}
    started = httpx2.post(f"{base}/acts/a~b/runs", params=odd, json={"urls": ADDRESSES[:1]}, headers=headers)
    run = started.json()["data"]
    paths = ("actor-runs", f"actor-runs/{run['id']}", f"datasets/{run['defaultDatasetId']}/items", f"actor-runs/{word}")

    assert started.status_code == 201
    for path in paths:
        assert httpx2.get(f"{base}/{path}", params=odd, headers=headers).status_code in (200, 400, 404)


def test_times_are_written_with_a_zone():
    assert store.stamp(datetime(2026, 1, 2, 3, 4, 5, 678000, UTC).timestamp()) == "2026-01-02T03:04:05.678Z"


def test_a_dataset_can_be_played_as_any_text_and_a_run_as_without_a_bill(client, sandbox):
    run = client.actor(ACTOR).start(run_input={"urls": ADDRESSES[:1]})
    sandbox.apify.fail_next(on="items", body='[{"title": "half \ud83d"}]')
    sandbox.apify.fail_next(on="get", cost_usd=0.0, commits=True)

    assert client.dataset(run.default_dataset_id).get_items_as_bytes() == b'[{"title": "half \xed\xa0\xbd"}]'
    assert client.run(run.id).get().usage_total_usd == 0
    time.sleep(0.1)
    assert client.run(run.id).get().usage_total_usd > 0
