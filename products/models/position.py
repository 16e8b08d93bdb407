"""Where a product stands, to be laid beside another: its offer and its rank, each with its age."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from products.listing import Availability

from .rules import Told

# What a rule is about, and its words.
Rule = tuple[str, str]
GONE = (Availability.UNAVAILABLE, Availability.NO_OFFER)


@dataclass(frozen=True)
class Position:
    """What is known of one product; a fact that was never seen is None."""

    marketplace: str
    price: Decimal | None = None
    price_at: datetime | None = None
    availability: str = ""
    availability_at: datetime | None = None
    rank: int | None = None
    category: str = ""
    rank_at: datetime | None = None

    def known(self, at: datetime, patience: timedelta) -> "Position":
        """Return it without what was seen too long before an instant, which tells of another time."""
        oldest = at - patience
        return replace(
            self,
            price=self.price if self.price_at and self.price_at >= oldest else None,
            availability=self.availability if self.availability_at and self.availability_at >= oldest else "",
            rank=self.rank if self.rank_at and self.rank_at >= oldest else None,
        )

    @property
    def is_gone(self) -> bool:
        """Whether there was no offer when it was seen last; a price that was seen later is one."""
        if self.availability not in GONE or self.availability_at is None:
            return False
        return self.price is None or self.price_at is None or self.price_at <= self.availability_at


def behind(own: Position, rival: Position, told: Told) -> dict[Rule, bool]:
    """Return whether an own product stands behind another, by each rule that can say it.

    Another marketplace has other prices and ranks, and is never compared. Without an offer nobody is dearer.
    """
    if own.marketplace != rival.marketplace:
        return {}
    return _dearer(own, rival, told) | _outranked(own, rival, told)


def _dearer(own: Position, rival: Position, told: Told) -> dict[Rule, bool]:
    if own.is_gone or rival.is_gone:
        gap, base = Decimal(0), Decimal(1)
    elif own.price and rival.price:
        gap, base = own.price - rival.price, rival.price
    else:
        return {}
    found = {}
    if (percent := told.rival_percent) is not None:
        found["price", f"+{percent} %"] = gap * 100 > percent * base
    if (amount := told.rival_amount) is not None:
        found["price", f"+{amount}"] = gap > amount
    return found


def _outranked(own: Position, rival: Position, told: Told) -> dict[Rule, bool]:
    most = told.rival_positions
    if most is None or not own.rank or not rival.rank or own.category != rival.category:
        return {}
    return {("rank", f"+{most}"): own.rank - rival.rank > most}
