"""A secret that a task logs, prints, shows, keeps, returns or raises is found nowhere, however it was written."""

import base64
import json
import random
import time
import zlib

import pytest
from django.urls import reverse
from rq.job import Callback

from amazon_pilot.jobs.core import redaction, secrets
from amazon_pilot.jobs.core.enqueue import payloads
from amazon_pilot.jobs.core.fields import TAKEN
from amazon_pilot.jobs.core.taken_job import TakenJob
from amazon_pilot.jobs.history import run_event
from amazon_pilot.jobs.models import JobRun

from . import tasks
from .conftest import ended
from .stock import TASKS
from .test_redaction import everything_kept, everything_shown

pytestmark = pytest.mark.django_db(transaction=True)

SECRET = 'pl4nted "key" é+/\\&n<b>'
OTHER = "another-one"  # what a key of the result names as a secret


@pytest.fixture(autouse=True)
def _no_job_at_hand():
    yield
    secrets.of_job(None)
    secrets.of_environment.cache_clear()


def taken(task, *args, **kwargs):
    """Answer a taken job with this call."""
    [data] = payloads(task, [(args, kwargs)])
    fields = [data if name == "data" else None for name in TAKEN]
    return TakenJob.from_reply((b"default", b"j1", b"pilot-1", 0, fields))


def at_hand(task, *args, **kwargs):
    secrets.of_job(taken(task, *args, **kwargs))


# What counts as a secret, and how it may be written


def some_secret(number):
    signs = "abcXYZ019_-+/= \"'\\&<>%?#:;\n\té漢😀"
    chance = random.Random(number)
    return "".join(chance.choice(signs) for _ in range(chance.randrange(6, 40))).strip() + "x"


@pytest.mark.parametrize("number", range(200))
def test_a_secret_is_found_in_every_writing(number):
    secret = some_secret(number)
    at_hand(tasks.telltale, secret, "")

    for text in [*tasks.in_all_writings(secret), repr(repr({"p": secret})), json.dumps(tasks.in_all_writings(secret))]:
        shown = secrets.scrub(text)
        assert "…" in shown
        assert not any(form in shown for form in secrets.forms(secret)), text

    value = {"said": tasks.in_all_writings(secret), secret: [secret, 7, None], "deep": [json.dumps({"p": secret})]}
    kept = json.loads(secrets.scrub_json(json.dumps(value)))
    assert kept["…"] == ["…", 7, None]
    assert not any(form in text for form in secrets.forms(secret) for text in kept["said"] + kept["deep"])


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("hunter22", {"hunter22"}),
        ("abc", set()),  # too short: it would be cut out of other words
        (12345678, {"12345678"}),
        (True, set()),
        (None, set()),
        ("Bearer abcdefgh", {"Bearer abcdefgh", "abcdefgh"}),
        ("Basic " + base64.b64encode(b"mia:opensesame").decode(), {"opensesame"}),
        ("https://mia:open%20sesame@shop.example/x", {"open%20sesame", "open sesame"}),
        ({"user": "mia-the-first", "keys": ["k3y-one", 77777777]}, {"k3y-one", "77777777"}),
    ],
)
def test_what_of_a_value_is_a_secret(value, found):
    at_hand(tasks.telltale, value, "")

    known = set(secrets._known()) - set(secrets.of_environment())
    assert found <= known
    assert found or not known


def test_a_task_names_secrets_of_its_own():
    at_hand(tasks.telltale_by_its_own_word, "cherry-blossom", "")
    assert secrets.scrub("the pin is cherry-blossom") == "the pin is …"
    task = tasks.telltale_by_its_own_word.name
    assert redaction.call(task, ["cherry-blossom", "x"], {}) == (["…", "x"], {})
    assert redaction.call(task, [], {"pin": [1]}) == ([], {"pin": "…"})
    assert redaction.is_cut(task, ["…", "x"], {})
    assert not redaction.is_cut(task, ["x", "…"], {})


def test_one_jobs_secrets_are_not_anothers():
    at_hand(tasks.telltale, "first-secret", "")
    assert secrets.scrub("first-secret") == "…"
    at_hand(tasks.add, 1, 2)
    assert secrets.scrub("first-secret") == "first-secret"


@pytest.mark.parametrize(
    ("name", "value", "is_hidden"),
    [
        ("SHOP_API_KEY", "shop-key-1", True),
        ("SMTP_PASSWORD", "open sesame", True),
        ("SHOP_TOKEN", "short", False),
        ("DATABASE_URL", "postgres://pilot:s3sam3%21opens@db/pilot", True),
        ("CSRF_COOKIE_NAME", "csrftoken", False),
        ("PASSWORD_HASHERS", "django.contrib.auth", False),
        ("HOME", "/home/somebody", False),
    ],
)
def test_secrets_of_the_environment(monkeypatch, name, value, is_hidden):
    monkeypatch.setenv(name, value)
    secrets.of_environment.cache_clear()
    told = value.partition("pilot:")[2].partition("@")[0] or value
    secrets.of_job(None)
    assert (secrets.scrub(f"it is {told}.") == "it is ….") == is_hidden
    assert "s3sam3!opens" not in secrets.scrub("s3sam3!opens") or name != "DATABASE_URL"


def test_a_secret_of_the_settings(settings):
    settings.SHOPS = {"default": [{"NAME": "a-shop-of-mine", "PASSWORD": "pa55-of-a-shop"}]}
    secrets.of_environment.cache_clear()
    assert secrets.scrub(f"{settings.SECRET_KEY} pa55-of-a-shop a-shop-of-mine") == "… … a-shop-of-mine"


def test_a_result_stays_what_it_is_where_it_holds_no_secret():
    at_hand(tasks.telltale, SECRET, "")
    for value in [{"a": [1, 2.5, None, True, "x\\n"]}, "plain", [], 0, 12, "…"]:
        told, encoded = run_event.encode_value(value)
        assert json.loads(told) == json.loads(base64.b64decode(encoded)) == value
    told, encoded = run_event.encode_value({"token": OTHER, "asin": "B0"})
    assert json.loads(told) == {"token": "…", "asin": "B0"}
    assert json.loads(base64.b64decode(encoded)) == {"token": OTHER, "asin": "B0"}  # a program may read its result


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b'["a"]', b'["a", null, 3, {}]', b'["a", null, [], [1]]'])
def test_a_payload_that_is_no_call_has_no_secrets(data):
    fields = [data if name == "data" else None for name in TAKEN]
    secrets.of_job(TakenJob.from_reply((b"default", b"j1", b"pilot-1", 0, fields)))
    assert secrets.scrub("anything") == "anything"


# Real workers


def forms_in(text, *more):
    return [form for secret in (SECRET, *more) for form in secrets.forms(secret) if form in text]


def everything_in_redis(redis):
    """Answer all that Redis holds but the calls themselves, also as a stock producer describes them, and their meta.

    What the project's own handler of exceptions writes is its own.
    """
    read = {
        b"hash": redis.hgetall, b"set": redis.smembers, b"stream": redis.xrange, b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1), b"zset": lambda key: redis.zrange(key, 0, -1),
    }  # fmt: skip
    found = []
    for key in set(redis.scan_iter("*")) - {b"handled"}:
        value = read[redis.type(key)](key)
        if isinstance(value, dict):
            value = {name: each for name, each in value.items() if name not in (b"data", b"meta", b"description")}
        found.append(text_of(key) + " " + text_of(value))
    return " ".join(found)


def text_of(value):
    """Answer a value of Redis as text, unpacked where it is packed."""
    if isinstance(value, bytes):
        text = value.decode(errors="replace")
        for unpack in (base64.b64decode, lambda data: zlib.decompress(base64.b64decode(data)), zlib.decompress):
            try:
                text += " " + unpack(value).decode(errors="replace")
            except Exception:
                continue
        return text
    if isinstance(value, dict):
        return " ".join(text_of(each) for pair in value.items() for each in pair)
    return " ".join(map(text_of, value)) if isinstance(value, list | set | tuple) else str(value)


def exports(client):
    return "".join(
        b"".join(client.get(reverse("monitor:jobs-export"), {"as": kind}).streaming_content).decode()
        for kind in ("csv", "jsonl")
    )


CALLS = {
    "by its name": lambda ends: tasks.telltale.enqueue(SECRET, ends),
    "by its task": lambda ends: tasks.telltale_by_its_own_word.enqueue(SECRET, ends),
    "deep, in a fork": lambda ends: tasks.telltale_in_a_fork.enqueue(
        ends, {"headers": {"Authorization": f"Bearer {SECRET}"}}
    ),
    "of the environment": lambda ends: tasks.telltale_of_the_environment.enqueue(ends),
}


@pytest.mark.parametrize("ends", ["return", "raise", "kill"])
def test_what_a_task_tells_of_its_secret_is_found_nowhere(start, admin_client, capsys, redis, monkeypatch, ends):
    monkeypatch.setenv("SHOP_API_KEY", SECRET)  # for the web server, too
    secrets.of_environment.cache_clear()
    start(SHOP_API_KEY=SECRET, POISON_LIMIT="1")
    jobs = {why: call(ends) for why, call in CALLS.items()}

    outcomes = {"return": ("succeeded",), "raise": ("failed",), "kill": ("lost",)}
    runs = {why: ended(job_id, outcome__in=outcomes[ends]) for why, job_id in jobs.items()}

    for why, run in runs.items():
        told = JobRun.objects.filter(job_id=jobs[why], ended_at__isnull=False)
        assert ends == "kill" or any("signing in with …" in each.log and each.progress == 40 for each in told), why
        assert ends != "raise" or "signing in with …" in run.message
        assert ends != "return" or (run.result["asin"], run.result["access_token"]) == ("B0LAMP0001", "…")
    assert forms_in(everything_in_redis(redis)) == []
    shown = "".join(everything_shown(admin_client, capsys, job_id) for job_id in jobs.values())
    assert forms_in(everything_kept() + shown + exports(admin_client), OTHER) == []


def test_what_a_running_task_tells_is_hidden_while_it_runs(start, admin_client, redis):
    start(SHOP_API_KEY=SECRET)
    job_id = tasks.telltale.enqueue(SECRET, "return")
    run = ended(job_id)
    assert JobRun.objects.get(pk=run.pk).progress_text == "with …"
    assert forms_in(everything_in_redis(redis)) == []


def test_a_job_that_rq_ends_tells_as_little(start, admin_client, capsys, redis, queue):
    start()
    rare = {"on_success": Callback(f"{TASKS}.note_success"), "on_failure": Callback(f"{TASKS}.note_failure")}
    for ends, outcome in (("return", "succeeded"), ("raise", "failed")):
        job = queue.enqueue(tasks.telltale.name, SECRET, ends, **rare)
        ended(job.id, outcome=outcome)
        page = f"{reverse('admin:django_rq_dashboard_changelist')}queues/1/{job.id}/"
        shown = everything_shown(admin_client, capsys, job.id)
        for result in job.results():
            shown += admin_client.get(f"{page}results/{result.id}/").content.decode()
        assert forms_in(shown + everything_kept(), OTHER) == []
        assert forms_in(everything_in_redis(redis)) == []


# What it costs


def microseconds(act, times=2000):
    best = 10**9
    for _ in range(5):
        begun = time.perf_counter()
        for _ in range(times):
            act()
        best = min(best, (time.perf_counter() - begun) / times * 1e6)
    return best


def test_a_job_without_a_text_pays_nothing_and_one_without_secrets_little():
    job = taken(tasks.add, 1, 2)
    _ = job.payload

    def begun():
        secrets.of_job(job)

    def one_line():
        secrets.of_job(job)
        secrets.scrub("12:00:01 INFO products.apify B0LAMP0001 answered in 0.3 s\n")

    def result():
        secrets.of_job(job)
        secrets.scrub_json('{"sum": 3}')

    def further_line():
        secrets.scrub("12:00:01 INFO products.apify B0LAMP0001 answered in 0.3 s\n")

    costs = {act.__name__: microseconds(act) for act in (begun, one_line, further_line, result)}
    print("microseconds a job:", {name: round(cost, 2) for name, cost in costs.items()}, len(secrets._known()))
    assert costs["begun"] < 5
    assert costs["one_line"] < 200
    assert costs["result"] < 200


NAMES = "password pwd apiKey X-Api-Key refreshToken Set-Cookie sessionId clientSecret Authorization access_key bearer"


@pytest.mark.parametrize("name", [*NAMES.split(), "passphrase", "credentials"])
def test_each_name_of_a_secret_is_suspected(name):
    """Else the search that spares most jobs would spare one that has a secret."""
    assert redaction.is_secret(name)
    at_hand(tasks.do_nothing, {"deep": [{name: "cherry-blossom"}]})
    assert secrets.scrub("cherry-blossom") == "…"
