"""What Amazon itself fixes: its sites, the shape of an ASIN, the address of a product, the exponent of a currency.

Sources: the marketplace ids are Amazon's own (Selling Partner API, "Marketplace IDs"); that an ASIN starts with B or is
an ISBN-10 is what every listing shows, while Amazon promises no more than ten characters.
"""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

LARGEST_AMOUNT = Decimal("9999999")


@dataclass(frozen=True)
class Marketplace:
    """One Amazon site; `exponent` is the number of decimals of its currency, `zone` the time zone of its days."""

    domain: str
    marketplace_id: str
    currency: str
    exponent: int
    zone: str


MARKETPLACES: dict[str, Marketplace] = {
    site.domain: site
    for site in (
        Marketplace("amazon.com", "ATVPDKIKX0DER", "USD", 2, "America/Los_Angeles"),
        Marketplace("amazon.co.uk", "A1F83G8C2ARO7P", "GBP", 2, "Europe/London"),
        Marketplace("amazon.de", "A1PA6795UKMFR9", "EUR", 2, "Europe/Berlin"),
        Marketplace("amazon.fr", "A13V1IB3VIYZZH", "EUR", 2, "Europe/Paris"),
        Marketplace("amazon.it", "APJ6JRA9NG5V4", "EUR", 2, "Europe/Rome"),
        Marketplace("amazon.es", "A1RKKUPIHCS9HS", "EUR", 2, "Europe/Madrid"),
        Marketplace("amazon.co.jp", "A1VC38T7YXB528", "JPY", 0, "Asia/Tokyo"),
        Marketplace("amazon.ca", "A2EUQ1WTGCTBG2", "CAD", 2, "America/Toronto"),
    )
}
EXPONENTS = {site.currency: site.exponent for site in MARKETPLACES.values()}
SHORT_LINK_HOSTS = ("a.co", "amzn.to", "amzn.eu", "amzn.asia")

ASIN = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
PRODUCT_PATH = re.compile(r"/(?:dp|gp/product|gp/aw/d|exec/obidos/ASIN)/([0-9A-Za-z]{10})(?:/|$)")


class ASINError(ValueError):
    """The text is not an ASIN; the message says why, and what one looks like."""


class AddressError(ValueError):
    """The text is not the address of a product on an Amazon site that we know; the message says why."""


def parse_asin(text: str) -> str:
    """Answer the ASIN in `text` in capitals, without the blanks around it; raise ASINError when there is none.

    An ASIN of digits is an ISBN-10, whose last sign is a check digit: one wrong digit is noticed.
    """
    asin = text.strip().upper()
    if not asin.isascii() or not ASIN.fullmatch(asin):
        raise ASINError(
            _("“%s” is not an ASIN. An ASIN has ten characters, such as B0SYN00001, or is the ISBN-10 of a book.")
            % text.strip()[:40]
        )
    if asin[0] != "B" and not _is_isbn10(asin):
        raise ASINError(
            _("“%s” is not a valid ISBN-10: its check digit does not fit. Please compare it with the book.") % asin
        )
    return asin


def _is_isbn10(text: str) -> bool:
    digits = [10 if sign == "X" else int(sign) for sign in text]
    return sum((10 - place) * digit for place, digit in enumerate(digits)) % 11 == 0


def parse_address(text: str) -> tuple[Marketplace, str]:
    """Answer the marketplace and the ASIN that a product's address names; raise AddressError or ASINError.

    Only the exact hosts of MARKETPLACES count, so a look-alike is refused. Nothing is fetched: a short link would have
    to be followed, which lets a stranger choose what this server asks for.
    """
    address = text.strip()
    if re.search(r"[\s\\\x00-\x1f]", address):
        raise AddressError(_("The address holds a blank or a control character. Please copy it again from Amazon."))
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        host, is_plain = (parts.hostname or "").lower(), parts.username is None and parts.port in (None, 80, 443)
    except ValueError:
        host, is_plain = "", False
    if host in SHORT_LINK_HOSTS:
        raise AddressError(_("Short links are not followed. Please open it and copy the full address of the product."))
    marketplace = MARKETPLACES.get(host.removeprefix("www.").removeprefix("smile."))
    if marketplace is None or not is_plain or parts.scheme not in ("http", "https"):
        raise AddressError(
            _("This is not an address on an Amazon site that we know. Known sites: %s.") % ", ".join(MARKETPLACES)
        )
    found = PRODUCT_PATH.search(parts.path)
    if found is None:
        raise AddressError(
            _("The address names no product. A product's address holds /dp/ and the ten characters of its ASIN.")
        )
    return marketplace, parse_asin(found[1])


def product_address(domain: str, asin: str) -> str:
    """Answer the one form in which an address is stored and sent: no language prefix, no slug, this variant chosen."""
    return f"https://www.{domain}/dp/{asin}?th=1&psc=1"


def parse_money(raw: Any, currency: str) -> Decimal | None:
    """Answer an amount of `currency` in the currency's own decimals, or None when no amount was seen.

    The actor writes 0 for "none"; an amount above 9,999,999 and a text with a comma or a currency sign are not trusted.
    `{"value": 99.99, "currency": "$"}` is read as its value. Raises KeyError for a currency of no marketplace.
    """
    unit = Decimal(1).scaleb(-EXPONENTS[currency])
    if isinstance(raw, dict):
        raw = raw.get("value")
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str, Decimal)):
        return None
    try:
        amount = Decimal(str(raw).strip())
    except InvalidOperation:
        return None
    if not amount.is_finite() or not 0 < amount <= LARGEST_AMOUNT:
        return None
    return amount.quantize(unit) or None
