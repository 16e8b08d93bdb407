"""From a file that was read to trackings, and back: what is added is written down, so that it can be undone."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from amazon_pilot.jobs.models import Batch
from products.models import Import, Product, Tag, Tracking
from products.tasks import BATCH_SIZE, batch_update_products

from .lines import AT_ONCE, Reading, Wish, products_of, watched


def keep(team: Any, name: str, reading: Reading) -> Import:
    """Write down what was read, for its owner to look at before anything is added."""
    known = watched(team, reading.good)
    Import.objects.make_room(team)
    return Import.objects.create(
        team=team,
        name=name[:200],
        good=[wish for wish in reading.wishes if (wish["marketplace"], wish["asin"]) not in known],
        wrong=reading.wrong,
        repeated=reading.repeated,
        watched=[(wish.number, f"{wish.asin} · {wish.marketplace}") for wish in reading.good if wish.identity in known],
        columns={"taken": reading.columns, "ignored": reading.ignored},
    )


def wishes_of(row: Import) -> list[Wish]:
    """Return the good lines of an import as they were kept."""
    return [Wish(**wish) for wish in row.good]


@transaction.atomic
def step(row: Import) -> bool:
    """Watch what the next 500 good lines name, and have what was never seen looked at; False when nothing is left.

    The number of statements is the same for each step; of two jobs on one import, one stops at its first.
    """
    part = row.move()
    if part is None:
        return False
    return row.keep_added(watch(row.team_id, [Wish(**wish) for wish in part]) if part else [])


def watch_all(team_id: int, wishes: Sequence[Wish]) -> list[int]:
    """Have a team watch any number of products; return the keys of the trackings that are new."""
    parts = (wishes[start : start + AT_ONCE] for start in range(0, len(wishes), AT_ONCE))
    return [key for part in parts for key in watch(team_id, part)]


def watch(team_id: int, wishes: Sequence[Wish]) -> list[int]:
    """Have a team watch up to 500 products; return the keys of the trackings that are new.

    What it had removed a moment ago comes back as it was, and counts as new.
    """
    products = products_of(wishes)
    removed = Tracking.everything.filter(team=team_id, product__in=products, removed_at__isnull=False)
    back = list(removed.values_list("pk", flat=True))
    Tracking.everything.filter(pk__in=back).restore()
    mine = Tracking.objects.filter(team=team_id, product__in=products)
    known = set(mine.values_list("product", flat=True))
    Tracking.objects.bulk_create(
        [
            Tracking(
                team_id=team_id, product=product, role=wish.role, frequency=wish.frequency, alias=wish.alias
            )
            for product, wish in zip(products, wishes, strict=True)
            if product.pk not in known
        ],
        ignore_conflicts=True,
    )  # fmt: skip
    look_at_unseen([product for product in products if product.pk not in known])
    added = {product: pk for pk, product in mine.values_list("pk", "product") if product not in known}
    tag(team_id, [(added.get(product.pk), wish.tags) for product, wish in zip(products, wishes, strict=True)])
    return [*back, *added.values()]


def tag(team_id: int, wanted: Sequence[tuple[int | None, Sequence[str]]]) -> None:
    """Give trackings that are new (their keys) the team's tags of these names, made where it has none."""
    names = {name.casefold(): name for key, tags in wanted if key for name in tags}
    if not names:
        return
    own = {row.name.casefold() for row in Tag.objects.filter(team=team_id)}
    made = [Tag(team_id=team_id, name=name) for key, name in names.items() if key not in own]
    Tag.objects.bulk_create(made, ignore_conflicts=True)
    keys = {row.name.casefold(): row.pk for row in Tag.objects.filter(team=team_id)}
    through = Tracking.tags.through
    rows = {(key, keys[name.casefold()]) for key, tags in wanted if key for name in tags if name.casefold() in keys}
    through.objects.bulk_create([through(tracking_id=key, tag_id=pk) for key, pk in rows], ignore_conflicts=True)


def look_at_unseen(products: Sequence[Product]) -> None:
    """Ask for a look at those that were never seen, once the transaction commits."""
    unseen = Product.objects.filter(pk__in=[product.pk for product in products], checked_at=None)
    unseen.ask()
    Batch.objects.fan_out(batch_update_products, [(ids,) for ids in unseen.batches(BATCH_SIZE)])
