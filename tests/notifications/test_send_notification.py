"""send_notification: written before it is sent, sent once, and a failure is a word on the row."""

import socket
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.utils.timezone import now

from notifications.addresses import validate_public_address
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
    return Channel.objects.create(user=alice, kind="email", address="alice@example.com")


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


def test_a_second_job_sends_nothing(drafted):
    send_notification(drafted.pk)

    assert send_notification(drafted.pk) == "already sent"
    assert len(mail.outbox) == 1


def test_a_second_sending_carries_the_same_message_id(drafted):
    send_notification(drafted.pk)
    Notification.objects.filter(pk=drafted.pk).update(state="sending", next_at=now() - timedelta(minutes=11))
    send_notification(drafted.pk)

    assert len({message.extra_headers["Message-ID"] for message in mail.outbox}) == 1


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
    hook = Channel.objects.create(user=alice, kind="webhook", address="https://127.0.0.1/hook", failures=4)
    (notification,) = Notification.objects.draft_changes([change])

    assert send_notification(notification.pk).startswith("refused")

    hook.refresh_from_db()
    notification.refresh_from_db()
    assert (notification.state, hook.disabled_reason != "") == ("failed", True)
    assert Notification.objects.draft_changes([change]) == []


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/hook",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.8/",
        "https://169.254.169.254/latest",
        "https://localhost/x",
        "https://user:secret@example.com/",
        "ftp://example.com",
        "example.com",
    ],
)
def test_an_address_that_is_not_public_https_is_refused(address):
    with pytest.raises(ValidationError):
        validate_public_address(address)


def test_a_name_that_leads_home_is_refused_at_sending(alice):
    with pytest.raises(TransportError) as refused:
        Webhook()._pinned(f"https://{socket.gethostname()}.localhost/hook")

    assert refused.value.permanent or "unknown" in str(refused.value)


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
