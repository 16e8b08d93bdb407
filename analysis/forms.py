"""What a person may choose for a comparison, and what is wrong with it."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from products.models import Product, Role, Tracking

from .models import check_competitors


class ComparisonForm(forms.Form):
    """One own product and 3 to 5 competitors from the team's own list; the page has them searched (picking.py)."""

    name = forms.CharField(label=_("Name"), max_length=100, required=False)
    product = forms.ModelChoiceField(label=_("Your product"), queryset=Product.objects.none())
    competitors = forms.ModelMultipleChoiceField(
        label=_("Competitors"),
        queryset=Product.objects.none(),
    )

    def __init__(self, *args: Any, team: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team
        mine = Product.objects.tracked_by(team)
        own = Tracking.objects.filter(team=team, role=Role.OWN).values("product")
        fields: dict[str, Any] = self.fields
        fields["product"].queryset = mine.filter(pk__in=own)
        fields["competitors"].queryset = mine

    def clean(self) -> dict[str, Any]:
        """Refuse a group that cannot be compared."""
        data = super().clean() or self.cleaned_data
        if "product" in data and "competitors" in data:
            check_competitors(self.team, data["product"], list(data["competitors"]))
        return data
