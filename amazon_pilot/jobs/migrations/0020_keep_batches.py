import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("jobs", "0019_keep_alerts"),
    ]

    operations = [
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("task", models.CharField(max_length=200, verbose_name="task")),
                ("at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), verbose_name="time")),
                ("sent_at", models.DateTimeField(help_text="Empty while Redis has not taken it.", null=True, verbose_name="enqueued at")),
                ("children", models.PositiveIntegerField(verbose_name="jobs")),
                ("joined", models.PositiveIntegerField(default=0, verbose_name="joined")),
                ("parent", models.CharField(blank=True, max_length=100, verbose_name="job that made it")),
                ("by", models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to=settings.AUTH_USER_MODEL, verbose_name="by")),
            ],
            options={"verbose_name": "batch", "verbose_name_plural": "batches", "ordering": ["-at"]},
        ),
        migrations.AddIndex(model_name="batch", index=models.Index(fields=["-at"], name="batches_newest_first")),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(condition=models.Q(("parent", ""), _negated=True), fields=["parent"], name="batches_of_a_job"),
        ),
    ]
