"""How pages write facts."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from django import template
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.timezone import localtime, now
from django.utils.translation import gettext as _

from products import words
from products.models import Change, Product, Tracking
from products.sparks import Move

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
    exact = localtime(at)
    words_ = _("%s ago") % timesince(at, depth=1) if at <= now() else _("in %s") % timesince(now(), at, depth=1)
    if abs((now() - at).total_seconds()) < 60:
        words_ = _("just now")
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
def word(value: str, choices: Any = None) -> str:
    """Write a stored word in the reader's language."""
    return words.word(value)
