"""How facts are said to people: amounts of money, ranks, and a change in one sentence."""

from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

from babel.numbers import get_currency_symbol
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from .amazon import EXPONENTS

if TYPE_CHECKING:
    from .models import Change, Tracking


# Stored words that pages and sentences show through word(); this tells the catalogue of each of them.
STORED = (
    gettext_noop("in stock"), gettext_noop("low stock"), gettext_noop("preorder"), gettext_noop("unavailable"),
    gettext_noop("no offer"), gettext_noop("unknown"),
    gettext_noop("competitive"), gettext_noop("higher"), gettext_noop("lower"), gettext_noop("better"),
    gettext_noop("worse"), gettext_noop("high"), gettext_noop("medium"), gettext_noop("low"),
    gettext_noop("pricing"), gettext_noop("features"), gettext_noop("positioning"), gettext_noop("listing"),
    gettext_noop("inventory"), gettext_noop("title"), gettext_noop("description"), gettext_noop("bullets"),
    gettext_noop("images"), gettext_noop("keywords"), gettext_noop("reviews"), gettext_noop("rating"),
)  # fmt: skip


def word(stored: str) -> str:
    """Write a stored word in the reader's language, without its sort key and underscores."""
    plain = stored.split("_", 1)[-1] if stored[:1].isdigit() else stored
    return _(plain.replace("_", " "))


def money(amount: Decimal | None, currency: str) -> str:
    """Write an amount with its currency's sign and decimals; a price that was not seen is a dash, never zero."""
    if amount is None:
        return "–"
    rounded = amount.quantize(Decimal(1).scaleb(-EXPONENTS[currency]), ROUND_HALF_UP)
    return f"{symbol(currency)}{number_format(rounded, EXPONENTS[currency], force_grouping=True)}"


@lru_cache
def symbol(currency: str) -> str:
    """Answer what stands before an amount, as CLDR writes it in English; a code is followed by a blank."""
    sign = get_currency_symbol(currency, locale="en_US")
    return f"{sign}\N{NO-BREAK SPACE}" if sign.isalpha() else sign


def percent(value: Decimal | None) -> str:
    """Write a signed percentage with one decimal, what rounds to nought without a sign, or nothing."""
    if value is None:
        return ""
    written = f"{value:+.1f}"
    return f"{written} %" if float(written) else "0.0 %"


def values(change: "Change") -> tuple[str, str]:
    """Answer the value before and after as a person would write them."""
    currency = change.tracking.product.currency
    if change.kind == "price_change":
        return money(Decimal(change.before), currency), money(Decimal(change.after), currency)
    if change.kind == "bsr_change":
        return f"#{int(change.before):,}", f"#{int(change.after):,}"
    if change.kind == "rival_price":
        return _beside(money(Decimal(change.before), currency), money(Decimal(change.after), currency))
    if change.kind == "rival_rank":
        return _beside(f"#{int(change.before):,}", f"#{int(change.after):,}")
    if change.kind == "availability_change":
        return word(change.before), word(change.after)
    if change.kind == "listing_change":
        return _("earlier text"), _("new text")
    return change.before or "–", change.after or "–"


def _beside(other: str, own: str) -> tuple[str, str]:
    return _("theirs %s") % other, _("yours %s") % own


def left_alone_notice(tracking: "Tracking") -> str:
    """Say that a product is looked at no more, why, and what mends it."""
    return _(
        "%(name)s is left alone: four looks in a row failed (%(reason)s). Refresh it to have it looked at again."
    ) % {
        "name": str(tracking)[:80],
        "reason": tracking.product.get_last_outcome_display(),
    }


def sentence(change: "Change") -> str:
    """Say a change in one line, with the user's own name for the product."""
    before, after = values(change)
    words = {
        "name": str(change.tracking)[:80],
        "what": change.get_kind_display(),
        "before": before,
        "after": after,
        "percent": f" ({percent(change.percent)})" if change.percent is not None else "",
    }
    return _("%(name)s: %(what)s %(before)s → %(after)s%(percent)s") % words
