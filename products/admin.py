"""Columns, filters, and actions that call one verb."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth import get_permission_codename
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop, ngettext

from amazon_pilot.jobs.models import AuditEntry, Batch
from amazon_pilot.jobs.models.audit_entry import know

from .models import (
    BudgetUse,
    Change,
    Cleanup,
    DaySpending,
    Picture,
    Product,
    Rules,
    RunTarget,
    ScrapeRun,
    Seller,
    Snapshot,
    SnapshotRank,
    Tracking,
)
from .tasks import BATCH_SIZE, batch_update_products, collect_scrape_run

know(
    gettext_noop("update"),
    gettext_noop("monitor"),
    gettext_noop("collect"),
    gettext_noop("leave alone"),
    gettext_noop("resume planning"),
    gettext_noop("release"),
    gettext_noop("discard"),
)  # what people do here, for the audit


class ReadOnlyAdmin(admin.ModelAdmin):
    """Rows that only the machine writes: they can be read, and deleted by retention alone.

    An action that asks for the permission "operate" is for those who may change such a row, though no form lets them.
    """

    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(f"{self.opts.app_label}.{get_permission_codename('change', self.opts)}")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Product)
class ProductAdmin(admin.ModelAdmin):
    list_display = ("asin", "marketplace", "title", "price", "bsr", "rating", "availability", "checked_at", "monitored")
    list_filter = ("marketplace", "monitored", "availability", "last_outcome")
    search_fields = ("asin", "title", "brand")
    date_hierarchy = "created_at"
    actions = ("update_now", "monitor", "leave_alone")
    readonly_fields = ("checked_at", "failures", "retry_at", "last_outcome", "created_at", "jobs")

    @admin.display(description=_("jobs"))
    def jobs(self, product: Product) -> str:
        """Return the link to what the monitor knows of its jobs."""
        if product.pk is None:
            return "–"
        return format_html(
            '<a href="{}">{}</a>', reverse("monitor:about", args=[f"product:{product.pk}"]), _("Its jobs")
        )

    @admin.action(description=_("Look at the selected products now"), permissions=["change"])
    def update_now(self, request: HttpRequest, products: QuerySet[Product]) -> None:
        """Enqueue batches for the selected products."""
        products.ask()  # type: ignore[attr-defined] # a ProductQuerySet
        batches = list(Product.objects.filter(pk__in=products.values("pk")).batches(BATCH_SIZE))
        Batch.objects.fan_out(batch_update_products, [(ids,) for ids in batches], by=request.user)
        count = sum(len(ids) for ids in batches)
        AuditEntry.objects.record(request.user, "update", "products", count=count)
        message = ngettext("%d product will be looked at.", "%d products will be looked at.", count) % count
        self.message_user(request, message, messages.SUCCESS)

    @admin.action(description=_("Monitor the selected products"), permissions=["change"])
    def monitor(self, request: HttpRequest, products: QuerySet[Product]) -> None:
        """Fetch them again, and forget their failures."""
        count = products.update(monitored=True, failures=0, retry_at=None)
        AuditEntry.objects.record(request.user, "monitor", "products", count=count)

    @admin.action(description=_("Leave the selected products alone"), permissions=["change"])
    def leave_alone(self, request: HttpRequest, products: QuerySet[Product]) -> None:
        """Fetch them no more, for anyone."""
        AuditEntry.objects.record(request.user, "leave alone", "products", count=products.update(monitored=False))


@admin.register(Tracking)
class TrackingAdmin(admin.ModelAdmin):
    list_display = ("product", "team", "role", "frequency", "alias", "paused", "created_at")
    list_filter = ("role", "frequency", "paused")
    list_select_related = ("product", "team")
    search_fields = ("alias", "product__asin", "product__title", "team__name")
    autocomplete_fields = ("product", "team")


class RunTargetInline(admin.TabularInline):
    model = RunTarget
    ordering = ("outcome", "asin")
    fields = readonly_fields = ("asin", "product", "outcome", "reason", "answer")
    can_delete = False
    extra = 0
    max_num = 0


@admin.register(Rules)
class RulesAdmin(ReadOnlyAdmin):
    list_display = ("team", "tag", "price_threshold", "bsr_threshold", "muted_until")
    list_select_related = ("team", "tag")
    search_fields = ("team__name", "tag__name")


@admin.register(Seller)
class SellerAdmin(ReadOnlyAdmin):
    list_display = ("key", "name", "team", "is_own")
    list_filter = ("is_own",)
    list_select_related = ("team",)
    search_fields = ("key", "name", "team__name")


@admin.register(ScrapeRun)
class ScrapeRunAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "marketplace",
        "asins",
        "state",
        "attempts",
        "started_at",
        "finished_at",
        "cost_usd",
        "error",
    )
    list_filter = ("state", "marketplace", "stops_planning", "changes_held")
    search_fields = ("apify_id", "ref", "error")
    date_hierarchy = "created_at"
    inlines = (RunTargetInline,)
    actions = ("collect", "resume_planning")

    @admin.action(description=_("Ask Apify about the selected runs now"), permissions=["operate"])
    def collect(self, request: HttpRequest, runs: QuerySet[ScrapeRun]) -> None:
        """Enqueue a question for each started run."""
        ids = list(runs.filter(state="started").values_list("pk", flat=True))
        Batch.objects.fan_out(collect_scrape_run, [(pk,) for pk in ids], by=request.user)
        AuditEntry.objects.record(request.user, "collect", "scrape runs", count=len(ids))

    @admin.action(description=_("Resume planning after Apify refused"), permissions=["operate"])
    def resume_planning(self, request: HttpRequest, runs: QuerySet[ScrapeRun]) -> None:
        """Plan again once the token or the account was mended."""
        count = ScrapeRun.objects.resume_planning()
        AuditEntry.objects.record(request.user, "resume planning", "scrape runs", count=count)


@admin.register(RunTarget)
class RunTargetAdmin(ReadOnlyAdmin):
    """What became of each ASIN of each run: here a person finds the answers that were set aside."""

    list_display = ("asin", "product", "outcome", "reason", "scrape_run")
    list_filter = ("outcome",)
    list_select_related = ("product", "scrape_run")
    search_fields = ("asin", "reason")
    ordering = ("-pk",)


@admin.register(Picture)
class PictureAdmin(ReadOnlyAdmin):
    """Where pictures come from, and why one did not."""

    list_display = ("product", "kind", "fetched_at", "due_at", "attempts", "error")
    list_filter = ("kind",)
    list_select_related = ("product",)
    search_fields = ("product__asin", "error")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Picture]:
        """Leave the bytes where they are."""
        return super().get_queryset(request).defer("content")


@admin.register(DaySpending)
class DaySpendingAdmin(ReadOnlyAdmin):
    list_display = ("day", "__str__")


@admin.register(BudgetUse)
class BudgetUseAdmin(ReadOnlyAdmin):
    """What months, and teams in a day or a month, have spent at Apify."""

    list_display = ("key", "__str__")
    search_fields = ("key",)


@admin.register(Cleanup)
class CleanupAdmin(ReadOnlyAdmin):
    """How far each kind of clean-up has come; `manage.py cleanup --dry-run` says what is next."""

    list_display = ("__str__", "reached_at", "begun_at", "stepped_at", "ended_at", "seen", "gone")


class SnapshotRankInline(admin.TabularInline):
    model = SnapshotRank
    fields = readonly_fields = ("position", "category", "rank")
    can_delete = False
    extra = 0
    max_num = 0


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = ("product", "taken_at", "price", "currency", "rating", "review_count", "availability", "seller")
    list_filter = ("availability", "currency")
    list_select_related = ("product",)
    search_fields = ("product__asin",)
    date_hierarchy = "taken_at"
    inlines = (SnapshotRankInline,)


@admin.register(Change)
class ChangeAdmin(ReadOnlyAdmin):
    list_display = ("seen_at", "tracking", "kind", "before", "after", "percent", "severity")
    list_filter = ("kind", "severity", "direction")
    list_select_related = ("tracking__product", "tracking__team")
    search_fields = ("tracking__product__asin", "tracking__alias")
    date_hierarchy = "seen_at"
