"""How pages write facts."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.contrib.humanize.templatetags.humanize import intcomma
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _

from products import words
from products.models import Change, Product, Role, Tracking
from products.sparks import Move, Row

register = template.Library()


@register.filter
def money(amount: Decimal | str | None, currency: str) -> str:
    """Write an amount with its currency; a dash when it was not seen."""
    return words.money(None if amount in (None, "") else Decimal(str(amount)), currency)


@register.filter
def percent(value: Decimal | None) -> str:
    """Write a signed percentage."""
    return words.percent(value)


@register.filter
def value_before(change: Change) -> str:
    """Write the value before a change."""
    return words.values(change)[0]


@register.filter
def value_after(change: Change) -> str:
    """Write the value after a change."""
    return words.values(change)[1]


@register.filter
def ago(at: datetime | None) -> SafeString | str:
    """Write how long ago something was, with the exact time on hover and for machines; "never" without a time."""
    if at is None:
        return _("never")
    exact, then = localtime(at), now()
    if abs((then - at).total_seconds()) < 60:
        words_ = _("just now")
    else:
        words_ = _("%s ago") % timesince(at, then, depth=1) if at <= then else _("in %s") % timesince(then, at, depth=1)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>', at.isoformat(), exact.strftime("%Y-%m-%d %H:%M %Z"), words_
    )


@register.simple_tag
def icon(name: str, more: str = "") -> SafeString:
    """Write a shape of static/icons.svg, which says nothing that the words beside it do not."""
    address = f"{static('icons.svg')}#{name}"
    return format_html('<svg class="icon {}" aria-hidden="true"><use href="{}"></use></svg>', more, address)


@register.simple_tag
def tile(name: Any, product: Product, more: str = "") -> SafeString:
    """Show a product's picture, from this site; without one, its first letter in a colour that its ASIN chooses."""
    if product.picture:
        frame = '<span class="tile pic {}"><img src="{}" alt="" width="56" height="56" loading="lazy"></span>'
        return format_html(frame, more, product.picture_url)
    asin = product.asin
    letter = next((sign for sign in str(name) if sign.isalnum()), asin[:1])
    return format_html(
        '<span class="tile hue-{} {}" aria-hidden="true">{}</span>', sum(asin.encode()) % 6, more, letter
    )


@register.simple_tag
def spark(line: str, kind: str = "") -> SafeString | str:
    """Draw a line of thirty days, as small as a word; the figures beside it say what it shows."""
    frame = (
        '<svg class="spark {}" viewBox="0 0 96 28" preserveAspectRatio="none" aria-hidden="true"><path d="{}"/></svg>'
    )
    return format_html(frame, kind, line) if line else ""


@register.filter
def move(value: Move | None) -> SafeString:
    """Write how far a value moved, or a dash where there is nothing to compare with."""
    if value is None or value.is_none:
        return format_html('<span class="soft">{}</span>', "–" if value is None else "0 %")
    return format_html('<span class="{}">{}</span>', value.tone, words.percent(value.percent))


@register.filter
def shown(tracking: Tracking, most: int = 0) -> str:
    """Write what a product is called: by its user, by Amazon, or by its ASIN; with `most` signs at most."""
    # Django's truncatechars looks up each sign in Unicode's tables, which a page of titles notices.
    name = tracking.alias or tracking.product.title or tracking.product.asin
    return f"{name[: most - 1].rstrip()}…" if 0 < most < len(name) else name


@register.filter
def cells(row: Row) -> dict[str, Any]:
    """Return all that a list says of one product, as it is written.

    A template looks up each value step by step and takes 2 ms for 40 of them, which a page of rows notices.
    """
    tracking, product = row.tracking, row.product
    rank_day = row.rank_day
    return {
        "tile": tile(shown(tracking), product),
        "address": product.get_absolute_url(),
        "name": shown(tracking, 110),
        "asin": product.asin,
        "marketplace": product.marketplace,
        "own": tracking.role == Role.OWN,
        "tags": getattr(tracking, "labels", ()),
        "paused": tracking.paused,
        "late": row.is_late,
        "left_alone": not product.monitored,
        "gone": words.word(product.availability) if row.is_gone else "",
        "price_line": spark(row.past.price_line()),
        "price": words.money(product.price, product.currency),
        "price_day": move(row.price_day),
        "price_month": move(row.price_month),
        "rank_line": spark(row.past.rank_line(), "rank"),
        "rank": f"#{intcomma(product.bsr)}" if product.bsr else "–",
        "rank_day": move(rank_day) if rank_day and not rank_day.is_none else "",
        "rating": "–" if product.rating is None else product.rating,
        "reviews": "–" if product.review_count is None else intcomma(product.review_count),
        "seen": ago(product.checked_at),
    }


@register.filter
def word(value: str, choices: Any = None) -> str:
    """Write a stored word in the reader's language."""
    return words.word(value)
