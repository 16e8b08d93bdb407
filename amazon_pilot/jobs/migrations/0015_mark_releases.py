import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0014_take_operations_from_the_table")]

    operations = [
        migrations.CreateModel(
            name="Release",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=60, verbose_name="release")),
                ("at", models.DateTimeField(default=django.utils.timezone.now, verbose_name="since")),
                ("after", models.BigIntegerField(default=0, editable=False, help_text="The key of the release before it, or 0.")),
            ],
            options={"verbose_name": "release", "verbose_name_plural": "releases", "ordering": ["-at"]},
        ),
        migrations.AddIndex(model_name="release", index=models.Index(fields=["-at"], name="releases_newest_first")),
        migrations.AddConstraint(
            model_name="release",
            constraint=models.UniqueConstraint(fields=("name", "after"), name="one_mark_per_start_of_a_release"),
        ),
    ]
