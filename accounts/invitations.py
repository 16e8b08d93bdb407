"""Who may be invited, and the link that an invitation is."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from .models import MOST_INVITATIONS, Invitation, Team, TeamRole

MOST_OF_A_TEAM = 50


def link_to(invitation: Invitation) -> str:
    """Return the address that accepts an invitation; whoever has it can."""
    return f"{settings.SITE_URL}{reverse('invited', args=[invitation.secret])}"


class TeamInvitationForm(forms.Form):
    """Whom to have in the team, and as what. It does not tell who has an account here."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)
    role = forms.ChoiceField(
        label=_("As"), choices=[(role.value, role.label) for role in (TeamRole.MEMBER, TeamRole.VIEWER)]
    )

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team

    def clean_email(self) -> str:
        """Refuse who is in the team, and more open invitations than a team needs."""
        email: str = self.cleaned_data["email"]
        open_ = Invitation.objects.open().filter(team=self.team)
        if self.team.members.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("Somebody with this address is in the team."))
        if open_.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("This address is invited already. Withdraw that invitation first."))
        if open_.count() >= MOST_OF_A_TEAM:
            raise forms.ValidationError(_("The team has 50 open invitations. Withdraw some first."))
        return email


class InvitationForm(forms.Form):
    """The address of somebody who has no account yet."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)

    def clean_email(self) -> str:
        """Refuse whom we know already, and more open invitations than anybody needs."""
        email: str = self.cleaned_data["email"]
        if get_user_model()._default_manager.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("There is an account with this address."))
        if Invitation.objects.open().filter(email__iexact=email, team=None).exists():
            raise forms.ValidationError(_("This address is invited already. Withdraw that invitation first."))
        if Invitation.objects.open().filter(team=None).count() >= MOST_INVITATIONS:
            raise forms.ValidationError(_("There are 200 open invitations. Withdraw some first."))
        return email
