"""How long rows are kept, and what the next clean-up deletes; to try another number of days changes nothing."""

from dataclasses import asdict
from datetime import UTC, datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ..core.values import Answer
from ..history import retention
from ..models import AuditEntry
from . import lists, snapshot


def number_of(text: str) -> int | None:
    """Return the days that somebody typed, None for nothing; raises ValidationError where they are none."""
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= retention.MOST_DAYS:
        raise ValidationError(_("days has to be from 1 to %d.") % retention.MOST_DAYS)
    return int(text)


def result_ttl() -> int:
    """Return for how many seconds Redis keeps a job that succeeded, unless it was enqueued with another time."""
    return int(str(settings.RQ["DEFAULT_RESULT_TTL"]))


def told(days: int | None) -> Answer:
    """Return the preview for a page: when it is true, when the next clean-up is planned, and the lines."""
    with lists.planned(lists.SECONDS):
        moment, planned, lines = retention.preview(days=days)
    return {"at": moment, "planned": planned, "lines": lines}


def last_clean_up() -> AuditEntry | None:
    """Return the newest line of audit on a clean-up that deleted something."""
    return AuditEntry.objects.filter(target="history", action="prune").order_by("-at").first()


def as_json(days: int | None = None) -> Answer:
    """Return the preview for scripts; raises ValidationError where there are no such days.

    `deletes.how` is exactly, about or more; `bytes` is an estimate. `tried` is None for what no setting decides.
    """
    with lists.planned(lists.SECONDS):
        moment, planned, lines = retention.preview(days=days)
    return {
        "at": moment.isoformat(),
        "next_clean_up": planned.isoformat() if planned else None,
        "kinds": [kind_as_json(line) for line in lines],
        "redis": {
            "result_seconds": result_ttl(),
            "failure_seconds": settings.JOB_FAILURE_TTL,
            "failed_most": settings.FAILED_JOBS_KEPT,
            "failed_going": failed_going(),
        },
    }


def failed_going() -> list[Answer]:
    """Return how many failed jobs of which queue will be deleted, and from when on."""
    return [
        {"queue": name, "number": going["number"], "from": datetime.fromtimestamp(going["due"], UTC).isoformat()}
        for name, going in snapshot.current().going.items()
    ]


def kind_as_json(line: retention.Line) -> Answer:
    return {
        "name": line.kind.name,
        "days": line.days,
        "variable": line.kind.variable,
        "rows": asdict(line.rows),
        "oldest": line.oldest.isoformat() if line.oldest else None,
        "deletes": doomed_as_json(line.doomed),
        "tried": {"days": line.tried_days} | doomed_as_json(line.tried) if line.tried else None,
    }


def doomed_as_json(doomed: retention.Doomed) -> Answer:
    return asdict(doomed.number) | {"bytes": doomed.bytes}
