"""Accounts: who may make one, how one gets in, what one chooses, takes along, and how it ends."""

import json
import re
import zipfile
from datetime import timedelta
from decimal import Decimal
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.core.cache import cache
from django.test import Client
from django.utils.timezone import now

from accounts.models import ApiToken, Invitation, Preferences
from accounts.tasks import cleanup, remove_account, send_invitation
from amazon_pilot.jobs.models import AuditEntry
from analysis.models import Comparison, Report
from notifications.models import Channel, Notification
from products.models import Change, Import, Product, Tracking
from tests.world import NOON, enqueued, run_jobs, see

NEW = {
    "email": "new@example.com",
    "username": "newcomer",
    "password1": "a-long-Secret-7",
    "password2": "a-long-Secret-7",
}
PASSWORD = "alice-password"


@pytest.fixture(autouse=True)
def _nobody_has_tried_before():
    """Attempts are counted in the cache, which all tests of a process share."""
    cache.clear()


def sign_in(client, name="alice", password=PASSWORD, **more):
    return client.post("/login/", {"username": name, "password": password} | more)


def is_in(client):
    return "_auth_user_id" in client.session


def link_in(message):
    return urlsplit(re.search(r"https?://\S+", message.body)[0]).path


@pytest.fixture
def operator(db):
    return User.objects.create_superuser("boss", "boss@example.com", "boss-password")


@pytest.mark.parametrize(("setting", "status"), [("open", 302), ("invited", 200), ("closed", 200)])
def test_who_may_sign_up_is_a_setting(client, db, settings, setting, status):
    settings.SIGN_UP = setting

    answer = client.post("/account/signup/", NEW)

    assert answer.status_code == status
    assert User.objects.filter(username="newcomer").exists() == (setting == "open")
    shown = Client().get("/login/").content.decode()
    assert ("/account/signup/" in shown) == (setting == "open")


def test_who_signs_up_confirms_the_address_before_he_gets_in(client, db, settings):
    settings.SIGN_UP = "open"
    client.post("/account/signup/", NEW)
    assert not is_in(client)
    again = Client()
    sign_in(again, "newcomer", NEW["password1"])
    assert not is_in(again)

    confirmation = link_in(mail.outbox[0])
    assert not EmailAddress.objects.get().verified
    client.get(confirmation)
    assert not EmailAddress.objects.get().verified  # a look changes nothing
    client.post(confirmation)

    assert EmailAddress.objects.get().verified
    sign_in(again, "newcomer", NEW["password1"])
    assert is_in(again)


def invite(client, email="new@example.com"):
    client.post("/account/invitations/", {"email": email})
    return Invitation.objects.filter(email=email).first()


@pytest.fixture
def invited(settings, operator, client, django_capture_on_commit_callbacks):
    settings.SIGN_UP = "invited"
    client.force_login(operator)
    with django_capture_on_commit_callbacks(execute=True):
        row = invite(client)
    run_jobs()
    return row, link_in(mail.outbox[0])


def test_an_invitation_makes_one_account_with_its_address(invited):
    row, link = invited
    stranger = Client()
    assert stranger.get(link).status_code == 200
    assert stranger.get(link).status_code == 200  # a look does not use it up

    stranger.post(link, NEW | {"email": "another@example.com"})

    user = User.objects.get(username="newcomer")
    assert user.email == "new@example.com"
    assert EmailAddress.objects.get(user=user).verified
    assert is_in(stranger)
    row.refresh_from_db()
    assert row.accepted_at
    late = Client()
    assert late.get(link).status_code == 410
    assert late.post(link, NEW | {"username": "second"}).status_code == 410
    assert User.objects.count() == 2


def test_no_job_and_no_row_holds_the_link(invited):
    _row, link = invited
    secret = link.rstrip("/").rpartition("/")[2]

    assert secret not in json.dumps(list(Invitation.objects.values()), default=str)
    assert secret not in json.dumps(enqueued())
    assert AuditEntry.objects.filter(action="invite", target="account new@example.com").count() == 1


@pytest.mark.parametrize("how", ["old", "withdrawn", "made up", "changed", "closed"])
def test_an_invitation_that_is_over_opens_nothing(invited, client, settings, how):
    row, link = invited
    if how == "old":
        Invitation.objects.update(expires_at=now() - timedelta(seconds=1))
    elif how == "withdrawn":
        assert client.get(f"/account/invitations/{row.pk}/withdraw/").status_code == 405
        client.post(f"/account/invitations/{row.pk}/withdraw/")
    elif how == "made up":
        link = "/account/invitation/1/"
    elif how == "changed":
        link = link[:-3] + ("a" if link[-3] != "a" else "b") + link[-2:]
    else:
        settings.SIGN_UP = "closed"
    stranger = Client()

    assert stranger.get(link).status_code == 410
    assert stranger.post(link, NEW).status_code == 410
    assert User.objects.count() == 1


@pytest.mark.parametrize("email", ["", "nonsense", "boss@example.com", "new@example.com", "a@b.c\nBcc: x@y.z"])
def test_an_address_that_cannot_be_invited_is_refused(invited, client, email):
    assert client.post("/account/invitations/", {"email": email}).status_code == 422
    assert Invitation.objects.count() == 1


def test_who_may_not_invite_sees_no_such_page(client, alice, settings):
    settings.SIGN_UP = "invited"
    client.force_login(alice)

    assert client.get("/account/invitations/").status_code == 403
    assert client.post("/account/invitations/", {"email": "x@example.com"}).status_code == 403
    assert "/account/invitations/" not in client.get("/account/").content.decode()
    alice.user_permissions.add(Permission.objects.get(codename="add_invitation"))
    assert client.get("/account/invitations/").status_code == 200


def test_an_invitation_is_sent_once(invited):
    row, _link = invited

    assert send_invitation(row.pk) == "withdrawn, accepted, expired or sent"
    assert len(mail.outbox) == 1


def test_a_password_is_reset_by_mail_and_its_link_names_our_host_alone(client, alice, settings):
    settings.ALLOWED_HOSTS = ["*"]
    client.post("/account/password/reset/", {"email": "alice@example.com"}, headers={"Host": "evil.example"})

    (message,) = mail.outbox
    assert "evil" not in message.body
    assert settings.SITE_URL in message.body
    page = client.get(link_in(message), follow=True)
    words = {"password1": "another-Secret-9", "password2": "another-Secret-9"}
    answer = client.post(page.redirect_chain[-1][0], words)
    assert answer.status_code == 302, answer.content.decode()
    other = Client()
    sign_in(other, password="another-Secret-9")
    assert is_in(other)


def test_an_unknown_address_is_not_told(client, alice):
    known = client.post("/account/password/reset/", {"email": "alice@example.com"}, follow=True)
    unknown = client.post("/account/password/reset/", {"email": "nobody@example.com"}, follow=True)

    assert known.redirect_chain == unknown.redirect_chain


def test_a_password_is_changed_and_the_session_goes_on(client, alice):
    client.force_login(alice)
    words = {"oldpassword": PASSWORD, "password1": "another-Secret-9", "password2": "another-Secret-9"}

    assert client.post("/account/password/change/", words | {"oldpassword": "wrong"}).status_code == 200
    assert client.post("/account/password/change/", words).status_code == 302

    assert client.get("/account/").status_code == 200
    other = Client()
    sign_in(other)
    assert not is_in(other)
    sign_in(other, password="another-Secret-9")
    assert is_in(other)


def code_of(secret):
    return format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))


@pytest.fixture
def second_factor(client, alice):
    """Have alice switch her second factor on; answer its secret."""
    sign_in(client)
    assert "/reauthenticate/" in client.get("/account/2fa/totp/activate/").headers["Location"]
    client.post("/account/reauthenticate/", {"password": PASSWORD})
    page = client.get("/account/2fa/totp/activate/")
    secret = page.context["form"].secret
    answer = client.post("/account/2fa/totp/activate/", {"code": code_of(secret)})
    assert answer.status_code == 302, answer.content.decode()
    return secret


@pytest.mark.parametrize("door", ["/login/", "/admin/login/"])
def test_with_a_second_factor_the_password_alone_opens_no_door(second_factor, alice, door):
    User.objects.update(is_staff=True, is_superuser=True)
    stranger = Client()

    answer = stranger.post(door, {"username": "alice", "password": PASSWORD, "next": "/comparisons/"})

    assert "/2fa/authenticate/" in answer.headers["Location"]
    assert not is_in(stranger)
    assert stranger.get("/comparisons/").status_code == 302
    assert stranger.post("/account/2fa/authenticate/", {"code": "000000"}).status_code == 200
    assert not is_in(stranger)


def test_a_recovery_code_opens_the_door_once(second_factor, alice):
    codes = Authenticator.objects.get(user=alice, type="recovery_codes").wrap().get_unused_codes()
    first, second = Client(), Client()
    for browser in (first, second):
        sign_in(browser, next="/comparisons/")
        browser.last = browser.post("/account/2fa/authenticate/", {"code": codes[0]})

    assert is_in(first)
    assert first.last.headers["Location"] == "/comparisons/"
    assert not is_in(second)


def test_secrets_of_second_factors_are_not_in_the_clear(second_factor):
    assert second_factor not in json.dumps(list(Authenticator.objects.values("data")))


def test_sessions_are_listed_and_the_others_ended(client, alice):
    other = Client()
    sign_in(other)
    sign_in(client)

    assert client.get("/account/sessions/").status_code == 200
    client.post("/account/sessions/")

    assert other.get("/account/").status_code == 302
    assert client.get("/account/").status_code == 200


def test_language_and_zone_hold_at_once_and_from_each_login_on(client, alice):
    sign_in(client)
    client.post("/account/", {"language": "zh-hans", "zone": "Asia/Tokyo"})
    other = Client()
    sign_in(other)

    for browser in (client, other):
        page = browser.get("/account/", headers={"Accept-Language": "en"}).content.decode()
        assert '<html lang="zh-hans"' in page
    see(Product.objects.create(marketplace="amazon.com", asin="B0LAMP0001"), NOON)
    Tracking.objects.create(team=alice.teams.get(), product=Product.objects.get())
    assert "JST" in client.get("/products/amazon.com/B0LAMP0001/").content.decode()


@pytest.mark.parametrize("words", [{"zone": "Mars/Base"}, {"language": "de"}, {"zone": "x" * 500}])
def test_choices_that_there_are_not_are_refused(client, alice, words):
    sign_in(client)

    assert client.post("/account/", words).status_code == 422
    assert not Preferences.objects.exists()


@pytest.fixture
def full(client, alice, lamp, competitors):
    see(lamp)
    see(lamp, NOON + timedelta(days=1), price=Decimal(30), seller="Other", seller_id="S2")
    Report.objects.ask_comparison(Comparison.objects.start(alice.teams.get(), lamp, competitors[:3]))
    Notification.objects.draft_changes(Change.objects.all())
    ApiToken.objects.issue(alice.memberships.get(), "night", "write")
    Channel.objects.create(team=alice.teams.get(), kind="webhook", address="https://hooks.example/x")
    client.post("/login/", {"username": "alice", "password": PASSWORD})
    return client


def test_ones_own_data_is_given_out_without_secrets(full, alice):
    answer = full.get("/account/data/")

    archive = zipfile.ZipFile(BytesIO(b"".join(answer.streaming_content)))
    everything = b"".join(archive.read(name) for name in archive.namelist()).decode()
    for found in ("alice@example.com", "B0LAMP0001", "night", "https://hooks.example/x", "price"):
        assert found in everything
    secrets = [alice.password, ApiToken.objects.get().digest, *Channel.objects.values_list("secret", flat=True)]
    assert not [secret for secret in secrets if secret in everything]
    assert {"products.csv", "changes.csv", "comparisons.jsonl", "reports.jsonl"} <= set(archive.namelist())


def test_an_account_is_closed_at_once_and_its_rows_go(full, alice, charlie, lamp, django_capture_on_commit_callbacks):
    Tracking.objects.create(team=charlie.teams.get(), product=lamp)
    token = ApiToken.objects.issue(alice.memberships.get(), "other", "read")[1]
    other = Client()
    sign_in(other)
    assert full.post("/account/delete/", {"password": "wrong"}).status_code == 422

    with django_capture_on_commit_callbacks(execute=True):
        full.post("/account/delete/", {"password": PASSWORD})

    assert other.get("/account/").status_code == 302
    assert Client().get("/api/v1/products", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    run_jobs(also_delayed=False)
    assert not User.objects.filter(username="alice").exists()
    assert Tracking.objects.count() == 1
    assert not any(model.objects.exists() for model in (Change, Comparison, Report, Import, ApiToken, Preferences))
    assert lamp.snapshots.count() == 2  # what was seen is others', too
    assert AuditEntry.objects.filter(action="close").count() == 1


def test_an_end_that_was_lost_on_the_way_is_picked_up(full, alice, django_capture_on_commit_callbacks):
    full.post("/account/delete/", {"password": PASSWORD})
    assert User.objects.filter(username="alice").exists()
    Preferences.objects.update(leaving_at=now() - timedelta(hours=2))

    with django_capture_on_commit_callbacks(execute=True):
        cleanup()
    run_jobs(also_delayed=False)

    assert not User.objects.filter(username="alice").exists()


def test_the_last_operator_stays(client, operator):
    sign_in(client, "boss", "boss-password")

    assert "only operator" in client.get("/account/delete/").content.decode()
    client.post("/account/delete/", {"password": "boss-password"})
    assert is_in(client)
    assert User.objects.get().is_active
    assert remove_account(operator.pk) == "it is not leaving"


PAGES = (
    "", "delete/", "tokens/", "invitations/", "password/change/", "password/reset/", "2fa/", "2fa/totp/activate/",
    "sessions/", "email/", "signup/", "confirm-email/", "inactive/", "password/reset/done/",
)  # fmt: skip


@pytest.mark.parametrize("language", ["en", "zh-hans"])
def test_every_page_stands_in_the_products_frame_in_both_languages(client, operator, settings, language):
    settings.SIGN_UP = "open"
    visitor = Client(headers={"accept-language": language})
    visitor.post("/login/", {"username": "boss", "password": "boss-password"})
    visitor.post("/account/reauthenticate/", {"password": "boss-password"})
    stranger = Client(headers={"accept-language": language})
    for path in PAGES:
        page = visitor.get(f"/account/{path}")
        page = stranger.get(f"/account/{path}") if page.status_code == 302 else page
        text = page.content.decode()
        assert page.status_code == 200, path
        assert "pilot.css" in text, path
        assert f'lang="{language}"' in text, path
        assert bool(re.search(r"<h1[^>]*>[^<]*[\u4e00-\u9fff]", text)) == (language == "zh-hans"), path
        assert not re.search(r"<script(?![^>]*(?:src|application/json))", text), path
        assert "style=" not in text, path


def test_pages_of_an_account_ask_for_a_login(client, db):
    for path in ("", "data/", "delete/", "tokens/", "invitations/", "password/change/", "2fa/", "sessions/", "email/"):
        assert "/login/" in client.get(f"/account/{path}").headers["Location"], path
