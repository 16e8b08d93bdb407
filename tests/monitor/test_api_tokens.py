"""Tokens for scripts: what they open, to whom, how long, and that they are not guessed at leisure."""

import json

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from amazon_pilot.jobs.models import ApiToken, AuditEntry, Pause
from amazon_pilot.jobs.operate import tokens
from amazon_pilot.jobs.operate.tokens import note_use_of_token
from tests.staff import ROLES

pytestmark = pytest.mark.django_db(transaction=True)
QUEUES, PAUSE = "/admin/monitor/api/queues", "/admin/monitor/api/pause"
BODY = {"name": "queue:low", "reason": "A test"}


def somebody(role, name="anna"):
    user = User.objects.create_user(name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=ROLES[role], content_type__app_label="jobs"))
    return user


def ask(text, address=QUEUES, body=None, **more):
    """Ask as a script does: without a session, and with a client that would be asked for a CSRF token."""
    client, header = Client(enforce_csrf_checks=True), {"authorization": f"Bearer {text}"}
    if body is None:
        answer = client.get(address, headers=header, **more)
    else:
        answer = client.post(address, json.dumps(body), content_type="application/json", headers=header, **more)
    return answer.status_code, answer.json().get("error", {}).get("code", "")


def test_a_token_reads_or_acts_as_it_is_made_for(redis):
    user = somebody("operate")
    (_row, reading), (_other, acting) = tokens.make(user, "look", "read"), tokens.make(user, "steer", "act")

    assert ask(reading) == ask(acting) == (200, "")
    assert ask(reading, PAUSE, BODY) == (403, "scope")
    assert not Pause.objects.exists()
    assert ask(acting, PAUSE, BODY) == (200, "")
    entry = AuditEntry.objects.get(action="pause")
    assert (entry.actor, entry.source, entry.address) == (user, "api", "127.0.0.1")


def test_a_token_may_no_more_than_whom_it_acts_for_may_now(redis):
    user = somebody("operate")
    _row, text = tokens.make(user, "steer", "act")

    user.user_permissions.remove(Permission.objects.get(codename="operate_jobs"))
    assert (ask(text), ask(text, PAUSE, BODY)) == ((200, ""), (403, "forbidden"))
    user.user_permissions.clear()
    assert ask(text) == (403, "forbidden")
    User.objects.filter(pk=user.pk).update(is_staff=False, is_superuser=True)
    assert ask(text) == (401, "not_signed_in")
    User.objects.filter(pk=user.pk).update(is_staff=True, is_active=False)
    assert ask(text) == (401, "not_signed_in")
    user.delete()
    assert ask(text) == (401, "token")


@pytest.mark.parametrize("text", ["", "monitor_x", "x" * 10_000, "ünïcode", "a b c", "\ud7ff"])
def test_a_wrong_token_is_refused_though_a_session_is_there(person, text):
    client = person("admin")

    answer = client.get(QUEUES, headers={"authorization": f"Bearer {text}".encode().decode("latin-1")})

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token")


def test_whoever_guesses_has_to_wait_and_another_address_has_not(redis):
    _row, text = tokens.make(somebody("view"), "look", "read")

    for _ in range(tokens.MOST_GUESSES):
        assert ask("monitor_guess") == (401, "token")
    assert ask("monitor_guess") == ask(text) == (429, "too_many")
    assert ask(text, REMOTE_ADDR="192.0.2.7") == (200, "")


def test_its_use_is_noted_once_an_hour(redis):
    row, text = tokens.make(somebody("view"), "look", "read")

    ask(text)
    ask(text)
    assert redis.llen("rq:queue:low") == 1
    note_use_of_token(row.pk)

    row.refresh_from_db()
    assert row.last_used_at is not None


def test_only_a_digest_is_kept_and_the_text_is_shown_once(person):
    client = person("view")

    answer = client.post(reverse("monitor:token-make"), {"name": "nightly", "scope": "read"})
    row = ApiToken.objects.get()
    text = answer.content.decode().split('id="token">')[1].split("<")[0]

    assert ask(text)[0] == 200
    assert text.startswith(row.start)
    assert text not in (row.digest, str(list(ApiToken.objects.values())), str(list(AuditEntry.objects.values())))
    assert text not in client.get(reverse("monitor:tokens")).content.decode()
    assert list(AuditEntry.objects.values_list("action", "target")) == [("create", f"token {row}")]


@pytest.mark.parametrize(("name", "scope"), [("", "read"), ("x", "write"), (" ", "act")])
def test_a_token_that_makes_no_sense_is_not_made(person, name, scope):
    person("view").post(reverse("monitor:token-make"), {"name": name, "scope": scope})

    assert not ApiToken.objects.exists()


def test_one_revokes_ones_own_and_an_administrator_any(person, redis):
    row, text = tokens.make(somebody("view"), "look", "read")

    assert person("edit").post(reverse("monitor:token-revoke", args=[row.pk])).status_code == 404
    assert ask(text)[0] == 200
    assert person("admin").post(reverse("monitor:token-revoke", args=[row.pk])).status_code == 302
    assert ask(text) == (401, "token")
    assert AuditEntry.objects.filter(action="revoke", target=f"token {row}", actor__username="admin-er").exists()


def test_a_list_shows_ones_own_and_to_an_administrator_all(person):
    tokens.make(somebody("view"), "of Anna", "read")

    assert "of Anna" not in person("view").get(reverse("monitor:tokens")).content.decode()
    assert "of Anna" in person("admin").get(reverse("monitor:tokens")).content.decode()


def test_while_redis_is_away_a_right_token_reads_what_needs_no_redis_and_acts_nothing(redis_away):
    _row, text = tokens.make(somebody("admin"), "steer", "act")

    assert ask(text, "/admin/monitor/api/schedule") == (200, "")
    assert ask(text, PAUSE, BODY) == (503, "redis_away")


def test_looking_with_a_token_writes_no_row(redis, django_assert_max_num_queries):
    row, text = tokens.make(somebody("view"), "look", "read")

    with django_assert_max_num_queries(5) as asked:
        assert ask(text)[0] == 200

    assert not [query["sql"] for query in asked if not query["sql"].startswith("SELECT")]
    row.refresh_from_db()
    assert row.last_used_at is None
