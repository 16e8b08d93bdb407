"""What a person may type, and what is wrong with it."""

import re
from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .amazon import MARKETPLACES, parse_address, parse_asin
from .fields import clean
from .models import Beginning, Frequency, Role, Rules, Told, Tracking
from .models.beginning import check_tags

MOST_AT_ONCE, LONGEST_PASTE = 10_000, 2_000_000
MOST_REASONS, LONGEST_LINE = 50, 1000
# Signs that come along from files, messages and right-to-left pages, and are not seen.
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\u00ad]")
QUOTES = "\"'`“”„‘’«»<>()[]"
ADDRESS = re.compile(
    r"https?://\S+|\b(?:[\w-]+\.)*(?:amazon(?:\.[a-z]{2,3}){1,2}|amzn\.\w+|a\.co)(?:[/:?#]\S*)?", re.IGNORECASE
)
RULES = (
    *("price_threshold", "price_way", "price_below", "price_above", "price_lowest_days"),
    *("bsr_threshold", "bsr_unit", "bsr_way", "bsr_outside", "bsr_best_days", "rating_threshold", "review_threshold"),
    *("rival_percent", "rival_amount", "rival_positions"),
    *("tell_buybox", "tell_availability", "tell_back", "tell_listing", "rearm_minutes"),
)
# What belongs together on the page.
GROUPS = (
    (_("How you watch it"), ("alias", "role", "frequency", "paused")),
    (
        _("Price"),
        ("price_threshold", "price_way", "price_lowest_days", "price_below", "price_above", "currency"),
    ),
    (_("Rank"), ("bsr_threshold", "bsr_unit", "bsr_way", "bsr_outside", "bsr_best_days")),
    (_("Competitors"), ("rival_percent", "rival_amount", "rival_positions")),
    (_("Rating and listing"), ("rating_threshold", "review_threshold", "tell_listing")),
    (_("Buy box and stock"), ("tell_buybox", "tell_availability", "tell_back")),
    (_("Silence"), ("rearm_minutes", "muted_until")),
)
MOMENT = forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
HEADERS = ("asin", "asins", "asin1", "parent asin", "url", "urls", "product url", "link", "amazon url", "product id")


class UsualForm(forms.Form):
    """What holds for new products that do not say otherwise."""

    marketplace = forms.ChoiceField(
        label=_("Marketplace of the ASINs"), choices=[(domain, domain) for domain in MARKETPLACES], initial="amazon.com"
    )
    role = forms.ChoiceField(label=_("These are"), choices=Role.choices, initial=Role.OWN)
    frequency = forms.ChoiceField(label=_("Look at them"), choices=Frequency.choices, initial=Frequency.DAILY)
    tags = forms.CharField(
        label=_("Tags of the new ones"),
        required=False,
        max_length=400,
        help_text=_("With commas between them."),
        validators=[check_tags],
    )
    rare: tuple[str, ...] = ("frequency", "tags")  # a phone folds them away

    @property
    def is_rare_set(self) -> bool:
        """Whether what is folded away is wrong or says something else than the fields do by themselves."""
        return any(
            self[name].errors or str(self[name].value() or "") != (self.fields[name].initial or "")
            for name in self.rare
        )


class AddProductsForm(UsualForm):
    """ASINs or Amazon addresses, one per line; an address names its own marketplace."""

    products = forms.CharField(
        label=_("ASINs or addresses"),
        max_length=LONGEST_PASTE,
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "B0SYN00001\nhttps://www.amazon.de/dp/B0SYN00006"}),
        help_text=_("One per line, up to 10,000. Wrong lines are named, the others are added."),
    )
    field_order = ["products"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.good: list[tuple[str, str]] = []
        self.wrong_lines: list[str] = []

    def clean(self) -> dict[str, Any]:
        """Read every line; each wrong one is named with its number and reason, and the others are in `good`."""
        data = super().clean() or self.cleaned_data
        if {"products", "marketplace", "role", "frequency", "tags"} - set(data):
            return data
        found, reasons = read_paste(data["products"], data["marketplace"])
        if len(found) > MOST_AT_ONCE:
            raise ValidationError(
                {"products": _("At most 10,000 products can be added at once. Please add them in parts.")}
            )
        self.good, self.wrong_lines = found, [line for line, _reason in reasons]
        told = [reason for _line, reason in reasons[:MOST_REASONS]]
        if len(reasons) > MOST_REASONS:
            told.append(_("And %d more lines.") % (len(reasons) - MOST_REASONS))
        if told or not found:
            self.add_error("products", told or [gettext("No line names a product.")])
        return data

    def only_wrong_lines(self) -> "AddProductsForm":
        """Answer this form as it is shown once the good lines are taken: what is left to mend, with the reasons."""
        self.data = {**{name: self.data.get(name) for name in self.fields}, "products": "\n".join(self.wrong_lines)}
        return self


def read_paste(paste: str, marketplace: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Answer the (marketplace, ASIN) that a paste names, each once and in order, and (line, reason) of wrong lines."""
    found: dict[tuple[str, str], None] = {}
    wrong: list[tuple[str, str]] = []
    for number, raw in _numbered(clean(INVISIBLE.sub("", paste))):
        line = " ".join(raw.split())
        if not line.strip(QUOTES + " ,;") or (not found and _is_header(raw)):
            continue
        identities, reasons = read_line(line, marketplace)
        found |= dict.fromkeys(identities)
        wrong += [
            (
                line,
                _("Line %(number)d, “%(line)s”: %(reason)s") % {"number": number, "line": line[:60], "reason": reason},
            )
            for reason in reasons[:1]
        ]
    return list(found), wrong


def _numbered(paste: str) -> Iterator[tuple[int, str]]:
    """Yield each line with its number; a very long one by its words, as searching it whole would take its square."""
    for number, line in enumerate(paste.splitlines(), 1):
        words = [line] if len(line) <= LONGEST_LINE else re.split(r"[\s,;|]+", line)
        yield from ((number, word[:LONGEST_LINE]) for word in words)


def _is_header(line: str) -> bool:
    columns = [column.strip(QUOTES + " ").lower() for column in re.split(r"[,;\t|]", line)]
    return any(column in HEADERS for column in columns)


def read_line(line: str, marketplace: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the (marketplace, ASIN) of one line, and what is wrong with it.

    Its addresses count, else what looks like an ASIN or ISBN; words beside them are taken for a name.
    """
    found, reasons = [], []
    addresses = ADDRESS.findall(line)
    whole = [] if addresses else [line]
    parts = re.split(r"[\s,;|]+", ADDRESS.sub(" ", line)) if addresses else re.split(r"[\s,;|]+", line)
    for text in [*addresses, *whole, *parts]:
        is_address = text in addresses
        text = text.strip(QUOTES + " ,;").rstrip(".!?" if is_address else "")
        try:
            found.append(_identity(text, marketplace))
        except ValueError as error:
            if is_address or _looks_meant(text, alone=len(parts) == 1):
                reasons.append(str(error))
        else:
            if text == line.strip(QUOTES + " ,;"):
                break
    if not found and not reasons:
        reasons = [_reason(line, marketplace)]
    return found, reasons


def _looks_meant(text: str, *, alone: bool) -> bool:
    """Whether a text that is no ASIN was meant as one: as long as one and with a digit, or all that the line says."""
    return alone or (bool(re.search(r"\d", text)) and bool(re.fullmatch(r"B0[0-9A-Za-z]{5,12}|[0-9]{9,13}[Xx]?", text)))


def _reason(line: str, marketplace: str) -> str:
    try:
        _identity(line, marketplace)
    except ValueError as error:
        return str(error)
    return ""


def _identity(text: str, marketplace: str) -> tuple[str, str]:
    if "/" in text or re.search(r"[A-Za-z]\.[A-Za-z]", text):
        site, asin = parse_address(text)
        return site.domain, asin
    return marketplace, parse_asin(text)


class WishesForm(forms.ModelForm):
    """What to tell. What is left empty is as `usual` says, which stands in the field's place."""

    def __init__(self, *args: Any, usual: Told, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in RULES:
            field: Any = self.fields[name]
            said = [choice for choice in getattr(field, "choices", ()) if choice[0] not in ("", None)]
            shown = self._shown(getattr(usual, name), said)
            if said:
                field.choices = [("", _("as usual: %s") % shown), *said]
            else:
                field.widget.attrs["placeholder"] = shown

    def groups(self) -> list[tuple[Any, list[forms.BoundField]]]:
        """Return the fields by what they are about, for the page."""
        found = [(title, [self[name] for name in names if name in self.fields]) for title, names in GROUPS]
        return [(title, fields) for title, fields in found if fields]

    def _shown(self, value: Any, choices: list[tuple[Any, Any]]) -> str:
        """Write a value as its field shows it; what is never told is a dash."""
        return str(dict(choices).get(value, "–" if value in (None, "") else value))


class BeginningForm(forms.ModelForm):
    """With what a team's new products begin, where nobody says otherwise."""

    class Meta:
        model = Beginning
        fields = ["frequency", "marketplace", "tags"]


class RulesForm(WishesForm):
    """What a team wants to be told of all it watches, or of what has a tag."""

    class Meta:
        model = Rules
        fields = [*RULES[:4], "currency", *RULES[4:], "muted_until"]
        widgets = {"muted_until": MOMENT}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        currency: Any = self.fields["currency"]
        currency.choices = [("", "–"), *currency.choices[1:]]


class TrackingForm(WishesForm):
    """How one team watches one product, and what it wants to be told of it where that differs."""

    class Meta:
        model = Tracking
        fields = ["alias", "role", "frequency", "paused", *RULES, "muted_until"]
        widgets = {"muted_until": MOMENT}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance.currency = self.instance.product.currency
