"""What a bulk action would be done to, and the one way in which it is asked for: by page, JSON and command line."""

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import bulk, queues, walks
from ..models import BulkAction
from . import lists, sample
from .query import Query, QueryError, parse

ROWS_SHOWN = 8
MOST_PLACES = 6  # queues and states that one preview looks into: two commands for each of them
EFFECTS = {
    "retry": gettext_lazy("Each failed or cancelled job goes back to its queue, with all its retries."),
    "delete": gettext_lazy(
        "Redis forgets each job and it will not run; its history stays. It can be brought back for 24 hours."
    ),
    "hold": gettext_lazy("Each waiting or planned job does not start until somebody releases it."),
    "release": gettext_lazy("Each held job goes to the head of its queue, or back to its planned time."),
    "run now": gettext_lazy(
        "Each planned job and each retry goes to the end of its queue instead of waiting for its time."
    ),
    "move": gettext_lazy("Each waiting, planned or held job goes to the end of another queue."),
    "cancel": gettext_lazy(
        "Each waiting, planned or held job is taken out of its queue; it can be retried later. A running one, which "
        "has to be chosen or asked for by state:started, is asked to end, and killed after 5 seconds if it does not."
    ),
    "snooze": gettext_lazy("Each waiting, planned or held job waits until a time."),
}
COLUMNS = {
    "scheduled": "scheduled", "retry": "scheduled", "deferred": "deferred", "held": "deferred", "failed": "failed",
    "canceled": "canceled", "queued": "waiting", "started": "running",
}  # fmt: skip  # of the sample, by state


@dataclass
class Preview:
    """What an action would be done to: some of the jobs, and how many in all.

    `number` is None beyond what is counted. Unless it is exact, so many are looked at, and those that fit are changed.
    """

    rows: list[lists.Row] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    number: int | None = None
    is_exact: bool = False

    @property
    def is_large(self) -> bool:
        """Whether the number has to be typed, by somebody with the role admin."""
        return self.number is None or self.number > bulk.MANY

    @property
    def typed(self) -> int:
        """The number to type."""
        return lists.COUNTED if self.number is None else self.number


def look(action: str, text: str, ids: list[str]) -> Preview:
    """Answer what an action is about; raises QueryError, ValidationError, or RedisError where Redis is away."""
    if action not in EFFECTS:
        raise ValidationError(_("There is no such action."))
    if len(ids) > bulk.MOST_CHOSEN:
        raise ValidationError(_("At most %d jobs can be chosen one by one.") % bulk.MOST_CHOSEN)
    if ids:
        return Preview(ids=ids, number=len(ids))
    query = bulk.meant(action, parse(text))
    names = [name for name in queues.names() if not query.queues or name in query.queues]
    states = [state for state in bulk.STATES[action] if state in query.states]
    is_wide = len(states) * len(names) > MOST_PLACES
    shown = replace(query, states=frozenset(states[:2])) if is_wide else query
    listing = lists.find(shown, "", ROWS_SHOWN)
    if not query.states:
        return Preview(listing.rows, number=None if listing.is_more_than else listing.total)
    if listing.total is not None and not is_wide:
        return Preview(listing.rows, number=listing.total, is_exact=True)
    return Preview(listing.rows, number=at_most(query, states, names))


def at_most(query: Query, states: list[str], names: list[str]) -> int | None:
    """Answer how many jobs an action looks at for a search, from the sample; None where it is too many to count."""
    of_history = "failed" in states and not query.is_plain
    columns = {COLUMNS[state] for state in states if state != "failed" or not of_history}
    seen = sample.current().queues if columns else []
    total = sum(int(getattr(queue, column)) for queue in seen if queue.name in names for column in columns)
    if of_history:
        listing, counted = lists.Listing(), lists.COUNTED + 1
        with lists.in_time(listing):
            counted = walks.history(query, "failed", timezone.now()).order_by()[: lists.COUNTED + 1].count()
        if counted > lists.COUNTED:
            return None
        total += counted
    return total


def ask(
    by: Any, action: str, *, token: uuid.UUID, text: str, ids: list[str], to_queue: str, reason: str, shown: int | None,
    typed: int | None, until: datetime | None = None,
) -> tuple[BulkAction, bool]:  # fmt: skip
    """Have an action carried out that was previewed; answers its row, and False where this token has one already.

    A large one wants the number that was `shown` to be `typed`. Raises PermissionDenied, or ValidationError with a
    sentence that says why nothing was done.
    """
    if known := BulkAction.objects.filter(token=token).first():
        return known, False
    try:
        found = look(action, text, ids)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    if found.is_large and (typed is None or typed != shown):
        raise ValidationError(_("Nothing was done: type the number of jobs to confirm."))
    return bulk.start(
        by, action, token=token, query=text, ids=ids, to_queue=to_queue, until=until, reason=reason,
        expected=found.number,
    )  # fmt: skip
