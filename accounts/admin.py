"""What operators see of accounts; nobody reads a token or an invitation's link here."""

from django.contrib import admin

from products.admin import ReadOnlyAdmin

from .models import ApiToken, Invitation


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "scope", "start", "created_at", "last_used_at")
    list_filter = ("scope",)
    list_select_related = ("user",)
    search_fields = ("name", "user__username")
    exclude = ("digest",)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ("email", "invited_by", "created_at", "expires_at", "sent_at", "accepted_at")
    list_select_related = ("invited_by",)
    search_fields = ("email",)
