"""The login: throttled by name and address, told in the audit; and what is shown where a page cannot be."""

import re
from datetime import timedelta

import pytest
from axes.models import AccessAttempt
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client
from django.utils import translation
from django.utils.timezone import now

from amazon_pilot import errors
from amazon_pilot.jobs.models import AuditEntry

LOGINS = ("/login/", "/admin/login/")


@pytest.fixture
def boss(db):
    return User.objects.create_superuser("boss", password="right-password")


def attempt(client, path, name="boss", password="wrong", **headers):
    return client.post(path, {"username": name, "password": password}, **headers)


@pytest.mark.parametrize("path", LOGINS)
def test_after_ten_wrong_passwords_the_right_one_does_not_open_either(client, boss, path):
    statuses = [attempt(client, path).status_code for _ in range(12)]

    answer = attempt(client, path, password="right-password")

    assert statuses[:9] == [200] * 9
    assert set(statuses[9:]) == {429}
    assert answer.status_code == 429
    assert answer["Retry-After"] == "900"
    assert "Too many wrong passwords" in answer.content.decode()
    assert "Amazon Pilot" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_lock_out_is_told_once_in_the_audit_with_its_address(client, boss):
    for _ in range(15):
        attempt(client, "/login/", REMOTE_ADDR="192.0.2.7")

    entry = AuditEntry.objects.get()

    assert (entry.action, entry.target, entry.address, entry.actor) == ("lock out", "user boss", "192.0.2.7", None)


def test_it_does_not_help_to_try_many_names_or_to_claim_other_addresses_or_browsers(client, boss):
    for turn in range(10):
        attempt(
            client, "/login/", f"name{turn}", headers={"X-Forwarded-For": f"10.0.0.{turn}", "User-Agent": f"{turn}"}
        )

    assert attempt(client, "/admin/login/", password="right-password").status_code == 429


@pytest.mark.parametrize(
    ("before", "after"),
    [("198.51.100.7", "198.51.100.7"), ("::ffff:198.51.100.7", "198.51.100.7"), (" 198.51.100.7 ", "198.51.100.7"),
     ("unknown", ""), ("198.51.100.7:5555", "198.51.100.8:1")],
)  # fmt: skip
def test_behind_a_proxy_what_stands_before_its_own_word_does_not_help(client, boss, settings, before, after):
    settings.TRUSTED_PROXIES = 1
    for turn in range(10):
        attempt(client, "/login/", headers={"X-Forwarded-For": f"10.0.0.{turn}, {before}"})
    last = attempt(client, "/login/", password="right-password", headers={"X-Forwarded-For": f"10.9.9.9, {after}"})
    other = {"X-Forwarded-For": "198.51.100.7, 203.0.113.9"}

    assert last.status_code == 429
    assert attempt(client, "/login/", password="right-password", headers=other).status_code == 302


def test_it_does_not_help_to_write_the_name_in_other_letters_or_to_send_json(client, boss):
    for name in ("BOSS", "Boss", " boss", "boss ") * 3:
        attempt(client, "/account/login/", name)
    client.post("/login/", '{"username": "boss", "password": "wrong"}', content_type="application/json")

    assert attempt(client, "/login/", password="right-password").status_code == 429


def test_another_address_is_not_kept_out_by_it(client, boss):
    for _ in range(12):
        attempt(client, "/login/", REMOTE_ADDR="192.0.2.7")

    assert attempt(client, "/login/", password="right-password", REMOTE_ADDR="192.0.2.8").status_code == 302


@pytest.mark.parametrize("path", ["/account/password/change/", "/admin/password_change/", "/account/reauthenticate/"])
def test_who_found_a_browser_signed_in_does_not_guess_the_password_there(client, boss, path):
    client.force_login(boss)
    new = "a-new-Pa55word"
    fields = {"oldpassword": "wrong", "old_password": "wrong", "password": "wrong"}
    fields |= dict.fromkeys(("password1", "password2", "new_password1", "new_password2"), new)
    for _ in range(12):
        answer = client.post(path, fields)
        if answer.status_code == 302:
            answer = client.post(answer["Location"], fields)

    assert answer.status_code == 429
    boss.refresh_from_db()
    assert boss.check_password("right-password")


@pytest.mark.parametrize("name", ["", "x" * 5000, "名"])
def test_odd_names_are_only_wrong(client, db, name):
    # PostgreSQL keeps no name of 5,000 letters, and the visitor is told that it cannot be read.
    assert attempt(client, "/login/", name).status_code in (200, 400)


def test_a_name_that_no_database_takes_is_refused(client, db):
    assert attempt(client, "/login/", "\0").status_code == 400


def test_after_a_quarter_of_an_hour_the_door_is_open_again(client, boss):
    for _ in range(12):
        attempt(client, "/login/")
    AccessAttempt.objects.update(attempt_time=now() - timedelta(minutes=16))

    assert attempt(client, "/login/", password="right-password").status_code == 302


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "path",
    [
        "",
        "queues/0/",
        "workers/0/",
        "workers/0/nobody/",
        "queues/0/no-job/",
        "dashboard/1/change/",
        "queues/9/",
        "workers/9/",
        "queues/0/failed/",
        "queues/0/started/",
        "stats.json",
        "schedulers/0/",
    ],
)
def test_django_rqs_pages_lead_a_visitor_to_the_login_and_never_fail(client, boss, path):
    url = f"/admin/django_rq/{path}"

    away = client.get(url)

    assert away.status_code == 302
    assert "/login/" in away["Location"]
    client.force_login(boss)
    assert client.get(url, follow=True).status_code in (200, 404)


def test_a_foreign_payload_gets_a_sentence_on_django_rqs_pages(client, boss, redis):
    redis.hset(
        "rq:job:foreign", mapping={"data": b"\x80garbage", "created_at": "2026-01-01T00:00:00Z", "origin": "low"}
    )
    client.force_login(boss)

    answer = client.get("/admin/django_rq/queues/2/foreign/")

    assert answer.status_code in (200, 404)
    assert b"Amazon Pilot" in answer.content


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_error_pages_stand_in_the_products_frame_in_both_languages(client, boss, language, rf):
    headers = {"Accept-Language": language}
    missing = client.get("/nowhere/", headers=headers)
    host = client.get("/login/", headers=headers | {"Host": "evil.example"})
    forged = Client(enforce_csrf_checks=True).post("/login/", {"username": "x"}, headers=headers)
    request = rf.get("/")
    request.user = boss
    with translation.override(language):
        refused, failed = errors.permission_denied(request, PermissionDenied()), errors.server_error(request)

    pages = [missing, host, forged, refused, failed]
    assert [page.status_code for page in pages] == [404, 400, 403, 403, 500]
    for page in pages:
        text = page.content.decode()
        assert "pilot.css" in text
        assert f'lang="{language}"' in text
        assert bool(re.search("<h1>[^<]*[\u4e00-\u9fff]", text)) == (language == "zh-hans")


ANSWERS = [
    ("get", "/login/"), ("get", "/admin/login/"), ("get", "/health"), ("get", "/nowhere/"), ("get", "/metrics"),
    ("get", "/login"), ("get", "/admin/monitor/jobs"), ("get", "/%00"), ("get", "/static/pilot.css"),
    ("get", "/static/nothing.css"), ("post", "/health"), ("post", "/api/v1/me"), ("options", "/api/v1/products"),
    ("get", "/api/v1/nothing"), ("post", "/admin/monitor/api/stats"), ("get", "/sandbox/apify/v2/actor-runs"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ANSWERS)
def test_every_answer_has_a_strict_policy(client, db, method, path):
    answer = getattr(client, method)(path)

    policy = answer["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy + ";"
    assert "unsafe" not in policy
    assert "camera=()" in answer["Permissions-Policy"]
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"


def test_the_health_check_answers_whom_asks_from_inside(client, db, settings):
    settings.SECURE_SSL_REDIRECT = True
    settings.SECURE_REDIRECT_EXEMPT = [r"^health$", r"^metrics$", r"^sandbox/(apify|openai|pictures)/"]

    assert client.get("/health").status_code == 200
    assert client.get("/metrics").status_code == 401
    assert client.get("/login/").status_code == 301
