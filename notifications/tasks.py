"""Background work on notifications."""

from datetime import timedelta

from amazon_pilot.jobs import Backoff, job

from .models import Notification
from .transports import TransportError, send


@job("critical", timeout=60, retry=Backoff(attempts=5, first=30, cap=3600), unique=True)
def send_notification(notification_id: int) -> str:
    """Send one stored notification through its channel.

    A temporary refusal is raised and retried; a permanent one is written on the row, and the job did its work.
    """
    rows = Notification.objects.select_related("channel", "change__tracking__product", "report")
    notification = rows.get(pk=notification_id)
    if not notification.claim():
        return f"already {notification.state}"
    try:
        send(notification)
    except TransportError as error:
        if error.permanent:
            notification.mark_failed(error)
            notification.channel.note_refusal(error)
            return f"refused: {error}"
        if notification.put_back(error):
            raise
        return f"given up: {error}"
    notification.mark_sent()
    return "sent"


@job("low", timeout=60, unique=True)
def send_due_notifications() -> str:
    """Enqueue what was written and never sent, because a process or Redis was lost in between."""
    due = list(Notification.objects.due().values_list("pk", flat=True)[:1000])
    send_notification.enqueue_many([(pk,) for pk in due])
    return f"{len(due)} notifications"


@job("low", timeout=300)
def cleanup() -> str:
    """Prune notifications older than 90 days."""
    return f"notifications: {Notification.objects.prune(older_than=timedelta(days=90))}"
