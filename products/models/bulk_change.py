"""What a team did to many of its products at once, with what was before, so that it can be taken back for an hour."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from django.db import models, transaction
from django.db.models.functions import Now
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .rows import PackedJSONField
from .tag import Tag
from .tracking import UNDO, Frequency, Role, Tracking

if TYPE_CHECKING:
    from accounts.models import Team

# So many ids stand in one statement.
STEP = 5000


def change_of(what: str) -> tuple[str, Any] | None:
    """Return the column that a word changes and its new value; None for a word that changes no column."""
    match what.split(":"):
        case ["pause"]:
            return "paused", True
        case ["resume"]:
            return "paused", False
        case ["frequency", value] if value in Frequency.values:
            return "frequency", value
        case ["role", value] if value in Role.values:
            return "role", value
    return None


class BulkChangeQuerySet(models.QuerySet["BulkChange"]):
    def open(self, team: "Team | Any") -> "BulkChangeQuerySet":
        """Keep what this team can still take back."""
        return self.filter(team=team, undone_at=None, done_at__gt=now() - UNDO)

    @transaction.atomic
    def set(self, team: "Team | Any", rows: "models.QuerySet[Tracking]", what: str) -> "BulkChange":
        """Change one column of these rows, as `change_of` says; those that are so already stay out of it."""
        column, value = change_of(what) or ("", None)
        before: dict[str, list[int]] = {}
        for pk, old in rows.exclude(**{column: value}).order_by("pk").values_list("pk", column):
            before.setdefault(str(old), []).append(pk)
        for ids in before.values():
            for part in parts(ids):
                Tracking.objects.filter(pk__in=part, team=team).update(**{column: value})
        return self.create(team=team, what=what, before=before, count=sum(map(len, before.values())))

    @transaction.atomic
    def tag(self, team: "Team | Any", rows: "models.QuerySet[Tracking]", name: str) -> "BulkChange":
        """Give these rows a tag, which is made where the team has none of this name."""
        tag = Tag.objects.named(team, name)
        ids = list(rows.exclude(pk__in=_tagged(tag)).order_by("pk").values_list("pk", flat=True))
        for part in parts(ids):
            tag.put_on(part)
        return self.create(team=team, what="tag", tag=tag, before={"": ids}, count=len(ids))

    @transaction.atomic
    def untag(self, team: "Team | Any", rows: "models.QuerySet[Tracking]", name: str) -> "BulkChange | None":
        """Take a tag off these rows; None where the team has none of this name."""
        tag = Tag.objects.filter(team=team, name__iexact=name).first()
        if tag is None:
            return None
        ids = list(rows.filter(pk__in=_tagged(tag)).order_by("pk").values_list("pk", flat=True))
        for part in parts(ids):
            tag.take_off(part)
        return self.create(team=team, what="untag", tag=tag, before={"": ids}, count=len(ids))

    def prune(self) -> int:
        """Forget what cannot be taken back any more; return how many."""
        return self.filter(done_at__lte=now() - UNDO).delete()[0]


def parts(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Yield ids some thousands at a time."""
    return (ids[start : start + STEP] for start in range(0, len(ids), STEP))


def _tagged(tag: Tag) -> Any:
    return Tracking.tags.through.objects.filter(tag=tag).values("tracking")


class BulkChange(models.Model):
    """One change of many rows: what was done, and by the value before the rows that had it."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="+", verbose_name=_("team"))
    what = models.CharField(_("what was done"), max_length=40)
    tag = models.ForeignKey(Tag, models.CASCADE, null=True, related_name="+", verbose_name=_("tag"))
    before = PackedJSONField(_("before"))
    count = models.PositiveIntegerField(_("products"))
    done_at = models.DateTimeField(_("done at"), default=now)
    undone_at = models.DateTimeField(_("taken back at"), null=True)

    objects = BulkChangeQuerySet.as_manager()

    class Meta:
        verbose_name = _("change of many products")
        verbose_name_plural = _("changes of many products")
        indexes = [models.Index(fields=["done_at"], name="bulk_change_prune")]

    def __str__(self) -> str:
        return f"{self.what}: {self.count}"

    @transaction.atomic
    def undo(self) -> int | None:
        """Give back what was before where it still is as this left it; return how many rows, None when it is undone."""
        if not BulkChange.objects.open(self.team_id).filter(pk=self.pk).update(undone_at=Now()):
            return None
        before: Any = self.before
        return sum([self._give_back(old, part) for old, ids in before.items() for part in parts(ids)])

    def _give_back(self, old: str, ids: Sequence[int]) -> int:
        rows = Tracking.objects.filter(team=self.team_id, pk__in=ids)
        if self.tag is None:
            column, value = change_of(self.what) or ("", None)
            return rows.filter(**{column: value}).update(**{column: old == "True" if column == "paused" else old})
        if self.what == "tag":
            return self.tag.take_off(ids)
        here = list(rows.values_list("pk", flat=True))
        self.tag.put_on(here)
        return len(here)
