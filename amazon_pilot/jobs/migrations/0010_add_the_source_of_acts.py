from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("jobs", "0009_add_readings")]

    operations = [
        migrations.AddField(
            model_name="auditentry",
            name="source",
            field=models.CharField(
                blank=True,
                choices=[
                    ("page", "page"),
                    ("api", "API"),
                    ("command", "command line"),
                    ("system", "system"),
                    ("", "not recorded"),
                ],
                default="",
                help_text="Where it was done.",
                max_length=8,
                verbose_name="source",
            ),
        ),
    ]
