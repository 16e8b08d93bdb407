"""The monitor's JSON, and a walk over all its addresses: who may look, what acts, and that looking changes nothing."""

import json
import time

import pytest
from django.apps import apps
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot, store
from amazon_pilot.jobs.models import AuditEntry, BulkAction, Pause
from amazon_pilot.jobs.operate import changes
from amazon_pilot.jobs.operate.drain import drain_queue
from amazon_pilot.jobs.web import urls
from tests.jobs import tasks
from tests.jobs.schedule_world import make_entry
from tests.staff import serve

from .faces import get, post, runs

pytestmark = pytest.mark.django_db(transaction=True)

PAGES = [
    "overview", "jobs", "job", "job-arguments", "queues", "queue", "tasks", "task", "workers", "stuck", "redis",
    "retention", "chart", "failures", "bulk_preview", "bulk", "bulk_part", "jobs-export",
    "api-queues", "api-jobs", "api-job", "api-workers", "api-schedule", "api-redis",
    "api-bulk-list", "api-bulk-preview", "api-bulk", "api-schedule-entry", "api-schedule-history",
    "api-stats", "api-queue-history", "api-retention", "api-openapi", "about", "alerts", "schedule",
    "api-limits", "api-batches", "api-batch", "api-docs", "tokens", "batches", "batch", "limits",
]  # fmt: skip
BUTTONS = [str(pattern.name) for pattern in urls.urlpatterns if pattern.name not in PAGES]
OWN = [
    "save-search",
    "forget-search",
    "token-make",
    "token-revoke",
]  # concern nobody but the user, so whoever may look may press them


def address(name, job_id="j0"):
    """Answer an address of the monitor with arguments that exist."""
    pattern = next(pattern for pattern in urls.urlpatterns if pattern.name == name)
    known = {
        "job_id": job_id,
        "pk": getattr(BulkAction.objects.first(), "pk", 1),
        "worker": "w1",
        "entry": "stock",
        "subject": "product:1",
        "rule": "poison",
        "name": "tests.jobs.tasks.add"
        if name == "task"
        else "w1"
        if "worker" in name
        else "stock"
        if name.startswith("schedule-")
        else "low",
    }
    return reverse(f"monitor:{name}", kwargs={word: known[word] for word in pattern.pattern.converters})


# The walk


def test_every_address_is_walked():
    assert len(PAGES) + len(BUTTONS) == len(urls.urlpatterns)
    assert len(BUTTONS) > 20


def contents(redis):
    """Answer all that Redis holds, but for what is renewed by being looked at: the shared sample."""
    keys = {key for key in redis.keys("*") if not key.startswith(snapshot.KEY.encode())}
    return {key: redis.dump(key) for key in keys}


def rows():
    models = [
        model
        for app in ("jobs", "products", "analysis", "notifications")
        for model in apps.get_app_config(app).get_models()
    ]
    return {model: sorted(map(repr, model.objects.values_list())) for model in models if model._meta.managed}


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_looking_changes_nothing(person, redis, name):
    client = person("admin")
    serve(busy=1)
    runs(3)
    make_entry()
    BulkAction.objects.create(action="retry", query="state:failed", state="done")
    job_id = tasks.add.enqueue(1, 2)
    before = contents(redis), rows()

    answer = client.get(address(name, job_id), {"action": "hold"} if "preview" in name else {})

    assert answer.status_code in (200, 302, 404 if name in ("batch", "api-batch") else 200)  # there is no batch here
    assert (contents(redis), rows()) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", BUTTONS)
def test_a_button_does_nothing_by_get(person, redis, name):
    client = person("admin")
    serve()
    make_entry()
    job_id = tasks.add.enqueue(1, 2)
    before = contents(redis), rows()

    assert client.get(address(name, job_id)).status_code == 405
    assert (contents(redis), rows()) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BUTTONS if name not in OWN])
def test_a_button_does_nothing_for_who_may_only_look(person, redis, name):
    client = person("view")
    serve()
    make_entry()
    job_id = tasks.add.enqueue(1, 2)
    before = contents(redis), rows()

    body = {"reason": "x", "name": "queue:low", "queue": "low", "args": [1], "until": "2099-01-01T00:00:00Z"}
    form = body | {"typed": "low", "args": "[1]"}
    sent = (json.dumps(body), "application/json") if name.startswith("api") else (form, None)
    answer = client.post(address(name, job_id), sent[0], **({"content_type": sent[1]} if sent[1] else {}))

    assert answer.status_code == 403
    assert (contents(redis), rows()) == before


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES + BUTTONS)
def test_a_stranger_sees_and_does_nothing(client, name):
    look = client.get(address(name))
    act = client.post(address(name))

    assert look.status_code in (302, 401, 405)
    assert act.status_code in (302, 401, 405)
    assert not AuditEntry.objects.exists()


# The JSON


def test_queues_workers_schedule_and_redis(person):
    serve(busy=1)
    tasks.do_nothing.enqueue()
    client = person("view")

    status, told = get(client, "queues")
    assert (status, [queue["name"] for queue in told["queues"]]) == (200, ["critical", "default", "low"])
    assert told["queues"][1]["waiting"] == 1
    assert get(client, "workers")[1]["workers"][0]["busy"] == 1
    assert get(client, "schedule")[0] == 200
    assert get(client, "redis")[1]["info"]["redis_version"]


def test_the_history_is_read_page_by_page(person):
    runs(7)
    client = person("view")

    seen, before = [], ""
    for _ in range(3):
        _status, told = get(client, "jobs", limit="3", **({"from": before} if before else {}))
        seen += [run["job_id"] for run in told["jobs"]]
        before = told["next"]

    assert seen == [f"j{n}" for n in range(7)]
    assert before == ""


def test_the_history_is_filtered(person):
    runs(2)
    client = person("view")

    assert len(get(client, "jobs", q="outcome:failed queue:low")[1]["jobs"]) == 2
    assert get(client, "jobs", q="outcome:succeeded")[1]["jobs"] == []
    assert [run["args"] for run in get(client, "jobs", q="id:j1")[1]["jobs"]] == [[1]]


WRONG = [{"limit": "0"}, {"limit": "x"}, {"limit": "1000"}, {"q": "colour:red"}, {"q": "(state:failed"}]


@pytest.mark.parametrize("words", WRONG)
def test_a_question_that_makes_no_sense_is_refused(person, words):
    status, told = get(person("view"), "jobs", **words)

    assert (status, told["error"]["code"]) == (400, "invalid")


def test_one_job_is_told_whole(person):
    job_id = tasks.add.enqueue(1, 2)
    client = person("view")

    status, told = get(client, "job", job_id)

    assert (status, told["state"], told["args"], told["queue"]) == (200, "queued", [1, 2], "default")
    assert told["waits"] == "No worker listens on the queue default."
    status, told = get(client, "job", "nobody")
    assert (status, told["error"]["code"]) == (404, "unknown")


def test_verbs_act_and_are_written_down(person):
    job_id = tasks.add.enqueue(1, 2)
    client = person("edit")

    assert post(client, "job-hold", job_id, reason="Wait")[0] == 200
    assert post(client, "job-hold", job_id)[0] == 409
    assert post(client, "job-release", job_id)[0] == 200
    assert post(client, "job-snooze", job_id, until="2099-01-01T00:00:00Z")[0] == 200
    assert post(client, "job-run-now", job_id)[0] == 200
    status, told = post(client, "job-run-now", job_id)
    assert (status, told["error"]["message"][-13:]) == (409, "it is queued.")
    assert post(client, "job-move", job_id, queue="low")[0] == 200
    status, told = post(client, "job-edit", job_id, args=[3, 4])
    assert status == 200
    assert changes.find(told["job"]).args == [3, 4]
    assert post(client, "job-cancel", job_id)[0] == 200
    assert post(client, "job-retry", job_id)[0] == 200
    assert post(client, "job-delete", job_id)[0] == 200
    first = AuditEntry.objects.order_by("at").first()
    assert (first.actor.username, first.action, first.reason, first.count) == ("edit-er", "hold", "Wait", 1)
    assert AuditEntry.objects.count() == 11


@pytest.mark.parametrize("body", [b"[1]", b"{", b'{"reason": 7}', b'{"until": "soon"}', b"{}"])
def test_a_body_that_makes_no_sense_changes_nothing(person, body):
    job_id = tasks.add.enqueue(1, 2)
    address = reverse("monitor:api-job-snooze", args=[job_id])

    answer = person("edit").post(address, body, content_type="application/json")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid")
    assert not AuditEntry.objects.exists()


def test_pause_and_resume(person):
    client = person("operate")

    assert post(client, "pause", name="queue:low")[0] == 400
    assert post(client, "pause", name="queue:low", reason="A test")[0] == 200
    assert Pause.objects.active().get().reason == "A test"
    assert "queue:low" in queues.paused()
    assert post(client, "resume", name="queue:low")[0] == 200
    assert post(client, "resume", name="queue:low")[0] == 409
    assert queues.paused() == {}


def test_a_queue_is_drained_once_its_name_is_confirmed(person):
    tasks.do_nothing.enqueue_many([(n,) for n in range(3)])
    client = person("admin")

    for confirm in ("", "low"):
        status, told = post(client, "drain", "default", reason="Wrong import", confirm=confirm)
        assert (status, told["error"]["code"]) == (400, "confirm")
    assert post(client, "drain", "default", confirm="default")[0] == 400  # no reason
    assert post(client, "drain", "nowhere", confirm="nowhere", reason="x")[0] == 400
    status, told = post(client, "drain", "default", confirm="default", reason="Wrong import")

    assert (status, told["count"]) == (200, 3)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target, entry.reason) == ("drain", "queue:default", "Wrong import")
    assert drain_queue(*changes.find(told["job"]).args) == "3 deleted, 0 newer ones kept"
    assert queues.size("default") == 0


def told_workers(redis, act):
    """Answer what workers were told while something was done."""
    with redis.pubsub() as line:
        line.psubscribe("rq:pubsub:*")
        while line.get_message(timeout=1)["type"] != "psubscribe":
            pass
        act()
        message = line.get_message(timeout=1)
    return json.loads(message["data"]) if message else None


@pytest.mark.parametrize(
    ("verb", "body", "command"),
    [
        ("quiet", {}, {"command": "quiet"}), ("wake", {}, {"command": "wake"}), ("stop", {}, {"command": "shutdown"}),
        ("kill", {"slot": 2}, {"command": "kill-horse", "slot": 2}),
        ("kill", {"slot": 0}, {"command": "kill-horse", "slot": 0}),
    ],
)  # fmt: skip
def test_a_worker_is_told_what_to_do(person, redis, verb, body, command):
    serve()
    client = person("admin")

    said = told_workers(redis, lambda: post(client, f"worker-{verb}", "w1", reason="A test", **body))

    assert {name: said[name] for name in command} == command
    assert AuditEntry.objects.values_list("action", "target", "count").get() == (verb, "worker:w1", 1)


@pytest.mark.parametrize(
    ("worker", "verb", "body", "status"),
    [
        ("nobody", "quiet", {}, 400), ("w1", "kill", {}, 400), ("w1", "kill", {"slot": "1"}, 400),
        ("w1", "kill", {"slot": 7}, 400), ("w1", "kill", {"slot": -1}, 400), ("gone", "stop", {}, 409),
    ],
)  # fmt: skip
def test_a_worker_or_slot_that_there_is_not_is_told_nothing(person, redis, worker, verb, body, status):
    serve()
    picture = json.loads(redis.get("pilot:worker:w1")) | {"worker": "gone", "seen": time.time() - 60}
    redis.set("pilot:worker:gone", json.dumps(picture))
    redis.zadd("pilot:workers", {"gone": time.time() - 60})
    client = person("admin")
    answers = []

    said = told_workers(redis, lambda: answers.append(post(client, f"worker-{verb}", worker, **body)))

    assert (answers[0][0], said) == (status, None)


def test_lost_jobs_are_brought_back_and_none_is_no_error(person):
    status, told = post(person("admin"), "recover", reason="After the outage")

    assert (status, told["count"], told["message"]) == (200, 0, "0 jobs were brought back.")
    assert AuditEntry.objects.values_list("action", "reason", "count").get() == ("recover", "After the outage", 0)


@pytest.mark.parametrize("name", ["drain", "worker-stop", "worker-kill", "worker-quiet", "worker-wake", "recover"])
def test_an_editor_steers_no_worker_and_drains_nothing(person, name):
    serve()

    answer = person("edit").post(address(f"api-{name}"), {"confirm": "low", "slot": 1}, content_type="application/json")

    assert answer.status_code == 403
    assert not AuditEntry.objects.exists()


def test_without_redis_it_says_so(person, redis_away):
    client = person("operate")

    assert get(client, "queues")[0] == 503
    assert post(client, "pause", name="queue:low", reason="x")[1]["error"]["code"] == "redis_away"
    assert not Pause.objects.exists()
    assert store.is_away()
