"""The page on which a team says which sellers it is itself, and which may sell on its listings."""

import re
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_POST

from amazon_pilot.http import AuthenticatedRequest

from .models import Role, Seller, Tracking

# Products in whose buy boxes sellers are looked for that could be one's own: the newest ones.
MOST_LOOKED_AT, MOST_SEEN, MOST_KNOWN = 500, 20, 200
ADDRESS = re.compile(r"[?&/](?:seller|me|merchant)=([A-Za-z0-9]+)")


class SellerForm(forms.ModelForm):
    """A seller's id, or the address of the seller's page."""

    is_own = forms.TypedChoiceField(
        label=gettext_lazy("This seller"),
        coerce=lambda value: value == "own",
        choices=[("own", gettext_lazy("is us")), ("allowed", gettext_lazy("may sell on our listings"))],
    )

    class Meta:
        model = Seller
        fields = ["key", "name", "is_own"]

    def clean_key(self) -> str:
        """Return the id; an address names it."""
        text = " ".join(self.cleaned_data["key"].split())
        found = ADDRESS.search(text)
        if found is None and ("/" in text or "=" in text):
            raise forms.ValidationError(_("This address names no seller. Copy that of the seller's own page."))
        return found[1] if found else text


@login_required
def sellers(request: AuthenticatedRequest) -> HttpResponse:
    """Show the sellers that the team knows and those in the buy boxes of its products, and add one."""
    form = SellerForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        _keep(request.team.pk, form.cleaned_data)
        messages.success(request, _("Saved."))
        return redirect("products:sellers")
    known = list(Seller.objects.filter(team=request.team)[:MOST_KNOWN])
    context = {"form": form, "known": known, "seen": _seen(request.team, {seller.key for seller in known})}
    return render(request, "products/sellers.html", context, status=422 if form.is_bound else 200)


def _keep(team_id: int, words: dict[str, Any]) -> None:
    """Store a seller; one that is known is what was said last."""
    try:
        with transaction.atomic():
            Seller.objects.create(team_id=team_id, **words)
    except IntegrityError:
        Seller.objects.filter(team=team_id, key=words["key"]).update(is_own=words["is_own"])


def _seen(team: Any, known: set[str]) -> list[tuple[str, str]]:
    """Return (key, name) of sellers that hold the buy box of the team's own products and are not known yet."""
    own = Tracking.objects.filter(team=team, role=Role.OWN).exclude(product__seller="").order_by("-pk")
    rows = own.values_list("product__seller_id", "product__seller")[:MOST_LOOKED_AT]
    names = {key or name: name for key, name in rows}
    return [(key, name) for key, name in names.items() if key not in known][:MOST_SEEN]


@require_POST
@login_required
def forget(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Know a seller no more."""
    get_object_or_404(Seller, pk=pk, team=request.team).delete()
    messages.success(request, _("Forgotten."))
    return redirect("products:sellers")
