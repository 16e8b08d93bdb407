"""A listing: what the product actor returned for one ASIN, typed and normalised; nothing here touches the database.

The actor is axesso_data/amazon-product-details-scraper. Its items carry 40 keys, none of which is a rank, a brand, a
currency or the request that an item answers, so those are derived. A field that was not seen is None, or an empty
tuple; a field of an unexpected type counts as not seen and costs nothing but itself.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.db.models import TextChoices
from django.utils.translation import gettext_lazy as _

from products import fields
from products.amazon import AddressError, ASINError, Marketplace, parse_address, parse_asin, parse_money
from products.availability import Availability, parse_availability
from products.ranks import Rank, find_ranks

__all__ = ["Availability", "Listing", "Outcome", "Rank", "Unread", "answers", "normalise"]

logger = logging.getLogger(__name__)


class Outcome(TextChoices):
    """What became of one ASIN of a scrape run."""

    OK = "ok", _("Seen")
    NOT_FOUND = "not_found", _("Not on this marketplace")
    BLOCKED = "blocked", _("Amazon answered with an error")
    BAD = "bad", _("The page could not be read")
    MISMATCH = "mismatch", _("Another product was answered")
    MISSING = "missing", _("Not answered")
    HELD = "held", _("Held back: a person decides")
    ASIDE = "set_aside", _("Set aside: the answer could not be read or stored")


@dataclass(frozen=True)
class Listing:
    """One ASIN as it was seen once. None means "not seen" and must never be written as zero.

    `asin` is the asked ASIN that this answers, or None when it answers none. Only an `ok` listing has facts. `price` is
    the new offer in the buy box, `used_price` the used one beside it, both in `currency`; `list_price` is there only
    when above the price. `seller_id` is None when Amazon itself sells. `bought_past_month` is a lower bound. `warnings`
    are English words for the log and the operator. `raw` is the item without anything about reviewers, ready for JSON.
    An answer that was set aside has its reason as warning, and in `set_aside` what a person may read of it.
    """

    asin: str | None
    outcome: Outcome
    warnings: tuple[str, ...] = ()
    title: str | None = None
    brand: str | None = None
    bullets: tuple[str, ...] = ()
    description: str | None = None
    images: tuple[str, ...] = ()
    has_video: bool | None = None
    categories: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    price: Decimal | None = None
    list_price: Decimal | None = None
    currency: str = ""
    used_price: Decimal | None = None
    seller: str | None = None
    seller_id: str | None = None
    fulfilled_by_amazon: bool | None = None
    availability: Availability = Availability.UNKNOWN
    availability_text: str = ""
    rating: Decimal | None = None
    review_count: int | None = None
    bought_past_month: int | None = None
    deal: bool | None = None
    prime: bool | None = None
    ranks: tuple[Rank, ...] = ()
    content_hash: str | None = None
    is_localised: bool = False
    raw: dict[str, Any] = field(default_factory=dict)
    set_aside: str = ""


@dataclass(frozen=True)
class Unread:
    """The text of an item that is no readable JSON, and why."""

    text: str
    reason: str

    @property
    def item(self) -> dict[str, Any]:
        """What can be found in the text all the same: whom it answers."""
        found = {
            key: re.search(rf'"{key}"\s*:\s*"([^"\\]{{1,300}})"', self.text) for key in ("asin", "url", "inputUrl")
        }
        return {key: value[1] for key, value in found.items() if value}


def normalise(item: Mapping[str, Any], *, marketplace: Marketplace, asked: str | None) -> Listing:
    """Turn one actor item into the listing that answers the ASIN `asked`; never raises for what the item holds.

    Checks in this order: not found, blocked, bad (no ASIN or title: a captcha page), mismatch, ok. A page that says
    nothing but a title is blocked as well. `asked` None means that nobody asked for this item, so at best it is a
    mismatch.
    """
    raw = fields.without_reviews(item)
    answered = answered_asin(item)
    outcome, warnings = _judge(item, asked, answered)
    if outcome is not Outcome.OK:
        return Listing(asked, outcome, warnings, currency=marketplace.currency, raw=raw)
    listing = _read(item, asked, marketplace, raw)
    if not _says_anything(listing):
        return Listing(asked, Outcome.BLOCKED, ("no fact",), currency=marketplace.currency, raw=raw)
    return listing


def _says_anything(listing: Listing) -> bool:
    facts = (listing.price, listing.used_price, listing.list_price, listing.rating, listing.review_count, listing.brand)
    texts = (listing.bullets, listing.description, listing.images, listing.ranks, listing.seller, listing.categories)
    return any(facts) or any(texts) or bool(listing.availability_text or listing.variants)


def answers(items: Iterable[Any], asked: Iterable[str], *, marketplace: Marketplace) -> tuple[Listing, ...]:
    """Answer one listing for each asked ASIN, in the order asked, then those of items that nobody asked for.

    An item answers by its `asin`, else by the ASIN in its addresses (a failed item has `asin` null). When one item is
    left over and one ASIN is unanswered, they are a mismatch: Amazon led the request to another variant. An ASIN
    without an item is `missing`. An item that cannot be read is set aside alone.
    """
    wanted = dict.fromkeys(asked)
    found: dict[str, Listing] = {}
    strays: list[Any] = []
    for item in items:
        target = next((asin for asin in _named_asins(_mapping(item)) if asin in wanted), None)
        if target is None:
            strays.append(item)
        elif target not in found or found[target].outcome is not Outcome.OK:
            found[target] = _one(item, marketplace, target)
    unanswered = [asin for asin in wanted if asin not in found]
    if len(strays) == len(unanswered) == 1:
        found[unanswered[0]] = _one(strays.pop(), marketplace, unanswered[0])
    missing = Listing(None, Outcome.MISSING, currency=marketplace.currency)
    return (
        *(found.get(asin) or _for(missing, asin) for asin in wanted),
        *(_one(stray, marketplace, None) for stray in strays),
    )


def _mapping(item: Any) -> Mapping[str, Any]:
    return item.item if isinstance(item, Unread) else item if isinstance(item, Mapping) else {}


def _one(item: Any, marketplace: Marketplace, asked: str | None) -> Listing:
    """Read one item; what makes reading fail is tried once more in the form that can be stored, then set aside."""
    if isinstance(item, Unread):
        return _set_aside(asked, item.reason, item.text, marketplace)
    mapping = _mapping(item)
    try:
        return normalise(mapping, marketplace=marketplace, asked=asked)
    except Exception:
        logger.exception("The item that answers %s could not be read; trying once more", asked)
    try:
        return normalise(fields.storable(mapping), marketplace=marketplace, asked=asked)
    except Exception as error:
        return _set_aside(asked, f"{type(error).__name__}: {error}", mapping, marketplace)


def _set_aside(asked: str | None, reason: str, item: Any, marketplace: Marketplace) -> Listing:
    try:
        shown = fields.shown_text(item)
    except Exception as error:
        shown = f"not shown: {type(error).__name__}"
    warnings = (fields.clean(reason)[:500],)
    return Listing(asked, Outcome.ASIDE, warnings, currency=marketplace.currency, set_aside=shown)


def answered_asin(item: Mapping[str, Any]) -> str | None:
    """Answer the ASIN that an item speaks of: its `asin`, else the one in its `url`; None when there is neither."""
    return next(_named_asins(item), None)


def _for(listing: Listing, asin: str) -> Listing:
    return Listing(asin, listing.outcome, listing.warnings, currency=listing.currency)


def _named_asins(item: Mapping[str, Any]) -> Iterator[str]:
    for key, parse in (("asin", parse_asin), ("url", _asin_of), ("inputUrl", _asin_of)):
        text = item.get(key)
        if isinstance(text, str):
            try:
                yield parse(text)
            except (ASINError, AddressError):
                continue


def _asin_of(address: str) -> str:
    return parse_address(address)[1]


def _judge(item: Mapping[str, Any], asked: str | None, answered: str | None) -> tuple[Outcome, tuple[str, ...]]:
    status, message = item.get("statusCode"), fields.text(item.get("statusMessage"), 200) or ""
    if status == 404 or "NOT_FOUND" in message:
        return Outcome.NOT_FOUND, ()
    if status != 200 or item.get("error") or item.get("#error"):
        return Outcome.BLOCKED, (fields.clean(f"status {str(status)[:20]} {message}").strip()[:200],)
    if answered is None or fields.text(item.get("title")) is None:
        return Outcome.BAD, ("no ASIN" if answered is None else "no title",)
    if answered != asked:
        return Outcome.MISMATCH, (f"asked {asked or 'nothing'}, answered {answered}",)
    return Outcome.OK, ()


def _read(item: Mapping[str, Any], asin: str | None, marketplace: Marketplace, raw: dict[str, Any]) -> Listing:
    currency = marketplace.currency
    other = fields.other_currency(item, currency)
    price = None if other else parse_money(item.get("price"), currency)
    list_price = None if other else parse_money(item.get("retailPrice"), currency)
    used = item.get("buyBoxUsed")
    ranks = find_ranks(item.get("productDetails"))
    is_localised = "/-/" in (fields.text(item.get("url")) or "")
    content = _content(item)
    availability_text = fields.text(item.get("warehouseAvailability"), 200) or ""
    return Listing(
        asin,
        Outcome.OK,
        _warnings(price, ranks, is_localised, other),
        **content,
        has_video=fields.holds_any(item.get("videoeUrlList")),
        categories=fields.names(item.get("categoriesExtended")),
        variants=_variants(item.get("variations")),
        price=price,
        list_price=list_price if price and list_price and list_price > price else None,
        currency=currency,
        used_price=parse_money(used.get("price"), currency) if isinstance(used, Mapping) and not other else None,
        seller=fields.text(item.get("soldBy"), 200),
        seller_id=fields.text(item.get("sellerId"), 40),
        fulfilled_by_amazon=fields.is_by_amazon(item.get("fulfilledBy")),
        availability=parse_availability(availability_text, has_price=price is not None),
        availability_text=availability_text,
        rating=fields.rating(item.get("productRating")),
        review_count=fields.count(item.get("countReview")),
        bought_past_month=fields.bought_past_month(item.get("pastSales")),
        deal=fields.flag(item.get("deal")),
        prime=fields.flag(item.get("prime")),
        ranks=ranks,
        content_hash=None if is_localised else content_hash(**content),
        is_localised=is_localised,
        raw=raw,
    )


def _content(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "title": fields.text(item.get("title"), 2000),
        "brand": fields.brand(item.get("aboutProduct"), item.get("manufacturer")),
        "bullets": fields.texts(item.get("features"), 20),
        "description": fields.text(item.get("productDescription"), 20_000),
        "images": fields.texts(item.get("imageUrlList"), 30),
    }


def content_hash(
    *, title: str | None, brand: str | None, bullets: tuple[str, ...], description: str | None, images: tuple[str, ...]
) -> str:
    """Answer the SHA-256 of what a seller writes; price, rank, delivery and rating change by themselves."""
    written = json.dumps([title, brand, bullets, images, description], ensure_ascii=False)
    return hashlib.sha256(written.encode()).hexdigest()


def _warnings(price: Decimal | None, ranks: tuple[Rank, ...], is_localised: bool, other: str | None) -> tuple[str, ...]:
    noticed = {
        f"price in another currency: {other}": other is not None,
        "no price": price is None and other is None,
        "no rank": not ranks,
        "localised page": is_localised,
    }
    return tuple(words for words, applies in noticed.items() if applies)


def _variants(variations: Any) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for variation in fields.mappings(variations):
        for value in fields.mappings(variation.get("values")):
            try:
                found[parse_asin(fields.text(value.get("asin"), 40) or "")] = None
            except ASINError:
                continue
    return tuple(found)
