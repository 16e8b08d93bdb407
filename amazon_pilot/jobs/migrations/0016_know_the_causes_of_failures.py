from django.db import migrations, models
from django.db.models import Max, Min

STEP = 500


def take_from_the_history(apps, schema_editor):
    """Know the causes that the history holds; when one was away and came back before now is not looked for."""
    runs = apps.get_model("jobs", "JobRun").objects.using(schema_editor.connection.alias)
    cause = apps.get_model("jobs", "Cause")
    found = runs.exclude(fingerprint="").order_by("fingerprint").values("fingerprint").annotate(
        task=Max("task"), exception=Max("exception"), first_at=Min("started_at"), last_at=Max("started_at")
    )
    cause.objects.using(schema_editor.connection.alias).bulk_create(
        [cause(**row) for row in found], batch_size=STEP, ignore_conflicts=True
    )


class Migration(migrations.Migration):
    dependencies = [("jobs", "0015_mark_releases")]

    operations = [
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
            options={"verbose_name": "cause", "verbose_name_plural": "causes"},
        ),
        migrations.AddIndex(model_name="cause", index=models.Index(fields=["-first_at"], name="causes_by_first_seen")),
        migrations.AddIndex(
            model_name="cause",
            index=models.Index(
                condition=models.Q(("back_at__isnull", False)), fields=["-back_at"], name="causes_by_return"
            ),
        ),
        migrations.RunPython(take_from_the_history, migrations.RunPython.noop),
    ]
