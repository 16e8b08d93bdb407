"""Each message arrives once, or stands as failed or unknown with its reason; nothing is tried for ever."""

import hashlib
import hmac
import os
import resource
import signal
import subprocess
import sys
import time
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils.timezone import now

from notifications.models import MAX_ATTEMPTS, Channel, Notification
from notifications.tasks import send_due_notifications, send_notification
from notifications.transports import TransportError
from products.models import Change, Tracking
from tests.world import NOON, enqueued, see

pytestmark = pytest.mark.django_db(transaction=True)

# What becomes of a message to each receiver: its state at the end, and how often it was taken there.
FATES = {
    ("webhook", "ok"): ("sent", 1),
    ("webhook", "second-time"): ("sent", 1),
    ("webhook", "endless"): ("sent", 1),
    ("webhook", "drip"): ("sent", 1),
    ("webhook", "short"): ("sent", 1),
    ("webhook", "drip-head"): ("unknown", 1),
    ("webhook", "endless-head"): ("unknown", 1),
    ("webhook", "silent"): ("unknown", 1),
    ("webhook", "hang-up"): ("unknown", 0),
    ("webhook", "half"): ("unknown", 0),
    ("webhook", "garbage"): ("unknown", 0),
    ("webhook", "410"): ("failed", 0),
    ("webhook", "404"): ("failed", 0),
    ("webhook", "401"): ("failed", 0),
    ("webhook", "302"): ("failed", 0),
    ("webhook", "500"): ("failed", 0),
    ("webhook", "429"): ("failed", 0),
    ("webhook", "503-forever"): ("failed", 0),
    ("email", "fine"): ("sent", 1),
    ("email", "grey"): ("sent", 1),
    ("email", "gone"): ("failed", 0),
    ("email", "spam"): ("failed", 0),
    ("email", "full"): ("failed", 0),
    ("email", "drop-late"): ("unknown", 1),
    ("email", "drop-early"): ("unknown", 0),
}


def channel(user, receivers, kind, name):
    address = f"{receivers.web}/{name}" if kind == "webhook" else f"{name}@example.com"
    return Channel.objects.create(team=user.teams.get(), kind=kind, address=address)


def work_until_nothing_is_left():
    """Run each message as a worker would, letting the time pass that it waits for; bounded, as the product must be."""
    for _round in range(MAX_ATTEMPTS + 1):
        Notification.objects.filter(state="pending").update(next_at=now() - timedelta(minutes=2))
        for pk in Notification.objects.due().values_list("pk", flat=True):
            try:
                send_notification(pk)
            except TransportError:
                continue
    assert not Notification.objects.filter(state__in=("pending", "sending"))


@pytest.fixture
def changes(lamp, charlie):
    Tracking.objects.create(team=charlie.teams.get(), product=lamp)
    see(lamp, price=Decimal("24.99"))
    see(lamp, NOON + timedelta(hours=5), price=Decimal("19.99"))
    return list(Change.objects.select_related("tracking__product").order_by("pk"))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), FATES, ids=lambda part: part)
def test_each_receiver_has_its_fate(changes, alice, receivers, kind, name):
    channel(alice, receivers, kind, name)
    (row,) = Notification.objects.draft_changes(changes[:1])

    began = time.monotonic()
    work_until_nothing_is_left()

    row.refresh_from_db()
    state, taken = FATES[kind, name]
    assert (row.state, len(receivers.got[name])) == (state, taken)
    assert set(receivers.got[name]) <= {str(row.key)}
    assert (row.error == "") == (state == "sent")
    assert receivers.times[name] <= MAX_ATTEMPTS
    assert time.monotonic() - began < 8


@pytest.mark.slow
def test_many_changes_of_several_users_are_told_once_each(changes, alice, charlie, receivers):
    """An oracle of its own counts what must arrive: rows of users × channels × changes, and each key once."""
    users = [alice, charlie, *(User.objects.create_user(f"u{n}") for n in range(4))]
    for user in users[2:]:
        Tracking.objects.create(team=user.teams.get(), product=changes[0].tracking.product)
    for number in range(6):
        see(changes[0].tracking.product, NOON + timedelta(hours=10 * (number + 1)), price=Decimal(30 + 10 * number))
    told = list(Change.objects.select_related("tracking__product"))
    names = [key for key in FATES if key[1] not in ("drip-head", "silent")]
    chosen = {user.pk: [names[(n * 7 + k * 3) % len(names)] for k in range(4)] for n, user in enumerate(users)}
    for user in users:
        for kind, name in dict.fromkeys(chosen[user.pk]):
            channel(user, receivers, kind, name)
    for _twice in range(2):
        Notification.objects.draft_changes(told)

    work_until_nothing_is_left()

    expected = sum(len(set(chosen[change.tracking.team_id])) for change in told)
    rows = Notification.objects.exclude(channel__kind="app").exclude(change=None)
    assert rows.count() == expected > 100
    taken = [key for keys in receivers.got.values() for key in keys]
    assert len(taken) == len(set(taken))
    ended = {str(key): state for key, state in Notification.objects.values_list("key", "state")}
    assert {ended[key] for key in taken} == {"sent", "unknown"}
    assert {str(key) for key in rows.filter(state="sent").values_list("key", flat=True)} <= set(taken)
    assert not rows.filter(state__in=("failed", "unknown"), error="")


@pytest.mark.later
def test_an_endless_answer_is_not_read(changes, alice, receivers):
    channel(alice, receivers, "webhook", "endless")
    (row,) = Notification.objects.draft_changes(changes[:1])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    send_notification(row.pk)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.later
def test_a_wait_that_a_receiver_asks_for_is_kept(changes, alice, receivers):
    channel(alice, receivers, "webhook", "429")
    (row,) = Notification.objects.draft_changes(changes[:1])

    with pytest.raises(TransportError) as busy:
        send_notification(row.pk)

    row.refresh_from_db()
    assert busy.value.retry_after == 120
    assert timedelta(seconds=100) < row.next_at - now() < timedelta(seconds=125)
    assert send_notification(row.pk) == "already pending"
    assert receivers.times["429"] == 1


@pytest.mark.later
@pytest.mark.parametrize(("name", "times"), [("410", 1), ("404", 5), ("401", 5), ("302", 5)])
def test_a_channel_that_refuses_for_good_is_paused_and_its_owner_told_once(
    alice, charlie, lamp, receivers, name, times
):
    hook = channel(alice, receivers, "webhook", name)
    channel(alice, receivers, "email", "fine")
    see(lamp, price=Decimal("24.99"))
    for number in range(7):
        see(lamp, NOON + timedelta(hours=5 * (number + 1)), price=Decimal(30 + 10 * number))
    rows = Notification.objects.draft_changes(Change.objects.select_related("tracking__product").order_by("pk"))
    for row in rows:
        if row.channel_id == hook.pk:
            send_notification(row.pk)

    hook.refresh_from_db()
    assert hook.disabled_reason == f"The receiver answered {name}."
    assert receivers.times[name] == times
    notices = Notification.objects.filter(change=None, report=None)
    assert sorted(notices.values_list("channel__kind", "state")) == [("app", "sent"), ("email", "pending")]
    assert all(name in notice.subject and notice.path == "/channels/" for notice in notices)
    assert ("notifications.tasks.send_notification", [notices.get(channel__kind="email").pk]) in enqueued()
    assert not Notification.objects.filter(channel=hook, state="pending")


@pytest.mark.later
def test_one_success_forgives_the_refusals(changes, alice, receivers):
    hook = channel(alice, receivers, "webhook", "ok")
    Channel.objects.update(failures=4)
    (row,) = Notification.objects.draft_changes(changes[:1])

    send_notification(row.pk)

    hook.refresh_from_db()
    assert (hook.failures, hook.disabled_reason) == (0, "")


@pytest.mark.later
def test_a_wrong_password_at_our_own_mail_server_is_no_fault_of_a_channel(changes, alice, receivers, settings):
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "pilot", "wrong"  # and the server knows no AUTH
    mail = channel(alice, receivers, "email", "fine")
    (row,) = Notification.objects.draft_changes(changes[:1])

    with pytest.raises(TransportError):
        send_notification(row.pk)

    mail.refresh_from_db()
    assert mail.failures == 0


@pytest.mark.later
def test_the_receiver_can_check_who_wrote_and_by_which_name_it_was_called(changes, alice, receivers):
    hook = channel(alice, receivers, "webhook", "a%20b?x=y")
    (row,) = Notification.objects.draft_changes(changes[:1])

    send_notification(row.pk)

    head, body = receivers.last
    signature = hmac.new(hook.secret.encode(), body, hashlib.sha256).hexdigest()
    assert head.startswith("POST /a%20b?x=y HTTP/1.1\r\n")
    assert f"Host: {receivers.web.removeprefix('http://')}\r\n" in head
    assert f"X-Pilot-Signature: sha256={signature}\r\n" in head


@pytest.mark.slow
def test_a_worker_killed_while_it_sends_leaves_the_message_unknown(changes, alice, receivers, process_env):
    channel(alice, receivers, "webhook", "silent")
    (row,) = Notification.objects.draft_changes(changes[:1])
    code = (
        "import django; django.setup(); from notifications import transports; transports.WEBHOOK_SECONDS = 60\n"
        f"from notifications.tasks import send_notification; send_notification({row.pk})"
    )
    env = process_env | {"WEBHOOK_PRIVATE_NETWORKS": "127.0.0.0/8", "PYTHONPATH": os.getcwd()}
    worker = subprocess.Popen([sys.executable, "-c", code], env=env)
    deadline = time.monotonic() + 60
    while not receivers.got["silent"] and time.monotonic() < deadline:
        time.sleep(0.02)
    worker.send_signal(signal.SIGKILL)
    worker.wait()

    send_due_notifications()
    row.refresh_from_db()
    assert row.state == "sending"  # ten minutes have not passed
    Notification.objects.filter(pk=row.pk).update(next_at=now() - timedelta(minutes=11))
    send_due_notifications()

    row.refresh_from_db()
    assert (row.state, enqueued()) == ("unknown", [])
    assert receivers.got["silent"] == [str(row.key)]
