"""Background work on notifications."""

from datetime import timedelta

from django.db import transaction
from django.utils.translation import gettext as _

from amazon_pilot.jobs import Backoff, job
from amazon_pilot.jobs.models import Batch

from .models import LONGEST_WAIT, Notification
from .transports import Outcome, TransportError, send


def about_notification(notification_id: int) -> list[str]:
    """Return what a job on one notification is about, for the monitor."""
    return [f"notification:{notification_id}"]


@job("critical", timeout=60, retry=Backoff(attempts=5, first=30, cap=3600), unique=True, about=about_notification)
def send_notification(notification_id: int) -> str:
    """Send one stored notification through its channel; the row says what became of it, whatever was raised.

    What did not arrive is raised and retried; a refusal, and a sending of which nobody knows whether it arrived, are
    written on the row, and the job did its work.
    """
    rows = Notification.objects.select_related("channel", "change__tracking__product", "report")
    notification = rows.get(pk=notification_id)
    if not notification.claim():
        return f"already {notification.state}"
    if notification.channel.is_silent:
        notification.mark_failed(_("The channel was paused before this was sent."))
        return "the channel is paused"
    try:
        send(notification)
    except TransportError as error:
        return settle(notification, error)
    except Exception as error:
        if notification.put_back(_("Something went wrong here: %s") % repr(error)):
            raise
        return f"given up: {error!r}"
    notification.mark_sent()
    return "sent"


def settle(notification: Notification, error: TransportError) -> str:
    """Write down what became of a sending that was not taken; raises the error when it is to be tried again."""
    if error.outcome is Outcome.UNKNOWN:
        notification.mark_unknown(error)
        return f"unknown: {error}"
    if error.outcome is Outcome.NOT_SENT:
        wait = timedelta(seconds=min(error.retry_after or 0, LONGEST_WAIT.total_seconds()))
        if notification.put_back(error, wait):
            raise error
        return f"given up: {error}"
    with transaction.atomic():  # a worker killed in between would leave a channel paused and nobody told
        notification.mark_failed(error)
        if notification.channel.note_refusal(error, for_good=error.outcome is Outcome.CLOSED):
            told = Notification.objects.tell_disabled(notification.channel, error)
            send_notification.enqueue_many([(row.pk,) for row in told])
    return f"refused: {error}"


@job("low", timeout=60, unique=True)
def send_due_notifications() -> str:
    """Enqueue what was written and never sent, because a process or Redis was lost in between.

    What was being sent by a lost worker is not sent again, and says so.
    """
    Notification.objects.give_up_lost()
    due = list(Notification.objects.due().values_list("pk", flat=True)[:1000])
    Batch.objects.fan_out(send_notification, [(pk,) for pk in due])
    return f"{len(due)} notifications"


@job("low", timeout=300, retry=Backoff(attempts=6, first=20, cap=1800))
def cleanup() -> str:
    """Prune notifications older than 90 days."""
    return f"notifications: {Notification.objects.prune(older_than=timedelta(days=90))}"
