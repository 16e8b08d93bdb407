"""send_notification: written before it is sent, sent once, and a failure is a word on the row."""

import socket
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.core import mail
from django.urls import reverse
from django.utils.timezone import now

from notifications.models import Channel, Notification
from notifications.tasks import cleanup, send_due_notifications, send_notification
from notifications.transports import TransportError, Webhook
from products.models import Change
from tests.world import NOON, enqueued, see

pytestmark = pytest.mark.django_db


@pytest.fixture
def change(lamp):
    see(lamp, price=Decimal("24.99"), title="<b>Kettle</b>")
    see(lamp, NOON + timedelta(hours=5), price=Decimal("19.99"), title="<b>Kettle</b>")
    return Change.objects.get()


@pytest.fixture
def email(alice):
    return Channel.objects.create(team=alice.teams.get(), kind="email", address="alice@example.com")


@pytest.fixture
def drafted(change, email):
    (notification,) = Notification.objects.draft_changes([change])
    return notification


def test_a_change_is_written_once_per_channel(change, email):
    Notification.objects.draft_changes([change])

    assert Notification.objects.draft_changes([change]) == []
    assert sorted(Notification.objects.values_list("channel__kind", "state")) == [("app", "sent"), ("email", "pending")]


def test_an_email_says_what_changed_and_where(drafted, settings):
    assert send_notification(drafted.pk) == "sent"

    message = mail.outbox[0]
    assert message.to == ["alice@example.com"]
    assert "$24.99 → $19.99 (-20.0 %)" in message.subject
    assert f"{settings.SITE_URL}/products/amazon.com/B0LAMP0001/" in message.body
    html = message.alternatives[0][0]
    assert "&lt;b&gt;Kettle" in html
    assert "<b>Kettle" not in html


def test_texts_are_cut_at_what_their_columns_hold(drafted, email, change, tracking):
    tracking.alias = "A" * 100
    tracking.save()
    change.tracking, change.before, change.after = tracking, "B" * 200, "C" * 200
    change.kind = "buybox_change"
    Notification.objects.all().delete()
    (long,) = Notification.objects.draft_changes([change])
    email.note_refusal("x" * 999, for_good=True)
    email.refresh_from_db()
    long.mark_unknown("y" * 999)
    long.refresh_from_db()

    assert (len(long.subject), len(long.error), len(email.disabled_reason)) == (200, 300, 300)


@pytest.mark.parametrize("name", ["pause_channel", "remove_channel", "read", "read_all"])
def test_what_changes_something_is_no_get(client, alice, drafted, email, name):
    client.force_login(alice)
    words = [] if name == "read_all" else [drafted.pk if name == "read" else email.pk]

    assert client.get(reverse(f"notifications:{name}", args=words)).status_code == 405
    email.refresh_from_db()
    assert not email.paused


def test_a_channel_that_is_used_again_has_no_refusal_behind_it(client, alice, email):
    client.force_login(alice)
    for _time in range(3):
        email.note_refusal("no")
    email.note_refusal("gone", for_good=True)

    client.post(reverse("notifications:pause_channel", args=[email.pk]))

    email.refresh_from_db()
    assert (email.paused, email.disabled_reason, email.failures) == (False, "", 0)


@pytest.mark.later
def test_a_second_job_sends_nothing(drafted):
    send_notification(drafted.pk)

    assert send_notification(drafted.pk) == "already sent"
    assert len(mail.outbox) == 1


@pytest.mark.later
def test_what_was_being_sent_by_a_lost_worker_is_not_sent_again_and_says_so(drafted):
    Notification.objects.filter(pk=drafted.pk).update(state="sending", next_at=now() - timedelta(minutes=11))

    send_due_notifications()

    drafted.refresh_from_db()
    assert (drafted.state, enqueued(), mail.outbox) == ("unknown", [], [])
    assert "whether it arrived is not known" in drafted.error
    assert send_notification(drafted.pk) == "already unknown"


def test_a_person_may_send_it_again_and_it_carries_the_same_message_id(drafted, admin_client):
    send_notification(drafted.pk)
    Notification.objects.filter(pk=drafted.pk).update(state="unknown")
    data = {"action": "send_again", "_selected_action": [drafted.pk]}
    admin_client.post(reverse("admin:notifications_notification_changelist"), data)
    send_notification(drafted.pk)

    assert len(mail.outbox) == 2
    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 1


@pytest.mark.parametrize(("rights", "state"), [(["view"], "failed"), (["view", "change"], "pending")])
def test_sending_again_needs_the_right_to_change(drafted, client, rights, state):
    viewer = User.objects.create_user("viewer", is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename__in=[f"{right}_notification" for right in rights]))
    client.force_login(viewer)
    Notification.objects.filter(pk=drafted.pk).update(state="failed")

    data = {"action": "send_again", "_selected_action": [drafted.pk]}
    client.post(reverse("admin:notifications_notification_changelist"), data)

    drafted.refresh_from_db()
    assert drafted.state == state


@pytest.mark.parametrize("worker_is_ahead", [timedelta(minutes=5), timedelta(hours=5)])
def test_a_worker_whose_clock_is_ahead_does_not_send_what_another_is_sending(drafted, monkeypatch, worker_is_ahead):
    assert drafted.claim()
    monkeypatch.setattr("django.utils.timezone.now", lambda: now() + worker_is_ahead)

    send_due_notifications()

    assert send_notification(drafted.pk) == "already sending"
    assert mail.outbox == []


@pytest.mark.later
def test_a_paused_channel_is_not_written_to(drafted, email):
    Channel.objects.filter(pk=email.pk).update(paused=True)

    send_notification(drafted.pk)

    drafted.refresh_from_db()
    assert (drafted.state, mail.outbox) == ("failed", [])


@pytest.mark.later
@pytest.mark.parametrize("alias", ["Two\nlines", "Bcc\r\nBcc: eve@example.com", "a\x0bb\x00c\u2028d", "x" * 500])
def test_a_name_with_line_breaks_is_one_line_in_the_subject(change, email, alias, tracking):
    type(tracking).objects.update(alias=alias.replace("\x00", "")[:100])
    change.refresh_from_db()
    (notification,) = Notification.objects.draft_changes([change])
    Notification.objects.update(subject=f"{alias}"[:150].replace("\x00", ""))  # as an older version wrote it

    assert send_notification(notification.pk) == "sent"

    raw = mail.outbox[0].message().as_string()
    assert "\nBcc:" not in raw
    assert len(mail.outbox[0].subject.splitlines()) == 1


def test_whatever_is_raised_the_attempts_end(drafted, monkeypatch):
    monkeypatch.setattr("notifications.transports.render_to_string", lambda *_: 1 / 0)
    for _attempt in range(4):
        with pytest.raises(ZeroDivisionError):
            send_notification(drafted.pk)
    assert send_notification(drafted.pk).startswith("given up")

    drafted.refresh_from_db()
    assert (drafted.state, drafted.attempts) == ("failed", 5)
    assert "ZeroDivisionError" in drafted.error


def test_attempts_are_counted_when_a_notification_is_claimed(drafted):
    Notification.objects.filter(pk=drafted.pk).update(attempts=5, error="the last reason")

    send_notification(drafted.pk)

    drafted.refresh_from_db()
    assert (drafted.state, drafted.error) == ("failed", "Given up after 5 attempts: the last reason")


@pytest.mark.later
def test_a_server_that_is_away_is_tried_again_and_in_the_end_given_up(drafted, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        settings.EMAIL_HOST, settings.EMAIL_PORT = closed.getsockname()
        for _attempt in range(4):
            with pytest.raises(TransportError):
                send_notification(drafted.pk)
        answer = send_notification(drafted.pk)

    drafted.refresh_from_db()
    assert answer.startswith("given up")
    assert (drafted.state, drafted.attempts) == ("failed", 5)
    assert "could not be reached" in drafted.error


def test_a_webhook_into_our_own_network_is_refused_for_good_and_disables_its_channel(change, alice):
    hook = Channel.objects.create(team=alice.teams.get(), kind="webhook", address="https://127.0.0.1/hook", failures=4)
    (notification,) = Notification.objects.draft_changes([change])

    assert send_notification(notification.pk).startswith("refused")

    hook.refresh_from_db()
    notification.refresh_from_db()
    assert (notification.state, hook.disabled_reason != "") == ("failed", True)
    assert Notification.objects.draft_changes([change]) == []


def test_a_webhook_says_the_change_in_plain_words(drafted):
    payload = Webhook().payload(drafted)

    assert payload["change"]["before"] == "24.99"
    assert payload["change"]["severity"] == "critical"
    assert payload["id"] == str(drafted.key)


def test_less_than_the_asked_severity_is_not_told(change, email):
    Channel.objects.update(least_severity="3_critical")
    Change.objects.update(severity="2_warning")
    change.refresh_from_db()

    assert Notification.objects.draft_changes([change]) == []


def test_what_was_written_and_never_enqueued_is_picked_up(drafted, django_capture_on_commit_callbacks):
    Notification.objects.filter(pk=drafted.pk).update(next_at=now() - timedelta(minutes=2))

    with django_capture_on_commit_callbacks(execute=True):
        send_due_notifications()

    assert enqueued() == [("notifications.tasks.send_notification", [drafted.pk])]


def test_old_notifications_are_pruned(drafted):
    Notification.objects.update(created_at=now() - timedelta(days=91))

    assert cleanup() == "notifications: 2"
