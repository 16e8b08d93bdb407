"""What of the schedule did not fire, and why: from the fires, the silences of the schedulers, and the audit."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from ..models import AuditEntry, Fire, Silence

MOST_UNFIRED = 300  # of all entries
LOOKED_BACK = timedelta(days=7)  # for planned times that were decided lately
UNFIRED = (Fire.Outcome.MISSED, Fire.Outcome.SKIPPED_PAUSED, Fire.Outcome.SKIPPED_OVERLAP, Fire.Outcome.ERROR)


@dataclass(frozen=True)
class Unfired:
    """A planned time at which nothing was enqueued, and why."""

    fire: Fire
    cause: str
    job_id: str = ""  # the one that was in its way


def unfired_since(start: datetime, now: datetime) -> dict[str, list[Unfired]]:
    """Return by entry the planned times that did not fire, the newest first, each with its cause."""
    fires = list(
        Fire.objects.filter(planned_at__gte=start, planned_at__lte=now, outcome__in=UNFIRED)
        .order_by("-planned_at")[:MOST_UNFIRED]
    )  # fmt: skip
    return _by_entry(fires)


def _by_entry(fires: Sequence[Fire]) -> dict[str, list[Unfired]]:
    found: dict[str, list[Unfired]] = defaultdict(list)
    for fire, cause in zip(fires, causes(fires), strict=True):
        found[str(fire.entry_id)].append(Unfired(fire, cause, in_the_way(fire)))
    return found


def missed_lately(since: datetime, now: datetime) -> dict[str, list[Unfired]]:
    """Return by entry what was found since a moment to have been missed, the latest planned time first."""
    fires = list(
        Fire.objects.filter(planned_at__gte=since - LOOKED_BACK, planned_at__lte=now, outcome=Fire.Outcome.MISSED)
        .filter(decided_at__gte=since).order_by("-planned_at")[:MOST_UNFIRED]
    )  # fmt: skip
    return _by_entry(fires)


def causes(fires: Sequence[Fire]) -> list[str]:
    """Return in a sentence why each fire did not come, or came late; two queries tell of all of them."""
    if not fires:
        return []
    planned = [fire.planned_at for fire in fires]
    silences = Silence.objects.over(min(planned), max(planned))
    names = sorted({f"schedule entry {fire.entry_id}" for fire in fires if fire.outcome == Fire.Outcome.SKIPPED_PAUSED})
    acts = AuditEntry.objects.filter(target__in=names, action="pause").select_related("actor").order_by("-at")
    paused = list(acts[:200]) if names else []
    return [cause_of(fire, silences, paused) for fire in fires]


def cause_of(fire: Fire, silences: Sequence[Silence], paused: Sequence[AuditEntry]) -> str:
    """Return why one fire did not come; '' where it did, in time."""
    if fire.outcome == Fire.Outcome.SKIPPED_PAUSED:
        return by_pause(fire, paused)
    if fire.outcome in (Fire.Outcome.SKIPPED_OVERLAP, Fire.Outcome.ERROR):
        return fire.note
    if fire.outcome not in (Fire.Outcome.MISSED, Fire.Outcome.CAUGHT_UP):
        return ""
    if fire.note:
        return fire.note
    silence = next((each for each in silences if each.since <= fire.planned_at <= each.until), None)
    if silence is not None:
        text = _("No scheduler ran from %(since)s to %(until)s.")
        return text % {"since": stamp(silence.since), "until": stamp(silence.until)}
    if fire.decided_at - fire.planned_at > settings.SCHEDULE_GRACE:
        text = _("No scheduler looked at it until %(until)s.")
        return text % {"until": stamp(fire.decided_at)}
    return _("Another of its missed times was run in its stead.")


def by_pause(fire: Fire, paused: Sequence[AuditEntry]) -> str:
    """Say who had paused the entry then, and why."""
    target = f"schedule entry {fire.entry_id}"
    act = next((act for act in paused if act.target == target and act.at <= fire.decided_at), None)
    if act is None:
        return _("It was paused: “%s”") % fire.note
    words = {"who": act.actor or _("the machine"), "at": stamp(act.at), "why": act.reason or fire.note}
    return _("Paused by %(who)s since %(at)s: “%(why)s”") % words


def in_the_way(fire: Fire) -> str:
    """Return the job for whose sake a fire was left out, '' where there was none: it is the only name in the note."""
    if fire.outcome != Fire.Outcome.SKIPPED_OVERLAP:
        return ""
    words = [word.strip(".,“”") for word in fire.note.split()]
    return next((word for word in words if any(sign.isdigit() for sign in word) and len(word) > 10), "")


def stamp(moment: datetime) -> str:
    """Write a time in the viewer's zone, to the second."""
    return f"{timezone.localtime(moment):%Y-%m-%d %H:%M:%S}"
