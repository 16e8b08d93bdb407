"""The sellers' pages on notifications and the ways to reach them."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.timezone import now
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from amazon_pilot.http import AuthenticatedRequest
from products import keyset

from .forms import ChannelForm
from .models import Channel, ChannelKind, Notification

PER_PAGE = 50


@require_GET
@login_required
def list_(request: AuthenticatedRequest) -> HttpResponse:
    """Show what this team was told, newest first."""
    only_unread = bool(request.GET.get("unread"))
    # The channels by their ids: so one index gives the rows in their order, however many there are.
    own = list(Channel.objects.on_pages(request.team, request.user).values_list("pk", flat=True))
    rows = Notification.objects.filter(channel__in=own)
    key = keyset.read_key(request.GET.get("page", ""), keyset.moment)
    part = keyset.cut(rows.unread() if only_unread else rows, "created_at", key, PER_PAGE, descending=True)
    found = Notification.objects.in_bulk(part.ids)
    context = {"rows": [found[pk] for pk in part.ids], "part": part, "only_unread": only_unread}
    return render(request, "notifications/list.html", context)


@require_POST
@login_required
def read(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Acknowledge one notification."""
    get_object_or_404(Notification.objects.of(request.team, request.user), pk=pk)
    Notification.objects.filter(pk=pk).update(read_at=now())
    return redirect("notifications:list")


@require_POST
@login_required
def read_all(request: AuthenticatedRequest) -> HttpResponse:
    """Acknowledge everything that was told until now."""
    Notification.objects.filter(
        pk__in=Notification.objects.of(request.team, request.user).unread().values("pk")
    ).update(read_at=now())
    return redirect("notifications:list")


@login_required
def channels(request: AuthenticatedRequest) -> HttpResponse:
    """Show and add ways to reach this team."""
    form = ChannelForm(request.POST or None, instance=Channel(team=request.team, user=request.user))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("The channel was added."))
        return redirect("notifications:channels")
    rows = Channel.objects.filter(team=request.team).exclude(kind=ChannelKind.APP).with_last_trouble()
    context = {"form": form, "channels": rows}
    return render(request, "notifications/channels.html", context, status=422 if form.is_bound else 200)


@require_POST
@login_required
def pause_channel(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Pause a channel, or use it again, which also forgives its refusals."""
    channel = get_object_or_404(Channel, pk=pk, team=request.team)
    Channel.objects.filter(pk=pk).update(paused=not channel.is_silent, disabled_reason="", failures=0)
    return redirect("notifications:channels")


@require_POST
@login_required
def remove_channel(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Delete a channel."""
    get_object_or_404(Channel, pk=pk, team=request.team).delete()
    messages.success(request, _("The channel was deleted."))
    return redirect("notifications:channels")
