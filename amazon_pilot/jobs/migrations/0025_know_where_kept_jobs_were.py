"""A deleted job is brought back by whoever may act in the queue in which it was."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0001_squashed_0024_make_the_tables")]
    operations = [
        migrations.AlterModelOptions(
            name="scheduleentry",
            options={
                "ordering": ["name"],
                "permissions": [("operate_schedule", "Can pause, resume and run schedule entries")],
                "verbose_name": "schedule entry",
                "verbose_name_plural": "schedule entries",
            },
        ),
        migrations.AddField(
            model_name="keptjob",
            name="queue",
            field=models.TextField(
                blank=True, db_default="", help_text="Empty: an older version kept it.", verbose_name="queue"
            ),
        ),
    ]
