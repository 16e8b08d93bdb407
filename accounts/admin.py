"""What operators see of accounts; nobody reads a token or an invitation's link here."""

from django.contrib import admin

from products.admin import ReadOnlyAdmin

from .models import ApiToken, Invitation, Membership, Team


class MembershipInline(admin.TabularInline):
    model = Membership
    fields = readonly_fields = ("user", "role", "created_at")
    can_delete = False
    extra = 0
    max_num = 0


@admin.register(Team)
class TeamAdmin(ReadOnlyAdmin):
    list_display = ("name", "created_at")
    search_fields = ("name", "members__username")
    inlines = (MembershipInline,)


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ("name", "membership", "scope", "start", "created_at", "last_used_at")
    list_filter = ("scope",)
    list_select_related = ("membership__user", "membership__team")
    search_fields = ("name", "membership__user__username", "membership__team__name")
    exclude = ("digest",)


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ("email", "team", "role", "invited_by", "created_at", "expires_at", "sent_at", "accepted_at")
    list_select_related = ("invited_by", "team")
    search_fields = ("email",)
