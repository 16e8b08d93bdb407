"""How a person may be reached."""

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from .models import Channel, ChannelKind


class ChannelForm(forms.ModelForm):
    """A new e-mail address or webhook of the signed-in user."""

    kind = forms.ChoiceField(
        label=_("Kind"), choices=[(kind.value, kind.label) for kind in (ChannelKind.EMAIL, ChannelKind.WEBHOOK)]
    )

    class Meta:
        model = Channel
        fields = ["kind", "address", "least_severity"]

    def clean_address(self) -> str:
        """Refuse an empty address and one that this user has already."""
        address = self.cleaned_data["address"].strip()
        if not address:
            raise ValidationError(_("Write an e-mail address, or the https address of a webhook."))
        if Channel.objects.filter(user=self.instance.user_id, kind=self.data.get("kind"), address=address).exists():
            raise ValidationError(_("You have this channel already."))
        return address
