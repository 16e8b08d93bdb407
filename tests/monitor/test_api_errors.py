"""Whatever goes wrong, a script reads JSON with a sentence, and a person a page."""

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from redis.exceptions import ConnectionError as RedisConnectionError

from amazon_pilot.jobs.core import enqueue
from amazon_pilot.jobs.models import AuditEntry, Pause
from amazon_pilot.jobs.operate import operations
from tests.jobs import tasks

pytestmark = pytest.mark.django_db(transaction=True)
PAUSE = "/admin/monitor/api/pause"


def error_of(answer, status, code):
    """Check that an answer is an error in JSON and answer its sentence."""
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")
    told = answer.json()["error"]
    assert told["code"] == code
    assert told["message"].endswith(".")
    assert "<" not in told["message"]
    return told["message"]


@pytest.fixture
def strict(person):
    """A client that sends no CSRF token, as a script does that knows of none."""
    person("operate")
    client = Client(enforce_csrf_checks=True)
    client.force_login(User.objects.get())
    return client


def test_a_missing_token_is_told_in_json(strict):
    answer = strict.post(PAUSE, {"name": "queue:low", "reason": "x"}, content_type="application/json")

    assert "X-CSRFToken" in error_of(answer, 403, "csrf")
    assert not Pause.objects.exists()


def test_a_missing_token_is_told_a_person_on_a_page(strict):
    answer = strict.post(reverse("monitor:pause"), {"name": "queue:low"})

    assert (answer.status_code, answer["Content-Type"]) == (403, "text/html; charset=utf-8")


@pytest.mark.parametrize("address", ["nowhere", "job/", "bulk/x", "queues/", "job/a/b/c"])
def test_an_unknown_address_is_told_in_json(person, address):
    error_of(person("view").get(f"/admin/monitor/api/{address}"), 404, "unknown")


def test_an_unknown_address_of_a_person_is_a_page(person):
    assert person("view").get("/admin/monitor/nowhere")["Content-Type"].startswith("text/html")


@pytest.mark.parametrize(
    ("method", "address"), [("post", "queues"), ("get", "pause"), ("put", "pause"), ("head", "pause")]
)
def test_a_wrong_method_is_told_in_json(person, method, address):
    answer = getattr(person("operate"), method)(f"/admin/monitor/api/{address}")

    assert (answer.status_code, answer["Content-Type"]) == (405, "application/json")
    if method != "head":
        assert "alone" in error_of(answer, 405, "method")


def test_a_role_that_is_too_low_and_nobody_at_all_are_told_in_json(person, client):
    error_of(client.get("/admin/monitor/api/queues"), 401, "not_signed_in")
    error_of(person("view").post(PAUSE), 403, "forbidden")


def test_a_body_that_is_too_large_or_no_json_is_told_in_json(person, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    client = person("operate")

    error_of(client.post(PAUSE, '{"name": "' + "x" * 200 + '"}', content_type="application/json"), 400, "invalid")
    error_of(client.post(PAUSE, b"\xff\xfe{", content_type="application/json"), 400, "invalid")


def test_a_host_that_is_not_ours_is_told_in_json(person):
    error_of(person("view").get("/admin/monitor/api/queues", headers={"host": "evil.example"}), 400, "invalid")


@pytest.mark.parametrize(
    ("error", "status", "code"), [(ZeroDivisionError("x"), 500, "error"), (OperationalError("x"), 503, "database_away")]
)
def test_a_fault_of_ours_is_told_in_json_and_leaves_nothing_half_done(person, monkeypatch, error, status, code):
    def break_down(*args, **words):
        AuditEntry.objects.record(None, "pause", "queue:low")
        raise error

    monkeypatch.setattr(operations, "pause", break_down)

    answer = person("operate").post(PAUSE, {"name": "queue:low", "reason": "x"}, content_type="application/json")

    error_of(answer, status, code)
    assert not AuditEntry.objects.exists()


def test_redis_that_goes_away_at_the_end_is_told_in_json(person, monkeypatch):
    job_id = tasks.add.enqueue(1, 2)
    client = person("edit")

    def lose_the_line(*args, **words):
        raise RedisConnectionError

    monkeypatch.setattr(enqueue, "send", lose_the_line)
    answer = client.post(
        reverse("monitor:api-job-edit", args=[job_id]), {"args": [1, 2]}, content_type="application/json"
    )

    error_of(answer, 503, "redis_away")
