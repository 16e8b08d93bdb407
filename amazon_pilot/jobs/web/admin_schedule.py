"""The schedule in the monitor: entries with their next fires, buttons that call verbs, and the history of fires."""

import zoneinfo
from datetime import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.widgets import AdminSplitDateTime
from django.db.models import Field, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from ..inspect.words import ago, breakable
from ..models import Fire, JobRun, ScheduleEntry
from ..models.job_run import Outcome
from ..schedule import cron_text, fires
from ..schedule import entries as schedule


def label_halves(widget: AdminSplitDateTime) -> AdminSplitDateTime:
    """Name date and time to a screen reader: the admin's own widget labels neither box."""
    for half, label in zip(widget.widgets, (_("Date"), _("Time")), strict=True):
        half.attrs["aria-label"] = label
    return widget


class PauseForm(forms.Form):
    """Why an entry is paused, and until when; without an end it stays paused until someone resumes it."""

    reason = forms.CharField(label=_("Reason"), max_length=500)
    until = forms.SplitDateTimeField(label=_("Until"), required=False, widget=label_halves(AdminSplitDateTime()))

    def clean_until(self) -> datetime | None:
        until: datetime | None = self.cleaned_data["until"]
        if until and until <= timezone.now():
            raise forms.ValidationError(_("This time has passed."))
        return until


@admin.register(ScheduleEntry)
class ScheduleEntryAdmin(admin.ModelAdmin):
    list_display = ("name", "state", "when", "next_fire", "last_fire", "last_run", "queue", "task_name")
    list_filter = ("queue", "zone")
    search_fields = ("name", "task")
    fields = ("name", *schedule.EDITABLE, "state", "preview", "history")
    readonly_fields = ("state", "preview", "history")
    actions = ("run_now", "pause", "resume")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ScheduleEntry]:
        fires = Fire.objects.filter(entry=OuterRef("name")).order_by("-planned_at")
        runs = JobRun.objects.filter(schedule_entry=OuterRef("name")).exclude(schedule_entry="").order_by("-started_at")
        newest = {f"fire_{name}": Subquery(fires.values(name)[:1]) for name in ("outcome", "planned_at")}
        newest |= {f"run_{name}": Subquery(runs.values(name)[:1]) for name in ("outcome", "job_id", "started_at")}
        return super().get_queryset(request).annotate(**newest)

    def get_readonly_fields(self, request: HttpRequest, obj: ScheduleEntry | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "name") if obj else self.readonly_fields

    def formfield_for_dbfield(
        self, db_field: "Field[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        """Offer the queues, zones and tasks that there are."""
        offered = {
            "queue": lambda: settings.QUEUE_WEIGHTS,
            "zone": lambda: sorted(zoneinfo.available_timezones()),
            "task": fires.task_names,
        }
        if db_field.name in offered:
            choices = [(word, word) for word in offered[db_field.name]()]
            return forms.ChoiceField(
                label=db_field.verbose_name.capitalize(), choices=choices, initial=db_field.get_default()
            )
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Tell whether this person may pause, resume and run entries."""
        return request.user.has_perm("jobs.operate_schedule")

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Read the form again where somebody else took its name meanwhile: now it finds that itself and says so."""
        try:
            return super().changeform_view(request, *args, **kwargs)
        except schedule.NameTakenError:
            return super().changeform_view(request, *args, **kwargs)

    # Columns and read-only fields.

    @admin.display(description=_("state"))
    def state(self, entry: ScheduleEntry) -> SafeString | str:
        if entry.broken:
            return format_html("<strong>{}</strong> {}", _("Broken."), entry.broken)
        if not entry.is_paused:
            return str(_("active")) if entry.pk else "–"
        until = date_format(timezone.localtime(entry.paused_until), "DATETIME_FORMAT") if entry.paused_until else "–"
        words = _("Paused by %(who)s: %(why)s (until %(until)s)")
        who = entry.paused_by or _("the machine")
        return format_html("<strong>{}</strong>", words % {"who": who, "why": entry.paused_reason, "until": until})

    @admin.display(description=_("when"), ordering="cron")
    def when(self, entry: ScheduleEntry) -> SafeString | str:
        if entry.broken:
            return entry.cron
        return format_html("{}<br><code>{}</code> {}", cron_text.described(entry.cron), entry.cron, entry.zone)

    @admin.display(description=_("next fire"), ordering="next_at")
    def next_fire(self, entry: ScheduleEntry) -> str:
        if entry.broken or entry.next_at is None:
            return "–"
        local = entry.next_at.astimezone(zoneinfo.ZoneInfo(entry.zone))
        return date_format(local, "DATETIME_FORMAT")

    @admin.display(description=_("last fire"))
    def last_fire(self, entry: Any) -> SafeString | str:
        if not entry.fire_outcome:
            return "–"
        label = Fire.Outcome(entry.fire_outcome).label
        return format_html('<a href="{}">{}</a> {}', history_url(entry), label, ago(entry.fire_planned_at))

    @admin.display(description=_("last run"))
    def last_run(self, entry: Any) -> SafeString | str:
        if not entry.run_job_id:
            return "–"
        page, became = reverse("monitor:job", args=[entry.run_job_id]), Outcome(entry.run_outcome).label
        return format_html('<a href="{}">{}</a> {}', page, became, ago(entry.run_started_at))

    @admin.display(description=_("task"), ordering="task")
    def task_name(self, entry: ScheduleEntry) -> SafeString:
        return breakable(entry.task)

    @admin.display(description=_("next five fires"))
    def preview(self, entry: ScheduleEntry) -> SafeString | str:
        if not entry.pk or entry.broken:
            return "–"
        coming = cron_text.preview(entry.cron, entry.zone, timezone.now())
        rows = [(date_format(each.local, "DATETIME_FORMAT"), entry.zone, each.note) for each in coming]
        return format_html("<ol>{}</ol>", format_html_join("", "<li>{} ({}) {}</li>", rows))

    @admin.display(description=_("history"))
    def history(self, entry: ScheduleEntry) -> SafeString | str:
        if not entry.pk:
            return "–"
        return format_html('<a href="{}">{}</a>', history_url(entry), _("Fires of this entry"))

    # Changes: each calls the verb that also writes the audit row.

    def save_model(
        self, request: HttpRequest, obj: ScheduleEntry, form: forms.ModelForm[ScheduleEntry], change: bool
    ) -> None:
        values = {name: form.cleaned_data[name] for name in form.cleaned_data if name in schedule.EDITABLE}
        if not change:
            obj.pk = schedule.create(request.user, name=obj.name, **values).pk
            return
        changed = {name: values[name] for name in form.changed_data if name in values}
        if changed:
            schedule.edit(ScheduleEntry.objects.get(pk=obj.pk), request.user, **changed)

    def delete_model(self, request: HttpRequest, obj: ScheduleEntry) -> None:
        schedule.remove(obj, request.user)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ScheduleEntry]) -> None:
        for entry in queryset:
            schedule.remove(entry, request.user)

    @admin.action(description=_("Run the selected entries now"), permissions=["operate"])
    def run_now(self, request: HttpRequest, entries: QuerySet[ScheduleEntry]) -> None:
        fired = [schedule.run_now(entry, request.user) for entry in entries]
        self.message_user(request, _("Entries run now: %d.") % len(fired))

    @admin.action(description=_("Resume the selected entries"), permissions=["operate"])
    def resume(self, request: HttpRequest, entries: QuerySet[ScheduleEntry]) -> None:
        resumed = sum(schedule.resume(entry, request.user) for entry in entries)
        self.message_user(request, _("Entries resumed: %d.") % resumed)

    @admin.action(description=_("Pause the selected entries"), permissions=["operate"])
    def pause(self, request: HttpRequest, entries: QuerySet[ScheduleEntry]) -> HttpResponse | None:
        """Ask why and until when; the answer comes back to this action."""
        form = PauseForm(request.POST if "apply" in request.POST else None)
        if form.is_valid():
            for entry in entries:
                schedule.pause(entry, request.user, form.cleaned_data["reason"], form.cleaned_data["until"])
            self.message_user(request, _("Entries paused: %d.") % len(entries))
            return None
        context = self.admin_site.each_context(request) | {
            "title": _("Pause schedule entries"),
            "entries": entries,
            "form": form,
            "media": self.media + form.media,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/jobs/scheduleentry/pause.html", context)


@admin.register(Fire)
class FireAdmin(admin.ModelAdmin):
    """The history; nobody writes it by hand."""

    show_facets = admin.ShowFacets.NEVER  # a count beside each filter is a scan of the history for each

    list_display = ("planned_at", "entry_name", "outcome", "enqueued_at", "lag", "job", "suppressed", "note")
    list_filter = ("outcome", "planned_at")
    search_fields = ("entry__name", "job_id")
    date_hierarchy = "planned_at"

    @admin.display(description=_("entry"), ordering="entry_id")
    def entry_name(self, fire: Fire) -> str:
        return fire.entry_id  # the entry itself may be gone

    @admin.display(description=_("lag, seconds"))
    def lag(self, fire: Fire) -> str:
        return "–" if fire.lag_seconds is None else f"{fire.lag_seconds:.3f}"

    @admin.display(description=_("job"), ordering="job_id")
    def job(self, fire: Any) -> SafeString | str:
        """The job, and below it what became of its run."""
        if not fire.job_id:
            return "–"
        became = Outcome(fire.run_outcome).label if fire.run_outcome else "–"
        page = reverse("monitor:job", args=[fire.job_id])
        return format_html('<a href="{}">{}</a><br>{}', page, fire.job_id, became)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Fire]:
        runs = JobRun.objects.filter(job_id=OuterRef("job_id")).order_by("-started_at")
        return super().get_queryset(request).annotate(run_outcome=Subquery(runs.values("outcome")[:1]))

    def lookup_allowed(self, lookup: str, value: object, request: HttpRequest | None = None) -> bool:
        return lookup == "entry" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Fire | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Fire | None = None) -> bool:
        return False


def history_url(entry: ScheduleEntry) -> str:
    return f"{reverse('admin:jobs_fire_changelist')}?entry={entry.name}"
