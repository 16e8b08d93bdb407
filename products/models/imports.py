"""What somebody took in from a file: first as it was read, then with what was added, so that it can be undone."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from .product import Product
from .tracking import Tracking

if TYPE_CHECKING:
    from accounts.models import Team

AT_ONCE = 500
MOST_UNTAKEN = 5  # of a team; the oldest goes when a further file is read
# A step takes seconds; an import that has made none for so long was left by its job.
BROKEN_OFF = timedelta(minutes=2)
UNTAKEN_KEPT, TAKEN_KEPT = timedelta(days=1), timedelta(days=90)


class ImportKind(models.TextChoices):
    PRODUCTS = "products", _("products")
    HISTORY = "history", _("history")


class ImportState(models.TextChoices):
    READ = "read", _("read")
    TAKING = "taking", _("being taken")
    TAKEN = "taken", _("taken")
    UNDONE = "undone", _("undone")


class ImportQuerySet(models.QuerySet["Import"]):
    def of(self, team: "Team | Any") -> "ImportQuerySet":
        """Keep this team's, newest first, without their lines."""
        return self.filter(team=team).order_by("-pk").defer("good", "wrong", "repeated", "watched", "added")

    def make_room(self, team: "Team | Any") -> None:
        """Forget the oldest files of this team that were read and never taken."""
        untaken = self.filter(team=team, state=ImportState.READ).order_by("-pk").values_list("pk", flat=True)
        self.filter(pk__in=list(untaken[MOST_UNTAKEN - 1 :])).delete()

    def broken_off(self) -> "ImportQuerySet":
        """Keep what is being taken and was left by its job."""
        return self.filter(state=ImportState.TAKING, taken_at__lte=Now() - BROKEN_OFF)

    def prune(self) -> int:
        """Delete what was never taken after a day, and imports of products after 90 days; return how many."""
        untaken = Q(state=ImportState.READ, created_at__lt=Now() - UNTAKEN_KEPT)
        old = Q(kind=ImportKind.PRODUCTS, created_at__lt=Now() - TAKEN_KEPT)
        return self.filter(untaken | old).delete()[1].get("products.Import", 0)


class Import(models.Model):
    """One file of one team. `good` are the lines to be taken, `added` the keys of the trackings that it added."""

    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="imports", verbose_name=_("team"))
    kind = models.CharField(_("kind"), max_length=10, choices=ImportKind, default=ImportKind.PRODUCTS)
    product = models.ForeignKey(
        Product,
        models.CASCADE,
        null=True,
        related_name="imports",
        verbose_name=_("product"),
        help_text=_("Of a history."),
    )
    name = models.CharField(_("file"), max_length=200, blank=True)
    state = models.CharField(_("state"), max_length=10, choices=ImportState, default=ImportState.READ)
    created_at = models.DateTimeField(_("read at"), auto_now_add=True)
    taken_at = models.DateTimeField(_("taken at"), null=True)
    good = models.JSONField(_("good lines"), default=list)
    wrong = models.JSONField(_("wrong lines"), default=list)
    repeated = models.JSONField(_("repeated lines"), default=list)
    watched = models.JSONField(_("watched already"), default=list)
    columns = models.JSONField(_("columns"), default=dict)
    added = models.JSONField(_("added"), default=list)
    count = models.PositiveIntegerField(_("added"), default=0)
    done = models.PositiveIntegerField(_("lines taken"), default=0)

    objects = ImportQuerySet.as_manager()

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-pk"]
        indexes = [models.Index(fields=["team", "-id"], name="import_newest_of_team")]

    def __str__(self) -> str:
        return self.name or f"{self.get_kind_display()} {self.created_at:%Y-%m-%d %H:%M}"

    def get_absolute_url(self) -> str:
        return reverse("products:import", args=[self.pk])

    def claim(self) -> bool:
        """Move from read to being taken; False means that it was taken or undone before."""
        mine = Import.objects.filter(pk=self.pk, state=ImportState.READ)
        return mine.update(state=ImportState.TAKING, taken_at=Now()) == 1

    def move(self) -> list[Any] | None:
        """Return the next good lines, which the row counts as done; None when another has them, or it has ended.

        To be called in the transaction that takes them.
        """
        self.refresh_from_db()
        part = self.good[self.done : self.done + AT_ONCE]
        mine = Import.objects.filter(pk=self.pk, state=ImportState.TAKING, done=self.done)
        moved = mine.update(done=F("done") + len(part), taken_at=Now())
        return part if moved else None

    def keep_added(self, trackings: list[int]) -> bool:
        """Note which trackings a step added; after the last one forget the lines, and return False."""
        self.refresh_from_db(fields=["state", "done", "added"])
        self.added, self.count = self.added + trackings, len(self.added) + len(trackings)
        if self.state == ImportState.TAKING and self.done >= len(self.good):
            self.state, self.good = ImportState.TAKEN, []
        self.save(update_fields=["added", "count", "good", "state"])
        return self.state == ImportState.TAKING

    def undo(self) -> int | None:
        """Remove just what it added and what is still there; return how much, or None when it is not to be undone.

        A product that nobody watches any more is not fetched for this import either; its history stays for others.
        """
        taken = Import.objects.filter(pk=self.pk, state=ImportState.TAKEN)
        if not taken.update(state=ImportState.UNDONE, added=[]):
            return None
        if self.kind == ImportKind.HISTORY:
            return self.points.all().delete()[0]
        gone = 0
        for start in range(0, len(self.added), AT_ONCE):
            mine = Tracking.objects.filter(pk__in=self.added[start : start + AT_ONCE], team=self.team_id)
            products = list(mine.values_list("product", flat=True))
            gone += mine.delete()[1].get("products.Tracking", 0)
            Product.objects.filter(pk__in=products, trackings=None).update(asked_at=None)
        return gone


class ImportedPoint(models.Model):
    """A price and a rank at a time, as a file of one team says; nobody else sees it. Empty means that none was seen."""

    source = models.ForeignKey(Import, models.CASCADE, related_name="points", verbose_name=_("import"))
    team = models.ForeignKey("accounts.Team", models.CASCADE, related_name="+", db_index=False)
    product = models.ForeignKey(Product, models.CASCADE, related_name="imported_points", verbose_name=_("product"))
    at = models.DateTimeField(_("time"))
    price = models.DecimalField(_("price"), max_digits=12, decimal_places=2, null=True)
    bsr = models.PositiveIntegerField(_("best sellers rank"), null=True)

    class Meta:
        verbose_name = _("imported point")
        verbose_name_plural = _("imported points")
        ordering = ["at"]
        constraints = [
            models.UniqueConstraint(fields=["source", "at"], name="imported_point_once_per_file"),
            models.CheckConstraint(condition=Q(price__isnull=True) | Q(price__gt=0), name="imported_price_is_positive"),
            models.CheckConstraint(condition=Q(bsr__isnull=True) | Q(bsr__gt=0), name="imported_rank_is_positive"),
        ]
        indexes = [models.Index(fields=["team", "product", "at"], name="imported_history_of_team")]

    def __str__(self) -> str:
        return f"{self.product} · {self.at:%Y-%m-%d %H:%M}"
