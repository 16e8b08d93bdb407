"""What Amazon itself fixes: its sites, the shape of an ASIN, the address of a product, the exponent of a currency.

Sources: the marketplace ids are Amazon's own (Selling Partner API, "Marketplace IDs"); that an ASIN starts with B or is
an ISBN-10 is what every listing shows, while Amazon promises no more than ten characters.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.utils.translation import gettext as _

LARGEST_AMOUNT, FLOAT_NOISE = Decimal("9999999"), Decimal("1e-6")
PLAIN_AMOUNT = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,20})?")


@dataclass(frozen=True)
class Marketplace:
    """One Amazon site.

    `exponent` is the number of decimals of its currency, `zone` the time zone of its days, `languages` what its pages
    are written in, the usual one first.
    """

    domain: str
    marketplace_id: str
    currency: str
    exponent: int
    zone: str
    languages: tuple[str, ...]


MARKETPLACES: dict[str, Marketplace] = {
    site.domain: site
    for site in (
        Marketplace(
            "amazon.com",
            "ATVPDKIKX0DER",
            "USD",
            2,
            "America/Los_Angeles",
            (
                "en",
                "es",
                "zh",
                "ko",
            ),
        ),
        Marketplace("amazon.co.uk", "A1F83G8C2ARO7P", "GBP", 2, "Europe/London", ("en",)),
        Marketplace(
            "amazon.de",
            "A1PA6795UKMFR9",
            "EUR",
            2,
            "Europe/Berlin",
            (
                "de",
                "en",
                "tr",
                "pl",
                "nl",
                "cs",
            ),
        ),
        Marketplace(
            "amazon.fr",
            "A13V1IB3VIYZZH",
            "EUR",
            2,
            "Europe/Paris",
            (
                "fr",
                "en",
            ),
        ),
        Marketplace(
            "amazon.it",
            "APJ6JRA9NG5V4",
            "EUR",
            2,
            "Europe/Rome",
            (
                "it",
                "en",
            ),
        ),
        Marketplace(
            "amazon.es",
            "A1RKKUPIHCS9HS",
            "EUR",
            2,
            "Europe/Madrid",
            (
                "es",
                "pt",
                "en",
            ),
        ),
        Marketplace(
            "amazon.co.jp",
            "A1VC38T7YXB528",
            "JPY",
            0,
            "Asia/Tokyo",
            (
                "ja",
                "en",
                "zh",
            ),
        ),
        Marketplace(
            "amazon.ca",
            "A2EUQ1WTGCTBG2",
            "CAD",
            2,
            "America/Toronto",
            (
                "en",
                "fr",
            ),
        ),
        Marketplace("amazon.com.mx", "A1AM78C64UM0Y8", "MXN", 2, "America/Mexico_City", ("es",)),
        Marketplace("amazon.com.br", "A2Q3Y263D00KWC", "BRL", 2, "America/Sao_Paulo", ("pt",)),
        Marketplace(
            "amazon.nl",
            "A1805IZSGTT6HS",
            "EUR",
            2,
            "Europe/Amsterdam",
            (
                "nl",
                "en",
            ),
        ),
        Marketplace(
            "amazon.com.be",
            "AMEN7PMS3EDWL",
            "EUR",
            2,
            "Europe/Brussels",
            (
                "fr",
                "nl",
                "en",
            ),
        ),
        Marketplace("amazon.ie", "A28R8C7NBKEWEA", "EUR", 2, "Europe/Dublin", ("en",)),
        Marketplace(
            "amazon.se",
            "A2NODRKZP88ZB9",
            "SEK",
            2,
            "Europe/Stockholm",
            (
                "sv",
                "en",
            ),
        ),
        Marketplace(
            "amazon.pl",
            "A1C3SOZRARQ6R3",
            "PLN",
            2,
            "Europe/Warsaw",
            (
                "pl",
                "en",
            ),
        ),
        Marketplace(
            "amazon.com.tr",
            "A33AVAJ2PDY3EV",
            "TRY",
            2,
            "Europe/Istanbul",
            (
                "tr",
                "en",
            ),
        ),
        Marketplace(
            "amazon.ae",
            "A2VIGQ35RCS4UG",
            "AED",
            2,
            "Asia/Dubai",
            (
                "en",
                "ar",
            ),
        ),
        Marketplace(
            "amazon.sa",
            "A17E79C6D8DWNP",
            "SAR",
            2,
            "Asia/Riyadh",
            (
                "ar",
                "en",
            ),
        ),
        Marketplace(
            "amazon.eg",
            "ARBP9OOSHTCHU",
            "EGP",
            2,
            "Africa/Cairo",
            (
                "ar",
                "en",
            ),
        ),
        Marketplace(
            "amazon.in",
            "A21TJRUUN4KGV",
            "INR",
            2,
            "Asia/Kolkata",
            (
                "en",
                "hi",
            ),
        ),
        Marketplace("amazon.sg", "A19VAU5U5O7RUS", "SGD", 2, "Asia/Singapore", ("en",)),
        Marketplace("amazon.com.au", "A39IBJ37TRP1C6", "AUD", 2, "Australia/Sydney", ("en",)),
        Marketplace("amazon.co.za", "AE08WJ6YKNBMC", "ZAR", 2, "Africa/Johannesburg", ("en",)),
    )
}
EXPONENTS = {site.currency: site.exponent for site in MARKETPLACES.values()}
SHORT_LINK_HOSTS = ("a.co", "amzn.to", "amzn.eu", "amzn.asia")

ASIN = re.compile(r"B[0-9A-Z]{9}|[0-9]{9}[0-9X]")
# The shapes that Amazon's own pages, its apps and its advertisements link to; "&psc=1" may stand without a "?".
PRODUCT_PATH = re.compile(
    r"/(?:dp(?:/product)?|gp/product(?:/glance)?|gp/aw/(?:d|ol)|gp/offer-listing|o/asin|d|gp/glance"
    r"|exec/obidos/(?:asin|tg/detail/-))/([0-9a-z]{10})(?=[/&?#;]|$)",
    re.IGNORECASE,
)


class ASINError(ValueError):
    """The text is not an ASIN; the message says why, and what one looks like."""


class AddressError(ValueError):
    """The text is not the address of a product on an Amazon site that we know; the message says why."""


def parse_asin(text: str) -> str:
    """Answer the ASIN in `text` in capitals, without the blanks around it; raise ASINError when there is none.

    An ASIN of digits is an ISBN-10, whose last sign is a check digit: one wrong digit is noticed. An ISBN-13 that
    begins with 978 names the same book; one that begins with 979 has no ISBN-10.
    """
    asin = _isbn10(text.strip().upper())
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


def _isbn10(text: str) -> str:
    """Answer the ISBN-10 of an ISBN in any of its written forms; any other text as it is."""
    plain = re.sub("[-‐-― ]", "", text.removeprefix("ISBN").strip(" :")) if text.isprintable() else text
    if re.fullmatch("[0-9]{9}[0-9X]", plain):
        return plain
    if not re.fullmatch("97[89][0-9]{10}", plain):
        return text
    if sum(int(sign) * (3 if place % 2 else 1) for place, sign in enumerate(plain)) % 10:
        raise ASINError(_("“%s” is not a valid ISBN-13: its check digit does not fit.") % text[:40])
    if plain.startswith("979"):
        raise ASINError(_("“%s” is the ISBN-13 of a book without an ISBN-10. Please use its ASIN.") % text[:40])
    digits = plain[3:12]
    check = -sum((10 - place) * int(sign) for place, sign in enumerate(digits)) % 11
    return digits + ("X" if check == 10 else str(check))


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
    marketplace = MARKETPLACES.get(re.sub(r"^(?:www|smile|m)\.", "", host))
    if marketplace is None or not is_plain or parts.scheme not in ("http", "https"):
        raise AddressError(
            _("This is not an address on an Amazon site that we know. Known sites: %s.") % ", ".join(MARKETPLACES)
        )
    named = _named_in(parts.path, parts.query)
    if named is None:
        raise AddressError(
            _("The address names no product. A product's address holds /dp/ and the ten characters of its ASIN.")
        )
    return marketplace, parse_asin(named)


def _named_in(path: str, query: str) -> str | None:
    """Answer what stands where an ASIN belongs: in the path, or in the query of a link that leads on."""
    if found := PRODUCT_PATH.search(unquote(path)):
        return found[1]
    for name, value in parse_qsl(query)[:50]:
        if name.lower() == "asin":
            return value
        if name.lower() in ("url", "u", "redirecturl") and value.startswith("/") and not value.startswith("//"):
            return found[1] if (found := PRODUCT_PATH.search(value.partition("?")[0])) else None
    return None


def product_address(domain: str, asin: str) -> str:
    """Answer the one form in which an address is stored and sent: no language prefix, no slug, this variant chosen."""
    return f"https://www.{domain}/dp/{asin}?th=1&psc=1"


def parse_money(raw: Any, currency: str) -> Decimal | None:
    """Answer an amount of `currency` in the currency's own decimals, or None when no amount was seen.

    The actor writes 0 for "none"; an amount above 9,999,999, one with more decimals than the currency has, and a text
    with a comma or a currency sign are not trusted. `{"value": 99.99, "currency": "$"}` is read as its value. Raises
    KeyError for a currency of no marketplace.
    """
    unit = Decimal(1).scaleb(-EXPONENTS[currency])
    if isinstance(raw, dict):
        raw = raw.get("value")
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str, Decimal)):
        return None
    if isinstance(raw, str) and not PLAIN_AMOUNT.fullmatch(raw.strip()):
        return None
    amount = (
        Decimal(raw.strip()) if isinstance(raw, str) else Decimal(str(raw)) if isinstance(raw, float) else Decimal(raw)
    )
    if not amount.is_finite() or not 0 < amount <= LARGEST_AMOUNT:
        return None
    rounded = amount.quantize(unit)
    # A float that went through the actor may miss its cent by less than this; more is another number.
    return rounded or None if abs(amount - rounded) < FLOAT_NOISE else None
