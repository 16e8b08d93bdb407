"""The OpenAPI document is whole and true, and no value of what it names brings a fault of ours to light."""

import json
from functools import cache
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from amazon_pilot.jobs.models import Batch, BulkAction
from amazon_pilot.jobs.operate.table import OPERATIONS
from amazon_pilot.jobs.web import urls
from amazon_pilot.jobs.web.api_docs import name_of, with_code
from tests.jobs import tasks
from tests.jobs.schedule_world import make_entry
from tests.staff import serve

from .faces import fired, runs

pytestmark = pytest.mark.django_db(transaction=True)
DOCUMENT = "/admin/monitor/api/openapi.json"
KNOWN = {"job_id": "j0", "name": "low", "worker": "w1", "entry": "stock", "pk": "1"}
ASKED = {"api-bulk-preview": {"action": "hold", "q": "state:queued"}, "api-jobs": {"q": "queue:low", "limit": "3"}}
ODD_TEXTS = [
    "", " ", "\0", "a\0b", "\u202e", "é" * 3, "x" * 5000, "-1", "0", "9" * 30, "1e9", "١٢", "NaN", "null", "%", "..",
    "2026-13-45T99:99:99Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "<script>", "' OR 1=1 --", "{}",
]  # fmt: skip
DEEP = json.loads("[" * 300 + "]" * 300)
ODD_VALUES = [
    *ODD_TEXTS, None, True, -1, 0, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, 1e308, [], [[]], {}, {"": None}, DEEP,
    {"args": 3}, [{"a": [None, "\0"]}], ["\ud800"], "\udfff\ud800", {"\ud800": 1},
]  # fmt: skip


@pytest.fixture
def world(person, redis):
    """An administrator's client, and something of each kind to ask about."""
    client = person("admin")
    serve(busy=1)
    runs(3)
    make_entry()
    fired(number=2)
    BulkAction.objects.create(pk=1, action="retry", query="state:failed", state="done")
    tasks.add.enqueue(1, 2)
    tasks.once_at_a_time.enqueue("tea")
    Batch.objects.create(pk=1, task="tests.jobs.tasks.add", children=2)
    return client


@cache
def document(client):
    return json.loads(client.get(DOCUMENT).content)


def operations(told):
    return [
        (path, method, words) for path, methods in sorted(told["paths"].items()) for method, words in methods.items()
    ]


def filled(path, **words):
    """Return an address with its parts filled in."""
    for name, value in (KNOWN | words).items():
        path = path.replace(f"{{{name}}}", quote(str(value).encode("utf-8", "surrogatepass"), safe=""))
    return path


def fields_of(told, words):
    """Return the names of what goes into the body of an operation."""
    return list(told["components"]["schemas"][name_of(words["requestBody"])]["properties"])


def test_it_names_every_address_with_its_role_and_both_ways_in(world):
    told = operations(document(world))

    assert {words["operationId"] for _path, _method, words in told} == {
        pattern.name.removeprefix("api-").replace("-", "_")
        for pattern in urls.urlpatterns
        if str(pattern.pattern).startswith("api/")
    }
    for path, _method, words in told:
        assert words["x-role"] in ("view", "operate", "edit", "admin"), path
        assert [name for one in words["security"] for name in one] == ["TokenAuth", "SessionAuth"]
        assert words["description"].endswith("."), path
    roles = {words["operationId"]: words["x-role"] for _path, _method, words in told}
    assert {row.slug: row.role for row in OPERATIONS.values()}.items() == {
        (row.slug, roles[f"job_{row.slug.replace('-', '_')}"]) for row in OPERATIONS.values()
    }


def test_what_is_answered_has_the_shape_that_it_says(world):
    told = document(world)

    for path, method, words in operations(told):
        if method != "get":
            continue
        answer = world.get(filled(path), ASKED.get("api-" + words["operationId"].replace("_", "-"), {}))
        assert answer.status_code == 200, path
        schema = words["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": told["components"]}).validate(answer.json())


def test_a_refusal_has_the_shape_that_it_says(world):
    told = document(world)

    for path, method, words in operations(told):
        answer = getattr(world, method)(filled(path, job_id="none", pk=7, entry="none", worker="none", name="none"))
        if answer.status_code == 200:
            continue
        schema = words["responses"][str(answer.status_code)]["content"]["application/json"]["schema"]
        Draft202012Validator(schema | {"components": told["components"]}).validate(answer.json())


def test_it_is_shown_on_a_page_and_to_no_stranger(world, client):
    page = world.get("/admin/monitor/docs").content.decode()

    for words in ("job_snooze", "monitor/<wbr>api", "cron", "minimum" not in page and "≥ 1"):
        assert words in page
    assert "<code>confirm</code> is the queue" in page
    assert "`" not in page
    client.logout()
    assert client.get(DOCUMENT).status_code == 401
    assert client.get("/admin/monitor/docs").status_code == 302


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("no code", "no code"),
        ("`a`", "<code>a</code>"),
        ("`a` and `<b>` & c", "<code>a</code> and <code>&lt;b&gt;</code> &amp; c"),
        ("one ` alone", "one ` alone"),
        ("`a` then ` alone", "<code>a</code> then ` alone"),
        ("``", "``"),
        ("{} `{0}` %s", "{} <code>{0}</code> %s"),
    ],
)
def test_what_stands_between_backquotes_is_code(text, shown):
    assert with_code(text) == shown


def is_sound(answer, *said):
    assert answer.status_code < 500, said
    assert answer["Content-Type"].startswith("application/json"), said
    if answer.status_code >= 400 and answer.content:
        assert set(answer.json()["error"]) == {"code", "message"}, said


def some_and_all(odds):
    return [pytest.param(odds[::12], id="some"), pytest.param(odds, id="all", marks=pytest.mark.long)]


@pytest.mark.slow
@pytest.mark.parametrize("odds", some_and_all(ODD_TEXTS))
def test_no_odd_part_of_an_address_or_question_is_a_fault(world, odds):
    told = document(world)

    for path, method, words in operations(told):
        for parameter in words.get("parameters", []):
            for odd in [*odds, "\ud800"]:
                name = parameter["name"]
                if parameter["in"] == "path":
                    address = filled(path, **{name: odd or "-"})
                else:
                    address = f"{filled(path)}?{name}={quote(odd.encode('utf-8', 'surrogatepass'))}"
                is_sound(getattr(world, method)(address), method, address)


@pytest.mark.slow
@pytest.mark.parametrize(
    "odds", [ODD_VALUES[::12], pytest.param(ODD_VALUES, marks=pytest.mark.long)], ids=["some", "all"]
)
def test_no_odd_value_of_a_body_is_a_fault(world, odds):
    told = document(world)
    by_shape = {
        name_of(words["requestBody"]): each for each in operations(told) if (words := each[2]).get("requestBody")
    }

    assert len(by_shape) > 10
    for path, _method, words in by_shape.values():
        names = fields_of(told, words)
        bodies = [json.dumps(odd) for odd in odds] + ["", "{", "[1", "\0", "[" * 100_000, '{"reason": NaN}']
        bodies += [json.dumps({"reason": "A test", name: odd}) for name in names for odd in odds]
        for body in bodies:
            is_sound(world.post(filled(path), body.encode(), content_type="application/json"), path, body[:200])


TEXTS = st.text(st.characters(codec=None, categories=None), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda some: st.lists(some, max_size=4) | st.dictionaries(TEXTS, some, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_body_at_all_is_a_fault(world, data):
    told = document(world)
    path, _method, words = data.draw(st.sampled_from([each for each in operations(told) if each[1] == "post"]))
    named = st.fixed_dictionaries({}, optional=dict.fromkeys(fields_of(told, words), JSON))

    body = json.dumps(data.draw(named | JSON))

    is_sound(world.post(filled(path), body, content_type="application/json"), path, body)
