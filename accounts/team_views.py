"""The page of a team: who is in it and as what, whom it invites, how one leaves it; and the switch between teams."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import get_language
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from amazon_pilot.http import AuthenticatedRequest
from amazon_pilot.jobs.models import AuditEntry
from products.models import Beginning, Tracking

from .forms import EndTeamForm, TeamForm
from .invitations import TeamInvitationForm
from .leaving import end_team, part
from .models import Invitation, Membership, Preferences, Team, TeamRole
from .tasks import remove_team, send_invitation
from .teams import CHOSEN, ensure_owner


@login_required
def team(request: AuthenticatedRequest) -> HttpResponse:
    """Show who is in the team, and let its owner rename it."""
    form = TeamForm(request.POST or None, instance=Team.objects.get(pk=request.team.pk))
    if request.method == "POST":
        ensure_owner(request)
        if form.is_valid():
            form.save()
            messages.success(request, _("Saved."))
            return redirect("team")
    return _shown(request, form=form)


def _shown(
    request: AuthenticatedRequest,
    form: TeamForm | None = None,
    invite: TeamInvitationForm | None = None,
    new: TeamForm | None = None,
) -> HttpResponse:
    is_wrong = any(one is not None and one.is_bound for one in (form, invite, new))
    context = {
        "form": form or TeamForm(instance=Team.objects.get(pk=request.team.pk)),
        "invite_form": invite or TeamInvitationForm(team=request.team, prefix="invite"),
        "new_form": new or TeamForm(prefix="new"),
        "members": Membership.objects.filter(team=request.team).select_related("user").order_by("pk"),
        "invitations": Invitation.objects.open().filter(team=request.team) if request.membership.is_owner else (),
        "beginning": Beginning.objects.of(request.team),
        "roles": [(role.value, role.label) for role in (TeamRole.MEMBER, TeamRole.VIEWER)],
    }
    return render(request, "account/team.html", context, status=422 if is_wrong else 200)


@require_POST
@login_required
def new_team(request: AuthenticatedRequest) -> HttpResponse:
    """Make a further team, and go into it."""
    form = TeamForm(request.POST, prefix="new")
    if form.is_valid():
        try:
            membership = Team.objects.found(request.user, form.cleaned_data["name"])
        except ValidationError as error:
            form.add_error(None, error)
        else:
            AuditEntry.objects.record(request.user, "create", f"team {membership.team}")
            go_into(request, membership)
            return redirect("team")
    return _shown(request, new=form)


@login_required
def delete_team(request: AuthenticatedRequest) -> HttpResponse:
    """Delete the team with all that is its, once its owner has typed its name; the rows go in the background."""
    ensure_owner(request)
    team = Team.objects.get(pk=request.team.pk)
    form = EndTeamForm(request.POST or None, team=team)
    if request.method == "POST" and form.is_valid():
        if end_team(team):
            AuditEntry.objects.record(request.user, "delete", f"team {team} (#{team.pk})")
            remove_team.enqueue(team.pk)
        request.session.pop(CHOSEN, None)
        messages.success(request, _("%s is deleted. What belonged to it goes within minutes.") % team)
        return redirect("products:home")
    context = {
        "form": form,
        "team": team,
        "number": Tracking.objects.filter(team=team).count(),
        "others": Membership.objects.filter(team=team).count() - 1,
    }
    return render(request, "account/delete_team.html", context, status=422 if request.method == "POST" else 200)


@require_POST
@login_required
def enter(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Work for another of one's teams from now on."""
    go_into(request, get_object_or_404(Membership, team=pk, user=request.user))
    return redirect("products:home")


def go_into(request: HttpRequest, membership: Membership) -> None:
    """Have this session, and those that begin later, show a team."""
    request.session[CHOSEN] = membership.team_id
    Preferences.objects.update_or_create(user=membership.user, defaults={"team": membership.team})


@require_POST
@login_required
def invite(request: AuthenticatedRequest) -> HttpResponse:
    """Invite somebody into the team by mail."""
    ensure_owner(request)
    form = TeamInvitationForm(request.POST, team=request.team, prefix="invite")
    if not form.is_valid():
        return _shown(request, invite=form)
    row = Invitation.objects.create(
        **form.cleaned_data, team_id=request.team.pk, invited_by=request.user, language=get_language() or ""
    )
    AuditEntry.objects.record(request.user, "invite", f"team {request.team}: {row.email}")
    send_invitation.enqueue(row.pk)
    messages.success(request, _("An invitation to %s is on its way.") % row.email)
    return redirect("team")


@require_POST
@login_required
def withdraw(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Make the link of an invitation into the team worthless."""
    row = get_object_or_404(Invitation.objects.open(), pk=pk, team=request.team)
    ensure_owner(request)
    AuditEntry.objects.record(request.user, "withdraw", f"team {request.team}: {row.email}")
    row.delete()
    messages.success(request, _("The invitation is withdrawn."))
    return redirect("team")


@require_POST
@login_required
def change_role(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Make a member a viewer or the other way, or hand the team over to him."""
    row = get_object_or_404(Membership.objects.select_related("user"), pk=pk, team=request.team)
    ensure_owner(request)
    role = request.POST.get("role", "")
    if role == TeamRole.OWNER:
        return _hand_over(request, row)
    changed = Membership.objects.filter(pk=pk).exclude(role=TeamRole.OWNER)
    if role in TeamRole.values and changed.update(role=role):
        AuditEntry.objects.record(request.user, "change role", f"team {request.team}: {row.user}, {role}")
        messages.success(request, _("Saved."))
    else:
        messages.warning(request, _("The owner stays the owner until he hands the team over."))
    return redirect("team")


def _hand_over(request: AuthenticatedRequest, heir: Membership) -> HttpResponse:
    if Membership.objects.hand_over(request.membership, heir):
        AuditEntry.objects.record(request.user, "hand over", f"team {request.team}: {heir.user}")
        messages.success(request, _("The team is %s's now.") % heir.user)
    else:
        messages.warning(request, _("Somebody has changed this meanwhile. Look at the page again."))
    return redirect("team")


@require_POST
@login_required
def remove_member(request: AuthenticatedRequest, pk: int) -> HttpResponse:
    """Leave the team, or, for its owner, have somebody leave it."""
    row = get_object_or_404(Membership.objects.select_related("user", "team"), pk=pk, team=request.team)
    is_own = row.user_id == request.user.pk
    if not is_own:
        ensure_owner(request)
    if not part(row):
        messages.warning(request, _("The owner cannot leave: hand the team over first."))
        return redirect("team")
    AuditEntry.objects.record(request.user, "leave", f"team {row.team}: {row.user}")
    messages.success(request, _("You have left %s.") % row.team if is_own else _("%s is no longer in it.") % row.user)
    return redirect("products:home" if is_own else "team")
