from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop


class AccountsConfig(AppConfig):
    name = "accounts"
    verbose_name = _("Accounts")

    def ready(self) -> None:
        """Have what a user has chosen hold from the login on, and the audit know what is done here."""
        from amazon_pilot.jobs.models.audit_entry import know

        from . import choices  # noqa: F401

        know(gettext_noop("invite"), gettext_noop("withdraw"), gettext_noop("revoke"), gettext_noop("close"))
