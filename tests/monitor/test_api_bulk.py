"""Bulk actions as JSON: look, ask for what was looked at, once, watch, stop."""

import json
import uuid

import pytest
from django.core import signing
from django.urls import reverse

from amazon_pilot.jobs.core import queues
from amazon_pilot.jobs.inspect import snapshot
from amazon_pilot.jobs.models import AuditEntry, BulkAction
from amazon_pilot.jobs.operate import bulk
from amazon_pilot.jobs.operate import preview as preview_module

from .many_jobs import begin, bury, counted, enqueue, failures

pytestmark = pytest.mark.django_db(transaction=True)


def look(client, **words):
    answer = client.get(reverse("monitor:api-bulk-preview"), {"action": "retry", "q": "state:failed"} | words)
    return answer.status_code, answer.json()


def post(client, name, *args, **body):
    answer = client.post(reverse(f"monitor:{name}", args=args), json.dumps(body), content_type="application/json")
    return answer.status_code, answer.json()


def start(client, seen, **body):
    return post(client, "api-bulk-start", **({"preview": seen["preview"], "reason": "A test"} | body))


def test_it_says_how_many_which_and_to_what_effect_and_changes_nothing(person):
    bury(enqueue(12))

    status, seen = look(person("operate"))

    assert (status, seen["number"], seen["is_exact"], seen["confirm"], seen["role"]) == (200, 12, True, None, "operate")
    assert "goes back to its queue" in seen["effect"]
    assert len(seen["sample"]) == 8
    assert seen["sample"][0]["state"] == "failed"
    assert counted("failed") == 12
    assert not BulkAction.objects.exists()


def test_what_was_previewed_is_done_once_watched_and_counted(person):
    ids = enqueue(5)
    bury(ids)
    failures(ids[:3], "a")
    client = person("operate")
    _status, seen = look(client, q="cause:a state:failed")

    status, first = start(client, seen)
    _status, second = start(client, seen)
    assert status == 200
    assert (first["id"], first["is_new"], second["is_new"]) == (second["id"], True, False)
    assert counted("queued", "critical") == 1
    bulk.run(first["id"])

    row = client.get(reverse("monitor:api-bulk", args=[first["id"]])).json()
    counts = ("state", "matched", "changed", "left_alone", "percent", "is_over", "by")
    assert [row[name] for name in counts] == ["done", 3, 3, 0, 100, True, "operate-er"]
    assert counted("failed") == 2
    latest = client.get(reverse("monitor:api-bulk-list")).json()["bulk"]
    assert [each["id"] for each in latest] == [first["id"]]
    assert AuditEntry.objects.values_list("action", "reason", "count").get() == ("retry", "A test", 3)


def test_chosen_jobs_are_moved(person):
    ids = enqueue(3)
    client = person("edit")

    _status, seen = look(client, action="move", q="", id=ids[:2], to_queue="low")
    _status, row = start(client, seen)
    bulk.run(row["id"])

    assert (seen["jobs"], seen["number"]) == (ids[:2], 2)
    assert (counted("queued"), counted("queued", "low")) == (1, 2)


@pytest.mark.parametrize("action", ["run now", "run-now"])
def test_planned_jobs_are_run_now(person, action):
    assert look(person("operate"), action=action, q="task:nothing")[1]["action"] == "run now"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"action": "burn"}, "no such action; there are cancel, delete"),
        ({"q": "state:queued"}, "for jobs that are failed, canceled"),
        ({"q": "colour:red"}, "no field colour"),
        ({"action": "move", "q": "state:queued", "to_queue": "nowhere"}, "no queue nowhere"),
        ({"id": ["x"] * 101}, "At most 100"),
    ],
)
def test_a_preview_that_makes_no_sense_is_refused(person, words, said):
    status, told = look(person("edit"), **words)

    assert (status, told["error"]["code"]) == (400, "invalid")
    assert said in told["error"]["message"]


def forged():
    return signing.dumps({"action": "retry", "q": "", "token": str(uuid.uuid4())}, salt="another")


@pytest.mark.parametrize("preview", [None, "", "nonsense", forged()])
def test_only_our_own_preview_starts_anything(person, preview):
    bury(enqueue(2))

    status, told = post(person("admin"), "api-bulk-start", preview=preview, reason="x")

    assert (status, told["error"]["code"]) == (400, "invalid")
    assert not BulkAction.objects.exists()


def test_an_old_preview_is_looked_at_again_but_leads_to_what_it_has_started(person, monkeypatch):
    bury(enqueue(2))
    client = person("operate")
    (_, used), (_, unused) = look(client), look(client)
    start(client, used)
    monkeypatch.setattr(preview_module, "GOOD_FOR_SECONDS", -1)

    assert start(client, used)[1]["is_new"] is False
    status, told = start(client, unused)
    assert (status, told["error"]["message"]) == (400, "This preview is older than an hour; look again.")
    assert BulkAction.objects.count() == 1


def test_an_action_without_a_reason_is_refused(person):
    bury(enqueue(2))
    client = person("operate")

    status, told = start(client, look(client)[1], reason=" ")

    assert status == 400
    assert "Say why" in told["error"]["message"]


@pytest.mark.parametrize("confirm", [None, 4, "5", True])
def test_a_large_action_wants_its_number_confirmed(person, monkeypatch, confirm):
    monkeypatch.setattr(bulk, "MANY", 3)
    bury(enqueue(5))
    client = person("admin")
    seen = look(client)[1]
    assert (seen["confirm"], seen["role"]) == (5, "admin")

    assert start(client, seen, confirm=confirm)[0] == 400
    assert not BulkAction.objects.exists()
    assert start(client, seen, confirm=5)[0] == 200


def test_a_large_action_needs_the_role_admin(person, monkeypatch):
    monkeypatch.setattr(bulk, "MANY", 3)
    bury(enqueue(5))
    client = person("edit")

    assert start(client, look(client)[1], confirm=5)[0] == 403
    assert not BulkAction.objects.exists()


def test_a_role_is_not_exceeded(person, client):
    bury(enqueue(2))
    seen = look(person("edit"), action="delete")[1]

    assert look(person("operate"), action="delete")[0] == 403
    assert start(client, seen)[0] == 403
    assert not BulkAction.objects.exists()


def test_it_is_stopped_and_says_when_it_had_ended_before(person):
    bury(enqueue(2))
    client = person("operate")
    row = start(client, look(client)[1])[1]

    status, told = post(client, "api-bulk-abort", row["id"], reason="Enough")
    assert (status, told["state"], told["aborted_by"]) == (200, "aborted", "operate-er")
    status, told = post(client, "api-bulk-abort", row["id"])
    assert (status, told["error"]["code"]) == (409, "nothing_done")
    assert post(client, "api-bulk-abort", 0)[0] == 404
    assert list(AuditEntry.objects.filter(action="abort").order_by("pk").values_list("reason", "count")) == [
        ("Enough", 1), ("", 0),
    ]  # fmt: skip


def test_a_preview_asks_redis_little(person, commands):
    bury(enqueue(30))
    client = person("edit")
    look(client, action="cancel", q="")
    queues.connection().delete(snapshot.KEY)
    commands.clear()

    look(client, action="cancel", q="")

    assert 0 < len(commands) <= 20, commands


def test_jobs_are_put_off_and_those_that_run_asked_to_end(person):
    ids = enqueue(5)
    begin(ids[:2])
    client = person("operate")
    assert look(client, action="snooze", q="state:queued")[0] == 400
    assert look(client, action="snooze", q="state:queued", until="soon")[0] == 400
    _status, seen = look(client, action="snooze", q="state:queued", until="2033-05-01T09:30:00Z")
    _status, row = start(client, seen)
    assert row["until"].startswith("2033-05-01T09:30:00")
    bulk.run(row["id"])
    assert counted("scheduled") == 3

    _status, seen = look(client, action="cancel", q="state:started OR state:scheduled")
    _status, row = start(client, seen)
    bulk.run(row["id"])

    told = client.get(reverse("monitor:api-bulk", args=[row["id"]])).json()
    assert [told[name] for name in ("removed", "asked", "too_late", "changed")] == [3, 2, 0, 5]
