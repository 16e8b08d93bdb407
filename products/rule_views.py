"""The pages on which a team says what it wants to be told, of all it watches and of what has a tag."""

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.teams import for_members
from amazon_pilot.http import AuthenticatedRequest

from .forms import BeginningForm, RulesForm
from .models import Beginning, Rules, Tag, Told, Tracking
from .models.past import told_of
from .models.rules import USUAL, Wishes, resolved
from .preview import MOST_PRODUCTS, Preview, preview

SNOOZES = {"day": timedelta(days=1), "week": timedelta(days=7)}


@login_required
def rules(request: AuthenticatedRequest, pk: int | None = None) -> HttpResponse:
    """Show what the team is told, or what it is told of what has a tag; try it on the last 30 days, or keep it."""
    tag = get_object_or_404(Tag, pk=pk, team=request.team) if pk else None
    row = Rules.objects.filter(team=request.team, tag=tag).first() or Rules(team_id=request.team.pk, tag=tag)
    above = Rules.objects.filter(team=request.team, tag=None).first() if tag else None
    form = RulesForm(request.POST or None, instance=row, usual=resolved([above], above.currency) if above else USUAL)
    tried = None
    if request.method == "POST" and form.is_valid():
        if "try" not in request.POST:
            form.save()
            messages.success(request, _("Saved."))
            return redirect(request.path)
        tried = try_rules(_concerned(request.team, tag), form.instance, above)
    context = {
        "form": form,
        "tag": tag,
        "tried": tried,
        "tags": Tag.objects.filter(team=request.team).select_related("rules")[:500],
    }
    is_wrong = form.is_bound and not form.is_valid()
    return render(request, "products/rules.html", context, status=422 if is_wrong else 200)


def _concerned(team: Any, tag: Tag | None) -> list[Tracking]:
    rows = Tracking.objects.filter(team=team, paused=False)
    rows = rows.filter(tags=tag) if tag else rows
    return list(rows.select_related("product").order_by("-pk")[:MOST_PRODUCTS])


def try_rules(trackings: list[Tracking], row: Wishes, above: Wishes | None = None) -> Preview:
    """Return what rules that are not kept yet would have told of these products, beside what each says itself."""

    def told(tracking: Tracking) -> Told:
        levels = [*([] if row is tracking else [tracking]), row, *([above] if above else [])]
        return resolved(levels, tracking.product.currency)

    return preview(trackings, told)


def usual_for(tracking: Tracking) -> Told:
    """Return what is told of a product where it says nothing itself."""
    silent = Tracking(pk=tracking.pk, team_id=tracking.team_id, product=tracking.product)
    return told_of([silent])[tracking.pk]


@require_POST
@login_required
def snooze(request: AuthenticatedRequest, marketplace: str, asin: str) -> HttpResponse:
    """Hear nothing of one product for a day or a week, or hear of it again."""
    rows = Tracking.objects.select_related("product")
    tracking = get_object_or_404(rows, team=request.team, product__marketplace=marketplace, product__asin=asin)
    span = SNOOZES.get(request.POST.get("for", ""))
    Tracking.objects.filter(pk=tracking.pk).update(muted_until=now() + span if span else None)
    messages.success(request, _("You hear nothing of it until then.") if span else _("You hear of it again."))
    return redirect(tracking.product)


@login_required
@for_members
def beginning(request: AuthenticatedRequest) -> HttpResponse:
    """Say with what the team's new products begin."""
    form = BeginningForm(request.POST or None, instance=Beginning.objects.of(request.team))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return redirect("products:add")
    return render(request, "products/beginning.html", {"form": form}, status=422 if request.method == "POST" else 200)
