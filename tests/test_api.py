"""The sellers' API: who may, what is answered, pages by key, and that another's things do not exist."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import jsonschema
import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from accounts.models import ApiToken
from accounts.tasks import note_token_use
from analysis.models import Comparison, Report
from products.api import entry
from products.api.site import api
from products.models import Change, Frequency, Product, Role, Tracking
from tests.world import NOON, enqueued, run_jobs, see

ROOT = "/api/v1"
LAMP = f"{ROOT}/products/amazon.com/B0LAMP0001"
SCHEMA = api.get_openapi_schema(path_prefix="/api/v1/")


class Script:
    """What asks with a token, and holds each answer against the OpenAPI document."""

    def __init__(self, text):
        self.client, self.headers = Client(), {"Authorization": f"Bearer {text}"} if text else {}

    def __call__(self, method, path, data=None, **query):
        path = path if path.startswith("/") else f"{ROOT}/{path}"
        body = {"data": json.dumps(data), "content_type": "application/json"} if data is not None else {}
        query = {"QUERY_STRING": "&".join(f"{name}={value}" for name, value in query.items())} if query else {}
        answer = self.client.generic(
            method.upper(), path, body.get("data", ""), body.get("content_type", ""), headers=self.headers, **query
        )
        answer.value = json.loads(answer.content) if answer.content else None
        check(answer, method, path)
        return answer


def check(answer, method, path):
    """Hold an answer against what the document says of it."""
    for template, operations in SCHEMA["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if re.fullmatch(pattern, path.partition("?")[0]) and method.lower() in operations:
            told = operations[method.lower()]["responses"]
            found = told.get(answer.status_code) or told.get(str(answer.status_code))
            assert found is not None, (method, path, answer.status_code, answer.content)
            if answer.value is not None:
                schema = found["content"]["application/json"]["schema"]
                jsonschema.validate(answer.value, schema | {"components": SCHEMA["components"]})


@pytest.fixture
def token(alice):
    return lambda scope="write", user=alice: ApiToken.objects.issue(user.memberships.get(), "a script", scope)[1]


@pytest.fixture
def ask(token):
    return Script(token())


@pytest.fixture
def shop(alice, lamp, competitors):
    see(lamp)
    see(lamp, NOON + timedelta(days=1), price=Decimal("29.99"), seller="Other", seller_id="S2")
    comparison = Comparison.objects.start(alice.teams.get(), lamp, competitors[:3], "Lamps")
    report = Report.objects.ask_comparison(comparison)
    return {"comparison": comparison.pk, "report": report.pk}


def test_each_kind_of_thing_is_shown(ask, shop):
    one = (LAMP, f"{LAMP}/history", f"comparisons/{shop['comparison']}", f"reports/{shop['report']}")
    for path in ("me", "products", "changes", "comparisons", "reports", *one):
        assert ask("get", path).status_code == 200, path

    product = ask("get", LAMP).value
    assert (product["price"], product["currency"], product["rank"]) == ("29.99", "USD", 73)
    assert [point["price"] for point in ask("get", f"{LAMP}/history").value["items"]] == ["49.99", "29.99"]
    assert {change["kind"] for change in ask("get", "changes").value["items"]} >= {"price_change", "buybox_change"}
    assert ask("get", "comparisons").value["items"][0]["product"]["asin"] == "B0LAMP0001"


def test_nobody_gets_in_without_a_token_that_is_valid(alice, token, lamp):
    revoked = token()
    ApiToken.objects.all().delete()
    asleep = token()
    for text in ("", "pilot_wrong", revoked, "é", "x" * 5000):
        answer = Script(text)("get", "products")
        assert (answer.status_code, answer.value["error"]["code"]) == (401, "unauthenticated")
        assert answer["WWW-Authenticate"] == "Bearer"
    User.objects.update(is_active=False)
    assert Script(asleep)("get", "products").status_code == 401


def test_a_wrong_token_is_not_helped_by_a_session(client, alice):
    client.force_login(alice)

    assert client.get(f"{ROOT}/products").status_code == 200
    assert client.get(f"{ROOT}/products", headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("post", "products", {"products": [{"asin": "B0SYN00001"}]}),
        ("patch", LAMP, {"paused": True}),
        ("delete", LAMP, None),
        ("post", f"{LAMP}/refresh", None),
    ],
)
def test_what_changes_anything_needs_a_token_that_may_write_or_a_session_with_its_csrf_token(
    token, alice, lamp, method, path, data
):
    answer = Script(token("read"))(method, path, data)
    assert (answer.status_code, answer.value["error"]["code"]) == (403, "scope")

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(alice)
    path = path if path.startswith("/") else f"{ROOT}/{path}"
    refused = browser.generic(method.upper(), path, json.dumps(data or {}), "application/json")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "csrf")
    assert Tracking.objects.filter(team=alice.teams.get(), paused=False).count() == 1

    browser.get("/account/")
    csrf = {"X-CSRFToken": browser.cookies["csrftoken"].value}
    assert (
        browser.generic(method.upper(), path, json.dumps(data or {}), "application/json", headers=csrf).status_code
        < 300
    )


def test_another_users_things_do_not_exist(token, charlie, shop, lamp):
    ask = Script(token("write", charlie))

    addresses = [
        ("get", LAMP), ("patch", LAMP), ("delete", LAMP), ("post", f"{LAMP}/refresh"), ("get", f"{LAMP}/history"),
        ("get", f"comparisons/{shop['comparison']}"), ("get", f"reports/{shop['report']}"),
    ]  # fmt: skip
    for method, path in addresses:
        answer = ask(method, path, {} if method == "patch" else None)
        assert (answer.status_code, answer.value["error"]["code"]) == (404, "unknown"), path
    for path in ("products", "changes", "comparisons", "reports"):
        assert ask("get", path).value == {"items": [], "next": None}
    assert Tracking.objects.filter(product=lamp).count() == 1


def test_products_are_added_each_on_its_own(ask, alice, lamp, django_capture_on_commit_callbacks):
    sent = [
        {"asin": "b0syn00001", "marketplace": "DE", "alias": "one", "role": "competitor", "frequency": "weekly"},
        {"url": "https://www.amazon.fr/dp/B0SYN00002"}, {"asin": "nonsense"}, {"asin": "B0LAMP0001"},
        {"asin": "B0SYN00001", "marketplace": "amazon.de"}, {"asin": "B0SYN00003", "marketplace": "Atlantis"},
    ]  # fmt: skip
    with django_capture_on_commit_callbacks(execute=True):
        answer = ask("post", "products", {"products": sent})

    assert answer.value["added"] == ["amazon.de/B0SYN00001", "amazon.fr/B0SYN00002"]
    assert answer.value["watched"] == ["amazon.com/B0LAMP0001"]
    assert [one["index"] for one in answer.value["refused"]] == [2, 5]
    row = Tracking.objects.get(product__asin="B0SYN00001")
    assert (row.team, row.alias, row.role, row.frequency) == (alice.teams.get(), "one", "competitor", "4_weekly")
    assert ("products.tasks.batch_update_products") in {name for name, _args in enqueued()}


def test_tracking_is_changed_in_part(ask, tracking):
    answer = ask(
        "patch", LAMP, {"alias": "Mine", "price_threshold": "12.5", "rank_threshold": 7, "frequency": "hourly"}
    )

    tracking.refresh_from_db()
    assert answer.value["alias"] == tracking.alias == "Mine"
    assert (tracking.price_threshold, tracking.bsr_threshold, tracking.frequency) == (Decimal("12.5"), 7, "1_hourly")
    assert tracking.role == "own"


def test_a_product_is_removed_and_gone(ask, lamp):
    assert ask("delete", LAMP).status_code == 204
    assert ask("delete", LAMP).status_code == 404
    assert Product.objects.filter(pk=lamp.pk).exists()


def test_a_product_is_looked_at_now(ask, lamp, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        assert ask("post", f"{LAMP}/refresh").status_code == 202

    assert ("products.tasks.update_product", [lamp.pk]) in enqueued()


FULL = {"products": [{"asin": "B0SYN00001"}]}
WRONG_BODIES = [
    {}, {"products": []}, {"products": [1]}, [], {"products": [{"asin": "B0SYN00001", "price": 1}]},
    {"products": [{"asin": "x"}] * 501}, {"products": [{"asin": "x" * 41}]}, FULL | {"more": 1},
    {"products": [{"asin": "B0SYN00001", "alias": "a\0"}]}, {"products": [{"asin": "B0SYN00001", "alias": "\ud800"}]},
]  # fmt: skip
WRONG_CHANGES = [
    {"role": "friend"}, {"price_threshold": 101}, {"price_threshold": "nan"}, {"price_threshold": "1.234"},
    {"price_threshold": True}, {"rank_threshold": 0}, {"rank_threshold": 10**30}, {"alias": None}, {"paused": 2},
    {"alias": "x" * 101}, {"unknown": 1}, {"frequency": "3_daily"},
]  # fmt: skip
WRONG_QUESTIONS = [
    "products?limit=0", "products?limit=201", "products?limit=²", "products?role=friend", "products?after=!",
    "products?after=abcd", "changes?after=WzFd", "changes?after=" + "W" * 300, "changes?since=yesterday",
    "changes?since=2026-01-01T00:00:00", "reports/0", "reports/x", "reports/" + "9" * 30,
    f"{LAMP}/history?source=else", f"{LAMP}/history?until=9999-99-99", "changes?after=WzkyMjMzNzIwMzY4NTQ3NzU4MDcsMV0",
]  # fmt: skip
WRONG = [
    *(("post", "products", data) for data in WRONG_BODIES),
    *(("patch", LAMP, data) for data in WRONG_CHANGES),
    *(("get", path, None) for path in WRONG_QUESTIONS),
]


@pytest.mark.parametrize(("method", "path", "data"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_question_is_refused_in_one_form(ask, tracking, method, path, data):
    answer = ask(method, path, data)

    assert answer.status_code in (400, 422)
    assert set(answer.value) == {"error"}
    assert answer.value["error"]["message"].endswith((".", "…"))
    assert Tracking.objects.count() == 1


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, "\x00", '{"products": 1e999}', "null", '"x"'])
def test_a_body_that_is_no_json_is_refused(ask, tracking, body):
    answer = ask.client.post(f"{ROOT}/products", body, "application/json", headers=ask.headers)

    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=x", "text/plain", ""])
@pytest.mark.parametrize(("method", "path"), [("post", f"{ROOT}/products"), ("patch", LAMP)])
def test_a_form_is_refused_where_json_is_wanted(ask, tracking, method, path, kind):
    answer = getattr(ask.client, method)(path, b"q=1", kind, headers=ask.headers)

    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nowhere", 404),
        ("GET", "/api/v2/products", 404),
        ("PUT", "/api/v1/products", 405),
        ("DELETE", "/api/v1/me", 405),
    ],
)
def test_an_address_that_there_is_not_is_told_in_json(ask, method, path, status):
    answer = ask.client.generic(method, path, headers=ask.headers)

    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert status != 405 or answer["Allow"]


@pytest.mark.parametrize("path", ["products", "changes", "comparisons", "reports", f"{LAMP}/history"])
def test_pages_by_key_hold_everything_once_and_cost_the_same(ask, alice, lamp, competitors, path):
    see(lamp)
    for hour in range(1, 8):
        see(lamp, NOON + timedelta(hours=hour), price=Decimal(50 + 10 * (hour % 2)))
        comparison = Comparison.objects.start(alice.teams.get(), lamp, competitors[:3])
        Report.objects.ask_comparison(comparison)
    whole = ask("get", path, limit=200).value["items"]
    found, after, costs = [], "", set()
    while after is not None:
        with CaptureQueriesContext(connection) as captured:
            page = ask("get", path, limit=2, after=after).value
        costs.add(len(captured))
        found, after = found + page["items"], page["next"]

    assert found == whole
    assert len(whole) >= 6
    assert max(costs) <= 4


def test_no_question_costs_more_for_more_rows(ask, alice):
    def cost():
        with CaptureQueriesContext(connection) as captured:
            ask("get", "products", limit=200)
        return len(captured)

    first = cost()
    products = Product.objects.ensure([("amazon.com", f"B0{number:08}") for number in range(150)])
    Tracking.objects.watch(alice.teams.get(), products, Role.OWN, Frequency.DAILY)

    assert cost() == first


def test_the_limit_of_a_token_holds_and_is_its_own(ask, token, settings, monkeypatch):
    settings.API_REQUESTS_PER_MINUTE = 3
    clock = SimpleNamespace(time=lambda: 1_800_000_010.0)
    monkeypatch.setattr(entry, "time", clock)

    assert [ask("get", "me").status_code for _ in range(5)] == [200, 200, 200, 429, 429]

    answer = ask("get", "products")
    assert (answer.value["error"]["code"], answer["Retry-After"]) == ("too_many", "50")
    assert Script(token())("get", "me").status_code == 200
    clock.time = lambda: 1_800_000_061.0
    assert ask("get", "me").status_code == 200


def test_a_get_writes_nothing_and_the_use_of_a_token_is_noted_by_the_worker(
    ask, lamp, django_capture_on_commit_callbacks
):
    with CaptureQueriesContext(connection) as captured, django_capture_on_commit_callbacks(execute=True):
        for path in ("products", "changes", LAMP):
            ask("get", path)

    assert not [one["sql"] for one in captured if not one["sql"].startswith(("SELECT", "SAVEPOINT", "RELEASE"))]
    assert [name for name, _args in enqueued()] == ["accounts.tasks.note_token_use"]
    run_jobs()
    row = ApiToken.objects.get()
    assert now() - row.last_used_at < timedelta(minutes=1)
    with django_capture_on_commit_callbacks(execute=True):
        ask("get", "products")
    assert enqueued() == []


def test_the_api_answers_while_redis_is_away(ask, lamp, redis_away):
    assert ask("get", "products").status_code == 200


def test_only_a_digest_of_a_token_is_kept_and_it_is_shown_once(client, alice, lamp):
    client.force_login(alice)
    shown = client.post("/account/tokens/", {"name": "night", "scope": "read"}).content.decode()
    text = re.search(r'id="token">(pilot_[\w-]+)<', shown)[1]

    assert text not in client.get("/account/tokens/").content.decode()
    assert text not in json.dumps(list(ApiToken.objects.values("name", "digest", "start")))
    assert Script(text)("get", "products").status_code == 200
    row = ApiToken.objects.get()
    assert client.get(f"/account/tokens/{row.pk}/revoke/").status_code == 405
    client.post(f"/account/tokens/{row.pk}/revoke/")
    assert Script(text)("get", "products").status_code == 401


def test_a_token_is_revoked_by_its_owner_alone(client, charlie, token):
    token()
    client.force_login(charlie)
    row = ApiToken.objects.get()

    assert client.post(f"/account/tokens/{row.pk}/revoke/").status_code == 404
    assert row.start not in client.get("/account/tokens/").content.decode()


def test_the_page_and_the_document_say_every_address_without_a_script(client, db):
    document = client.get(f"{ROOT}/openapi.json").json()
    answer = client.get(f"{ROOT}/docs/")

    text = answer.content.decode().replace("<wbr>", "")
    assert answer.status_code == 200
    assert "'self'" in answer["Content-Security-Policy"]
    for path, operations in document["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in text
    assert "<script>" not in text
    assert "<code>source=imported</code>" in text
    assert "`" not in text


def test_noting_a_token_that_is_gone_is_no_error(db):
    note_token_use(10**9)
    assert Change.objects.count() == 0
