"""What a user keeps of the list under a name: kept, renamed, begun with, deleted."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.http import HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from amazon_pilot.http import AuthenticatedRequest

from .models import SavedView
from .models.saved_view import named
from .watchlist import ALL, Wanted


@require_POST
@login_required
def keep(request: AuthenticatedRequest) -> HttpResponse:
    """Keep what the list was asked for, as far as the list knows it, and show it."""
    query = Wanted.of(QueryDict(request.POST.get("query", "")[:2000])).text
    try:
        view = SavedView.objects.keep(request.membership, request.POST.get("name", ""), query)
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
        return _show(query)
    if "begin" in request.POST:
        SavedView.objects.begin_with(view, True)
    messages.success(request, _("The view “%s” is kept.") % view)
    return _show(view.query)


@require_POST
@login_required
def change(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Rename one view, and say whether the list begins with it."""
    view = get_object_or_404(SavedView.objects.of(request.membership), pk=pk)
    try:
        with transaction.atomic():
            SavedView.objects.filter(pk=pk).update(name=named(request.POST.get("name", "")))
    except ValidationError as error:
        messages.warning(request, " ".join(error.messages))
    except IntegrityError:
        messages.warning(request, _("You keep another view under this name. Choose a different one."))
    else:
        SavedView.objects.begin_with(view, "begin" in request.POST)
        messages.success(request, _("Saved."))
    return _show(view.query)


@require_POST
@login_required
def delete(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Forget one view; what it showed stays."""
    view = get_object_or_404(SavedView.objects.of(request.membership), pk=pk)
    view.delete()
    messages.success(request, _("The view “%s” is deleted.") % view)
    return _show(view.query)


def _show(query: str) -> HttpResponse:
    return redirect(f"{reverse('products:list')}?{query or ALL}")
