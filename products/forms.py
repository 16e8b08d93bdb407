"""What a person may type, and what is wrong with it."""

import re
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .amazon import MARKETPLACES, parse_address, parse_asin
from .models import Frequency, Role, Tracking

MOST_AT_ONCE = 100


class AddProductsForm(forms.Form):
    """ASINs or Amazon addresses, one per line; an address names its own marketplace."""

    products = forms.CharField(
        label=_("ASINs or addresses"),
        widget=forms.Textarea(attrs={"rows": 4, "placeholder": "B0SYN00001\nhttps://www.amazon.de/dp/B0SYN00006"}),
        help_text=_("One per line, up to 100."),
    )
    marketplace = forms.ChoiceField(
        label=_("Marketplace of the ASINs"), choices=[(domain, domain) for domain in MARKETPLACES], initial="amazon.com"
    )
    role = forms.ChoiceField(label=_("These are"), choices=Role.choices, initial=Role.OWN)
    frequency = forms.ChoiceField(label=_("Look at them"), choices=Frequency.choices, initial=Frequency.DAILY)

    def clean(self) -> dict[str, Any]:
        """Read every line; each wrong one is named with its reason."""
        data = super().clean() or self.cleaned_data
        lines = [line for line in re.split(r"[\s,;]+", data.get("products", "").strip()) if line]
        if len(lines) > MOST_AT_ONCE:
            raise ValidationError({"products": _("At most 100 products can be added at once.")})
        if "marketplace" not in data:
            return data
        found, wrong = {}, []
        for line in lines:
            try:
                found[_identity(line, data["marketplace"])] = line
            except ValueError as error:
                wrong.append(str(error))
        if wrong:
            raise ValidationError({"products": wrong})
        data["identities"] = list(found)
        return data


def _identity(line: str, marketplace: str) -> tuple[str, str]:
    if "/" in line or "." in line:
        site, asin = parse_address(line)
        return site.domain, asin
    return marketplace, parse_asin(line)


class TrackingForm(forms.ModelForm):
    """How one user watches one product."""

    class Meta:
        model = Tracking
        fields = [
            *(
                "alias",
                "role",
                "frequency",
                "paused",
                "price_threshold",
                "bsr_threshold",
                "bsr_unit",
                "rating_threshold",
            ),
            *("review_threshold", "tell_buybox", "tell_availability", "tell_listing", "rearm_minutes"),
        ]
