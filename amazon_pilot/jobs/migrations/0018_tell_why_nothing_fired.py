from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0017_find_jobs_by_their_subjects")]

    operations = [
        migrations.CreateModel(
            name="Silence",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("since", models.DateTimeField(unique=True, verbose_name="since")),
                ("until", models.DateTimeField(verbose_name="until")),
            ],
            options={
                "verbose_name": "silence of the schedulers",
                "verbose_name_plural": "silences of the schedulers",
            },
        ),
        migrations.AddIndex(model_name="silence", index=models.Index(fields=["-until"], name="silences_newest_first")),
        migrations.AddIndex(
            model_name="fire",
            index=models.Index(
                condition=models.Q(("outcome__in", ["missed", "skipped_paused", "skipped_overlap", "error"])),
                fields=["-planned_at"],
                name="fires_that_did_not_come",
            ),
        ),
    ]
