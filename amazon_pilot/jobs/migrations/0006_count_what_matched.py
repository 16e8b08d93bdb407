from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0005_run_planned_jobs_now")]

    operations = [
        migrations.RemoveField(model_name="bulkaction", name="skipped"),
        migrations.AddField(
            model_name="bulkaction",
            name="matched",
            field=models.PositiveIntegerField(default=0, verbose_name="matched"),
        ),
    ]
