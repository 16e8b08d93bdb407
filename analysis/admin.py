"""Columns, filters, and actions that call one verb."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from amazon_pilot.jobs.models import AuditEntry, Batch
from amazon_pilot.jobs.models.audit_entry import know
from products.admin import ReadOnlyAdmin

from .models import Comparison, Competitor, ModelCall, Report, Suggestion
from .tasks import competitor_analysis

know(gettext_noop("analyse"))  # what people do here, for the audit


class CompetitorInline(admin.TabularInline):
    model = Competitor
    autocomplete_fields = ("product",)
    min_num, max_num, extra = 3, 5, 0


@admin.register(Comparison)
class ComparisonAdmin(admin.ModelAdmin):
    list_display = ("__str__", "team", "product", "paused", "created_at")
    list_filter = ("paused",)
    list_select_related = ("team", "product")
    search_fields = ("name", "product__asin", "team__name")
    autocomplete_fields = ("team", "product")
    inlines = (CompetitorInline,)
    actions = ("analyse",)

    @admin.action(description=_("Write new reports on the selected comparisons"), permissions=["change"])
    def analyse(self, request: HttpRequest, comparisons: QuerySet[Comparison]) -> None:
        """Ask for a report on each."""
        reports = [
            Report.objects.ask_comparison(row, forced=True) for row in comparisons.select_related("product", "team")
        ]
        Batch.objects.fan_out(competitor_analysis, [(report.pk,) for report in reports], by=request.user)
        AuditEntry.objects.record(request.user, "analyse", "comparisons", count=len(reports))


class SuggestionInline(admin.TabularInline):
    model = Suggestion
    fields = readonly_fields = ("category", "priority", "impact_score", "title", "state")
    can_delete = False
    extra = 0
    max_num = 0


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "kind", "product", "team", "version", "state", "attempts", "completed_at", "error")
    list_filter = ("kind", "state", "model")
    list_select_related = ("product", "team")
    search_fields = ("product__asin", "team__name", "error")
    date_hierarchy = "created_at"
    inlines = (SuggestionInline,)


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "purpose",
        "model",
        "team",
        "input_tokens",
        "cached_tokens",
        "output_tokens",
        "reserved_usd",
        "cost_usd",
    )
    list_filter = ("purpose", "model")
    list_select_related = ("team",)
    search_fields = ("request_id",)
    date_hierarchy = "created_at"
