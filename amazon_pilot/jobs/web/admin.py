"""The monitor's rows: what ran, what is paused, who did what; and django-rq's own pages, behind our permissions."""

import csv
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from operator import itemgetter
from typing import Any, TypeVar, cast

from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern
from django.utils.timezone import localtime, now
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe
from django_rq.admin import QueueAdmin
from django_rq.models import Dashboard
from django_rq.queues import get_queue_by_index
from django_rq.views import each_context
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import Worker

from ..core import queues, redaction, secrets
from ..core.registry import TASKS, JSONJob
from ..core.values import Call, Json
from ..inspect.export import plain
from ..inspect.words import breakable, span
from ..models import AuditEntry, JobRun, Pause
from ..models.audit_entry import ACTIONS
from ..operate import changes, operations
from ..operate.roles import may, within
from ..operate.table import OPERATIONS
from .admin_schedule import label_halves  # the import also registers the schedule's pages

T = TypeVar("T")


class HistoryAdmin(admin.ModelAdmin):
    """Rows that only the machine writes."""

    show_facets = admin.ShowFacets.NEVER  # a count beside each filter is a scan of the history for each

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class KnownNameFilter(admin.SimpleListFilter):
    """Offers the names that the code knows: to ask the history for those in use would scan it."""

    def queryset(self, request: HttpRequest, runs: QuerySet[JobRun]) -> QuerySet[JobRun]:
        return runs.filter(**{str(self.parameter_name): self.value()}) if self.value() else runs


class QueueFilter(KnownNameFilter):
    title = _("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> list[tuple[str, str]]:
        return [(name, name) for name in queues.names()]


class TaskFilter(KnownNameFilter):
    title = _("task")
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> list[tuple[str, str]]:
        return [(name, breakable(name)) for name in sorted(TASKS)]


@admin.register(JobRun)
class JobRunAdmin(HistoryAdmin):
    list_display = ("began", "name", "args", "outcome", "queue", "attempt", "waited", "ran", "exception")
    list_filter = ("outcome", QueueFilter, TaskFilter)
    search_fields = ("job_id", "message", "search")
    ordering = ("-started_at", "-id")
    show_full_result_count = False  # a count of the whole history is a scan

    @admin.display(description=_("started"), ordering="started_at")
    def began(self, run: JobRun) -> str:
        """The start to the second, in the viewer's zone."""
        return f"{localtime(run.started_at):%m-%d %H:%M:%S}"

    @admin.display(description=_("task"), ordering="task")
    def name(self, run: JobRun) -> str:
        """The task without its module."""
        return run.task.rsplit(".", 1)[-1]

    @admin.display(description=_("wait"))
    def waited(self, run: JobRun) -> str:
        """The wait as people say it."""
        return span(run.wait)

    @admin.display(description=_("duration"))
    def ran(self, run: JobRun) -> str:
        """The duration as people say it."""
        return span(run.duration)


@admin.register(Pause)
class PauseAdmin(admin.ModelAdmin):
    """Add a row to pause a queue, a task or a tag; the action resumes it."""

    list_display = ("name", "by", "reason", "since", "until", "ended_at", "ended_by")
    list_filter = ("ended_at",)
    list_select_related = ("by", "ended_by")
    search_fields = ("name", "reason")
    fields = ("name", "reason", "until")
    actions = ("resume",)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Ask for what a pause needs, and show of one that there is also who began and who ended it, and when."""
        return ("name", "reason", "by", "since", "until", "ended_at", "ended_by") if obj else self.fields

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return ("by", "since", "ended_at", "ended_by") if obj else ()

    def save_model(self, request: HttpRequest, obj: Pause, form: ModelForm[Pause], change: bool) -> None:
        """Pause through the verb, which also tells the workers."""
        operations.pause(request.user, obj.name, reason=obj.reason, until=obj.until)
        obj.pk = Pause.objects.active().get(name=obj.name).pk

    @admin.action(description=_("Resume what is selected"), permissions=["operate"])
    def resume(self, request: HttpRequest, pauses: QuerySet[Pause]) -> None:
        """Let workers start these jobs again."""
        for name in sorted(set(pauses.values_list("name", flat=True))):
            operations.resume(request.user, name)

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """Ask for the role that may act on jobs, in some queue at least."""
        return bool(within(request.user, "operate"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_operate_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_form(
        self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any
    ) -> type[ModelForm[Pause]]:
        """Refuse a name of no known kind with a sentence, and name the two halves of a time to a screen reader."""
        form = super().get_form(request, obj, change, **kwargs)
        if "until" in form.base_fields:
            label_halves(form.base_fields["until"].widget)
            form.base_fields["until"].validators.append(check_until)
        if "name" in form.base_fields:
            form.base_fields["name"].validators.append(check_name)
        return form


def check_name(name: str) -> None:
    """Refuse what is no queue, task or tag that we know; raises ValidationError."""
    if not operations.is_known(name):
        raise ValidationError(_("Write queue:low, task:products.tasks.update_product or tag:…"))


def check_until(until: datetime) -> None:
    """Refuse an end that is over; raises ValidationError."""
    if until <= now():
        raise ValidationError(_("Choose a time that is still to come."))


class ActionFilter(admin.SimpleListFilter):
    """By action, in the reader's language; the words are known, so no row is read for them."""

    title = _("action")
    parameter_name = "action"

    def lookups(self, request: HttpRequest, model_admin: ModelAdmin[Model]) -> list[tuple[str, str]]:
        return sorted(((action, gettext(action)) for action in {*ACTIONS, *OPERATIONS}), key=itemgetter(1))

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        return queryset.filter(action=self.value()) if self.value() else queryset


@admin.register(AuditEntry)
class AuditEntryAdmin(HistoryAdmin):
    """The acts; from which address each came is for the role admin alone, in the list, the page and the export."""

    fields = readonly_fields = ("at", "actor", "source", "address", "verb", "target", "count", "reason", "detail")
    list_display = ("at", "actor", "source", "address", "verb", "target", "count", "reason")
    list_filter = (ActionFilter, "source", "at", ("actor", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("actor",)
    search_fields = ("target", "reason", "actor__username")
    date_hierarchy = "at"
    actions = ("export",)

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        return shown(request, self.list_display)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        return tuple(shown(request, self.fields))

    def lookup_allowed(self, lookup: str, value: object, request: HttpRequest) -> bool:
        """Refuse to be asked by address what may not be seen: a filter would tell it."""
        return may(request.user, "admin") or not lookup.startswith("address")

    @admin.display(description=_("action"), ordering="action")
    def verb(self, entry: AuditEntry) -> str:
        return gettext(entry.action)

    @admin.action(description=_("Export the selected lines as CSV"), permissions=["view"])
    def export(self, request: HttpRequest, entries: QuerySet[AuditEntry]) -> HttpResponse:
        """Return the selected lines as a file that a spreadsheet opens."""
        rows = list(entries.select_related("actor"))  # before the line that this one writes
        AuditEntry.objects.record(request.user, "export", "audit", count=len(rows))
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = 'attachment; filename="audit.csv"'
        lines = csv.writer(answer)
        names = shown(request, ("at", "by", "source", "address", "action", "target", "count", "reason", "detail"))
        lines.writerow(names)
        for entry in rows:
            told = {
                "at": entry.at.isoformat(),
                "by": entry.actor.get_username() if entry.actor else "",
                "address": entry.address or "",
                "detail": json.dumps(entry.detail),
            }
            lines.writerow([plain(told[name] if name in told else getattr(entry, name)) for name in names])
        return answer


def shown(request: HttpRequest, names: Sequence[str]) -> list[str]:
    """Return those columns of the audit that somebody may see."""
    return [name for name in names if name != "address" or may(request.user, "admin")]


# What changes something when it is posted to, by django-rq's names of its addresses; every other page only looks.
RAW_ACTS = {
    "clear", "requeue_all", "delete_failed_jobs", "delete_job", "requeue_job", "enqueue_job", "stop_job", "actions",
}  # fmt: skip
ASKS_AGAIN = "confirm_action"  # is posted to, and only shows what would be done


def guarded(view: Callable[..., HttpResponse], name: str) -> Callable[..., HttpResponse]:
    """Let django-rq's pages be seen by those who may view jobs, and its buttons pressed by those who administer them.

    Its own views ask only whether somebody is staff, and some of them empty a queue.
    """

    @wraps(view)
    def check(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        looks = request.method in ("GET", "HEAD")
        if not may(request.user, "view" if looks else "admin"):
            raise PermissionDenied
        if not looks and name in RAW_ACTS:
            AuditEntry.objects.record(request.user, "django-rq", request.path[-200:])
        return view(request, *args, **kwargs)

    return check if name in {*RAW_ACTS, ASKS_AGAIN} else require_safe(check)


def worker_details(request: HttpRequest, queue_index: int, key: str) -> HttpResponse:
    """Show one worker as django-rq does.

    Its own view reads what the worker runs as pickle, whatever the settings say, so a running job in JSON breaks it;
    and it breaks on a worker that has left a moment ago.
    """
    request.current_app = admin.site.name  # by which the page finds its addresses
    queue = get_queue_by_index(queue_index)
    worker = Worker.find_by_key(key, queue.connection, job_class=JSONJob, serializer=JSONSerializer)
    if worker is None:
        raise Http404
    context = {
        **each_context(request),
        "queue": queue,
        "queue_index": queue_index,
        "worker": worker,
        "queue_names": ", ".join(worker.queue_names()),
        "job": worker.get_current_job(),
        "total_working_time": worker.total_working_time,
    }
    return render(request, "django_rq/worker_details.html", context)


def job_detail(request: HttpRequest, queue_index: int, job_id: str) -> HttpResponse:
    """Show one job as django-rq does, without the secrets among its arguments and in its meta."""
    request.current_app = admin.site.name
    queue = get_queue_by_index(queue_index)
    job = found_job(queue, job_id)
    try:
        call = str(job.func_name), list(job.args), job.kwargs
        job.meta, job.description = discreet(job.meta, call), discreet(job.description, call)
        job._args, job._kwargs = redaction.call(*call)
        is_valid = True
    except Exception:  # the payload may be anything, and the page says so
        is_valid = False
    context = {
        **each_context(request),
        "queue_index": queue_index,
        "job": job,
        "queue": queue,
        "data_is_valid": is_valid,
        "exc_info": job._exc_info,
        "dependencies": [(each, changes.find(each)) for each in job._dependency_ids],
        "dependents": [(each, changes.find(each)) for each in job.dependent_ids],
    }
    return render(request, "django_rq/job_detail.html", context)


def result_detail(request: HttpRequest, queue_index: int, job_id: str, result_id: str) -> HttpResponse:
    """Show one result as django-rq does, without secrets."""
    request.current_app = admin.site.name
    queue = get_queue_by_index(queue_index)
    job = found_job(queue, job_id)
    result = next((each for each in job.results() if each.id == result_id), None)
    if result is None:
        raise Http404
    try:
        call = str(job.func_name), list(job.args), job.kwargs
    except Exception:  # the payload may be anything
        call = "", [], {}
    result.return_value = discreet(result.return_value, call)
    result.exc_string = discreet(result.exc_string, call)
    context = {**each_context(request), "queue_index": queue_index, "job": job, "queue": queue, "result": result}
    return render(request, "django_rq/result_detail.html", context)


def found_job(queue: Queue, job_id: str) -> Job:
    """Return a job of Redis; raises Http404."""
    try:
        return JSONJob.fetch(job_id, connection=queue.connection)
    except NoSuchJobError as error:
        raise Http404 from error


def discreet(value: T, call: Call) -> T:
    """Return what a job keeps beside its call as it may be shown: by the names of keys, and by the call's values."""
    known = secrets.of_environment() + secrets.forms_of_call(*call)
    return cast(T, secrets.scrubbed(redaction.redacted(cast(Json, value)), known))


@admin.register(Dashboard)
class RawQueueAdmin(QueueAdmin):
    """django-rq's own pages: the raw view of Redis."""

    actions = None  # there are no rows to choose

    def get_urls(self) -> list[URLPattern]:
        patterns: list[URLPattern] = super().get_urls()
        for pattern in patterns:
            for ours in (worker_details, job_detail, result_detail):
                if str(pattern.name).endswith(ours.__name__) and "cron" not in str(pattern.name):
                    pattern.callback = self.admin_site.admin_view(ours)
            pattern.callback = guarded(pattern.callback, str(pattern.name).removeprefix("django_rq_"))
        return patterns

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may(request.user, "view")

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may(request.user, "view")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False
