from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Have choices hold from the login on, each user have a team, and the audit know what is done here."""
        from amazon_pilot.jobs.models.audit_entry import know

        from . import choices, teams  # noqa: F401

        know(gettext_noop("invite"), gettext_noop("withdraw"), gettext_noop("revoke"), gettext_noop("close"))
        know(gettext_noop("join"), gettext_noop("leave"), gettext_noop("change role"), gettext_noop("hand over"))
