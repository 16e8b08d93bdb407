"""How a person may be reached."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .models import Channel, ChannelKind


class ChannelForm(forms.ModelForm):
    """A new e-mail address or webhook of a team."""

    kind = forms.ChoiceField(
        label=_("Kind"), choices=[(kind.value, kind.label) for kind in (ChannelKind.EMAIL, ChannelKind.WEBHOOK)]
    )

    class Meta:
        model = Channel
        fields = ["kind", "address", "least_severity"]

    def clean(self) -> dict[str, Any]:
        """Refuse a channel that the team has already."""
        data = super().clean() or self.cleaned_data
        same = {"kind": data.get("kind"), "address": data.get("address")}
        if Channel.objects.filter(team=self.instance.team_id, **same).exists():
            raise ValidationError(_("Your team has this channel already."))
        return data
