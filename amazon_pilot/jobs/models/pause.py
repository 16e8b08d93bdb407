"""Pauses: who keeps workers from starting which jobs, why, and until when. Redis carries them to the workers."""

from datetime import datetime

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..core import queues
from .person import Actor, known


class PauseQuerySet(models.QuerySet["Pause"]):
    def active(self, now: datetime | None = None) -> "PauseQuerySet":
        """Return the pauses that neither anybody nor the clock has ended."""
        now = now or timezone.now()
        return self.filter(models.Q(until__isnull=True) | models.Q(until__gt=now), ended_at__isnull=True)

    def begin(self, name: str, *, by: Actor, reason: str, until: datetime | None = None) -> "Pause":
        """Pause `queue:low`, `task:products.tasks.update_product` or `tag:apify` when the transaction commits.

        Jobs that run are untouched. A pause of the same name is replaced. `by` is a user, or None for the machine.
        Raises ValueError where the name begins with no known kind.
        """
        kind, _separator, what = name.partition(":")
        if kind not in ("queue", "task", "tag") or not what:
            raise ValueError(f"{name!r} is not queue:…, task:… or tag:….")
        self.active().filter(name=name).update(ended_at=timezone.now())
        user = known(by)
        pause = self.create(name=name, by=user, reason=reason, until=until)
        transaction.on_commit(lambda: queues.set_pause(name, until.timestamp() if until else 0))
        return pause

    def end(self, name: str, *, by: Actor = None) -> int:
        """Resume what is paused under `name` when the transaction commits; returns how many pauses that ended."""
        user = known(by)
        ended = self.filter(name=name, ended_at__isnull=True).update(ended_at=timezone.now(), ended_by=user)
        transaction.on_commit(lambda: queues.end_pause(name))
        return ended

    def sync(self) -> None:
        """Make Redis hold exactly the active pauses: after Redis was emptied, or when a pause's time is up."""
        wanted = {pause.name: pause.until.timestamp() if pause.until else 0.0 for pause in self.active()}
        for name, until in wanted.items():
            queues.set_pause(name, until)
        for name, until in queues.paused().items():
            if name not in wanted:
                queues.end_pause(name, only_if_over=until > 0)


class Pause(models.Model):
    """One pause of a queue, of a task, or of all tasks with a tag."""

    name = models.CharField(_("what is paused"), max_length=220, help_text=_("queue:…, task:… or tag:…"))
    by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("by")
    )
    reason = models.TextField(_("reason"))
    since = models.DateTimeField(_("since"), auto_now_add=True)
    until = models.DateTimeField(_("until"), null=True, blank=True)
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("ended by")
    )

    objects = PauseQuerySet.as_manager()

    class Meta:
        verbose_name = _("pause")
        verbose_name_plural = _("pauses")
        ordering = ["-since"]
        indexes = [models.Index(fields=["name", "ended_at"], name="pauses_of_a_name")]

    def __str__(self) -> str:
        return self.name
