"""Every address of the site, with odd values in every parameter: a sentence, and never a server error."""

import inspect
import json
import re
import sys
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.urls import URLPattern, get_resolver

from amazon_pilot.jobs.inspect.grammar import QueryError
from amazon_pilot.jobs.inspect.query import parse
from amazon_pilot.jobs.models import JobRun
from amazon_pilot.jobs.web.parameters import is_plain_text, texts_in
from tests.jobs import tasks
from tests.staff import ROLES

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.page, pytest.mark.both]

ODD = [
    "\0", "a\0b", "²", "٣", "-1", "1e400", "NaN", "9" * 30, "9" * 5000, "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
    "99999-01-01", "2026-13-45T99:99", "[" * 500, "(" * 500, "-" * 500 + "a", "NOT " * 100 + "x", "%", "%s%n",
    "'\"<script>",
    "arg.0.regex:((a+)+)+z", "arg.0.in:1", "arg.0.range:1", "arg.x.isnull:1", "arg.0.iregex:x", "arg.a__b:1", "arg..:1",
    "arg.99999999999999:1", "arg.²:1", "attempts:²", "duration>" + "9" * 400, "since:0001-01-01", "until:9999-12-31",
    "since:99999999999999w", "2026-01-01T00:00:00+00:00,²", "0:²", "x" * 10_000, "\ufffd",
    "\u202e", "2" * 19, "None", "[]", '{"a":' * 2000, "../../etc/passwd", "0,0", "-P99999999999D",
]  # fmt: skip
FEW = ("\0", "²", "9" * 30, "9999-12-31T23:59:59Z", "(" * 500)
ADMIN = (
    "q",
    "p",
    "o",
    "e",
    "address",
    "at__gte",
    "pk__in",
    "id__exact",
    "outcome__regex",
    "started_at__year",
    "all",
    "_popup",
)


def addresses(patterns=None, prefix=""):
    """Return every address of the site: its text with its places still in it, and its view."""
    for each in patterns or get_resolver().url_patterns:
        route = prefix + str(each.pattern)
        if isinstance(each, URLPattern):
            yield route, each.callback
        else:
            yield from addresses(each.url_patterns, route)


def filled(route, word):
    """Return an address with a word in each of its places; a number where it takes none but numbers."""
    path = re.sub(r"<int:\w+>", "1" if not word.isdigit() else word, route)
    path = re.sub(r"<[^>]+>|\(\?P<[^)]+\)", quote(word, safe=""), path)
    return "/" + re.sub(r"[\^$?\\]|\(.*\)|\.\*", "", path)


def parameters(view):
    """Return the parameters that a view reads, by the source of its module."""
    code = inspect.unwrap(view).__module__
    source = inspect.getsource(sys.modules[code])
    return sorted(
        set(re.findall(r"""(?:GET|POST|words)(?:\.get|\.getlist|\[)\(?["'](\w+)["']""", source)) | {"q", "next"}
    )


SITE = [(route, view) for route, view in addresses() if "sandbox" not in route and "static" not in route]
OURS = [(route, view) for route, view in SITE if "monitor" in route]
# These end the session, or are asked by machines.
LEAVES = ("logout", "login", "metrics", "password")


@pytest.fixture
def everyone(client):
    """Return a client of nobody, of each role, and of a superuser, who sees a server error instead of an exception."""
    client.raise_request_exception = False
    tasks.do_nothing.enqueue("kettle")
    return client


@pytest.fixture
def boss(everyone):
    everyone.force_login(User.objects.create_superuser("boss"))
    return everyone


def is_sound(answer):
    return answer.status_code < 500 or answer.status_code == 503


@pytest.mark.long
@pytest.mark.parametrize("part", range(6))
def test_no_parameter_of_any_address_makes_a_server_error(boss, part):
    broken = []
    for n, (route, view) in enumerate(SITE[part::6]):
        if any(word in route for word in LEAVES):
            continue
        names = parameters(view) + (list(ADMIN) if "admin/" in route and "monitor" not in route else [])
        for odd in (*FEW, *ODD[n % 5 :: 5]):  # each value meets a fifth of the addresses, and the sharpest all
            for asked in [
                dict.fromkeys(names, odd),
                *({name: odd} for name in names if "monitor" in route and odd in FEW),
            ]:
                address = filled(route, "1")
                if not is_sound(boss.get(f"{address}?{urlencode(asked, errors='replace')}")):
                    broken.append((address, asked))
    assert broken == []


def test_every_list_of_the_admin_can_be_searched(boss):
    lists = [f"/admin/{model._meta.app_label}/{model._meta.model_name}/" for model in admin.site._registry]
    broken = [address for address in lists if not is_sound(boss.get(address, {"q": "kettle"}, follow=True))]
    assert broken == []


# Queries, bodies and headers as no form and no client of ours would send them.
RAW = [
    "q=%ff&q=%c3%28", "q=%ed%a0%80&name=%ed%b0%80", "q=1&q=2&q=%00", "%ff=1&=1&&&&q", "q=%u0041&reason=%",
    "q[]=1&q[a]=2", "limit=%ff&after=%ff&before=%ff&sort=%ff&as=%ff&page=%ff", "q=" + "x" * 1_000_000,
    "&".join(["q=1"] * 3000),
]  # fmt: skip
KINDS = [
    "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-16", "application/json",
    "multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary=" + "x" * 300,
    "text/plain", "application/json; charset=no-such", "",
]  # fmt: skip
METHODS = ("HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "gEt")
HEADERS = [
    {"HX-Current-URL": "http://[::1", "HX-Request": "\xff"}, {"Authorization": "Bearer \xff"},
    {"Authorization": "Bearer a b"}, {"Referer": "http://[::1"}, {"Range": "bytes=9-1"}, {"If-None-Match": '"'},
    {"If-Modified-Since": "Mon, 99 Foo 99999 99:99:99 GMT"}, {"X-Forwarded-For": ",\xff,"}, {"Accept": "\xff/"},
    {"Accept-Language": "zz-" * 2000}, {"Accept-Encoding": "gzip;q=x"}, {"Idempotency-Key": "x" * 5000},
    {"Cookie": "messages=[[; zone=%ff; csrftoken=\xff; ;;==;"}, {"User-Agent": "\xff" * 2000},
]  # fmt: skip
# Each third address meets one of each, or every address meets a third of them.
SOME_OR_ALL = pytest.mark.parametrize(("each", "step"), [(3, 99), pytest.param(1, 3, marks=pytest.mark.long)])


@SOME_OR_ALL
def test_no_query_body_or_method_makes_a_server_error(boss, each, step):
    broken = []
    for n, (route, _view) in enumerate(SITE[::each]):
        if any(word in route for word in LEAVES):
            continue
        address = filled(route, "1")
        for raw in RAW[n % len(RAW) :: step]:
            asked = [("GET", boss.generic("GET", address, QUERY_STRING=raw[:60_000]))]
            asked += [(kind, boss.generic("POST", address, raw, content_type=kind)) for kind in KINDS[n % 8 :: step]]
            asked += [(method, boss.generic(method, address, raw)) for method in METHODS[n % 7 :: step]]
            broken += [(address, how, raw[:30]) for how, answer in asked if not is_sound(answer)]
    assert broken == []


@SOME_OR_ALL
def test_no_header_makes_a_server_error(boss, each, step):
    broken = []
    for n, (route, _view) in enumerate(SITE[::each]):
        if not any(word in route for word in LEAVES):
            address = filled(route, "1")
            for header in HEADERS[n % len(HEADERS) :: step]:
                answers = [boss.generic(method, address, b"q=1", headers=header) for method in ("GET", "POST")]
                broken += [(address, header) for answer in answers if not is_sound(answer)]
    assert broken == []


PLACES = ["\0", "9" * 30, "²", "x" * 3000, "\u202e", "%00", "a:b,c/d"]


@pytest.mark.slow
@pytest.mark.parametrize("odds", [PLACES[:2], pytest.param(PLACES, marks=pytest.mark.long)], ids=["some", "all"])
def test_no_place_in_an_address_makes_a_server_error(boss, odds):
    broken = []
    for route, _view in SITE:
        if "<" in route and not any(word in route for word in LEAVES):
            for odd in odds:
                address = filled(route, odd)
                if not is_sound(boss.get(address)):
                    broken.append(address)
    assert broken == []


@pytest.mark.long
@pytest.mark.parametrize("kind", ["form", "json"])
def test_no_posted_value_makes_a_server_error(boss, kind):
    broken = []
    for n, (route, view) in enumerate(OURS):
        names = [
            *parameters(view),
            "reason",
            "until",
            "args",
            "queue",
            "name",
            "confirm",
            "preview",
            "token",
            "slot",
            "cron",
        ]
        for odd in (*FEW, *ODD[n % 5 :: 5]):
            address, said = filled(route, "1"), dict.fromkeys(names, odd)
            if kind == "form":
                answer = boss.post(address, said)
            else:
                answer = boss.post(address, json.dumps(said), content_type="application/json")
            if not is_sound(answer):
                broken.append((address, odd[:40]))
    assert broken == []


BODIES = [
    b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"reason": "\\ud800"}', b'{"reason": "\\u0000"}',
    b'{"\\u0000": 1}',
    b'{"reason": NaN}', b'{"confirm": 1e999}', b"[]", b"null", b'"x"', b'{"reason": ' + b"9" * 5000 + b"}",
    b'{"args": ' + b"[" * 900 + b"]" * 900 + b', "reason": "x"}', b'{"args": [{"a": "\\ud800"}]}',
    b'{"reason": [], "until": {}}',
    b'{"until": "9999-12-31T23:59:59-12:00", "reason": "x"}', b'{"until": "0001-01-01T00:00:00+14:00", "reason": "x"}',
    b'{"slot": 999999999999999999999999, "reason": "x"}',
    b'{"missed_limit": 99999999999999999999, "missed_window": "P9999999D"}',
]  # fmt: skip


@pytest.mark.parametrize("each", [4, pytest.param(1, marks=pytest.mark.long)])
def test_no_body_makes_a_server_error(boss, each):
    job_id = tasks.add.enqueue(1, 2)
    broken = []
    for route, _view in OURS:
        if "api/" in route:
            for body in BODIES[::each]:
                answer = boss.post(filled(route, job_id), body, content_type="application/json")
                if not is_sound(answer) or (answer.status_code == 400 and not answer.json()["error"]["message"]):
                    broken += [(route, body[:50])]
    assert broken == []


@pytest.mark.long
@pytest.mark.parametrize("role", ["nobody", *ROLES])
def test_no_role_meets_a_server_error(everyone, person, role):
    client = everyone if role == "nobody" else person(role)
    client.raise_request_exception = False
    broken = []
    for route, view in SITE:
        if any(word in route for word in LEAVES):
            continue
        for odd in ("\0", "²", "9" * 30, "9999-12-31T23:59:59Z", "arg.0.regex:x"):
            address = f"{filled(route, '1')}?{urlencode(dict.fromkeys([*parameters(view), *ADMIN], odd))}"
            for answer in (client.get(address), client.post(filled(route, "1"), {"q": odd, "reason": odd})):
                if not is_sound(answer):
                    broken.append((address, odd))  # noqa: PERF401
    assert broken == []


@pytest.mark.parametrize("cookie", [settings.SESSION_COOKIE_NAME, "zone", "csrftoken", settings.LANGUAGE_COOKIE_NAME])
@pytest.mark.parametrize("value", ['"\\000"', "\\udcff", "x" * 3000, "../../etc/passwd"])
def test_no_cookie_makes_a_server_error(everyone, cookie, value):
    for address in ("/", "/admin/", "/admin/monitor/jobs"):
        assert is_sound(everyone.get(address, headers={"cookie": f"{cookie}={value}"}))


@pytest.mark.parametrize(
    "path",
    [
        "0.regex",
        "0.iregex",
        "0.in",
        "0.range",
        "0.isnull",
        "a__regex",
        "0.contains",
        "0.gt",
        "0.__class__",
        "x.contains",
        "0.has_key",
        "0.contained_by",
        "999999",
        "名",
        "x__contains",
        "0.0.0.0.0",
        "0.pk",
    ],
)
@pytest.mark.parametrize("value", ["x", "((a+)+)+z", "1", "null"])
def test_a_path_into_arguments_is_keys_and_indexes_alone(path, value):
    JobRun.objects.create(
        job_id="j", execution_id="e", task="t", queue="default", args=["a" * 40], started_at="2026-01-01T00:00Z"
    )

    assert list(JobRun.objects.filter(parse(f'arg.{path}:"{value}"').q())) == []
    assert len(JobRun.objects.filter(parse(f'NOT arg.{path}:"{value}"').q())) == 1


@pytest.mark.parametrize("name", ["regex", "in", "isnull", "a__b", "range"])
def test_a_key_named_like_a_lookup_is_found(name):
    JobRun.objects.create(
        job_id="j",
        execution_id="e",
        task="t",
        queue="default",
        kwargs={name: {"in": ["x", None]}},
        search="x",
        started_at="2026-01-01T00:00Z",
    )

    assert len(JobRun.objects.filter(parse(f"arg.{name}.in.0:x").q())) == 1
    assert len(JobRun.objects.filter(parse(f"arg.{name}.in.1:null").q())) == 1
    assert len(JobRun.objects.filter(parse(f"arg.{name}.in.2:x").q())) == 0


@pytest.mark.parametrize(
    "text", [each for each in ODD if each.startswith(("(", "NOT", "attempts", "since", "until", "arg.."))]
)
def test_an_odd_question_is_answered_with_a_sentence(text):
    with pytest.raises(QueryError, match=r"\(position \d+\)"):
        parse(text[:500])


def test_texts_are_found_at_any_depth():
    deep = "x\0"
    for _n in range(5000):
        deep = [{"a": deep}]

    assert not all(is_plain_text(text) for text in texts_in(deep))
