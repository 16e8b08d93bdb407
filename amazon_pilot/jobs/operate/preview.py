"""What a bulk action would be done to, and the one way in which it is asked for: by page, JSON and command line."""

import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from django.core import signing
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _

from ..core import queues
from ..core.values import Answer
from ..inspect import lists, snapshot
from ..inspect.grammar import QueryError
from ..inspect.query import Query, frozen
from ..models import BulkAction
from ..models.person import Actor
from . import batches, bulk
from .operation import slug
from .table import OPERATIONS, in_bulk

ROWS_SHOWN = 8
MOST_PLACES = 6  # queues and states that one preview looks into: two commands for each of them
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
    """Return what an action is about; raises QueryError, ValidationError, or RedisError where Redis is away."""
    if action not in in_bulk():
        raise ValidationError(_("There is no such action."))
    if len(ids) > bulk.MOST_CHOSEN:
        raise ValidationError(_("At most %d jobs can be chosen one by one.") % bulk.MOST_CHOSEN)
    if ids:
        return Preview(ids=ids, number=len(ids))
    query = bulk.meant(action, bulk.parse_frozen(text))
    names = [name for name in queues.names() if not query.queues or name in query.queues]
    states = [state for state in in_bulk()[action].states if state in query.states]
    is_wide = len(states) * len(names) > MOST_PLACES
    shown = replace(query, states=frozenset(states[:2])) if is_wide else query
    listing = lists.find(shown, "", ROWS_SHOWN)
    if not query.states:
        return Preview(listing.rows, number=None if listing.is_more_than else listing.total)
    if listing.total is not None and not is_wide:
        return Preview(listing.rows, number=listing.total, is_exact=True)
    return Preview(listing.rows, number=at_most(query, states, names))


def at_most(query: Query, states: list[str], names: list[str]) -> int | None:
    """Return how many jobs an action looks at for a search, from the sample; None where it is too many to count."""
    of_history = "failed" in states and not query.is_plain
    columns = {COLUMNS[state] for state in states if state != "failed" or not of_history}
    seen = snapshot.current().queues if columns else []
    total = sum(int(getattr(queue, column)) for queue in seen if queue.name in names for column in columns)
    if of_history:
        listing, counted = lists.Listing(), lists.COUNTED + 1
        with lists.in_time(listing):
            counted = batches.history(query, "failed", timezone.now()).order_by()[: lists.COUNTED + 1].count()
        if counted > lists.COUNTED:
            return None
        total += counted
    return total


def ask(
    by: Actor, action: str, *, token: uuid.UUID, text: str, ids: list[str], given: Mapping[str, str], reason: str,
    shown: int | None, typed: int | None,
) -> tuple[BulkAction, bool]:  # fmt: skip
    """Have an action carried out that was previewed; returns its row, and False where this token has one already.

    A large one wants the number that was `shown` to be `typed`. Raises PermissionDenied, or ValidationError with a
    sentence that says why nothing was done.
    """
    if known := BulkAction.objects.filter(token=token).first():
        return known, False
    try:
        text = bulk.own_part(by, action, text)
        found = look(action, text, ids)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    if found.is_large and (typed is None or typed != shown):
        raise ValidationError(_("Nothing was done: type the number of jobs to confirm."))
    if shown is not None and found.typed > bulk.most_for(shown):
        words = _("Nothing was done: %(found)d jobs match now, and %(shown)d were shown. Look again.")
        raise ValidationError(words % {"found": found.typed, "shown": shown})
    expected = found.number if shown is None or found.number is None else min(shown, found.number)
    return bulk.start(
        by, action, token=token, query=text, ids=ids, given=given, reason=reason, expected=expected,
    )  # fmt: skip


SALT = "bulk preview"


GOOD_FOR_SECONDS = 3600


def verb_of(word: str) -> str:
    """Return the verb that an address or the command line names; raises ValidationError where there is none."""
    verbs = {slug(verb): verb for verb in in_bulk()}
    if slug(word) not in verbs:
        raise ValidationError(_("There is no such action; there are %s.") % ", ".join(sorted(verbs)))
    return verbs[slug(word)]


def previewed(by: Actor, action: str, text: str, ids: list[str], given: Mapping[str, str]) -> Answer:
    """Look at what an action is about and return it as JSON; raises ValidationError, or what `own_part` raises."""
    OPERATIONS[action].read(given)
    try:
        text = bulk.own_part(by, action, text)
        text = "" if ids else frozen(text)
        found = look(action, text, ids)
    except QueryError as error:
        raise ValidationError(str(error)) from error
    asked = {"action": action, "q": text, "ids": ids, "given": dict(given), "token": str(uuid.uuid4())}
    return {
        "preview": signing.dumps(asked | {"number": found.typed}, salt=SALT, compress=True),
        "action": action,
        "effect": str(in_bulk()[action].effect),
        "number": found.number,
        "is_exact": found.is_exact or bool(ids),
        "confirm": found.typed if found.is_large else None,
        "role": needed(action, found),
        "sample": [asdict(row) for row in found.rows],
        "jobs": ids,
    }


def needed(action: str, found: Preview) -> str:
    """Return the role that may have this done."""
    return "admin" if found.is_large else OPERATIONS[action].role


def asked(by: Actor, preview: object, reason: str, confirmed: int | None) -> tuple[BulkAction, bool]:
    """Have a previewed action carried out; one that was asked for already is answered, however old its preview."""
    try:
        words = signing.loads(str(preview), salt=SALT)
    except signing.BadSignature as error:
        raise ValidationError(_("This preview is none of ours; ask for one first.")) from error
    token = uuid.UUID(words["token"])
    if not BulkAction.objects.filter(token=token).exists():
        try:
            signing.loads(str(preview), salt=SALT, max_age=GOOD_FOR_SECONDS)
        except signing.SignatureExpired as error:
            raise ValidationError(_("This preview is older than an hour; look again.")) from error
    return ask(
        by, words["action"], token=token, text=words["q"], ids=words["ids"], given=words["given"], reason=reason,
        shown=words["number"], typed=confirmed,
    )  # fmt: skip


def of_row(row: BulkAction) -> Answer:
    """Return an action as JSON; `is_over` where nothing more will be changed."""
    names = (
        "action", "query", "ids", "to_queue", "reason", "state", "expected", "seen", "matched", "changed", "left_alone",
        "percent", "is_over", "error", "created_at", "started_at", "ended_at", "until",
    )  # fmt: skip
    more = {"deletion": row.undoes_id, "kept_until": bulk.kept_until(row)}
    if row.action == "cancel":
        more |= {"removed": row.removed, "asked": row.asked, "too_late": row.left_alone}
    people = {"by": row.by, "aborted_by": row.aborted_by}
    told = {name: user.get_username() if user else "" for name, user in people.items()}
    return {"id": row.pk} | {name: getattr(row, name) for name in names} | more | told
