"""Whether a product can be bought, read from the sentence beside "Add to cart" in the languages of our sites."""

import re
import unicodedata

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _


class Availability(TextChoices):
    """Whether the new offer can be bought; `no_offer` means that nobody sells it new, `unknown` that we cannot tell."""

    IN_STOCK = "in_stock", _("In stock")
    LOW_STOCK = "low_stock", _("Low stock")
    PREORDER = "preorder", _("Pre-order")
    UNAVAILABLE = "unavailable", _("Unavailable")
    NO_OFFER = "no_offer", _("No offer")
    UNKNOWN = "unknown", _("Unknown")


# The first hit wins. The negative phrases stand first, since "Nicht auf Lager" and "Non disponibile" contain the
# positive words. The English ones and 現貨 were seen; the wording of the others is assumed.
PHRASES = (
    (
        Availability.UNAVAILABLE,
        (
            r"currently unavailable|out of stock|nicht verfügbar|nicht auf lager|indisponible|no disponible"
            r"|non disponibile|在庫切れ|目前無法|无货"
        ),
    ),
    (Availability.LOW_STOCK, r"only \d+ left|nur noch \d+|残り\s?\d+\s?点|僅剩"),
    (Availability.PREORDER, r"pre-?order|vorbestell|予約"),
    (Availability.IN_STOCK, r"in stock|auf lager|en stock|disponible|disponibil|在庫あり|現貨|现货"),
)


def parse_availability(text: str, *, has_price: bool) -> Availability:
    """Answer the state that `text` names; without a known phrase a price tells `unknown` from `no_offer`."""
    plain = unicodedata.normalize("NFKC", text).lower()
    for state, phrases in PHRASES:
        if re.search(phrases, plain):
            return state
    return Availability.UNKNOWN if has_price else Availability.NO_OFFER
