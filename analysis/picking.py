"""What can be chosen for a comparison: what is chosen already, and the first of what a search finds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from products import keyset
from products.models import Product, Role, Tracking
from products.models.tracking import has, matching_when
from products.watchlist import load

MOST_FOUND, MOST_SORTED = 12, 500  # that are shown; that are read of a word that many have
MOST_CHOSEN = 20  # beyond what a comparison may have, so that too many are told and not lost
LARGEST_KEY = 2**63 - 1


@dataclass
class Picks:
    """One list to choose from: the words of the search, what is chosen, the first of what is found; is there more?"""

    words: str
    chosen: list[Tracking]
    found: list[Tracking]
    is_more: bool


@dataclass
class Picking:
    """Both lists of the page: one's own product, and its competitors, which stand on the same marketplace."""

    own: Picks
    rivals: Picks

    @classmethod
    def of(cls, team: Any, asked: QueryDict) -> "Picking":
        """Read an address or a form. The number of queries does not grow with what the team watches."""
        own = _picks(team, asked.get("own", ""), _keys(asked, "product")[:1], {"role": Role.OWN})
        words = asked.get("q", "").strip()
        narrowed: dict[str, str] = {} if words else {"role": Role.COMPETITOR}
        if own.chosen:
            narrowed["product__marketplace"] = own.chosen[0].product.marketplace
        keys = [key for key in _keys(asked, "competitors") if key not in _keys(asked, "product")]
        return cls(own, _picks(team, words, keys, narrowed, [row.product for row in own.chosen]))


def _keys(asked: QueryDict, name: str) -> list[int]:
    found = (int(text) for text in asked.getlist(name) if re.fullmatch("[0-9]{1,19}", text))
    return list(dict.fromkeys(key for key in found if key <= LARGEST_KEY))[:MOST_CHOSEN]


def _picks(
    team: Any, words: str, keys: list[int], narrowed: dict[str, Any], others: Sequence[Product] = ()
) -> Picks:  # fmt: skip
    mine, words = Tracking.objects.filter(team=team), words.strip()[:100]
    chosen = dict(mine.filter(product__in=keys).values_list("product", "pk"))
    rows = mine.filter(**narrowed).exclude(product__in=[*keys, *others])
    ids = _newest(rows, words)
    in_order = [chosen[key] for key in keys if key in chosen]
    return Picks(words, load(in_order), load(ids[:MOST_FOUND]), len(ids) > MOST_FOUND)


def _newest(rows: Any, words: str) -> list[int]:
    """Return the newest that have these words; where too few are near, those of so many as an index finds.

    This list is no place to page through.
    """
    if not words:
        return list(rows.order_by("-pk").values_list("pk", flat=True)[: MOST_FOUND + 1])
    near = keyset.first_near([rows.annotate(fits=has(words))], "pk", MOST_FOUND + 1, is_empty=False, is_falling=True)
    if near is not None:
        return [pk for pk, _value in near]
    return sorted({pk for _number, pk in rows.first_of(matching_when(words), MOST_SORTED)}, reverse=True)
