"""The small picture of a product, kept as it came, so that a viewer's browser asks nobody but this site for it.

The bytes lie in the database: web and worker may run on machines that share nothing else, a backup holds them, and they
go with their product. A page knows from the product's own row of it (`Product.picture`): it asks nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models, transaction
from django.db.models import Q
from django.utils.timezone import now
from django.utils.translation import gettext_lazy as _

from .product import Product

if TYPE_CHECKING:
    from .scrape_run import ScrapeRun

LONGEST_ADDRESS = 500
# How long a picture waits after its first, second and third failure; after the fourth it is left alone until the
# listing names another one.
WAITS = (timedelta(minutes=10), timedelta(hours=2), timedelta(days=1))
# Whoever fetches has it for so long; was he killed, another one may.
CLAIM = timedelta(minutes=5)
MOST_LEFT_OVER = 1000


class PictureQuerySet(models.QuerySet["Picture"]):
    def want(self, run: "ScrapeRun") -> list[int]:
        """Note which products of a run show another picture than the one asked for last; return their ids.

        Two statements, whatever the number of products; one where nothing is new, and none where none are fetched.
        """
        if not settings.PICTURES:
            return []
        seen = Product.objects.filter(targets__scrape_run=run, targets__outcome="ok")
        return self.want_all(list(seen.values_list("pk", "images__0", "picture_row__source")))

    def want_all(self, rows: Sequence[tuple[int, str | None, str | None]]) -> list[int]:
        """Note the pictures of rows of (product, address, address asked for before), where the two differ."""
        new = [(pk, address) for pk, address, known in rows if address != known and isinstance(address, str)]
        new = [(pk, address) for pk, address in new if 0 < len(address) <= LONGEST_ADDRESS]
        wanted = [Picture(product_id=pk, source=address, due_at=now()) for pk, address in new]
        Picture.objects.bulk_create(
            wanted,
            update_conflicts=True,
            unique_fields=["product"],
            update_fields=["source", "due_at", "attempts", "error"],
        )
        return [pk for pk, _address in new]

    def due(self, at: datetime | None = None) -> "PictureQuerySet":
        """Keep what is still to be fetched, without the pictures that are shown meanwhile."""
        return self.filter(due_at__lte=at or now()).defer("content")

    def left_over(self, size: int) -> list[list[int]]:
        """Return the ids of a thousand that no job has, since they were due minutes ago; in parts of `size`."""
        if not settings.PICTURES:
            return []
        late = self.due(now() - CLAIM).order_by("due_at")
        ids = list(late.values_list("pk", flat=True)[:MOST_LEFT_OVER])
        return [ids[start : start + size] for start in range(0, len(ids), size)]

    def shown_to(self, team: object, marketplace: str, asin: str) -> "PictureQuerySet":
        """Keep the picture of one product, if this team watches it and there is one."""
        one = Q(product__marketplace=marketplace, product__asin=asin)
        return self.filter(one, product__trackings__team=team, product__trackings__removed_at=None).exclude(kind="")


class Picture(models.Model):
    """The picture of one product: where it comes from, what was fetched, and when it is asked for next."""

    product = models.OneToOneField(
        "products.Product", models.CASCADE, primary_key=True, related_name="picture_row", verbose_name=_("product")
    )
    source = models.CharField(_("address"), max_length=LONGEST_ADDRESS)
    kind = models.CharField(_("kind of picture"), max_length=5, blank=True)
    content = models.BinaryField(default=b"")
    fetched_at = models.DateTimeField(_("fetched at"), null=True, blank=True)
    due_at = models.DateTimeField(_("next attempt"), null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    error = models.CharField(_("error"), max_length=200, blank=True)

    objects = PictureQuerySet.as_manager()

    class Meta:
        verbose_name = _("picture")
        verbose_name_plural = _("pictures")
        # What is still to be fetched, for the sweep of each minute.
        indexes = [models.Index(fields=["due_at"], name="picture_due", condition=Q(due_at__isnull=False))]

    def __str__(self) -> str:
        return self.source

    def claim(self) -> bool:
        """Take this picture for a few minutes; False means that another job was first, or all have ended in silence.

        The attempt counts from here on, as a job that is killed in it can tell nobody.
        """
        mine = Picture.objects.filter(pk=self.pk, source=self.source, due_at=self.due_at)
        if self.attempts > len(WAITS):
            mine.update(due_at=None, error="each attempt was ended from outside")
            return False
        return mine.update(due_at=now() + CLAIM, attempts=self.attempts + 1) == 1

    def keep(self, kind: str, content: bytes) -> bool:
        """Show these bytes from now on; False where the listing names another picture meanwhile."""
        with transaction.atomic():
            kept = Picture.objects.filter(pk=self.pk, source=self.source).update(
                kind=kind, content=content, fetched_at=now(), due_at=None, attempts=0, error=""
            )
            if kept:
                Product.objects.filter(pk=self.pk).update(picture=sha256(content).hexdigest()[:12])
        return bool(kept)

    def fail(self, reason: object, *, is_final: bool) -> None:
        """Note why it did not come, and when to ask again; what was shown before stays."""
        is_over = is_final or self.attempts >= len(WAITS)
        Picture.objects.filter(pk=self.pk, source=self.source).update(
            due_at=None if is_over else now() + WAITS[self.attempts],
            error=str(reason)[:200],
        )
