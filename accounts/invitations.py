"""Who may be invited, and the link that an invitation is."""

from django import forms
from django.conf import settings
from django.contrib.auth import get_user_model
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from .models import MOST_INVITATIONS, Invitation


def link_to(invitation: Invitation) -> str:
    """Return the address that accepts an invitation; whoever has it can."""
    return f"{settings.SITE_URL}{reverse('invited', args=[invitation.secret])}"


class InvitationForm(forms.Form):
    """The address of somebody who has no account yet."""

    email = forms.EmailField(label=_("E-mail"), max_length=254)

    def clean_email(self) -> str:
        """Refuse whom we know already, and more open invitations than anybody needs."""
        email: str = self.cleaned_data["email"]
        if get_user_model()._default_manager.filter(email__iexact=email).exists():
            raise forms.ValidationError(_("There is an account with this address."))
        if Invitation.objects.open().filter(email__iexact=email).exists():
            raise forms.ValidationError(_("This address is invited already. Withdraw that invitation first."))
        if Invitation.objects.open().count() >= MOST_INVITATIONS:
            raise forms.ValidationError(_("There are 200 open invitations. Withdraw some first."))
        return email
