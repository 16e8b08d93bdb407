"""What a person may write about his account."""

import zoneinfo
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from .models import ApiToken, Preferences, Team


class PreferencesForm(forms.ModelForm):
    """Zone and language of the pages."""

    class Meta:
        model = Preferences
        fields = ["language", "zone"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        zones = sorted(name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
        as_asked = [("", _("as the browser says"))]
        self.fields["zone"] = forms.ChoiceField(
            label=_("Time zone"), required=False, choices=[*as_asked, ("UTC", "UTC"), *((zone, zone) for zone in zones)]
        )
        self.fields["language"] = forms.ChoiceField(
            label=_("Language"), required=False, choices=[*as_asked, *settings.LANGUAGES]
        )


class TeamForm(forms.ModelForm):
    """What a team is called."""

    class Meta:
        model = Team
        fields = ["name"]


class EndTeamForm(forms.Form):
    """The team's name once more, before it is deleted for good."""

    name = forms.CharField(
        label=_("The team's name"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text=_("Typed as it stands above."),
    )

    def __init__(self, *args: Any, team: Team, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.team = team

    def clean_name(self) -> str:
        """Refuse another name."""
        name: str = self.cleaned_data["name"]
        if name.strip() != self.team.name.strip():
            raise forms.ValidationError(_("This is not the team's name. Nothing was deleted."))
        return name


class TokenForm(forms.ModelForm):
    """A new token: what it is for, and what it may."""

    class Meta:
        model = ApiToken
        fields = ["name", "scope"]


class LeavingForm(forms.Form):
    """The password once more, before an account is closed for good."""

    password = forms.CharField(
        label=_("Your password"),
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_password(self) -> str:
        """Refuse a wrong one."""
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise forms.ValidationError(_("This is not your password."))
        return password
