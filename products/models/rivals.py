"""An own product beside the competitors of its comparisons: told when it becomes dearer than one, or falls behind it.

What counts is that it was not so before the looks and is so after them: it is told once, and again when it was over.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import chain
from typing import Any

from django.db.models import F, Q

from .change import Change, Difference, Kind
from .past import told_of
from .position import Position, behind
from .product import Product
from .rules import USUAL, Told
from .snapshot import Snapshot
from .tracking import Tracking

Positions = Mapping[int, Position]  # by product
# What a team compares and has not paused; the names lead over the tables of another room, which knows this one.
COMPARED = Q(paused=False, product__comparisons__paused=False, product__comparisons__team=F("team"))
RIVAL = "product__comparisons__competitors"

KINDS = {"price": Kind.RIVAL_PRICE, "rank": Kind.RIVAL_RANK}


@dataclass(frozen=True)
class Crossing:
    """An own product that stands behind a competitor by some rules since the looks at hand."""

    rival: Tracking
    kind: Kind
    reasons: list[str]
    before: object  # the competitor's value
    after: object  # the own one
    before_at: datetime
    more: int = 0  # how many other competitors it fell behind at once

    @property
    def gap(self) -> Decimal:
        return Decimal(str(self.after)) - Decimal(str(self.before))

    def difference(self, at: datetime) -> Difference:
        """Return the competitor's value beside the own one, with the competitor's name."""
        name = str(self.rival)[:150] + (f" (+{self.more})" if self.more else "")
        return Difference(self.kind, self.before, self.after, self.before_at, at, name)


def rivals_of(trackings: Collection[Tracking]) -> dict[int, list[Tracking]]:
    """Return the watched competitors of each tracking, by its id, each with its product. Two queries."""
    own = Tracking.objects.filter(COMPARED, pk__in=[one.pk for one in trackings], **{f"{RIVAL}__isnull": False})
    return _watched(set(own.values_list("pk", "team", RIVAL)))


def _watched(pairs: Collection[tuple[int, int, int]]) -> dict[int, list[Tracking]]:
    """Return the trackings of the competitors among (tracking, team, competitor's product), by the first."""
    teams, products = {team for _own, team, _rival in pairs}, {rival for _own, _team, rival in pairs}
    rows = Tracking.objects.filter(team__in=teams, product__in=products, paused=False).select_related("product")
    found = {(row.team_id, row.product_id): row for row in rows}
    rivals: dict[int, list[Tracking]] = {}
    for own, team, product in sorted(pairs):
        if (team, product) in found:
            rivals.setdefault(own, []).append(found[team, product])
    return rivals


def _pairs(products: Collection[int]) -> set[tuple[int, int, int]]:
    """Return the (own product, team, competitor's product) of which one side is among these products. One query.

    It begins with the comparisons, which are few: a batch without any is told apart by two short looks into indexes.
    """
    comparisons: Any = Product._meta.get_field("comparisons").related_model
    competitors = comparisons._meta.get_field("competitors").remote_field.through
    compared = competitors.objects.filter(comparison__paused=False).order_by()
    columns = ("comparison__product", "comparison__team", "product")
    own = compared.filter(comparison__product__in=products).values_list(*columns)
    return set(own.union(compared.filter(product__in=products).values_list(*columns)))


def _owns(pairs: Collection[tuple[int, int, int]]) -> list[Tracking]:
    """Return the unpaused trackings of the own products among these pairs, with their products."""
    wanted = {(product, team) for product, team, _rival in pairs}
    teams, products = {team for _product, team in wanted}, {product for product, _team in wanted}
    rows = Tracking.objects.filter(team__in=teams, product__in=products, paused=False).select_related("product")
    return [row for row in rows if (row.product_id, row.team_id) in wanted]


def crossings(
    own: Tracking, rivals: Iterable[Tracking], told: Told, at: datetime, before: Positions, after: Positions
) -> list[Crossing]:  # fmt: skip
    """Return where an own product fell behind at an instant: for each kind the widest gap, which counts the others."""
    found: dict[Kind, list[Crossing]] = {}
    for rival in rivals:
        sides = ((own.product_id, own.patience), (rival.product_id, rival.patience))
        (own_then, other_then), (mine, other) = (
            [stood[product].known(at, patience) for product, patience in sides] for stood in (before, after)
        )
        was, is_now = behind(own_then, other_then, told), behind(mine, other, told)
        new = [rule for rule, is_behind in is_now.items() if is_behind and was.get(rule) is False]
        for subject, kind in KINDS.items():
            if reasons := [words for about, words in new if about == subject]:
                found.setdefault(kind, []).append(_crossing(rival, kind, reasons, other, mine, at))
    return [_widest(some) for some in found.values()]


def _crossing(
    rival: Tracking, kind: Kind, reasons: list[str], other: Position, own: Position, at: datetime
) -> Crossing:
    if kind == Kind.RIVAL_PRICE:
        return Crossing(rival, kind, reasons, other.price, own.price, other.price_at or at)
    return Crossing(rival, kind, reasons, other.rank, own.rank, other.rank_at or at)


def _widest(some: list[Crossing]) -> Crossing:
    return replace(max(some, key=lambda one: one.gap), more=len(some) - 1)


def told_of_rivals(seen: Mapping[int, tuple[Product, Snapshot]], at: datetime) -> list[Change]:
    """Lay out what teams are told of their products beside competitors, after looks at some of them, by product.

    One query where nothing is compared, else seven at most.
    """
    pairs = _pairs(list(seen))
    owns = _owns(pairs) if pairs else []
    wishes = {pk: told for pk, told in told_of(owns).items() if told.minds_rivals} if owns else {}
    if not wishes:
        return []
    minding = {(own.product_id, own.team_id): own.pk for own in owns if own.pk in wishes}
    rivals = _watched({(minding[p, team], team, rival) for p, team, rival in pairs if (p, team) in minding})
    last = Change.objects.last_told([pk for pk, told in wishes.items() if told.rearm_minutes])
    known = {one.product_id: one.product for one in (*owns, *chain.from_iterable(rivals.values()))}
    known |= {pk: product for pk, (product, _snapshot) in seen.items()}
    before = {pk: product.was or product.position for pk, product in known.items()}
    after = {pk: product.position for pk, product in known.items()}
    changes = []
    for own in owns:
        told = wishes.get(own.pk, USUAL)
        for one in crossings(own, rivals.get(own.pk, ()), told, at, before, after):
            if not told.is_silent(last.get((own.pk, one.kind)), at):
                look = seen.get(own.product_id) or seen[one.rival.product_id]
                changes.append(Change.of(one.difference(at), own, look[1], at, one.reasons))
    return changes
