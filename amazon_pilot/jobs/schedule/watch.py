"""The watch: looks at the rules of the alerts every few seconds, and has those told that fire or are over.

It runs as a thread of the web server and of each scheduler, so that one can tell of the other; of all of them one looks
in each turn. That an alert is told once follows from its row, not from that.
"""

import logging
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from django.conf import settings
from django.db import close_old_connections, transaction
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from redis.exceptions import RedisError

from ..core import keys
from ..inspect import alerts, store
from ..models import Alert

logger = logging.getLogger(__name__)

Send = Callable[[], None]


class Watch(threading.Thread):
    """One watching thread; it ends with its process."""

    def __init__(self) -> None:
        super().__init__(name="watch", daemon=True)
        self.is_over = threading.Event()

    def run(self) -> None:
        """Take turns until the process ends; whatever goes wrong in one, the next is a new try."""
        while not self.is_over.wait(settings.ALERT_INTERVAL):
            with suppress(Exception):
                close_old_connections()
            try:
                turn()
            except Exception:
                logger.exception("The alerts could not be looked at")


def begin() -> Watch | None:
    """Start to watch in this process, unless the settings say that nobody is to be told; return the thread."""
    if not settings.ALERTS:
        return None
    watch = Watch()
    # The thread hears no signal: one that it took would end a scheduler at once, in the middle of a tick.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        watch.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return watch


def turn(now: datetime | None = None) -> bool:
    """Look once, unless another process has just done so; returns whether this one did."""
    try:
        millis = int(settings.ALERT_INTERVAL * 900)
        if not store.connect().set(keys.WATCHED, 1, nx=True, px=max(1, millis)):
            return False
    except RedisError:
        pass  # that it is away is one of the things to tell
    alerts.look(now)
    tell(now)
    return True


def tell(now: datetime | None = None) -> int:
    """Have everything told that was not yet; returns how many alerts. What is written is sent after the commit."""
    now, told = now or timezone.now(), 0
    held = {each.rule.name for each in alerts.all_settings() if each.silent_until}
    for alert in Alert.objects.untold():
        is_silent = alert.rule in held and not alert.tells_the_end
        sends: list[Send] = []
        with transaction.atomic():
            if not alert.claim(now, silently=is_silent):
                continue
            if not is_silent:
                sends = written(alert)
        told += not is_silent
        for send in sends:
            try:
                send()
            except Exception:  # the row knows, and it is sent again with the others
                logger.exception("An alert could not be sent at once")
    return told


def written(alert: Alert) -> list[Send]:
    """Write what operators are told by the app's function, and return what sends it."""
    text = _("Over: %s") % alert.text if alert.tells_the_end else alert.text
    write: Callable[[str, str, str], list[Send]] = import_string(settings.MONITOR_TELL)
    return write(text, alert.severity, alerts.address(alert))
