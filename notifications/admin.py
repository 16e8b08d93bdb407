"""Columns, filters, and actions that call one verb."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from amazon_pilot.jobs.models import AuditEntry, Batch
from amazon_pilot.jobs.models.audit_entry import know
from products.admin import ReadOnlyAdmin

from .models import Channel, Notification, State
from .tasks import send_notification

know(gettext_noop("send again"))  # what people do here, for the audit


@admin.register(Channel)
class ChannelAdmin(admin.ModelAdmin):
    list_display = ("team", "user", "kind", "address", "least_severity", "paused", "disabled_reason", "created_at")
    list_filter = ("kind", "paused")
    list_select_related = ("team", "user")
    search_fields = ("team__name", "user__username", "address")
    autocomplete_fields = ("team", "user")


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "subject", "channel", "state", "attempts", "sent_at", "error")
    list_filter = ("state", "channel__kind")
    list_select_related = ("channel",)
    search_fields = ("subject", "key", "channel__address")
    date_hierarchy = "created_at"
    actions = ("send_again",)

    def has_send_again_permission(self, request: HttpRequest) -> bool:
        """Tell whether the person may send: rows are read-only here, but the right to change them says it."""
        user: Any = request.user
        return bool(user.has_perm("notifications.change_notification"))

    @admin.action(description=_("Send the selected failed or doubtful notifications again"), permissions=["send_again"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Notification]) -> None:
        """Put failed and doubtful ones back and enqueue them; each keeps its key, by which a receiver knows it."""
        ids = list(rows.filter(state__in=(State.FAILED, State.UNKNOWN)).values_list("pk", flat=True))
        Notification.objects.filter(pk__in=ids).update(state=State.PENDING, attempts=0, next_at=Now())
        Batch.objects.fan_out(send_notification, [(pk,) for pk in ids], by=request.user)
        AuditEntry.objects.record(request.user, "send again", "notifications", count=len(ids))
