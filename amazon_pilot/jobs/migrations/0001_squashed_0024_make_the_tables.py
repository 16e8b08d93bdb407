"""Make the tables and the groups of people as the first 24 migrations leave them."""

import amazon_pilot.jobs.models.schedule_entry
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.utils.timezone
import uuid
from django.conf import settings
from django.contrib.auth.management import create_permissions
from django.db import migrations, models

from amazon_pilot.postgresql.steps import SetOnPostgreSQL, Together

OUTCOMES = [
    ("started", "Started"),
    ("succeeded", "Succeeded"),
    ("retrying", "Retrying"),
    ("failed", "Failed"),
    ("stopped", "Stopped"),
    ("lost", "Lost"),
]
FIRES = [
    ("pending", "being sent"),
    ("enqueued", "enqueued"),
    ("caught_up", "enqueued late, to catch up"),
    ("manual", "run by hand"),
    ("missed", "missed"),
    ("skipped_paused", "left out: paused"),
    ("skipped_overlap", "left out: the last job had not ended"),
    ("error", "failed"),
]
VIEW = [
    "view_jobrun", "view_pause", "view_auditentry", "view_bulkaction", "view_scheduleentry", "view_fire",
    "view_savedsearch",
]
OPERATE = ["operate_jobs", "operate_schedule"]
EDIT = ["edit_jobs", "add_scheduleentry", "change_scheduleentry"]
ADMIN = ["administer_jobs", "delete_scheduleentry"]
# Four groups, each with all that the one before it may do.
ROLES = {
    "Monitor: view": VIEW,
    "Monitor: operate": VIEW + OPERATE,
    "Monitor: edit": VIEW + OPERATE + EDIT,
    "Monitor: admin": VIEW + OPERATE + EDIT + ADMIN,
}
# What SQLite has not: a search there reads row by row. An index answers alone only for pages that a vacuum has seen, so it
# looks more often than after a fifth of the rows.
SEARCHED = (
    "CREATE INDEX runs_by_their_words ON jobs_jobrun USING gin (to_tsvector('simple', search))",
    "CREATE INDEX runs_by_their_tags ON jobs_jobrun USING gin (string_to_array(tags, ',')) WHERE tags <> ''",
    """ALTER TABLE jobs_jobrun SET (autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05)""",
)


def key():
    return models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")


def add_roles(apps, schema_editor):
    # Permissions are made after the last migration; the groups need them now.
    config = apps.get_app_config("jobs")
    config.models_module = True
    create_permissions(config, apps=apps, using=schema_editor.connection.alias, verbosity=0)
    config.models_module = None
    permissions = apps.get_model("auth", "Permission").objects.filter(content_type__app_label="jobs")
    for name, codenames in ROLES.items():
        group, _ = apps.get_model("auth", "Group").objects.get_or_create(name=name)
        group.permissions.add(*permissions.filter(codename__in=codenames))


def remove_roles(apps, schema_editor):
    apps.get_model("auth", "Group").objects.filter(name__in=ROLES).delete()


class Migration(migrations.Migration):

    initial = True
    replaces = [
        ("jobs", "0001_initial"),
        ("jobs", "0002_add_roles"),
        ("jobs", "0003_index_the_search"),
        ("jobs", "0004_index_the_tags"),
        ("jobs", "0005_run_planned_jobs_now"),
        ("jobs", "0006_count_what_matched"),
        ("jobs", "0007_name_the_filters_of_the_audit"),
        ("jobs", "0008_index_what_is_searched"),
        ("jobs", "0009_add_readings"),
        ("jobs", "0010_add_the_source_of_acts"),
        ("jobs", "0011_add_totals"),
        ("jobs", "0012_count_what_is_kept"),
        ("jobs", "0013_keep_deleted_jobs"),
        ("jobs", "0014_take_operations_from_the_table"),
        ("jobs", "0015_mark_releases"),
        ("jobs", "0016_know_the_causes_of_failures"),
        ("jobs", "0017_find_jobs_by_their_subjects"),
        ("jobs", "0018_tell_why_nothing_fired"),
        ("jobs", "0019_keep_alerts"),
        ("jobs", "0020_keep_batches"),
        ("jobs", "0021_count_how_long_runs_take"),
        ("jobs", "0022_give_scripts_tokens"),
        ("jobs", "0023_keep_one_table_of_totals"),
        ("jobs", "0024_count_failures_by_their_index"),
    ]
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        Together([
            migrations.CreateModel(
                name="Alert",
                fields=[
                    ("id", key()),
                    ("rule", models.CharField(max_length=40, verbose_name="rule")),
                    ("subject", models.CharField(blank=True, max_length=120, verbose_name="of what")),
                    ("severity", models.CharField(choices=[("critical", "critical"), ("warning", "warning")], max_length=10, verbose_name="severity")),
                    ("text", models.TextField(verbose_name="text")),
                    ("since", models.DateTimeField(verbose_name="since")),
                    ("fired_at", models.DateTimeField(null=True, verbose_name="fires since")),
                    ("calm_since", models.DateTimeField(null=True, verbose_name="well again since")),
                    ("resolved_at", models.DateTimeField(null=True, verbose_name="over since")),
                    ("told_at", models.DateTimeField(null=True, verbose_name="told at")),
                    ("end_told_at", models.DateTimeField(null=True, verbose_name="end told at")),
                ],
                options={
                    "verbose_name": "alert", "verbose_name_plural": "alerts",
                    "ordering": ["-since"],
                    "indexes": [
                        models.Index(fields=["-since"], name="alerts_newest_first"),
                        models.Index(condition=models.Q(("told_at", None), ("end_told_at", None), _connector="OR"), fields=["since"], name="alerts_to_tell"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(condition=models.Q(("resolved_at", None)), fields=("rule", "subject"), name="one_open_alert_per_subject"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="RuleChange",
                fields=[
                    ("id", key()),
                    ("rule", models.CharField(max_length=40, unique=True, verbose_name="rule")),
                    ("is_on", models.BooleanField(default=True, verbose_name="on")),
                    ("limit", models.FloatField(null=True, verbose_name="limit")),
                    ("hold_seconds", models.PositiveIntegerField(null=True, verbose_name="for, seconds")),
                    ("silent_until", models.DateTimeField(null=True, verbose_name="silent until")),
                    ("by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="by")),
                    ("reason", models.TextField(blank=True, verbose_name="reason")),
                ],
                options={
                    "verbose_name": "change of an alert rule", "verbose_name_plural": "changes of alert rules",
                },
            ),
            migrations.CreateModel(
                name="ApiToken",
                fields=[
                    ("id", key()),
                    ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="user")),
                    ("name", models.CharField(help_text="What it is for.", max_length=60, verbose_name="name")),
                    ("scope", models.CharField(choices=[("read", "read"), ("act", "read and act")], default="read", max_length=4, verbose_name="may")),
                    ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                    ("start", models.CharField(editable=False, max_length=16, verbose_name="begins with")),
                    ("made_at", models.DateTimeField(auto_now_add=True, verbose_name="made at")),
                    ("last_used_at", models.DateTimeField(editable=False, help_text="To about an hour.", null=True, verbose_name="last used")),
                ],
                options={
                    "verbose_name": "token of the monitor", "verbose_name_plural": "tokens of the monitor",
                    "ordering": ["-pk"],
                },
            ),
            migrations.CreateModel(
                name="Total",
                fields=[
                    ("id", key()),
                    ("name", models.CharField(choices=[("ended", "ended runs by task, queue and outcome"), ("fires", "fires by entry and outcome"), ("actions", "acts by verb and result"), ("recovered", "lost runs by queue and cause"), ("poisoned", "jobs put aside by queue and task"), ("wait", "waits by task and bucket"), ("run", "durations by task and bucket")], max_length=20, verbose_name="name")),
                    ("subject", models.CharField(max_length=200, verbose_name="of what")),
                    ("outcome", models.CharField(max_length=200, verbose_name="outcome")),
                    ("count", models.PositiveBigIntegerField(default=0, verbose_name="count")),
                ],
                options={
                    "verbose_name": "count", "verbose_name_plural": "counts",
                    "constraints": [
                        models.UniqueConstraint(fields=("name", "subject", "outcome"), name="one_count_per_subject"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="AuditEntry",
                fields=[
                    ("id", key()),
                    ("at", models.DateTimeField(auto_now_add=True, verbose_name="time")),
                    ("actor", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="person")),
                    ("source", models.CharField(blank=True, choices=[("page", "page"), ("api", "API"), ("command", "command line"), ("system", "system"), ("", "not recorded")], default="", help_text="Where it was done.", max_length=8, verbose_name="source")),
                    ("address", models.GenericIPAddressField(blank=True, help_text="The IP address from which a page or the API was asked.", null=True, verbose_name="address")),
                    ("action", models.CharField(help_text="A verb, such as pause or retry.", max_length=40, verbose_name="action")),
                    ("target", models.CharField(help_text="What was acted on, such as queue low.", max_length=200, verbose_name="target")),
                    ("count", models.PositiveIntegerField(default=1, verbose_name="count")),
                    ("reason", models.TextField(blank=True, verbose_name="reason")),
                    ("detail", models.JSONField(blank=True, default=dict, verbose_name="detail")),
                ],
                options={
                    "verbose_name": "audit entry", "verbose_name_plural": "audit entries",
                    "ordering": ["-at"],
                    "indexes": [
                        models.Index(fields=["-at"], name="audit_newest_first"),
                        models.Index(fields=["target", "-at"], name="audit_of_a_target"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="JobRun",
                fields=[
                    ("id", key()),
                    ("job_id", models.CharField(max_length=100, verbose_name="job")),
                    ("execution_id", models.CharField(max_length=100, verbose_name="execution")),
                    ("task", models.CharField(max_length=200, verbose_name="task")),
                    ("queue", models.CharField(max_length=100, verbose_name="queue")),
                    ("args", models.JSONField(blank=True, default=list, verbose_name="arguments")),
                    ("kwargs", models.JSONField(blank=True, default=dict, verbose_name="keyword arguments")),
                    ("tags", models.CharField(blank=True, max_length=200, verbose_name="tags")),
                    ("attempt", models.PositiveIntegerField(default=1, verbose_name="attempt")),
                    ("enqueued_at", models.DateTimeField(blank=True, null=True, verbose_name="enqueued at")),
                    ("started_at", models.DateTimeField(verbose_name="started at")),
                    ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
                    ("wait", models.FloatField(blank=True, help_text="Seconds from enqueueing to the start.", null=True, verbose_name="wait")),
                    ("duration", models.FloatField(blank=True, help_text="Seconds from start to end.", null=True, verbose_name="duration")),
                    ("worker", models.CharField(blank=True, max_length=200, verbose_name="worker")),
                    ("slot", models.PositiveSmallIntegerField(blank=True, null=True, verbose_name="slot")),
                    ("outcome", models.CharField(choices=OUTCOMES, default="started", max_length=10, verbose_name="outcome")),
                    ("cause", models.CharField(blank=True, help_text="Why it was stopped or lost, such as slot_killed.", max_length=200, verbose_name="cause")),
                    ("is_poison", models.BooleanField(default=False, help_text="The loss after which it was put aside.", verbose_name="poison")),
                    ("retry_at", models.DateTimeField(blank=True, null=True, verbose_name="retry at")),
                    ("exception", models.CharField(blank=True, max_length=200, verbose_name="exception")),
                    ("message", models.TextField(blank=True, verbose_name="message")),
                    ("traceback", models.TextField(blank=True, verbose_name="traceback")),
                    ("fingerprint", models.CharField(blank=True, max_length=16, verbose_name="fingerprint")),
                    ("result", models.JSONField(blank=True, null=True, verbose_name="result")),
                    ("progress", models.PositiveSmallIntegerField(blank=True, help_text="Percent.", null=True, verbose_name="progress")),
                    ("progress_text", models.CharField(blank=True, max_length=200, verbose_name="progress text")),
                    ("log", models.TextField(blank=True, verbose_name="log")),
                    ("log_is_cut", models.BooleanField(default=False, verbose_name="log has lost its beginning")),
                    ("schedule_entry", models.CharField(blank=True, max_length=100, verbose_name="schedule entry")),
                    ("fire", models.CharField(blank=True, max_length=100, verbose_name="fire")),
                    ("meta", models.JSONField(blank=True, default=dict, verbose_name="meta")),
                    ("search", models.TextField(blank=True, help_text="The words of the arguments and the error.", verbose_name="search text")),
                ],
                options={
                    "verbose_name": "job run", "verbose_name_plural": "job runs",
                    "indexes": [
                        models.Index(fields=["-started_at", "-id", "duration", "wait", "attempt", "worker", "outcome", "queue"], name="runs_newest_first_searched", opclasses=["timestamptz_ops", "int8_ops", "float8_ops", "float8_ops", "int4_ops", "varchar_pattern_ops", "varchar_ops", "varchar_ops"]),
                        models.Index(fields=["outcome", "-started_at", "-id"], name="runs_of_an_outcome"),
                        models.Index(fields=["ended_at"], name="runs_by_their_end"),
                        models.Index(fields=["task", "-started_at", "-id"], name="runs_of_a_task"),
                        models.Index(fields=["queue", "-started_at", "-id"], name="runs_of_a_queue"),
                        models.Index(condition=models.Q(("fingerprint", ""), _negated=True), fields=["fingerprint", "-started_at"], name="failures_by_cause"),
                        models.Index(condition=models.Q(("fingerprint", ""), _negated=True), fields=["-started_at", "fingerprint", "task", "exception", "id"], name="failures_newest_first"),
                        models.Index(condition=models.Q(("schedule_entry", ""), _negated=True), fields=["schedule_entry", "-started_at"], name="runs_of_a_schedule_entry"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("job_id", "execution_id"), name="one_row_per_execution"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="JobSubject",
                fields=[
                    ("id", key()),
                    ("subject", models.CharField(max_length=120, verbose_name="about")),
                    ("job_id", models.CharField(max_length=100, verbose_name="job")),
                    ("at", models.DateTimeField(verbose_name="started at")),
                ],
                options={
                    "verbose_name": "subject", "verbose_name_plural": "subjects",
                    "indexes": [
                        models.Index(fields=["subject", "-at"], name="jobs_about_a_subject"),
                        models.Index(fields=["job_id"], name="subjects_of_a_job"),
                        models.Index(fields=["at"], name="subjects_by_age"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("subject", "job_id"), name="one_row_per_subject_of_a_job"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Batch",
                fields=[
                    ("id", key()),
                    ("task", models.CharField(max_length=200, verbose_name="task")),
                    ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="time")),
                    ("sent_at", models.DateTimeField(help_text="Empty while Redis has not taken it.", null=True, verbose_name="enqueued at")),
                    ("children", models.PositiveIntegerField(verbose_name="jobs")),
                    ("joined", models.PositiveIntegerField(default=0, verbose_name="joined")),
                    ("parent", models.CharField(blank=True, max_length=100, verbose_name="job that made it")),
                    ("by", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="by")),
                ],
                options={
                    "verbose_name": "batch", "verbose_name_plural": "batches",
                    "ordering": ["-at"],
                    "indexes": [
                        models.Index(fields=["-at"], name="batches_newest_first"),
                        models.Index(condition=models.Q(("parent", ""), _negated=True), fields=["parent"], name="batches_of_a_job"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="BulkAction",
                fields=[
                    ("id", key()),
                    ("token", models.UUIDField(default=uuid.uuid4, editable=False, help_text="Made with the form: a second click finds the row.", unique=True)),
                    ("action", models.CharField(help_text="The name of an operation.", max_length=40, verbose_name="action")),
                    ("query", models.TextField(blank=True, verbose_name="search")),
                    ("ids", models.JSONField(blank=True, default=list, verbose_name="chosen jobs")),
                    ("to_queue", models.CharField(blank=True, max_length=100, verbose_name="to queue")),
                    ("until", models.DateTimeField(help_text="Until when jobs are put off.", null=True, verbose_name="until")),
                    ("undoes", models.ForeignKey(help_text="The deletion of which the jobs are brought back.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name="undone_by", to="jobs.bulkaction", verbose_name="takes back")),
                    ("reason", models.TextField(blank=True, verbose_name="reason")),
                    ("by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="by")),
                    ("aborted_by", models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="aborted by")),
                    ("state", models.CharField(choices=[("waiting", "Waiting"), ("running", "Running"), ("done", "Done"), ("aborted", "Aborted"), ("failed", "Failed")], default="waiting", max_length=8, verbose_name="state")),
                    ("expected", models.PositiveIntegerField(help_text="As previewed; empty if unknown.", null=True, verbose_name="expected")),
                    ("seen", models.PositiveIntegerField(default=0, verbose_name="looked at")),
                    ("matched", models.PositiveIntegerField(default=0, verbose_name="matched")),
                    ("changed", models.PositiveIntegerField(default=0, verbose_name="changed")),
                    ("asked", models.PositiveIntegerField(default=0, help_text="Running jobs among the changed.", verbose_name="asked to end")),
                    ("error", models.TextField(blank=True, verbose_name="error")),
                    ("created_at", models.DateTimeField(auto_now_add=True, verbose_name="asked for")),
                    ("started_at", models.DateTimeField(null=True, verbose_name="started")),
                    ("ended_at", models.DateTimeField(null=True, verbose_name="ended")),
                ],
                options={
                    "verbose_name": "bulk action", "verbose_name_plural": "bulk actions",
                    "ordering": ["-created_at"],
                    "permissions": [("operate_jobs", "Can steer single jobs, and pause queues"), ("edit_jobs", "Can edit, move and delete jobs"), ("administer_jobs", "Can drain queues, stop workers and delete jobs in bulk")],
                    "indexes": [
                        models.Index(fields=["-created_at"], name="bulk_newest_first"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(condition=models.Q(("ended_at__isnull", True)), fields=("undoes",), name="taken_back_by_one_at_a_time"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Cause",
                fields=[
                    ("fingerprint", models.CharField(max_length=16, primary_key=True, serialize=False, verbose_name="fingerprint")),
                    ("task", models.CharField(max_length=200, verbose_name="task")),
                    ("exception", models.CharField(max_length=200, verbose_name="exception")),
                    ("first_at", models.DateTimeField(verbose_name="first seen")),
                    ("last_at", models.DateTimeField(verbose_name="last seen")),
                    ("back_at", models.DateTimeField(blank=True, null=True, verbose_name="back since")),
                ],
                options={
                    "verbose_name": "cause", "verbose_name_plural": "causes",
                    "indexes": [
                        models.Index(fields=["-first_at"], name="causes_by_first_seen"),
                        models.Index(condition=models.Q(("back_at__isnull", False)), fields=["-back_at"], name="causes_by_return"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="KeptJob",
                fields=[
                    ("id", key()),
                    ("job_id", models.TextField(verbose_name="job")),
                    ("bulk", models.ForeignKey(db_index=False, help_text="That deleted it; empty where it was deleted by itself.", null=True, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="jobs.bulkaction", verbose_name="bulk action")),
                    ("content", models.BinaryField(help_text="As kept.lua packs it: nobody else opens it.", verbose_name="content")),
                    ("unique_key", models.CharField(blank=True, max_length=300, verbose_name="unique key")),
                    ("kept_at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="kept")),
                    ("is_deleted", models.BooleanField(default=False, help_text="No: Redis has not said so yet.", verbose_name="deleted")),
                ],
                options={
                    "verbose_name": "kept job", "verbose_name_plural": "kept jobs",
                    "indexes": [
                        models.Index(fields=["bulk", "id"], name="kept_by_an_action"),
                        models.Index(fields=["kept_at"], name="kept_longest_first"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("job_id", "bulk"), name="kept_once_by_an_action"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Pause",
                fields=[
                    ("id", key()),
                    ("name", models.CharField(help_text="queue:…, task:… or tag:…", max_length=220, verbose_name="what is paused")),
                    ("by", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="by")),
                    ("reason", models.TextField(verbose_name="reason")),
                    ("since", models.DateTimeField(auto_now_add=True, verbose_name="since")),
                    ("until", models.DateTimeField(blank=True, null=True, verbose_name="until")),
                    ("ended_at", models.DateTimeField(blank=True, null=True, verbose_name="ended at")),
                    ("ended_by", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="ended by")),
                ],
                options={
                    "verbose_name": "pause", "verbose_name_plural": "pauses",
                    "ordering": ["-since"],
                    "indexes": [
                        models.Index(fields=["name", "ended_at"], name="pauses_of_a_name"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Reading",
                fields=[
                    ("id", key()),
                    ("span", models.CharField(max_length=6, verbose_name="span")),
                    ("at", models.DateTimeField(verbose_name="begins")),
                    ("queue", models.CharField(max_length=100, verbose_name="queue")),
                    ("waiting", models.PositiveIntegerField(verbose_name="waiting")),
                    ("running", models.PositiveIntegerField(verbose_name="running")),
                    ("scheduled", models.PositiveIntegerField(help_text="Retries are among them.", verbose_name="scheduled")),
                    ("retries", models.PositiveIntegerField(help_text="About; of the scheduled ones.", null=True, verbose_name="retries")),
                    ("held", models.PositiveIntegerField(verbose_name="held")),
                    ("failed", models.PositiveIntegerField(verbose_name="failed")),
                    ("canceled", models.PositiveIntegerField(verbose_name="canceled")),
                    ("oldest", models.FloatField(help_text="Seconds that the oldest waiting job has waited.", verbose_name="oldest")),
                    ("memory", models.PositiveBigIntegerField(help_text="Bytes in Redis, about.", null=True, verbose_name="memory")),
                ],
                options={
                    "verbose_name": "reading", "verbose_name_plural": "readings",
                    "constraints": [
                        models.UniqueConstraint(fields=("span", "at", "queue"), name="one_reading_per_queue"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Release",
                fields=[
                    ("id", key()),
                    ("name", models.CharField(max_length=60, verbose_name="release")),
                    ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="since")),
                    ("after", models.BigIntegerField(default=0, editable=False, help_text="The key of the release before it, or 0.")),
                ],
                options={
                    "verbose_name": "release", "verbose_name_plural": "releases",
                    "ordering": ["-at"],
                    "indexes": [
                        models.Index(fields=["-at"], name="releases_newest_first"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("name", "after"), name="one_mark_per_start_of_a_release"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="SavedSearch",
                fields=[
                    ("id", key()),
                    ("user", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="user")),
                    ("name", models.CharField(max_length=60, verbose_name="name")),
                    ("query", models.CharField(blank=True, max_length=500, verbose_name="search")),
                ],
                options={
                    "verbose_name": "saved search", "verbose_name_plural": "saved searches",
                    "ordering": ["name"],
                    "constraints": [
                        models.UniqueConstraint(fields=("user", "name"), name="one_search_per_name"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="ScheduleEntry",
                fields=[
                    ("id", key()),
                    ("name", models.CharField(help_text="Part of each job's id, so it stays as it is once the entry exists.", max_length=80, unique=True, validators=[django.core.validators.RegexValidator("\\A[A-Za-z0-9][A-Za-z0-9_-]*\\Z", "Use letters, digits, - and _ only.")], verbose_name="name")),
                    ("cron", models.CharField(help_text="A cron line, @hourly and the like, or a phrase such as daily at 09:00.", max_length=120, verbose_name="when")),
                    ("zone", models.CharField(default=amazon_pilot.jobs.models.schedule_entry.default_zone, max_length=60, verbose_name="time zone")),
                    ("task", models.CharField(max_length=200, verbose_name="task")),
                    ("args", models.JSONField(blank=True, default=list, verbose_name="arguments")),
                    ("queue", models.CharField(default="default", max_length=60, verbose_name="queue")),
                    ("missed", models.CharField(choices=[("once", "run once for all"), ("all", "run each, oldest first"), ("skip", "leave out")], default="once", max_length=8, verbose_name="missed fires")),
                    ("missed_limit", models.PositiveSmallIntegerField(default=10, help_text="How many are run when each is; the newest count.", verbose_name="missed fires, at most")),
                    ("missed_window", models.DurationField(default=amazon_pilot.jobs.models.schedule_entry.default_window, help_text="Older ones are recorded, not run.", verbose_name="missed fires, no older than")),
                    ("overlap", models.CharField(choices=[("skip", "leave the new one out"), ("queue", "queue the new one too"), ("cancel", "cancel the old one")], default="skip", max_length=8, verbose_name="while the last job has not ended")),
                    ("next_at", models.DateTimeField(editable=False, null=True, verbose_name="next fire")),
                    ("last_job_id", models.CharField(blank=True, editable=False, max_length=160)),
                    ("broken", models.TextField(blank=True, editable=False, verbose_name="broken because")),
                    ("paused_at", models.DateTimeField(editable=False, null=True, verbose_name="paused since")),
                    ("paused_until", models.DateTimeField(editable=False, null=True, verbose_name="paused until")),
                    ("paused_by", models.ForeignKey(editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="paused by")),
                    ("paused_reason", models.TextField(blank=True, editable=False, verbose_name="reason of the pause")),
                    ("from_settings", models.BooleanField(default=False, editable=False, help_text="Until an operator edits it.", verbose_name="from the settings")),
                ],
                options={
                    "verbose_name": "schedule entry", "verbose_name_plural": "schedule",
                    "ordering": ["name"],
                    "permissions": [("operate_schedule", "Can pause, resume and run schedule entries")],
                },
            ),
            migrations.CreateModel(
                name="Fire",
                fields=[
                    ("id", key()),
                    ("entry", models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name="fires", to="jobs.scheduleentry", to_field="name", verbose_name="entry")),
                    ("planned_at", models.DateTimeField(verbose_name="planned")),
                    ("decided_at", models.DateTimeField(verbose_name="decided")),
                    ("enqueued_at", models.DateTimeField(null=True, verbose_name="enqueued")),
                    ("job_id", models.CharField(blank=True, max_length=160, verbose_name="job")),
                    ("outcome", models.CharField(choices=FIRES, max_length=16, verbose_name="outcome")),
                    ("becomes", models.CharField(blank=True, choices=FIRES, help_text="The outcome once it is sent.", max_length=16)),
                    ("suppressed", models.PositiveSmallIntegerField(default=0, help_text="How often it was sent again and found to be there.", verbose_name="duplicates suppressed")),
                    ("note", models.TextField(blank=True, verbose_name="note")),
                ],
                options={
                    "verbose_name": "fire", "verbose_name_plural": "fires",
                    "ordering": ["-planned_at"],
                    "indexes": [
                        models.Index(condition=models.Q(("outcome", "pending")), fields=["planned_at"], name="fires_to_send"),
                        models.Index(fields=["-planned_at"], name="fires_newest_first"),
                        models.Index(condition=models.Q(("outcome__in", ["missed", "skipped_paused", "skipped_overlap", "error"])), fields=["-planned_at"], name="fires_that_did_not_come"),
                    ],
                    "constraints": [
                        models.UniqueConstraint(fields=("entry", "planned_at"), name="one_fire_per_planned_time"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Silence",
                fields=[
                    ("id", key()),
                    ("since", models.DateTimeField(unique=True, verbose_name="since")),
                    ("until", models.DateTimeField(verbose_name="until")),
                ],
                options={
                    "verbose_name": "silence of the schedulers", "verbose_name_plural": "silences of the schedulers",
                    "indexes": [
                        models.Index(fields=["-until"], name="silences_newest_first"),
                    ],
                },
            ),
            migrations.CreateModel(
                name="Tally",
                fields=[
                    ("id", key()),
                    ("span", models.CharField(max_length=6, verbose_name="span")),
                    ("at", models.DateTimeField(verbose_name="begins")),
                    ("queue", models.CharField(max_length=100, verbose_name="queue")),
                    ("task", models.CharField(max_length=200, verbose_name="task")),
                    ("outcome", models.CharField(choices=OUTCOMES, max_length=10, verbose_name="outcome")),
                    ("count", models.PositiveIntegerField(verbose_name="count")),
                    ("wait_sum", models.FloatField(default=0, help_text="Seconds, all runs together.", verbose_name="wait")),
                    ("wait_max", models.FloatField(default=0, verbose_name="longest wait")),
                    ("duration_sum", models.FloatField(default=0, help_text="Seconds, all runs together.", verbose_name="duration")),
                    ("duration_max", models.FloatField(default=0, verbose_name="longest duration")),
                    ("wait_buckets", models.JSONField(default=list, editable=False)),
                    ("duration_buckets", models.JSONField(default=list, editable=False)),
                ],
                options={
                    "verbose_name": "tally", "verbose_name_plural": "tallies",
                    "constraints": [
                        models.UniqueConstraint(fields=("span", "at", "queue", "task", "outcome"), name="one_tally_per_outcome"),
                    ],
                },
            ),
        ]),
        SetOnPostgreSQL(SEARCHED, migrations.RunSQL.noop),
        migrations.RunPython(add_roles, remove_roles),
    ]
